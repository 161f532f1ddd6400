"""SnapStart: a version is initialised once, when it is published, and its environments go on from there."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.calls import until
from tests.support.server import ROLE, RunningServer, children, zipped

SNAP = {"SnapStart": {"ApplyOn": "PublishedVersions"}, "MemorySize": 512}
SIBLINGS = 100
SOON_S = 8.0

# What the initialisation leaves behind, and what an environment says of it later.
WITNESS = """
import asyncio, base64, os, random, signal, socket, ssl, sys, tempfile, time, uuid
import snapshot_restore_py as hooks

MARK, PID, TOLD = os.urandom(8).hex(), os.getpid(), []
hooks.register_before_snapshot(TOLD.append, "before, registered first")
hooks.register_before_snapshot(TOLD.append, "before, registered last")
hooks.register_after_restore(TOLD.append, "after, registered first")
hooks.register_after_restore(TOLD.append, "after, registered last")
open("/tmp/made", "w").write("at init")
os.mkdir("/tmp/directory")
BOOK = open("/tmp/made")
BOOK.read(3)
LOOP = asyncio.new_event_loop()
NEAR, FAR = socket.socketpair()
READING, WRITING = os.pipe()
LISTENER = socket.create_server(("127.0.0.1", 0))
CONNECTED = socket.create_connection(LISTENER.getsockname())
CAUGHT = []
signal.signal(signal.SIGUSR1, lambda number, frame: CAUGHT.append(number))
os.environ["SET_AT_INIT"] = "yes"
MAPS = len(open("/proc/self/maps").readlines())
DEEP = {str(n): [n] * 3 for n in range(50_000)}

async def sleeps():
    await asyncio.sleep(0.001)
    return await asyncio.get_running_loop().run_in_executor(None, os.getpid)

def handler(event, context):
    if "until" in event:
        time.sleep(max(0, event["until"] - time.time()))
    if event.get("do") == "die":
        os._exit(3)
    if event.get("do") != "all":
        return drawn(context)
    NEAR.send(b"near")
    os.write(WRITING, b"pipe")
    os.kill(os.getpid(), signal.SIGUSR1)
    return {
        **drawn(context), "pid": [PID, os.getpid()], "told": TOLD, "rest": BOOK.read(),
        "files": sorted(os.listdir("/tmp")), "loop": LOOP.run_until_complete(sleeps()), "pair": FAR.recv(9).decode(),
        "pipe": os.read(READING, 9).decode(), "connected": CONNECTED.recv(9).decode(), "caught": CAUGHT,
        "set": os.environ["SET_AT_INIT"], "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "stream": [os.environ["AWS_LAMBDA_LOG_STREAM_NAME"], context.log_stream_name], "cwd": os.getcwd(),
        "deep": sum(sum(v) for v in DEEP.values()), "image": os.path.exists("/proc/self/fd/1023"),
    }

def drawn(context):
    return {"mark": MARK, "unique": [
        random.random(), str(uuid.uuid4()), str(uuid.uuid1()), ssl.RAND_bytes(8).hex(), os.urandom(8).hex(),
        next(tempfile._get_candidate_names()), context.log_stream_name]}
"""


@pytest.fixture(scope="module")
def snaps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("snaps")) as running:
        yield running


def health(server: RunningServer) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.endpoint}/health") as answer:
        return dict(json.load(answer))


@pytest.fixture(scope="module")
def runtime(snaps: RunningServer) -> str:
    found = [name for name in health(snaps)["runtimes"] if re.fullmatch(r"python3\.1[2-9]", name)]
    if not found or os.uname().machine != "x86_64":
        pytest.skip("SnapStart is for Python 3.12 or newer, on x86_64")
    return str(found[-1])


def published(server: RunningServer, name: str, source: str, runtime: str, **settings: Any) -> dict[str, Any]:
    """The configuration of version 1 once it is settled."""
    server.create(name, source, Runtime=runtime, **{**SNAP, **settings})
    client = server.client("lambda")
    first = client.publish_version(FunctionName=name)
    assert (first["State"], first["SnapStart"]["OptimizationStatus"]) == ("Pending", "Off")
    return settled(client, name)


def settled(client: Any, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get_function_configuration(FunctionName=name, Qualifier="1")
        return found if found["State"] != "Pending" else None

    return until(look, patience_s=60)


def one(server: RunningServer, name: str, event: object, **options: Any) -> tuple[Any, dict[str, Any]]:
    payload, answer = server.invoke(name, event, Qualifier="1", **options)
    assert "FunctionError" not in answer, payload
    return payload, answer


@pytest.fixture(scope="module")
def witness(snaps: RunningServer, runtime: str) -> str:
    found = published(snaps, "witness", WITNESS, runtime)
    assert found["State"] == "Active", found
    assert found["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    return "witness"


def test_a_restored_environment_is_what_the_initialisation_left(snaps: RunningServer, witness: str) -> None:
    told, answer = one(snaps, witness, {"do": "all"}, LogType="Tail")
    assert told["pid"][0] == told["pid"][1] == told["loop"]
    # As on AWS: before in reverse order, after in order.
    assert told["told"] == [
        "before, registered last",
        "before, registered first",
        "after, registered first",
        "after, registered last",
    ]
    assert told["rest"] == "init", "an open file goes on where it was"
    assert told["files"] == ["directory", "made"]
    assert (told["pair"], told["pipe"], told["connected"]) == ("near", "pipe", "")
    assert (told["caught"], told["set"], told["type"]) == ([signal.SIGUSR1], "yes", "snap-start")
    assert told["stream"][0] == told["stream"][1], "the template's stream is not the environment's"
    assert (told["cwd"], told["image"]) == ("/var/task", False)
    assert told["deep"] == 3 * sum(range(50_000))
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert re.search(r"\tRestore Duration: [\d.]+ ms\tBilled Restore Duration: \d+ ms\t\n$", tail)
    assert "Init Duration" not in tail
    _, again = one(snaps, witness, {}, LogType="Tail")
    assert "Restore Duration" not in base64.b64decode(again["LogResult"]).decode()


def test_no_two_environments_draw_the_same(snaps: RunningServer, witness: str) -> None:
    client = snaps.client("lambda", max_pool_connections=SIBLINGS)
    together = time.time() + SOON_S

    def ask(_: int) -> Any:
        payload = json.dumps({"until": together}).encode()
        return json.loads(client.invoke(FunctionName=witness, Qualifier="1", Payload=payload)["Payload"].read())

    with ThreadPoolExecutor(SIBLINGS) as pool:
        found = list(pool.map(ask, range(SIBLINGS)))
    assert len({each["mark"] for each in found}) == 1, "all come from one initialisation"
    for drawn in zip(*(each["unique"] for each in found), strict=True):
        assert len(set(drawn)) == SIBLINGS, f"two of {SIBLINGS} environments drew the same"


def test_the_log_tells_of_restores(snaps: RunningServer, witness: str) -> None:
    one(snaps, witness, {})
    logs = snaps.client("logs")

    def streams() -> dict[str, list[str]] | None:
        found: dict[str, list[str]] = {}
        for event in logs.filter_log_events(logGroupName=f"/aws/lambda/{witness}")["events"]:
            found.setdefault(event["logStreamName"], []).append(event["message"])
        ended = [lines for lines in found.values() if any(line.startswith("REPORT") for line in lines)]
        return found if ended else None

    told = until(streams)
    first = [lines[0].split()[0] for lines in told.values()]
    assert first.count("INIT_START") == 1, "one initialisation for all"
    for lines in told.values():
        if lines[0].startswith("RESTORE_START"):
            assert re.match(r"RESTORE_START Runtime Version: python:3\.\d+\S*\tRuntime Version ARN: arn:", lines[0])
            assert re.fullmatch(r"RESTORE_REPORT Restore Duration: [\d.]+ ms\n?", lines[1])


def test_an_environment_that_crashed_is_followed_by_a_restored_one(snaps: RunningServer, witness: str) -> None:
    mark = one(snaps, witness, {})[0]["mark"]
    payload, answer = snaps.invoke(witness, {"do": "die"}, Qualifier="1")
    assert answer["FunctionError"] == "Unhandled"
    assert payload["errorType"] == "Runtime.ExitError"
    assert one(snaps, witness, {})[0]["mark"] == mark


def test_latest_is_not_restored(snaps: RunningServer, witness: str) -> None:
    found = snaps.client("lambda").get_function_configuration(FunctionName=witness)
    assert found["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}


FAILING = {
    "raises": ("raise RuntimeError('no such luck')", "FunctionError.RuntimeInitError", "no such luck"),
    "exits": ("import os\nos._exit(9)", "FunctionError.RuntimeInitError", "exit status 9"),
    "hook": (
        "import snapshot_restore_py as h\ndef bad(): raise ValueError('not now')\nh.register_before_snapshot(bad)",
        "FunctionError.RuntimeInitError",
        "not now",
    ),
    "threads": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
        "FunctionError.RuntimeInitError",
        "threads that the initialisation started still run",
    ),
    "children": (
        "import subprocess\nsubprocess.Popen(['/usr/bin/sleep', '99'])",
        "FunctionError.RuntimeInitError",
        "processes that the initialisation started still run",
    ),
    "descriptors": (
        "import signal, ctypes\nctypes.CDLL(None).inotify_init()",
        "FunctionError.RuntimeInitError",
        "cannot be opened again elsewhere",
    ),
    "memory": ("B = b'x' * (1 << 31)", "FunctionError.InitResourceExhausted", "ran out of memory"),
}


@pytest.mark.parametrize("what", FAILING)
def test_a_version_that_cannot_be_initialised_fails(snaps: RunningServer, runtime: str, what: str) -> None:
    code, reason_code, reason = FAILING[what]
    found = published(snaps, f"failing-{what}", f"{code}\ndef handler(event, context): return 1\n", runtime)
    assert found["State"] == "Failed"
    assert found["StateReasonCode"] == reason_code, found["StateReason"]
    assert reason in found["StateReason"]
    assert found["SnapStart"]["OptimizationStatus"] == "Off"


def test_an_after_restore_hook_that_fails(snaps: RunningServer, runtime: str) -> None:
    code = (
        "import snapshot_restore_py as h\ndef bad(): raise ValueError('not any more')\nh.register_after_restore(bad)\n"
    )
    published(snaps, "bad-after", code + "def handler(event, context): return 1\n", runtime)
    with pytest.raises(ClientError) as refused:
        snaps.invoke("bad-after", {}, Qualifier="1")
    assert refused.value.response["Error"]["Code"] == "SnapStartException"
    assert "not any more" in refused.value.response["Error"]["Message"]


REFUSED = {
    "python3.11": {"Runtime": "python3.11"},
    "ephemeral": {"EphemeralStorage": {"Size": 1024}},
    "tenants": {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}},
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_go_together(snaps: RunningServer, runtime: str, what: str) -> None:
    client = snaps.client("lambda")
    given = {"Runtime": runtime, "Handler": "app.handler", "Role": ROLE, **SNAP, **REFUSED[what]}
    with pytest.raises(ClientError) as refused:
        client.create_function(FunctionName="refused", Code={"ZipFile": zipped({"app.py": "x = 1"})}, **given)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"
    assert "SnapStart enabled functions" in refused.value.response["Error"]["Message"]


def test_it_is_turned_on_and_off_by_updates(snaps: RunningServer, runtime: str) -> None:
    snaps.create("toggled", "def handler(event, context): return 1", Runtime=runtime)
    client = snaps.client("lambda")
    for wanted in ("PublishedVersions", "None"):
        client.update_function_configuration(FunctionName="toggled", SnapStart={"ApplyOn": wanted})
        client.get_waiter("function_updated_v2").wait(FunctionName="toggled", WaiterConfig={"Delay": 0.05})
        found = client.get_function_configuration(FunctionName="toggled")
        assert found["SnapStart"] == {"ApplyOn": wanted, "OptimizationStatus": "Off"}
    assert client.publish_version(FunctionName="toggled")["State"] == "Active"


def test_a_new_zygote_and_a_new_server(tmp_path: Path, runtime: str) -> None:
    """What a snapshot stands on may go at any time: the caller does not notice, and there is a new one soon."""
    code = (
        "import os, snapshot_restore_py as hooks\nMARK, TOLD = os.urandom(8).hex(), []\n"
        "hooks.register_before_snapshot(TOLD.append, 1)\nhooks.register_after_restore(TOLD.append, 2)\n"
        "def handler(event, context): return [MARK, TOLD, os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']]\n"
    )
    server = RunningServer(tmp_path)
    with server:
        assert published(server, "lasting", code, runtime)["State"] == "Active"
        told = [one(server, "lasting", {})[0]]
        zygotes = [pid for pid in children(server.pid) if Path(f"/proc/{pid}/comm").read_text() == "paddock-zygote\n"]
        for pid in zygotes:
            os.kill(pid, signal.SIGKILL)
        until(lambda: health(server)["environments"] == 0)
        told.append(one(server, "lasting", {})[0])
        until(lambda: health(server)["snapshots"] == 1)
    with server:
        told.append(one(server, "lasting", {})[0])
        until(lambda: health(server)["snapshots"] == 1)
    assert len({mark for mark, _, _ in told}) == 3, "each was initialised anew, once"
    assert [rest for _, *rest in told] == [[[1, 2], "snap-start"]] * 3, "the hooks run in any case"


def test_snapshots_that_nobody_asked_for(tmp_path: Path, runtime: str) -> None:
    """The operator's choice: the first start of a build is as ever, the next ones are restored, `$LATEST`'s too."""
    code = (
        "import os, random, time\nMARK = os.urandom(8).hex()\n"
        "def handler(event, context):\n    time.sleep(max(0, event['until'] - time.time()))\n"
        "    return [MARK, random.random()]\n"
    )
    threaded = f"import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n{code}"
    with RunningServer(tmp_path, snapshots="all") as server:
        server.create("plain", code, Runtime=runtime, MemorySize=512)
        server.client("lambda").publish_version(FunctionName="plain")
        for number, qualifier in enumerate(("1", "$LATEST"), 1):
            first = server.invoke("plain", {"until": 0}, Qualifier=qualifier)[0]
            until(lambda: health(server)["snapshots"] == number, patience_s=60)  # noqa: B023
            event = {"until": time.time() + 3}
            with ThreadPoolExecutor(3) as pool:
                asked = [pool.submit(server.invoke, "plain", event, Qualifier=qualifier) for _ in range(3)]
                told = [each.result()[0] for each in asked]
            restored = [mark for mark, _ in told if mark != first[0]]
            assert len(restored) == 2, "two had to be started beside the first"
            assert len(set(restored)) == 1, "both go on from one initialisation"
            assert len({drawn for _, drawn in told}) == 3
        server.create("threaded", threaded, Runtime=runtime, MemorySize=512)
        payload, answer = server.invoke("threaded", {"until": 0})
        assert "FunctionError" not in answer, payload
        until(lambda: "threaded:$LATEST: no new snapshot" in server.log, patience_s=60)
