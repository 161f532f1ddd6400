"""Which Ruby stands where, and what its functions see."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.worker.runtimes import manifests, packages
from paddock.worker.runtimes.discovery import Engine, Interpreter, Runtime, ask_ruby
from paddock.worker.runtimes.ruby import bootstrap
from tests.unit.worker.test_nodes import script

FAMILY = next(family for family in manifests.load() if family.family == "ruby")
PYTHON = Interpreter(executable="/usr/bin/python3.11", prefix="/usr", version=(3, 11, 2))
RUNTIME = Runtime(
    name="ruby3.3",
    family=FAMILY,
    interpreter=PYTHON,
    engine=Engine(name="ruby", prefix="/opt/ruby", version=(3, 3, 8)),
)


def ruby_in(directory: Path, text: str) -> Path:
    return script(directory, text).rename(directory / "bin" / "ruby")


def test_a_ruby_that_answers(tmp_path: Path) -> None:
    path = ruby_in(tmp_path, f"echo '[\"{tmp_path}/bin/ruby\", [3, 3, 8]]'")
    assert ask_ruby(path) == Engine(name="ruby", prefix=str(tmp_path.resolve()), version=(3, 3, 8))


@pytest.mark.parametrize("text", ["exit 1", "echo nonsense", "echo '[\"/nowhere/bin/ruby\", [3, 3, 8]]'"])
def test_one_that_answers_strangely(tmp_path: Path, text: str) -> None:
    assert ask_ruby(ruby_in(tmp_path, text)) is None


def test_what_is_shown_and_said() -> None:
    assert FAMILY.runtimes == ("ruby3.2", "ruby3.3", "ruby3.4", "ruby4.0")
    assert (RUNTIME.shown_prefix, RUNTIME.version_label) == ("/opt/ruby", "ruby:3.3.8")


def test_the_script_is_provided(tmp_path: Path) -> None:
    made = packages.provide(RUNTIME, tmp_path / "runtimes")
    assert made is not None
    assert [path.name for path in made.iterdir()] == ["index.rb"]


@pytest.mark.parametrize(("names", "found"), [(["ruby3.3", "rubycritic"], "ruby3.3"), (["irb", "ruby"], "ruby")])
def test_which_program_is_ruby(names: list[str], found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in names:
        (tmp_path / name).touch(0o755)
    monkeypatch.setattr(bootstrap, "DIRECTORIES", ("/nowhere", str(tmp_path)))
    assert bootstrap.program() == str(tmp_path / found)
