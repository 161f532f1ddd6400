"""A moto server of the same run: of this machine if it has one, else in a virtual environment made for the run."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.client import TIMEOUT_S, Connection

PACKAGE = "moto[server,s3,sqs]"


class NoMoto(RuntimeError):
    """It is not here and could not be installed."""


@contextmanager
def moto() -> Iterator[str]:
    """The endpoint of one that runs until the end of the block. Raises NoMoto."""
    with tempfile.TemporaryDirectory(prefix="paddock-moto-") as directory, socket.create_server(("127.0.0.1", 0)) as at:
        program, port = shutil.which("moto_server") or _installed(Path(directory)), at.getsockname()[1]
        at.close()
        command = [program, "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _until_it_listens(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)


def _installed(home: Path) -> str:
    make = [sys.executable, "-m", "venv", str(home)]
    fill = [str(home / "bin" / "pip"), "install", "--quiet", PACKAGE]
    for command in (make, fill):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoMoto(f"moto_server is not on PATH, and {' '.join(command[:3])} failed: {done.stderr[-200:]}")
    return str(home / "bin" / "moto_server")


def _until_it_listens(endpoint: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return Connection(endpoint).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
