"""A running Paddock per isolation mode, and a function in it whose handler tries to get out (inside/app.py)."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paddock.worker.runtimes import discovery
from tests.support.server import ROOT, RunningServer
from tests.support.userlands import built

INSIDE = Path(__file__).parent / "inside"
ORDINARY_UID = 54_321


class Attacker:
    """A function made of inside/*.py. Calling it runs one attempt and returns its outcome."""

    def __init__(self, server: RunningServer, name: str, **settings: Any) -> None:
        self.server = server
        self.name = name
        server.create(name, attack_files(), **{"MemorySize": 1769, "Timeout": 60, **settings})

    def __call__(self, attempt: str, *arguments: object) -> Any:
        return self.all((attempt, *arguments))[0]

    def all(self, *attempts: tuple[object, ...]) -> list[Any]:
        """Several attempts in one event; the function itself must live through them."""
        outcomes, answer = self.raw(*attempts)
        assert "FunctionError" not in answer, outcomes
        assert isinstance(outcomes, list)
        return outcomes

    def raw(self, *attempts: tuple[object, ...]) -> tuple[Any, dict[str, Any]]:
        """As RunningServer.invoke: for attempts that end the function."""
        return self.server.invoke(self.name, {"attempts": attempts})


def attack_files() -> dict[str, str | bytes]:
    numbers = ROOT / "paddock/worker/sandbox/syscalls.json"
    return {path.name: path.read_bytes() for path in [*sorted(INSIDE.glob("*.py")), numbers]}


def _rootless(**settings: object) -> RunningServer:
    """As root: a Paddock of an ordinary user, in a directory of its own below one that is open to all."""
    if os.geteuid() != 0:
        return RunningServer(Path(tempfile.mkdtemp()), **settings)
    directory = Path(tempfile.mkdtemp())
    os.chown(directory, ORDINARY_UID, ORDINARY_UID)
    # Interpreters in root's home are in view, too: SnapStart is for newer ones than run the tests.
    needed = [str(ROOT), sys.prefix, sys.base_prefix, str(directory)]
    needed += sorted({one.prefix for one in discovery.interpreters().values()} - {"/usr", sys.base_prefix})
    launcher = [sys.executable, "-m", "tests.support.ordinary", str(ORDINARY_UID), *needed, "--"]
    return RunningServer(directory, launcher=launcher, **settings)


def make_server(mode: str, tmp: Path, **settings: object) -> RunningServer:
    if mode == "rootless":
        return _rootless(**settings)
    if os.geteuid() != 0:
        pytest.skip("isolation by root needs tests that run as root")
    if mode == "userland":
        return RunningServer(tmp, **{"runtimes_dir": built()[0], "userland": "auto", **settings})
    return RunningServer(tmp, **settings)


@pytest.fixture(scope="session", params=["root", "rootless"])
def mode(request: pytest.FixtureRequest) -> str:
    """root, rootless, or userland: by root, with functions in a userland of their own."""
    return str(request.param)


@pytest.fixture(scope="session")
def paddock(mode: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    server = make_server(mode, tmp_path_factory.mktemp("security"), network="none")  # test_egress.py has the other
    with server:
        yield server
    if mode == "rootless":
        shutil.rmtree(server.data_dir.parent)


@pytest.fixture(scope="session")
def inside(paddock: RunningServer) -> Attacker:
    """The attacker, with a whole CPU so that it does not take long."""
    return Attacker(paddock, "attacker")
