"""Processes: only one's own, without privilege, within bounds, and gone when the environment is."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.security.conftest import Attacker
from tests.support.server import RunningServer

HIDDEN = {"ENOENT", "EACCES", "EPERM", "ESRCH"}


def status_of(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def test_no_capability_no_new_privilege_and_a_filter(inside: Attacker) -> None:
    status = status_of(inside("read", "/proc/self/status", 1 << 16)["done"])
    assert {
        name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    } == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Uid"].split() == ["993"] * 4
    assert status["Gid"].split() == ["990"] * 4


def test_only_ones_own_processes_are_seen(inside: Attacker) -> None:
    assert set(inside("commands")["done"].values()) <= {"runtime", "paddock-init"}
    status = status_of(inside("read", "/proc/self/status", 1 << 16)["done"])
    assert status["NSpid"] == status["Pid"]


def test_every_namespace_is_new(inside: Attacker) -> None:
    for name in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
        assert inside("link_target", f"/proc/self/ns/{name}")["done"] != os.readlink(f"/proc/self/ns/{name}"), name


def test_host_processes_cannot_be_killed(paddock: RunningServer, inside: Attacker) -> None:
    for pid in (os.getpid(), paddock.pid, paddock.server_pid):
        assert inside("kill", pid, 0) == "ESRCH"
        assert inside("kill", -pid, 0) == "ESRCH"


def test_the_first_process_survives_every_signal(inside: Attacker) -> None:
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGSTOP, signal.SIGABRT):
        assert inside("kill_from_child", 1, int(number)) == {"done": 1}


def test_the_first_process_is_neither_traced_nor_read(inside: Attacker) -> None:
    assert inside("syscall", "ptrace", 16, 1, 0, 0) == {"done": "EPERM"}
    assert inside("syscall", "ptrace", 0x4206, 1, 0, 0) == {"done": "EPERM"}
    assert inside("read_other_memory", 1) in HIDDEN
    assert inside("environment", 1) in HIDDEN


def test_a_function_cannot_shield_itself_from_the_memory_killer(inside: Attacker) -> None:
    assert inside("shield_from_memory_kill", "oom_score_adj") in HIDDEN
    assert inside("shield_from_memory_kill", "oom_adj") in HIDDEN
    assert inside("read", "/proc/self/oom_score_adj")["done"].strip() == "0"


def test_a_function_cannot_raise_its_priority(inside: Attacker) -> None:
    assert inside("raise_priority") in {"EACCES", "EPERM"}
    assert inside("syscall", "sched_setscheduler", 0, 1, {"words": [1]}) == {"done": "EPERM"}
    assert inside("syscall", "ioprio_set", 1, 0, 1 << 13) == {"done": "EPERM"}


def test_orphans_are_reaped(inside: Attacker) -> None:
    assert inside("orphans", 50) == {"done": 0}


def test_the_machines_name_is_not_told(inside: Attacker) -> None:
    assert inside("read", "/proc/sys/kernel/hostname") == {"done": "169-254-100-1\n"}
    assert inside("read", "/etc/hostname") == "ENOENT"


def test_the_environment_variables_of_paddock_are_not_there(paddock: RunningServer, inside: Attacker) -> None:
    names = set(inside("own_environment")["done"])
    assert not [name for name in names if name.startswith(("PADDOCK", "PYTEST", "SSH", "HOME", "USER"))]
    at_exec = inside("environment", "self")["done"]
    assert {entry.partition("=")[0] for entry in at_exec.split("\0") if entry} <= {
        "LC_CTYPE",
        "OPENBLAS_NUM_THREADS",
        "PATH",
        "LD_LIBRARY_PATH",
        "AWS_EXECUTION_ENV",
    }
    assert str(paddock.data_dir) not in at_exec


def runs_as(uid_text: str) -> list[int]:
    """Host processes under this user id."""
    found = []
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            status = status_of(path.read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue
        if status["Uid"].split()[0] == uid_text:
            found.append(int(path.parent.name))
    return found


def wait_until(what: str, deadline_s: float, condition: object) -> None:
    assert callable(condition)
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"{what}: still not so after {deadline_s} s"
        time.sleep(0.02)


def test_a_daemon_does_not_outlive_its_environment(paddock: RunningServer, mode: str) -> None:
    if mode == "rootless":
        pytest.skip("without user ids of their own, an environment's processes cannot be told apart from outside")
    attacker = Attacker(paddock, "daemon")
    assert attacker("daemon", "/tmp/alive") == {"done": "started"}
    outside = attacker("read", "/proc/self/uid_map")["done"].split()[1]
    # The user id itself may serve the next environment, and another Paddock on this machine uses the same ones.
    group = paddock.groups()[0].name
    processes = {pid for pid in runs_as(outside) if group in Path(f"/proc/{pid}/cgroup").read_text()}
    assert len(processes) >= 3  # init, runtime, daemon
    paddock.client("lambda").delete_function(FunctionName="daemon")
    wait_until("no process of the environment is left", 20, lambda: not processes & set(runs_as(outside)))


def test_environments_have_host_users_of_their_own(paddock: RunningServer, inside: Attacker, mode: str) -> None:
    mine = inside("read", "/proc/self/uid_map")["done"].split()
    other = Attacker(paddock, "other-user")("read", "/proc/self/uid_map")["done"].split()
    assert mine[0] == other[0] == "993"
    assert mine[2] == other[2] == "1"
    if mode == "root":
        assert mine[1] != other[1]
        assert int(mine[1]) > 65536
