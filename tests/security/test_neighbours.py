"""What one function can learn of another, or do to it: nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.security.conftest import Attacker, make_server
from tests.support.server import RunningServer

SECRET = "a-secret-of-the-victim-only"


@pytest.fixture(scope="module")
def victim(paddock: RunningServer) -> Attacker:
    """Has a secret in its environment variables, in its code and in /tmp, and listens on sockets."""
    function = Attacker(paddock, "victim", Environment={"Variables": {"SECRET": SECRET}})
    assert function("own_environment")["done"]["SECRET"] == SECRET
    function("fill", "/tmp/never", 1)
    assert function("daemon", "/tmp/alive") == {"done": "started"}
    assert function("listen_abstract", "victim") == {"done": "listening"}
    assert function("listen_tcp", 5555) == {"done": "listening"}
    assert function("connect", "169.254.100.1", 5555) == {"done": "connected"}
    assert function("connect_unix", "@victim") == {"done": "connected"}
    return function


def test_files_of_another_function_are_not_seen(victim: Attacker, inside: Attacker) -> None:
    assert "alive" in victim("listing", "/tmp")["done"]
    assert "alive" not in inside("listing", "/tmp")["done"]
    assert inside("read", "/tmp/alive") == "ENOENT"


def test_sockets_of_another_function_are_not_reached(victim: Attacker, inside: Attacker) -> None:
    assert inside("connect", "169.254.100.1", 5555) == "ECONNREFUSED"
    assert inside("connect", "127.0.0.1", 5555) == "ECONNREFUSED"
    assert inside("connect_unix", "@victim") == "ECONNREFUSED"


def test_processes_and_variables_of_another_function_are_not_seen(victim: Attacker, inside: Attacker) -> None:
    assert len(victim("pids")["done"]) > len(inside("pids")["done"])
    assert SECRET not in json.dumps(inside("own_environment"))
    for pid in inside("pids")["done"]:
        outcome = inside("environment", pid)
        assert SECRET not in json.dumps(outcome)


def test_nothing_of_another_function_is_in_memory(victim: Attacker, inside: Attacker) -> None:
    assert victim("in_memory", SECRET[::-1])["done"] > 0
    assert inside("in_memory", SECRET[::-1])["done"] == 0


def test_code_of_another_function_is_not_there(paddock: RunningServer, victim: Attacker, inside: Attacker) -> None:
    code = paddock.data_dir / "server/code"
    assert inside("listing", str(code)) == "ENOENT"
    assert inside("listing", "/var/task/..") == {"done": ["empty", "lang", "runtime", "task"]}


WAITER = """
import socket, time

def handler(event, context):
    print("waiting as", context.aws_request_id, flush=True)
    server = socket.create_server(("127.0.0.1", 7777))
    deadline = time.monotonic() + 20
    import os
    while time.monotonic() < deadline and not os.path.exists("/tmp/never"):
        time.sleep(0.02)
        if time.monotonic() > deadline - 20 + event:
            break
    return "the victim's own answer"
"""


def request_id_of(paddock: RunningServer, name: str) -> str:
    """Of the event that the function has inside right now, from its log."""
    logs = paddock.client("logs")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="waiting")["events"]
        except logs.exceptions.ResourceNotFoundException:
            events = []
        for event in events:
            return str(event["message"].split()[-1])
        time.sleep(0.05)
    raise AssertionError("the victim never said that it waits")


def test_an_answer_for_anothers_request_is_ignored(paddock: RunningServer, inside: Attacker) -> None:
    paddock.create("waiter", WAITER)
    told: list[Any] = []
    running = threading.Thread(target=lambda: told.append(paddock.invoke("waiter", 4)))
    running.start()
    theirs = request_id_of(paddock, "waiter")
    spoofed = '{"spoofed": true}'
    status, _ = inside("runtime_api", "POST", f"/runtime/invocation/{theirs}/response", spoofed)["done"]
    assert status == 400
    status, _ = inside("runtime_api", "POST", f"/runtime/invocation/{theirs}/error", spoofed)["done"]
    assert status == 400
    assert inside("forged_answer", theirs, spoofed) == {"done": "sent"}
    assert running.is_alive()
    running.join()
    payload, answer = told[0]
    assert payload == "the victim's own answer"
    assert "FunctionError" not in answer


def test_an_environment_serves_one_function_and_one_build(paddock: RunningServer, inside: Attacker) -> None:
    first = Attacker(paddock, "first")
    assert first("daemon", "/tmp/mark") == {"done": "started"}
    user = first("link_target", "/proc/self/ns/mnt")["done"]
    for number in range(3):
        other = Attacker(paddock, f"other-{number}")
        assert other("link_target", "/proc/self/ns/mnt")["done"] != user
        assert "mark" not in other("listing", "/tmp")["done"]
    assert first("link_target", "/proc/self/ns/mnt")["done"] == user
    paddock.client("lambda").update_function_configuration(FunctionName="first", Description="new")
    paddock.client("lambda").get_waiter("function_updated_v2").wait(
        FunctionName="first", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
    )
    assert first("link_target", "/proc/self/ns/mnt")["done"] != user
    assert "mark" not in first("listing", "/tmp")["done"]


# -- frozen while idle -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def freezing(mode: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with make_server(mode, tmp_path_factory.mktemp("freezing"), freeze_after_idle_ms=0) as server:
        yield server


def states(uid: str) -> set[str]:
    """States of the host's processes of that user, and how often their threads have run so far."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            owner = (path.parent / "status").read_text().partition("Uid:")[2].split()[0]
            if owner == uid:
                fields = path.read_text().rpartition(")")[2].split()
                found.add(f"{path.parent.name}: {fields[11]} {fields[12]} {(path.parent / 'schedstat').read_text()}")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_frozen_environments_do_not_run(freezing: RunningServer, mode: str) -> None:
    if mode == "rootless":
        pytest.skip("from outside, an ordinary user's environments look like all else this user runs")
    attacker = Attacker(freezing, "busy")
    assert attacker("daemon", "/tmp/alive") == {"done": "started"}
    uid = attacker("read", "/proc/self/uid_map")["done"].split()[1]
    deadline = time.monotonic() + 20
    still = 0
    seen = states(uid)
    assert len(seen) >= 3
    while still < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
        now = states(uid)
        still = still + 1 if now == seen else 0
        seen = now
    assert still == 10, "a daemon that writes every millisecond went on"
    assert "alive" in attacker("listing", "/tmp")["done"]  # thawed again, all is there
