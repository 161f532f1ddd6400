"""The command's front door: what each command answers, and with which exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping

import pytest

from paddock import __main__, __version__, app
from paddock.config import Config
from paddock.worker.runtimes import choose, discovery, manifests
from paddock.worker.sandbox import doctor
from tests.support.server import ROOT


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["version"]) == 0
    assert capsys.readouterr().out == f"paddock {__version__}\n"


def test_up_hands_the_settings_over(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Config] = []

    def up(config: Config, environ: Mapping[str, str]) -> int:
        taken.append(config)
        return 7

    monkeypatch.setattr(app, "up", up)
    monkeypatch.setenv("PADDOCK_REGION", "eu-west-1")
    assert __main__.main(["up", "--port", "4600"]) == 7
    assert (taken[0].port, taken[0].region) == (4600, "eu-west-1")


def test_up_refuses_what_others_can_reach(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(app, "up", lambda *_: pytest.fail("started all the same"))
    assert __main__.main(["up", "--host", "0.0.0.0"]) == 2
    assert "could run code" in capsys.readouterr().err


def test_health_of_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["health", "--endpoint", "http://127.0.0.1:1"]) == 1
    assert "paddock up" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "status"), [("", 0), ("gone", 1)])
def test_the_doctor_says_by_its_status_whether_functions_run(
    error: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = doctor.Seen(name="thing", needed=True, error=error)
    report = doctor.Report(mode="root", kernel="Linux", sysctls={}, seen=(seen,))
    monkeypatch.setattr(doctor, "examine", lambda python, homes: report)
    monkeypatch.setattr(choose, "runtimes", lambda *_: ())
    assert __main__.main(["doctor"]) == status
    assert __main__.main(["doctor", "--json"]) == status
    assert '"isolated"' in capsys.readouterr().out


def test_runtimes_lists_what_is_there_and_how_to_add_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    family = next(family for family in manifests.load() if family.family == "python")
    here = discovery.Interpreter(executable="/usr/bin/python3.12", prefix="/usr", version=(3, 12, 1))
    runtimes = (
        discovery.Runtime(name="python3.12", family=family, interpreter=here),
        discovery.Runtime(name="python3.14", family=family, interpreter=None),
    )
    monkeypatch.setattr(choose, "runtimes", lambda *_: runtimes)
    assert __main__.main(["runtimes"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["RUNTIME", "VERSION", "USERLAND", "STATE"]
    assert first.split() == ["python3.12", "3.12.1", "host", "ready:", "/usr/bin/python3.12"]
    assert second.split()[:4] == ["python3.14", "-", "-", "missing:"]
    assert "paddock runtimes add python3.14, or install Python 3.14" in second


def test_whoever_reads_may_leave() -> None:
    """As `paddock runtimes | head -1`, and sooner than head: nobody reads at all."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        argv = [sys.executable, "-m", "paddock", "version"]
        done = subprocess.run(argv, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
