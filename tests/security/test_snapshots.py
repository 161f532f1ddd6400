"""Snapshots that hostile code made: it may write what it likes, and reaches nobody but itself."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import until
from tests.support.server import RunningServer, children

SNAP = {"SnapStart": {"ApplyOn": "PublishedVersions"}, "MemorySize": 512}


@pytest.fixture(scope="module")
def runtime(paddock: RunningServer) -> str:
    with urllib.request.urlopen(f"{paddock.endpoint}/health") as answer:
        names = json.load(answer)["runtimes"]
    found = [name for name in names if re.fullmatch(r"python3\.1[2-9]", name)]
    if not found or os.uname().machine != "x86_64":
        pytest.skip("SnapStart is for Python 3.12 or newer, on x86_64")
    return str(found[-1])


def published(server: RunningServer, name: str, source: str, runtime: str) -> dict[str, Any]:
    server.create(name, source, Runtime=runtime, **SNAP)
    client = server.client("lambda")
    client.publish_version(FunctionName=name)

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get_function_configuration(FunctionName=name, Qualifier="1")
        return found if found["State"] != "Pending" else None

    return until(look, patience_s=60)


# It says at once that it is done, and writes its own idea of a snapshot.
FORGER = """
import os, struct, sys, time
TAKEN = struct.pack("!IBxH", 0, ord("T"), 0)
IS_TEMPLATE = os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start" and os.path.exists("/proc/self/fd/1023")
if IS_TEMPLATE:
    {forgery}
    os.write(3, TAKEN)
    time.sleep(60)
def handler(event, context):
    return "alive"
"""

FORGERIES = {
    "nothing": "pass",
    "noise": "os.pwrite(1023, os.urandom(1 << 20), 0)",
    # a header that promises lists that are not there, or are of the wrong shape
    "header": "os.pwrite(1023, struct.pack('=8sQQ', b'paddock1', 1 << 20, 0), 0); os.ftruncate(1023, 1 << 21)",
    "jump": (
        "os.pwrite(1023, struct.pack('=8sQQ', b'paddock1', 1 << 20, 0), 0); "
        "os.pwrite(1023, bytes(4096) + struct.pack('=5Q', 8, 8, 8, 8, 8), 4096); os.ftruncate(1023, 1 << 21)"
    ),
    # a process that would go on writing, and one that holds a shared mapping
    "daemon": (
        "import mmap; os.ftruncate(1023, 4096); m = mmap.mmap(1023, 4096); "
        "os.fork() or [os.pwrite(1023, b'paddock1', 0) for _ in iter(int, 1)]"
    ),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_snapshot_harms_nobody_not_even_the_caller(paddock: RunningServer, runtime: str, what: str) -> None:
    name = f"forger-{what}"
    found = published(paddock, name, FORGER.replace("{forgery}", FORGERIES[what]), runtime)
    assert found["State"] == "Active"
    for _ in range(2):
        payload, answer = paddock.invoke(name, {}, Qualifier="1")
        assert (payload, "FunctionError" in answer) == ("alive", False)


# It keeps the image open in every restored environment, by taking close() away from the platform.
HOLDER = """
import errno, mmap, os
close = os.close
def keeping(fd):
    if fd != 1023:
        close(fd)
os.close = keeping
MARK = "as it was" * 1000

def tried(attempt):
    try:
        return ["done", repr(attempt())]
    except OSError as error:
        return errno.errorcode[error.errno]
    except ValueError:
        return "EINVAL"

def handler(event, context):
    path = "/proc/self/fd/1023"
    return {
        "held": os.path.exists(path),
        "write": tried(lambda: os.pwrite(1023, b"tainted", 0)),
        "truncate": tried(lambda: os.ftruncate(1023, 0)),
        "map": tried(lambda: mmap.mmap(1023, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)),
        "again": tried(lambda: os.pwrite(os.open(path, os.O_RDWR), b"tainted", 0)),
        "mark": MARK == "as it was" * 1000,
        "fds": sorted(int(n) for n in os.listdir("/proc/self/fd")),
    }
"""


def test_an_image_cannot_be_changed_by_those_restored_from_it(paddock: RunningServer, runtime: str) -> None:
    made = published(paddock, "holder", HOLDER, runtime)
    assert made["State"] == "Active", made["StateReason"]
    told, _ = paddock.invoke("holder", {}, Qualifier="1")
    assert told["held"], "else nothing was tried"
    for attempt in ("write", "truncate", "map", "again"):
        assert told[attempt] in ("EBADF", "EPERM", "EACCES", "EINVAL"), (attempt, told[attempt])
    assert told["mark"]


RESTORED = """
import os, random, ssl, tempfile, time, uuid
import snapshot_restore_py as hooks
MARK, TOLD = os.urandom(8).hex(), []
hooks.register_before_snapshot(TOLD.append, "before")
hooks.register_after_restore(TOLD.append, "after")
open("/tmp/made", "w").write("at init")
def handler(event, context):
    time.sleep(max(0, event["until"] - time.time()))
    drawn = [random.random(), str(uuid.uuid4()), ssl.RAND_bytes(8).hex(), next(tempfile._get_candidate_names())]
    kept = [MARK, TOLD, open("/tmp/made").read(), os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"], os.getpid()]
    return {"kept": kept, "drawn": drawn, "tmp": os.listdir("/tmp")}
"""


def test_restored_in_either_mode(paddock: RunningServer, runtime: str) -> None:
    """What SnapStart promises holds without privilege, too: one initialisation, its hooks and files, own randomness."""
    made = published(paddock, "restored", RESTORED, runtime)
    assert made["State"] == "Active", made["StateReason"]
    assert made["SnapStart"]["OptimizationStatus"] == "On"
    end = time.time() + 4
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(paddock.invoke, "restored", {"until": end}, Qualifier="1") for _ in range(3)]
        told = [each.result()[0] for each in asked]
    mark = told[0]["kept"][0]
    for each in told:
        assert each["kept"] == [mark, ["before", "after"], "at init", "snap-start", 2]
        assert each["tmp"] == ["made"]
    drawn = [value for each in told for value in each["drawn"]]
    assert len(set(drawn)) == len(drawn)


SIBLING = """
import os, socket, time
SECRET = None
def handler(event, context):
    global SECRET
    if "secret" in event:
        SECRET = event["secret"]
        open("/tmp/secret", "w").write(SECRET)
        server = socket.create_server(("127.0.0.1", 5555))
        time.sleep(max(0, event["until"] - time.time()))
        return "kept"
    time.sleep(max(0, event["until"] - time.time() - 1))
    try:
        socket.create_connection(("127.0.0.1", 5555), timeout=1)
        reached = True
    except OSError:
        reached = False
    own = [int(n) for n in os.listdir("/proc") if n.isdigit()]
    fds = sorted(int(n) for n in os.listdir("/proc/self/fd"))
    return {"tmp": os.listdir("/tmp"), "pids": own, "reached": reached, "secret": SECRET, "fds": fds}
"""


def test_siblings_are_as_far_apart_as_any_two(paddock: RunningServer, runtime: str) -> None:
    made = published(paddock, "sibling", SIBLING, runtime)
    assert made["State"] == "Active", made["StateReason"]
    end = time.time() + 6
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(paddock.invoke, "sibling", {"secret": "mine", "until": end}, Qualifier="1")
        until(lambda: restored(paddock))
        second = pool.submit(paddock.invoke, "sibling", {"until": end}, Qualifier="1")
        both = until(lambda: len(found) >= 2 and found if (found := restored(paddock)) else None)
        outside = [apart(pid) for pid in both]
        told, kept = second.result()[0], first.result()[0]
    assert kept == "kept"
    assert told == {"tmp": [], "pids": [2], "reached": False, "secret": None, "fds": [0, 1, 2, 3, 4, 5]}
    for mine, theirs in zip(*outside[:2], strict=True):
        assert mine != theirs, "two siblings share a namespace or a user"


def restored(server: RunningServer) -> list[int]:
    """Processes with the mapping from which a snapshot is restored, as it looks from outside."""
    below, found = children(server.pid), []
    while below:
        pid = below.pop()
        try:
            is_restored = "\n1000000000-" in "\n" + Path(f"/proc/{pid}/maps").read_text()
        except OSError:
            continue
        found += [pid] if is_restored else []
        below += children(pid)
    return found


def apart(pid: int) -> list[str]:
    kinds = ("pid", "mnt", "net", "ipc", "uts", "user")
    return [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds]
