"""When functions fail: what the caller is told, what the log says, and that the environment works again."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.support.calls import TOOLBOX, until
from tests.support.server import RunningServer

Tool = Callable[..., tuple[Any, dict[str, Any]]]


def log_of(server: RunningServer, name: str) -> list[str]:
    events = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    return [event["message"] for event in events]


def tail_of(answer: Mapping[str, Any]) -> str:
    return base64.b64decode(answer["LogResult"]).decode()


def failed(result: tuple[Any, dict[str, Any]]) -> Any:
    """The payload of an invocation that failed as Lambda's do: status 200 and FunctionError."""
    payload, answer = result
    assert (answer["StatusCode"], answer.get("FunctionError")) == (200, "Unhandled"), payload
    assert answer["ExecutedVersion"] == "$LATEST"
    return payload


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("impatient"), init_timeout_s=1) as running:
        yield running


# -- the handler's own exceptions


def test_an_exception_keeps_the_environment(tool: Tool) -> None:
    tool("KEPT['pid'] = os.getpid()")
    result = tool("raise ValueError('böse')", LogType="Tail")
    found = failed(result)
    assert (found["errorType"], found["errorMessage"]) == ("ValueError", "böse")
    assert found["requestId"] == result[1]["ResponseMetadata"]["RequestId"]
    assert any("in handler" in line for line in found["stackTrace"])
    text = tail_of(result[1])
    assert "[ERROR] ValueError: böse" in text
    assert "Traceback (most recent call last):" in text
    assert "Status: " not in text
    assert tool("return [CALLS, KEPT['pid'] == os.getpid()]")[0] == [3, True]


def test_a_result_that_cannot_be_json(tool: Tool) -> None:
    found = failed(tool("return {1, 2}"))
    assert found["errorType"] == "Runtime.MarshalError"
    assert found["errorMessage"] == "Unable to marshal response: Object of type set is not JSON serializable"
    assert tool("return CALLS")[0] == 2


# -- handlers that cannot be loaded

LOADING: Mapping[str, tuple[Mapping[str, str], str, str, str]] = {
    "missing handler": (
        {"app.py": "x = 1\n"},
        "app.handler",
        "Runtime.HandlerNotFound",
        "Handler 'handler' missing on module 'app'",
    ),
    "missing module": (
        {"other.py": "x = 1\n"},
        "app.handler",
        "Runtime.ImportModuleError",
        "Unable to import module 'app': No module named 'app'",
    ),
    "missing dependency": (
        {"app.py": "import nowhere_to_be_found\n"},
        "app.handler",
        "Runtime.ImportModuleError",
        "Unable to import module 'app': No module named 'nowhere_to_be_found'",
    ),
    "malformed": (
        {"app.py": "x = 1\n"},
        "handler",
        "Runtime.MalformedHandlerName",
        "Bad handler 'handler': not enough values to unpack (expected 2, got 1)",
    ),
    "syntax": (
        {"app.py": "def handler(event, context)\n    return 1\n"},
        "app.handler",
        "Runtime.UserCodeSyntaxError",
        "Syntax error in module 'app': ",
    ),
    "raises": (
        {"app.py": "raise LookupError('at import')\n"},
        "app.handler",
        "LookupError",
        "at import",
    ),
}


@pytest.mark.parametrize("case", LOADING)
def test_a_handler_that_cannot_be_loaded(server: RunningServer, name: str, case: str) -> None:
    files, handler, kind, text = LOADING[case]
    server.create(name, files, Handler=handler)
    for _ in range(2):
        found = failed(server.invoke(name))
        assert found["errorType"] == kind
        assert found["errorMessage"].startswith(text)
        assert isinstance(found["stackTrace"], list)
        assert "requestId" in found


def test_a_failed_init_runs_again_inside_the_invocation(server: RunningServer, name: str) -> None:
    server.create(name, "print('module runs')\nraise LookupError('at import')\n")
    found, answer = server.invoke(name, LogType="Tail")
    assert found["errorType"] == "LookupError"
    lines = log_of(server, name)
    assert lines.count("module runs\n") == 2
    reports = [line for line in lines if line.startswith("INIT_REPORT ")]
    pattern = r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: (\w+)\tStatus: error\tError Type: \S+\n?"
    assert [re.fullmatch(pattern, report)[1] for report in reports] == ["init", "invoke"]  # type: ignore[index]
    assert "Init Duration" not in tail_of(answer).split("REPORT")[-1]
    assert "Status: error" in tail_of(answer)


def test_code_that_works_at_the_second_try(server: RunningServer, name: str) -> None:
    """The first init leaves a mark in /tmp, which survives; the suppressed init finds it."""
    source = """
import os
if not os.path.exists("/tmp/mark"):
    open("/tmp/mark", "w").close()
    raise LookupError("not yet")
def handler(event, context):
    return "ready"
"""
    server.create(name, source)
    answer, more = server.invoke(name, LogType="Tail")
    assert answer == "ready"
    assert "Init Duration" not in tail_of(more)


def test_an_init_that_takes_too_long(impatient: RunningServer, name: str) -> None:
    source = """
import os, time
slow = not os.path.exists("/tmp/mark")
open("/tmp/mark", "w").close()
while slow:
    time.sleep(1)
def handler(event, context):
    return "ready"
"""
    impatient.create(name, source)
    assert impatient.invoke(name)[0] == "ready"
    (report,) = [line for line in log_of(impatient, name) if line.startswith("INIT_REPORT")]
    assert re.fullmatch(r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: init\tStatus: timeout\n?", report)


def test_an_init_that_never_ends(impatient: RunningServer, name: str) -> None:
    impatient.create(name, "import time\nwhile True: time.sleep(1)\n", Timeout=1)
    result = impatient.invoke(name, LogType="Tail")
    found = failed(result)
    request_id = result[1]["ResponseMetadata"]["RequestId"]
    assert found["errorType"] == "Sandbox.Timedout"
    assert found["errorMessage"] == f"RequestId: {request_id} Error: Task timed out after 1.00 seconds"
    assert "Status: timeout" in tail_of(result[1])


def test_an_init_that_exits(server: RunningServer, name: str) -> None:
    server.create(name, "import os\nos._exit(9)\n")
    found = failed(server.invoke(name))
    assert found["errorType"] == "Runtime.ExitError"
    assert found["errorMessage"].endswith(" Error: Runtime exited with error: exit status 9")
    assert failed(server.invoke(name))["errorType"] == "Runtime.ExitError"


# -- ends of the process

ENDS = {
    "sys.exit(0)": ("Runtime.ExitError", "Runtime exited without providing a reason"),
    "sys.exit(4)": ("Runtime.ExitError", "Runtime exited with error: exit status 4"),
    "os._exit(3)": ("Runtime.ExitError", "Runtime exited with error: exit status 3"),
    "os.kill(os.getpid(), signal.SIGKILL)": ("Runtime.ExitError", "Runtime exited with error: signal: killed"),
    "os.kill(os.getpid(), signal.SIGSEGV)": (
        "Runtime.ExitError",
        "Runtime exited with error: signal: segmentation fault",
    ),
}


@pytest.mark.parametrize("do", ENDS)
def test_the_process_ends(tool: Tool, do: str) -> None:
    kind, text = ENDS[do]
    prepare = "KEPT['x'] = 1\nopen('/tmp/kept', 'w').write('kept')\nreturn context.log_stream_name"
    stream = tool(prepare)[0]
    result = tool(do, LogType="Tail")
    found = failed(result)
    request_id = result[1]["ResponseMetadata"]["RequestId"]
    assert found == {"errorType": kind, "errorMessage": f"RequestId: {request_id} Error: {text}"}
    log = tail_of(result[1])
    assert f"RequestId: {request_id} Error: {text}\n{kind}\n" in log
    assert f"Status: error\tError Type: {kind}" in log
    again = "return [CALLS, KEPT, open('/tmp/kept').read(), context.log_stream_name]"
    assert tool(again)[0] == [1, {}, "kept", stream]


def test_a_timeout(server: RunningServer, name: str) -> None:
    server.create(name, TOOLBOX, Timeout=1)
    server.invoke(name, {"do": "open('/tmp/kept', 'w').write('kept')"})
    result = server.invoke(name, {"do": "print('begun')\nwhile True: time.sleep(1)"}, LogType="Tail")
    found = failed(result)
    request_id = result[1]["ResponseMetadata"]["RequestId"]
    text = "Task timed out after 1.00 seconds"
    assert found == {"errorType": "Sandbox.Timedout", "errorMessage": f"RequestId: {request_id} Error: {text}"}
    log = tail_of(result[1])
    assert "begun\n" in log
    assert re.search(rf"\d{{4}}-\d\d-\d\dT[0-9:.]+Z {request_id} {text}\n", log)
    assert "\tDuration: 1000.00 ms\tBilled Duration: 1000 ms\t" in log
    assert "Status: timeout" in log
    assert server.invoke(name, {"do": "return [CALLS, open('/tmp/kept').read()]"})[0] == [1, "kept"]


def test_a_timeout_ends_what_the_function_started(server: RunningServer, name: str) -> None:
    server.create(name, TOOLBOX, Timeout=1)
    do = """
import subprocess
subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], start_new_session=True)
while True: time.sleep(1)
"""
    failed(server.invoke(name, {"do": do}))
    names = "return [open(f'/proc/{p}/comm').read().strip() for p in os.listdir('/proc') if p.isdigit()]"
    assert set(server.invoke(name, {"do": names})[0]) <= {"paddock-init", "runtime"}


def test_out_of_memory(tool: Tool, server: RunningServer) -> None:
    if (
        "memory"
        not in json.loads(urllib.request.urlopen(f"{server.endpoint}/health").read())["isolation"]["controllers"]
    ):
        # Without a memory cgroup each process is held to the size, which Python tells the function.
        found = failed(tool("KEPT['x'] = []\nwhile True: KEPT['x'].append(b'x' * (4 << 20))"))
        assert found["errorType"] == "MemoryError"
        return
    tool("open('/tmp/kept', 'w').write('kept')")
    do = "KEPT['x'] = []\nwhile True: KEPT['x'].append(b'x' * (4 << 20))"
    result = tool(do, LogType="Tail")
    found = failed(result)
    assert found["errorType"] == "Runtime.OutOfMemory"
    assert found["errorMessage"].endswith(" Error: Runtime exited with error: signal: killed")
    log = tail_of(result[1])
    assert "Memory Size: 128 MB\tMax Memory Used: 128 MB" in log
    assert "Status: error\tError Type: Runtime.OutOfMemory" in log
    assert tool("return [CALLS, KEPT, open('/tmp/kept').read()]")[0] == [1, {}, "kept"]


def test_memory_that_fits_is_had(tool: Tool) -> None:
    assert tool("KEPT['x'] = b'x' * (64 << 20)\nreturn len(KEPT['x'])")[0] == 64 << 20
    _, answer = tool("return 1", LogType="Tail")
    used = re.search(r"Max Memory Used: (\d+) MB", tail_of(answer))
    assert used is not None
    assert 64 <= int(used[1]) <= 128


def test_a_function_that_dies_between_events(tool: Tool) -> None:
    """Its own thread ends the process right after the answer; the next event finds a working environment."""
    tool("threading.Timer(0, lambda: os._exit(5)).start()")

    def works() -> bool:
        return "FunctionError" not in tool("return 1")[1]

    assert until(works)


def test_an_endless_writer_is_answered(tool: Tool) -> None:
    do = "for _ in range(400): sys.stdout.write('x' * 1023 + chr(10))\nreturn 'done'"
    assert tool(do)[0] == "done"
    assert tool("sys.stdout.write('y' * 2_000_000)\nreturn 'done'")[0] == "done"


def test_closed_output_harms_nobody(tool: Tool) -> None:
    assert tool("os.close(1)\nos.close(2)\nreturn 'quiet'")[0] == "quiet"
    assert tool("return CALLS")[0] == 2
