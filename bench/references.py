"""What Paddock is held against: processes of other programs, started and timed in the same run."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from bench.client import TIMEOUT_S, Wrong

FORKS = """
import json, os, sys, time
took = []
for _ in range(int(sys.argv[1])):
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    took.append((time.perf_counter() - started) * 1000)
print(json.dumps(took))
"""


def forks(n: int) -> list[float]:
    """Milliseconds to fork a bare Python and wait for its end, n times."""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", FORKS, str(n)], capture_output=True, check=True)
    took: list[float] = json.loads(done.stdout)
    return took


def bubblewrap() -> str | None:
    return shutil.which("bwrap")


def bubblewrap_command(program: str) -> list[str]:
    """bubblewrap with every namespace, running `true` on this machine's /usr."""
    links = [name for name in ("bin", "lib", "lib64", "sbin") if Path("/" + name).is_symlink()]
    binds = [word for name in links for word in ("--symlink", f"usr/{name}", f"/{name}")]
    shown = ["--ro-bind", "/usr", "/usr", *binds, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    return [program, "--unshare-all", *shown, "/usr/bin/true"]


def runs(command: list[str], n: int) -> list[float]:
    """Milliseconds from the start of the command to its collected end, n times. Raises Wrong when it fails."""
    took = []
    for _ in range(n):
        started = time.perf_counter()
        pid = os.posix_spawn(command[0], command, os.environ)
        _, status = os.waitpid(pid, 0)
        took.append((time.perf_counter() - started) * 1000)
        if status:
            raise Wrong(f"{command[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return took


class Serving:
    """An HTTP server of another program on a free port, as a process that ends with the block."""

    def __init__(self, *command: str) -> None:
        """command: `{fd}` stands for the listening socket's descriptor."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._command = [word.format(fd=self._listener.fileno()) for word in command]
        host, port = self._listener.getsockname()
        self.endpoint = f"http://{host}:{port}"

    def __enter__(self) -> Serving:
        self._process = subprocess.Popen(
            self._command, pass_fds=[self._listener.fileno()], start_new_session=True, stderr=subprocess.DEVNULL
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(TIMEOUT_S)
        self._listener.close()


def floor(kind: str) -> Serving:
    """kind: `hop` is the floor, `echo` the bare server."""
    return Serving(sys.executable, "-m", "bench.floor", kind, "{fd}")


def has_fastapi() -> bool:
    return all(importlib.util.find_spec(name) for name in ("fastapi", "gunicorn", "uvicorn"))


def fastapi() -> Serving:
    """What one would write instead: FastAPI on gunicorn with two uvicorn workers."""
    options = ["--workers", "2", "--worker-class", "uvicorn.workers.UvicornWorker", "--bind", "fd://{fd}"]
    options += ["--keep-alive", "600"]  # its connections are idle while the others are measured
    return Serving(sys.executable, "-m", "gunicorn", *options, "bench.fastapi_echo:app")
