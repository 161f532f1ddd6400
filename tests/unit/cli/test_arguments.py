"""What can be typed: flags are settings, help shows them, mistakes are told."""

from __future__ import annotations

import pytest

from paddock.cli import arguments
from paddock.config import Config, flag_of, settings


def test_up_takes_every_setting_as_a_flag() -> None:
    given = arguments.parser().parse_args(["up", "--port", "4600", "--environment-idle-timeout-s", "5"])
    config = arguments.config_of(given, {"PADDOCK_REGION": "eu-west-1", "HOME": "/home/x"})
    assert (config.port, config.environment_idle_timeout_s, config.region) == (4600, 5, "eu-west-1")


def test_help_documents_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        arguments.parser().parse_args(["up", "--help"])
    shown = capsys.readouterr().out
    assert left.value.code == 0
    assert [name for name in settings() if flag_of(name) not in shown] == []
    assert "80 % of the machine" in " ".join(shown.split())


def test_help_lists_the_commands_and_hides_the_internal_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments.parser().parse_args(["--help"])
    shown = capsys.readouterr().out
    assert all(f"    {command} " in shown for command in ("up", "doctor", "runtimes", "health", "version"))
    assert "AWS_ENDPOINT_URL=http://127.0.0.1:4566" in shown
    assert "serve" not in shown.split()
    assert arguments.parser().parse_args(["serve"]).command == "serve"


@pytest.mark.parametrize("argv", [[], ["fly"], ["up", "--prot", "1"], ["runtimes", "burn"]])
def test_a_mistake_is_told_with_status_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        arguments.parser().parse_args(argv)
    assert left.value.code == 2
    assert "usage: paddock" in capsys.readouterr().err


def test_an_ipv6_endpoint_is_bracketed() -> None:
    assert arguments.endpoint_of(Config(host="::1", port=1)) == "http://[::1]:1"
