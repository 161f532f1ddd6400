"""What the jailer does without privilege: the listening socket, its words, and the names it goes by."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from paddock.worker.sandbox.jailer import CannotStart, Settings, listen


def test_a_free_port_is_listened_on() -> None:
    with listen("127.0.0.1", 0) as listener:
        with socket.create_connection(listener.getsockname(), timeout=20):
            pass
        assert not listener.get_inheritable()


def test_a_taken_port() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        text = f"127.0.0.1:{port} is taken by another process; choose another with --port"
        with pytest.raises(CannotStart) as refused:
            listen("127.0.0.1", port)
        assert str(refused.value) == text


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(CannotStart, match=r"cannot listen on 192\.0\.2\.1:0: "):
        listen("192.0.2.1", 0)


CAP_SYS_RESOURCE = 1 << 24
ASKS = """
import resource
from paddock.worker.sandbox.jailer import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
allow_open_files(300)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_as_many_open_files_as_many_environments_need() -> None:
    found = subprocess.run([sys.executable, "-c", ASKS], capture_output=True, text=True, check=True, timeout=60)
    (effective,) = re.findall(r"CapEff:\t([0-9a-f]+)", Path("/proc/self/status").read_text())
    capabilities = int(effective, 16)
    assert found.stdout.split() == (["300", "300"] if capabilities & CAP_SYS_RESOURCE else ["200", "200"])


def settings(data_dir: str) -> Settings:
    return Settings(
        host="127.0.0.1",
        port=1,
        data_dir=data_dir,
        server_uid=1,
        environment_uid_first=2,
        processes_max=3,
        rootless=False,
        runtimes_dir="/var/lib/none",
        server={},
    )


def test_one_data_directory_one_name() -> None:
    first = settings("/var/lib/one")
    assert first.name == settings("/var/lib/one").name != settings("/var/lib/two").name
    assert first.name.startswith("paddock-")
    assert len(first.name) == 20
    assert first.code_root == "/var/lib/one/server/code"
