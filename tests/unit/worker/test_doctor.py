"""The doctor: attempts in children, the verdict, and the advice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from paddock.worker.sandbox import doctor
from paddock.worker.sandbox.doctor import Check, Report, Seen

# Forking inside pytest is fragile (plugins start threads), so real attempts run in an interpreter of their own.
ATTEMPTS = """
import json, os, signal
from paddock.worker.sandbox.doctor import attempt

def refused():
    raise PermissionError(1, "Operation not permitted")

def bare():
    raise OSError("no number")

def broken():
    raise KeyError("a defect")

def killed():
    os.kill(os.getpid(), signal.SIGSYS)
    return "never"

parent = os.getpid()
print(json.dumps([attempt(work) for work in (lambda: str(os.getpid() != parent), refused, bare, broken, killed)]))
"""


def test_an_attempt_is_made_in_a_child_whatever_becomes_of_it() -> None:
    done = subprocess.run([sys.executable, "-c", ATTEMPTS], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        ["True", ""],
        ["", "Operation not permitted"],
        ["", "no number"],
        ["", "the attempt broke off"],
        ["", f"the attempt was ended by {signal.SIGSYS.name}"],
    ]


def test_every_check_really_runs_here_and_leaves_nothing(tmp_path: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    script = "from paddock.worker.sandbox import doctor\nprint(doctor.as_json(doctor.examine(['python3.99'])))"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    report = json.loads(done.stdout)
    assert [check["name"] for check in report["checks"]][:-2] == [check.name for check in doctor.CHECKS]
    assert report["mode"] == ("root" if os.geteuid() == 0 else "rootless")
    assert report["isolated"] == all(check["ok"] for check in report["checks"] if check["needed"])
    assert all(check["ok"] or (check["detail"] and check["lost"] and check["fix"]) for check in report["checks"])
    assert Path("/proc/self/mountinfo").read_text() == before
    assert list(tmp_path.iterdir()) == []


def test_names_are_unique_and_every_loss_is_spelled_out() -> None:
    names = [check.name for check in doctor.CHECKS]
    assert len(set(names)) == len(names)
    assert all(check.lost and check.fix for check in doctor.CHECKS)


def check(name: str = "thing", needed: bool = False) -> Check:
    return Check(name=name, probe=lambda root: "", needed=needed, lost="much", fix="do this")


def report(*seen: Seen) -> Report:
    return Report(mode="rootless", kernel="Linux 6.1", sysctls={"user.max_user_namespaces": "9"}, seen=seen)


def test_what_works_has_no_loss() -> None:
    assert doctor.judge(check(), "cgroup v2", "", {}) == Seen(name="thing", needed=False, detail="cgroup v2")


def test_what_fails_says_what_is_lost_and_how_to_fix_it() -> None:
    seen = doctor.judge(check(needed=True), "", "Operation not permitted", {"user.max_user_namespaces": "0"})
    assert (seen.error, seen.lost, seen.fix) == ("Operation not permitted", "much", "do this")


@pytest.mark.parametrize(
    ("sysctls", "advice"),
    [
        ({"kernel.unprivileged_userns_clone": "0"}, "unprivileged_userns_clone=1"),
        ({"user.max_user_namespaces": "0"}, "max_user_namespaces=15000"),
        ({"kernel.apparmor_restrict_unprivileged_userns": "1"}, "AppArmor"),
        ({"kernel.unprivileged_userns_clone": "1", "user.max_user_namespaces": "96000"}, "do this"),
        ({}, "do this"),
    ],
)
def test_a_closed_user_namespace_names_the_switch(sysctls: dict[str, str], advice: str) -> None:
    assert advice in doctor.judge(check(doctor.USERNS), "", "Operation not permitted", sysctls).fix


def test_sysctls_are_read_where_the_kernel_has_them(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "max_user_namespaces").write_text("0\n")
    assert doctor.read_sysctls(tmp_path) == {"user.max_user_namespaces": "0"}


def test_only_what_is_needed_decides() -> None:
    good = Seen(name="a", needed=True)
    lost = Seen(name="b", needed=False, error="gone", lost="b is lost", fix="get b")
    missing = Seen(name="c", needed=True, error="gone", lost="c is lost", fix="get c")
    assert report(good, lost).isolated
    assert not report(good, lost, missing).isolated
    text = doctor.as_text(report(good, lost, missing))
    for part in (
        "ok       a",
        "without  b: gone",
        "lost: b is lost",
        "fix:  get b",
        "MISSING  c",
        "cannot run isolated",
    ):
        assert part in text
    assert "with every limit" in doctor.as_text(report(good))
    assert "user.max_user_namespaces = 9" in text


def test_no_interpreter_means_no_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", ())
    assert not doctor.examine([]).isolated
    assert doctor.examine(["python3.12", "python3.13"]).seen[0].detail == "python3.12, python3.13"


@pytest.mark.parametrize(
    ("homes", "detail", "error"),
    [
        ({}, "", "none"),
        ({"host": ["python3.12"]}, "", "none"),
        ({"debian13.1 (trixie-1)": ["python3.12"]}, "debian13.1 (trixie-1)", ""),
        ({"debian13.1 (t)": ["python3.12"], "host": ["java17"]}, "", "debian13.1 (t); not for java17"),
    ],
)
def test_where_functions_live(
    homes: Mapping[str, Sequence[str]], detail: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", ())
    seen = doctor.examine([], homes).seen[-1]
    assert (seen.detail, seen.error, seen.needed) == (detail, error, False)
    assert not error or (seen.lost and seen.fix)
