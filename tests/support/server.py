"""A real Paddock for tests: `paddock up` as a process of its own, on a free port, with a data directory of its own.

    with RunningServer(tmp_path) as server:
        lambda_ = server.client("lambda")

Stopping is part of the test: `stop` sends SIGTERM to the jailer and waits; `kill` is kill -9 of the server process.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3
from botocore.config import Config

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
ROLE = "arn:aws:iam::000000000000:role/test"


def zipped(files: Mapping[str, str | bytes], mode: int = 0o644, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip as Lambda takes it. zipfile's own default mode, 0600, would be unreadable for the function."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = compression
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def _home() -> dict[str, object]:
    """TESTS_IN_USERLAND: a directory as of `paddock up --runtimes-dir`; then functions of all tests live in its."""
    place = os.environ.get("TESTS_IN_USERLAND")
    return {"userland": "auto", "runtimes_dir": place} if place else {"userland": "host"}


FILES_FEW = 100  # packages of more are worth compressing: the API takes 50 MB


class RunningServer:
    """One `paddock up`. settings: PADDOCK_* without the prefix, such as freeze_after_idle_ms=0.

    launcher: a command that becomes Paddock, such as setpriv with another user.
    """

    def __init__(self, directory: Path, *, launcher: Sequence[str] = (), **settings: object) -> None:
        self.data_dir = directory / "data"
        self._log = directory / "server.log"
        self._launcher = launcher
        # Locked down unless a test is about networks: a Paddock with egress changes this machine's own network.
        # On the host's /usr unless it is about userlands: whoever tests may have built one, or not.
        self.settings: dict[str, object] = {"network": "none", **_home(), **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self.endpoint = ""

    # -- its life

    def start(self, port: int = 0) -> RunningServer:
        """port: 0 takes a free one."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PADDOCK_", "AWS_"))}
        environment |= {f"PADDOCK_{name.upper()}": str(value) for name, value in self.settings.items()}
        command = [*self._launcher, sys.executable, "-m", "paddock", "up"]
        command += ["--port", str(port), "--data-dir", str(self.data_dir)]
        with self._log.open("ab") as log:
            before = self._log.stat().st_size
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            text = self._log.read_bytes()[before:].decode()
            found = re.search(r"endpoint +(http://\S+)", text)
            if found and "export AWS_ACCESS_KEY_ID" in text:
                self.endpoint = found[1]
                return self
            if self._process.poll() is not None:
                raise AssertionError(f"paddock up ended with {self._process.returncode}:\n{text}")
            time.sleep(0.02)
        raise AssertionError(f"paddock up did not become ready:\n{self.log}")

    def stop(self, patience_s: float = 60.0) -> int:
        """SIGTERM to `paddock up`; its exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(patience_s)

    def kill(self) -> int:
        """kill -9 of the process that serves HTTP; the exit status of `paddock up` after it."""
        assert self._process is not None
        os.kill(self.server_pid, signal.SIGKILL)
        return self._process.wait(60)

    def kill_jailer(self) -> None:
        """kill -9 of `paddock up` itself."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)

    def __enter__(self) -> RunningServer:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    # -- what it is made of

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """The jailer: `paddock up` itself."""
        assert self._process is not None
        return self._process.pid

    @property
    def server_pid(self) -> int:
        """The unprivileged server process."""
        return next(pid for pid in children(self.pid) if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes())

    def groups(self) -> list[Path]:
        """Control group directories of this Paddock that exist now."""
        name = "paddock-" + hashlib.sha256(str(self.data_dir).encode()).hexdigest()[:12]
        # os.walk does not mind that groups of others go while it walks, unlike Path.rglob.
        return [Path(top, name) for top, names, _ in os.walk("/sys/fs/cgroup") if name in names]

    # -- talking to it

    def client(self, service: str, *, account: str = "test", region: str = "us-east-1", **config: Any) -> Any:
        settings = {"retries": {"total_max_attempts": 1}, "read_timeout": 120, **config}
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=account,
            aws_secret_access_key="test",
            config=Config(**settings),
        )

    def create(self, name: str, source: str | Mapping[str, str | bytes], **settings: Any) -> dict[str, Any]:
        """Create a Python function from app.py's source (or from files) and wait until it is Active."""
        files = {"app.py": source} if isinstance(source, str) else source
        compression = zipfile.ZIP_STORED if len(files) < FILES_FEW else zipfile.ZIP_DEFLATED
        given = {"Runtime": default_runtime(), "Handler": "app.handler", "Role": ROLE, "Timeout": 30, **settings}
        client = self.client("lambda")
        client.create_function(FunctionName=name, Code={"ZipFile": zipped(files, compression=compression)}, **given)
        client.get_waiter("function_active_v2").wait(
            FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400}
        )
        found: dict[str, Any] = client.get_function(FunctionName=name)["Configuration"]
        return found

    def invoke(self, name: str, event: object = None, **options: Any) -> tuple[Any, dict[str, Any]]:
        """(payload parsed from JSON, the whole answer)."""
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode(), **options)
        return json.loads(answer["Payload"].read() or b"null"), answer


def children(pid: int) -> list[int]:
    """Living child processes of `pid`; none when there is no such process."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in path.read_text().split()]
        except OSError:
            continue  # that thread has just ended
    return found


def default_runtime() -> str:
    """The runtime of the Python that runs the tests: it is there for certain."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"
