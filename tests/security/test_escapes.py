"""Ways out that have worked on other container runtimes in the last years, and credentials of others."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.security.conftest import Attacker
from tests.support.calls import until
from tests.support.server import RunningServer

ELSEWHERE = {"EACCES", "EROFS", "ENOENT", "EPERM"}


@pytest.mark.parametrize("kind", ["cgroup", "cgroup2"])
def test_no_release_agent_runs_for_a_function(inside: Attacker, kind: str) -> None:
    """CVE-2022-0492: whoever may mount a v1 control group has the kernel run a program outside."""
    assert inside("release_agent", kind) == {"done": ["EPERM", []]}


def test_no_directory_of_the_host_is_held(inside: Attacker) -> None:
    """CVE-2024-21626: a descriptor of a host directory that stayed open led out."""
    assert inside("directories_held") == {"done": []}


def test_upwards_ends_at_the_sandboxs_root(inside: Attacker) -> None:
    assert inside("climb", 40) == {"done": True}


def test_mount_points_are_not_swapped(inside: Attacker) -> None:
    """CVE-2021-30465 and its kin: a link in the place of what is mounted on."""
    assert inside("swap_task", 20) == {"done": True}


def test_links_in_the_code_lead_nowhere_outside(paddock: RunningServer, inside: Attacker) -> None:
    """What a link names is looked up inside, by whoever reads it: Paddock itself never follows one."""
    assert inside("symlink", "/etc/shadow", "/tmp/link") == {"done": "/tmp/link"}
    assert inside("read", "/tmp/link") in ELSEWHERE
    assert inside("symlink", str(paddock.data_dir / "server/paddock.db"), "/tmp/link2") == {"done": "/tmp/link2"}
    assert inside("read", "/tmp/link2") in ELSEWHERE


@pytest.mark.parametrize("path", ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe"])
def test_no_helper_of_the_kernel_is_named(inside: Attacker, path: str) -> None:
    """A core dump or a missing module would have the kernel run it, outside and as root."""
    assert inside("write", path, "|/tmp/agent") in ELSEWHERE
    assert inside("dump_core") == {"done": [11, False]}


def test_credentials_of_another_function_are_not_there(paddock: RunningServer, inside: Attacker) -> None:
    other = Attacker(paddock, "with-credentials")
    theirs = other("own_environment")["done"]
    mine = inside("own_environment")["done"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert theirs[name]
        assert theirs[name] != mine[name], name
        assert inside("in_memory", theirs[name][::-1])["done"] == 0
        assert theirs[name] not in json.dumps(mine)


def test_every_hunger_at_once_leaves_neighbours_and_the_server_well(paddock: RunningServer) -> None:
    """Processes, memory, /tmp, output, descriptors, an endless answer: six functions, and one that goes on working."""
    paddock.create("worker", "def handler(event, context):\n    return event * 2\n")
    assert paddock.invoke("worker", 1)[0] == 2
    attempts: list[tuple[object, ...]] = [
        ("fork_bomb",),
        ("memory_bomb",),
        ("fill", "/tmp/fill", 600 << 20),
        ("flood", 64 << 20),
        ("descriptors_until_refused",),
        ("endless_frame",),
    ]
    hungry = [Attacker(paddock, f"hunger-{number}", Timeout=4, MemorySize=256) for number in range(len(attempts))]
    ended: list[Any] = []
    threads = [
        threading.Thread(target=lambda one=one, attempt=attempt: ended.append(one.raw(attempt)))  # type: ignore[misc]
        for one, attempt in zip(hungry, attempts, strict=True)
    ]
    for thread in threads:
        thread.start()
    served = 0
    while any(thread.is_alive() for thread in threads):
        payload, answer = paddock.invoke("worker", served)
        assert (payload, "FunctionError" in answer) == (served * 2, False)
        served += 1
    assert served > 10
    assert len(ended) == len(attempts), "every one of them was answered"
    for one in hungry:
        until(lambda one=one: one("pids"))  # type: ignore[misc]
