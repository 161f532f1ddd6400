"""The command `paddock` as a process of its own, as one would type it in another terminal."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple
from unittest import mock

from paddock.__main__ import main
from tests.support.server import ROOT, RunningServer

PATIENCE_S = 60.0


def environment(server: RunningServer | None, **more: str) -> dict[str, str]:
    given = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT), **more}
    return {**given, "AWS_ENDPOINT_URL": server.endpoint} if server else given


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def paddock(server: RunningServer | None, *words: str, text: str = "", cwd: Path = ROOT) -> Done:
    """Run it to its end, in this process: a start of Python for each would be most of what these tests cost."""
    given, out, err = (io.TextIOWrapper(io.BytesIO(data)) for data in (text.encode(), b"", b""))
    with (
        mock.patch.dict(os.environ, environment(server), clear=True),
        mock.patch.object(sys, "stdin", given),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.chdir(cwd),
    ):
        try:
            status = main(words)
        except SystemExit as ended:
            status = int(ended.code or 0)
    printed = []
    for stream in (out, err):
        stream.flush()
        printed.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return Done(status, *printed)


class Running:
    """A command that goes on until it is interrupted. Its two outputs are read as they come."""

    def __init__(self, server: RunningServer | None, *words: str, cwd: Path = ROOT, **more: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "paddock", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment(server, PYTHONUNBUFFERED="1", **more), cwd=cwd, start_new_session=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as out:
            self.lines.extend(iter(out.readline, ""))

    @property
    def text(self) -> str:
        return "".join(list(self.lines))

    def wait_for(self, part: str, *, times: int = 1) -> str:
        """The whole output, once the part is in it as often."""
        deadline = time.monotonic() + PATIENCE_S
        while self.text.count(part) < times:
            ended = self._process.poll()
            assert ended is None or self.text.count(part) >= times, f"ended with {ended}:\n{self.text}"
            assert time.monotonic() < deadline, f"no {part!r} in:\n{self.text}"
            time.sleep(0.02)
        return self.text

    def interrupt(self) -> int:
        """Ctrl-C; its exit status."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)  # a terminal sends it to all of the group
        return self.wait()

    def wait(self) -> int:
        try:
            return self._process.wait(PATIENCE_S)
        finally:
            self._process.kill()  # nothing of it outlives its test
            self._reader.join()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.interrupt()
