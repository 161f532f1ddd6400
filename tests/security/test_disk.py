"""/tmp on disk (`tmp_disk_mb`): not of the function's memory, limited all the same, and nothing of it stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from paddock.worker.sandbox import disk
from tests.security.conftest import Attacker
from tests.support.calls import until
from tests.support.server import RunningServer

MEGABYTE = 1 << 20
SIZE_MB = 800

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user cannot mount a file system on disk (doctor)"),
    pytest.mark.skipif(bool(disk.missing()), reason=disk.missing()),
]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("disk"), tmp_disk_mb=SIZE_MB) as server:
        yield server


@pytest.fixture(scope="module")
def small(stocked: RunningServer) -> Attacker:
    return Attacker(stocked, "small", MemorySize=128)


def parts(server: RunningServer) -> list[str]:
    """What is on it, as the jailer sees it."""
    return sorted(os.listdir(f"/proc/{server.pid}/root{server.data_dir}/{disk.DIRECTORY}"))


def attached(server: RunningServer) -> list[str]:
    """Files of this Paddock that loop devices hold."""
    found = [path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    return [name for name in found if str(server.data_dir) in name]


def test_it_is_mounted_as_safely_and_for_itself(stocked: RunningServer, small: Attacker) -> None:
    lines = small("read", "/proc/self/mountinfo", 1 << 20)["done"].splitlines()
    *_, mine = [line.split() for line in lines if line.split()[4] == "/tmp"]  # the last is on top
    assert {"rw", "nosuid", "nodev"} <= set(mine[5].split(","))
    assert "btrfs" in mine
    assert small("create", "/tmp") == {"done": "/tmp/intruder"}
    assert small("run_setuid_copy") in ({"done": "993"}, {"done": ""})
    assert small("device", 0o060600, 7, 0) == "EPERM"
    small("symlink", "/x", "/tmp/mine")
    assert Attacker(stocked, "beside")("listing", "/tmp") == {"done": []}
    assert len(parts(stocked)) >= 2


def test_a_small_function_fills_its_tmp_and_no_more(small: Attacker) -> None:
    written, error = small("fill", "/tmp/fill", 600 * MEGABYTE)["done"]
    assert error in ("Disk quota exceeded", "No space left on device")
    assert 500 * MEGABYTE < written <= 512 * MEGABYTE
    assert len(small("pids")["done"]) == 1


def test_the_size_is_the_functions(stocked: RunningServer) -> None:
    large = Attacker(stocked, "large", MemorySize=128, EphemeralStorage={"Size": 700})
    written = until(lambda: _more_than(680 * MEGABYTE, large("fill", "/tmp/fill", 800 * MEGABYTE)["done"][0]))
    assert written <= 700 * MEGABYTE


def _more_than(least: int, written: int) -> int:
    """Less goes in while btrfs has not yet cleaned up what the test before has removed."""
    return written if written > least else 0


@pytest.mark.parametrize("request_number", [0x5000940E, 0x50009401, 0xC0109428, 0x8030942B])
def test_no_part_without_a_limit_is_made(small: Attacker, request_number: int) -> None:
    assert small("ioctl", "/dev/null", request_number) == "ENOTTY"


def test_a_full_disk_is_the_error_of_who_writes(stocked: RunningServer) -> None:
    """Two of 512 MB do not fit together; a function beside them starts and runs."""
    hoarders = [Attacker(stocked, f"hoarder-{number}") for number in range(2)]
    errors = [hoarder("keep", "/tmp/kept", 500 * MEGABYTE)["done"][1] for hoarder in hoarders]
    assert "No space left on device" in errors
    stocked.create("works", "def handler(event, context):\n    return event\n")
    assert stocked.invoke("works", 3)[0] == 3
    for hoarder in hoarders:
        stocked.client("lambda").delete_function(FunctionName=hoarder.name)
    until(lambda: len(parts(stocked)) <= 5)


def test_nothing_of_it_stays(tmp_path: Path) -> None:
    server = RunningServer(tmp_path, tmp_disk_mb=SIZE_MB).start()
    server.create("writer", "def handler(event, context):\n    open('/tmp/x', 'w').write('x' * 999)\n    return 1\n")
    assert server.invoke("writer")[0] == 1
    assert len(parts(server)) == 1
    assert len(attached(server)) == 1
    server.client("lambda").delete_function(FunctionName="writer")
    until(lambda: not parts(server))
    server.kill_jailer()
    until(lambda: not attached(server))
    assert not list(server.data_dir.glob("*.img"))
    with server:
        assert server.client("lambda").list_functions()["Functions"] == []
    until(lambda: not attached(server))
