"""The test bed: a Paddock of its own on a free port with a temporary data directory, and functions to measure."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.client import TIMEOUT_S, Connection, Script, Wrong, invocation
from tests.support.server import ROLE, RunningServer, default_runtime, zipped

ECHO = "import json, os, datetime, re, logging\ndef handler(event, context):\n    return event\n"
SLEEP = """
import time
def handler(event, context):
    started = time.time()
    time.sleep(max(0.0, event["until"] - started))
    return started
"""
FULL_CPU_MB = 1769
SIGNED_AHEAD = 64


def body_of(number: int) -> bytes:
    """An event of 42 bytes or so, different for each number: an answer to somebody else's request is noticed."""
    return json.dumps({"key": "value", "number": number, "x": "yyyyyy"}).encode()


@dataclass(frozen=True, slots=True)
class Bed:
    server: RunningServer
    lambda_: Any

    @property
    def endpoint(self) -> str:
        return self.server.endpoint

    def create(
        self, names: Sequence[str], source: str = ECHO, *, file: str = "app.py", remark: str = "#", **settings: Any
    ) -> None:
        """Create functions, each with code of its own, and wait until all are Active. remark: begins a comment."""
        for name in names:
            self._create(name, zipped({file: f"{remark} {name}\n{source}"}), settings)
        for name in names:
            self._until(lambda name=name: self._is_active(name), f"{name} is not active")

    def _create(self, name: str, code: bytes, settings: dict[str, Any]) -> None:
        given = {"Runtime": default_runtime(), "Handler": "app.handler", "Role": ROLE, "Timeout": 120, **settings}
        self.lambda_.create_function(FunctionName=name, Code={"ZipFile": code}, **given)

    def create_from(self, names: Sequence[str], package: bytes, **settings: Any) -> None:
        """The same, of one package for all."""
        for name in names:
            self._create(name, package, settings)
        for name in names:
            self._until(lambda name=name: self._is_active(name), f"{name} is not active")

    def _is_active(self, name: str) -> bool:
        return bool(self.lambda_.get_function_configuration(FunctionName=name)["State"] == "Active")

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self.lambda_.delete_function(FunctionName=name)

    def settle(self, connection: Connection, cells: int | None = None, environments: int | None = None) -> None:
        """Wait until so many cells wait, or more by demand, and so many environments live."""

        def is_so() -> bool:
            health = json.loads(connection.get("/health"))
            cells_there = cells is None or health["cells"] >= cells
            return cells_there and (environments is None or health["environments"] == environments)

        self._until(is_so, f"not {cells} cells and {environments} environments")

    @staticmethod
    def alive(connection: Connection) -> int:
        """Environments that live now, idle ones too."""
        return int(json.loads(connection.get("/health"))["environments"])

    @staticmethod
    def _until(is_so: Any, complaint: str) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not is_so():
            if time.monotonic() > deadline:
                raise Wrong(complaint)
            time.sleep(0.01)

    def script(self, function: str, number: int) -> Script:
        """Requests signed ahead for one connection. Each is signed anew, so that nothing is gained by remembering."""
        body = body_of(number)
        return Script([invocation(self.endpoint, function, body) for _ in range(SIGNED_AHEAD)], body)


@contextmanager
def bed(**settings: Any) -> Iterator[Bed]:
    """A running Paddock; settings as in PADDOCK_*, without the prefix."""
    with tempfile.TemporaryDirectory(prefix="paddock-bench-") as directory:
        Path(directory).chmod(0o755)  # the server, which is another user as root, must reach its part of it
        with RunningServer(Path(directory), **settings) as server:
            yield Bed(server, server.client("lambda"))
