"""A server of the command's own, where none answers: `paddock up` as a child, ended with the command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from paddock.cli import health
from paddock.cli.client import Refused

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
LOOK_INTERVAL_S = 0.1
SHOWN_LINES_MAX = 12

Pause = Callable[[float], bool]


class OwnServer:
    """start() returns once it serves; stop() once it has ended."""

    def __init__(self, endpoint: str, directory: Path, environ: Mapping[str, str]) -> None:
        self._endpoint = endpoint
        allowed = ",".join(part for part in (environ.get("PADDOCK_DEV_DIRECTORIES"), str(directory)) if part)
        self._environ = {**environ, "PADDOCK_DEV_DIRECTORIES": allowed}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, pause: Pause) -> None:
        """Raises Refused."""
        address = urlsplit(self._endpoint)
        if address.scheme != "http" or address.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise Refused(f"No answer from {self._endpoint}, and a server of its own can only be on this machine.")
        host = "127.0.0.1" if address.hostname == "localhost" else address.hostname
        command = [sys.executable, "-m", "paddock", "up", "--host", host, "--port", str(address.port or 80)]
        with tempfile.TemporaryFile() as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environ, start_new_session=True
            )
            for _ in range(int(START_TIMEOUT_S / LOOK_INTERVAL_S)):
                if self._process.poll() is not None:
                    log.seek(0)
                    said = log.read().decode(errors="replace").splitlines()[-SHOWN_LINES_MAX:]
                    raise Refused("`paddock up` did not start:\n" + "\n".join(said))
                if self._serves():
                    return
                if pause(LOOK_INTERVAL_S):
                    raise KeyboardInterrupt
        raise Refused(f"`paddock up` did not answer at {self._endpoint} within {START_TIMEOUT_S:.0f} s.")

    def _serves(self) -> bool:
        try:
            health.ask(self._endpoint)
        except health.Unhealthy:
            return False
        return True

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def find_package(name: str, search: list[str]) -> Path | None:
    """The directory of an importable package below one of the places."""
    for place in search:
        path = Path(place or ".", name)
        if (path / "__init__.py").is_file():
            return path
    return None


def site_packages(environ: Mapping[str, str], directory: Path) -> list[str]:
    """Where a developer's packages may lie: the directory, its virtual environments, the active one, our own Python."""
    homes = [directory / ".venv", directory / "venv"]
    homes += [Path(environ["VIRTUAL_ENV"])] if environ.get("VIRTUAL_ENV") else []
    found = [str(path) for home in homes for path in sorted(home.glob("lib/python*/site-packages"))]
    return [str(directory), *found, *(path for path in sys.path if path and os.path.isdir(path))]
