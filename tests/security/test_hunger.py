"""Taking more than one's share: it ends at the limit, neighbours are served meanwhile, and the function recovers."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.security.conftest import Attacker
from tests.support.server import RunningServer

NEIGHBOUR = "def handler(event, context):\n    return {'hello': event}\n"
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def neighbour(paddock: RunningServer) -> Callable[[], None]:
    """Call it to see that another function is served and right."""
    paddock.create("neighbour", NEIGHBOUR)

    def check() -> None:
        for number in range(3):
            payload, answer = paddock.invoke("neighbour", number)
            assert payload == {"hello": number}
            assert "FunctionError" not in answer

    return check


@pytest.fixture(scope="module")
def greedy(paddock: RunningServer) -> Attacker:
    return Attacker(paddock, "greedy", Timeout=3, MemorySize=512)


@pytest.fixture(scope="module")
def hungry(paddock: RunningServer) -> Attacker:
    """With time enough to reach its limit on a busy machine, too."""
    return Attacker(paddock, "hungry", Timeout=30, MemorySize=512)


def resident_mb(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) >> 10


def open_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_processes_end_at_the_limit(inside: Attacker) -> None:
    count, error = inside("processes_until_refused")["done"]
    assert error == "Resource temporarily unavailable"
    assert 500 < count <= 1024


def test_a_fork_bomb_hurts_nobody_else(greedy: Attacker, neighbour: Callable[[], None]) -> None:
    told: list[object] = []
    bomb = threading.Thread(target=lambda: told.append(greedy.raw(("fork_bomb",))))
    bomb.start()
    while bomb.is_alive():
        neighbour()
    payload, answer = told[0]  # type: ignore[misc]
    assert answer["FunctionError"] == "Unhandled"
    assert payload["errorType"] in {"Sandbox.Timedout", "Runtime.OutOfMemory", "Runtime.ExitError"}
    assert len(greedy("pids")["done"]) == 1  # the bomb's children are gone


def test_a_memory_bomb_is_told_and_hurts_nobody_else(
    hungry: Attacker, neighbour: Callable[[], None], mode: str
) -> None:
    payload, answer = hungry.raw(("memory_bomb",))
    assert answer["FunctionError"] == "Unhandled"
    assert payload["errorType"] in ({"Runtime.OutOfMemory"} if mode == "root" else {"MemoryError", "Runtime.ExitError"})
    neighbour()
    assert hungry("pids")["done"]


def test_spinning_ends_with_the_timeout(greedy: Attacker, neighbour: Callable[[], None]) -> None:
    told: list[object] = []
    spinner = threading.Thread(target=lambda: told.append(greedy.raw(("spin",))))
    spinner.start()
    neighbour()
    spinner.join()
    payload, _ = told[0]  # type: ignore[misc]
    assert payload["errorType"] == "Sandbox.Timedout"


def test_tmp_ends_at_its_size(inside: Attacker, neighbour: Callable[[], None]) -> None:
    written, error = inside("fill", "/tmp/fill", 600 * MEGABYTE)["done"]
    assert error == "No space left on device"
    assert 500 * MEGABYTE < written <= 512 * MEGABYTE
    assert 0 < inside("inodes", "/tmp")["done"] <= 131_072
    neighbour()


def test_memory_files_count_as_memory(greedy: Attacker, mode: str) -> None:
    """/tmp is the only file system to fill: devices take nothing and there is no /dev/shm."""
    assert greedy("create", "/dev/shm") == "ENOENT"
    assert greedy("fill", "/var/task/fill", MEGABYTE) == "EROFS"


def test_descriptors_end_at_1024(inside: Attacker) -> None:
    count, error = inside("descriptors_until_refused")["done"]
    assert error == "Too many open files"
    assert 1000 < count < 1024


@pytest.mark.parametrize("attempt", ["flood", "flood_raw"])
def test_a_flood_of_output_is_bounded(
    paddock: RunningServer, inside: Attacker, neighbour: Callable[[], None], attempt: str
) -> None:
    inside(attempt, MEGABYTE)
    before = resident_mb(paddock.server_pid)
    assert inside(attempt, 24 * MEGABYTE)["done"] >= 24 * MEGABYTE - 2000
    neighbour()
    assert resident_mb(paddock.server_pid) - before < 200
    _, answer = paddock.invoke("attacker", {"attempts": [["flood", MEGABYTE]]}, LogType="Tail")
    assert len(base64.b64decode(answer["LogResult"])) <= 4096


def test_an_answer_that_is_too_large_is_told(inside: Attacker) -> None:
    payload, answer = inside.raw(("big_answer", 7 * MEGABYTE))
    assert answer["FunctionError"] == "Unhandled"
    assert payload["errorType"] == "Function.ResponseSizeTooLarge"
    assert inside("pids")["done"]


def test_an_endless_answer_takes_no_memory_of_the_server(
    paddock: RunningServer, greedy: Attacker, neighbour: Callable[[], None]
) -> None:
    before = resident_mb(paddock.server_pid)
    _, answer = greedy.raw(("endless_frame",))
    assert answer["FunctionError"] == "Unhandled"
    assert resident_mb(paddock.server_pid) - before < 64
    neighbour()
    assert greedy("pids")["done"]


def test_descriptors_pushed_at_the_server_do_not_stay_there(
    paddock: RunningServer, greedy: Attacker, neighbour: Callable[[], None]
) -> None:
    assert greedy("pids")["done"]
    before = open_descriptors(paddock.server_pid)
    greedy.raw(("send_descriptors",))
    neighbour()
    assert open_descriptors(paddock.server_pid) < before + 200  # 4,000 were sent
    assert greedy("pids")["done"]


@pytest.mark.parametrize(("where", "declared_mb"), [("runtime", 6), ("/2015-03-31/functions", 60)])
def test_unfinished_requests_take_little_memory_of_the_server(
    paddock: RunningServer, neighbour: Callable[[], None], where: str, declared_mb: int
) -> None:
    """Sixty large bodies at once that never end."""
    hoarder = Attacker(paddock, f"hoarder-{declared_mb}")
    assert hoarder("pids")["done"]
    before = resident_mb(paddock.server_pid)
    assert hoarder("hoard", where, 60, declared_mb * MEGABYTE, 5 * MEGABYTE)["done"] > 0
    assert resident_mb(paddock.server_pid) - before < 100
    neighbour()
    paddock.client("lambda").delete_function(FunctionName=hoarder.name)
