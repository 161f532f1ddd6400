"""Which Node.js stands where, and what its functions see."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from paddock.worker.runtimes import manifests, packages
from paddock.worker.runtimes.discovery import Engine, Interpreter, Runtime, ask_node

FAMILY = next(family for family in manifests.load() if family.family == "nodejs")
PYTHON = Interpreter(executable="/usr/bin/python3.11", prefix="/usr", version=(3, 11, 2))
RUNTIME = Runtime(
    name="nodejs20.x",
    family=FAMILY,
    interpreter=PYTHON,
    engine=Engine(name="node", prefix="/opt/node", version=(20, 20, 2)),
)


def script(directory: Path, text: str) -> Path:
    path = directory / "bin" / "node"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_node_that_answers(tmp_path: Path) -> None:
    path = script(tmp_path, f"echo '[\"{tmp_path}/bin/node\", [22, 1, 0]]'")
    assert ask_node(path) == Engine(name="node", prefix=str(tmp_path.resolve()), version=(22, 1, 0))


@pytest.mark.parametrize("text", ["exit 1", "echo nonsense", "echo '[1]'", "echo '[\"/nowhere/bin/node\", [1, 2, 3]]'"])
def test_one_that_answers_strangely(tmp_path: Path, text: str) -> None:
    assert ask_node(script(tmp_path, text)) is None


def test_what_is_shown_and_said() -> None:
    assert FAMILY.runtimes == ("nodejs20.x", "nodejs22.x", "nodejs24.x")
    assert (RUNTIME.shown_prefix, RUNTIME.version_label) == ("/opt/node", "nodejs:20.20.2")
    assert replace(RUNTIME, engine=Engine(name="node", prefix="/usr", version=(20, 0, 0))).shown_prefix == ""


def test_the_script_is_provided_once(tmp_path: Path) -> None:
    made = packages.provide(RUNTIME, tmp_path / "runtimes")
    assert made is not None
    assert [path.name for path in made.iterdir()] == ["index.mjs"]
    assert made.stat().st_mode & 0o777 == 0o755
    assert packages.provide(RUNTIME, tmp_path / "runtimes") == made
    assert [path.name for path in (tmp_path / "runtimes").iterdir()] == [made.name]
