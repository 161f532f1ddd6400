"""Every runtime and every one of AWS's runtime clients, unmodified, against one table of expectations (spec 02)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import clients
from tests.support.runtimes import here, newest
from tests.support.server import ROLE, RunningServer, zipped

# Building a client takes minutes where nothing is cached yet.
pytestmark = pytest.mark.timeout(900)

INIT_TIMEOUT_S = 3
TIMEOUT_S = 4
CUSTOM = {"a": "b"}


@dataclass(frozen=True, slots=True)
class Language:
    """One column of the matrix. family: whose newest runtime here runs it. raised, panicked: the type of "boom".

    record: how a line of the function's logger looks as text, where the client has one; json: whether it is JSON when
    the function asks for that.
    """

    family: str
    handler: str
    files: Callable[[], clients.Files]
    raised: str
    panicked: str
    record: str = ""
    json: bool = False


_STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
_PYTHON = rf"\[WARNING\]\t{_STAMP}\tID\ta record\n"
_NODE = rf"{_STAMP}\tID\tWARN\ta record\n"
_ILLEGAL = "java.lang.IllegalArgumentException"
LANGUAGES = {
    "python": Language("python", "app.handler", clients.python, "ValueError", "ValueError", _PYTHON, True),
    "nodejs": Language("nodejs", "index.handler", clients.node, "RangeError", "RangeError", _NODE, True),
    "java": Language("java", "example.Functions", clients.java, _ILLEGAL, _ILLEGAL, "a record", True),
    "awslambdaric": Language(
        "provided", "app.handler", clients.python_client, "ValueError", "ValueError", _PYTHON, True
    ),
    "aws-lambda-ric": Language(
        "provided", "index.handler", clients.node_client, "RangeError", "RangeError", _NODE, True
    ),
    "aws-lambda-go": Language("provided", "bootstrap", clients.golang, "errorString", "string"),
    "lambda_runtime": Language("provided", "bootstrap", clients.rust, "", ""),
}


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("matrix"), init_timeout_s=INIT_TIMEOUT_S) as running:
        yield running


class Functions:
    """The functions of one language: its program under other settings."""

    def __init__(self, server: RunningServer, column: str, language: Language, runtime: str) -> None:
        """Raises clients.Missing."""
        self.server = server
        self.language = language
        self.runtime = runtime
        self._column = column.replace(".", "")
        self._package = zipped(language.files(), 0o755)

    def make(self, kind: str, **settings: Any) -> str:
        name = f"matrix-{self._column}-{kind}"
        client = self.server.client("lambda")
        given = {"Handler": self.language.handler, "Role": ROLE, "Timeout": TIMEOUT_S, "MemorySize": 1769}
        given |= {"Runtime": self.runtime, "Code": {"ZipFile": self._package}, **settings}
        client.create_function(FunctionName=name, **given)
        waiter = client.get_waiter("function_active_v2")
        waiter.wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
        return name

    def call(self, name: str, do: str, **more: Any) -> tuple[Any, dict[str, Any], str]:
        """(result, answer, the tail of the log)"""
        found, answer = self.server.invoke(name, {"do": do, **more}, LogType="Tail")
        return found, answer, base64.b64decode(answer["LogResult"]).decode()

    def plain(self) -> str:
        layer = self.server.client("lambda").publish_layer_version(
            LayerName="matrix-data", Content={"ZipFile": zipped({"data.txt": "of the layer"})}
        )
        own = {"Variables": {"OWN": "grüße"}}
        return self.make("plain", Environment=own, Layers=[layer["LayerVersionArn"]])


@pytest.fixture(scope="module", params=LANGUAGES)
def functions(request: pytest.FixtureRequest, impatient: RunningServer) -> Functions:
    language = LANGUAGES[request.param]
    if not newest(language.family):
        pytest.skip(f"no runtime of the family {language.family} here")
    try:
        return Functions(impatient, request.param, language, newest(language.family))
    except clients.Missing as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def plain(functions: Functions) -> str:
    return functions.plain()


class Slow:
    """What takes its time, side by side: an event too long, an initialisation too long, memory that runs out."""

    def __init__(self, functions: Functions) -> None:
        at_init = {"Environment": {"Variables": {"AT_INIT": "sleep"}}}
        self.late = functions.make("late")
        self.slow_init = functions.make("slow-init", Timeout=1, **at_init)
        self.filling = functions.make("fill", MemorySize=256, Timeout=20)
        with ThreadPoolExecutor() as pool:
            asked = [(self.late, "sleep"), (self.slow_init, "echo"), (self.filling, "fill")]
            self._running = {name: pool.submit(functions.call, name, do) for name, do in asked}

    def of(self, name: str) -> tuple[Any, dict[str, Any], str]:
        """As Functions.call."""
        return self._running[name].result()


@pytest.fixture(scope="module")
def slow(functions: Functions) -> Slow:
    return Slow(functions)


def check_success(functions: Functions, name: str) -> None:
    """The event, every field of the context, what is left of the time, the environment, a layer, the lines."""
    context = base64.b64encode(json.dumps({"custom": CUSTOM}).encode()).decode()
    answer = functions.server.client("lambda").invoke(
        FunctionName=name, Payload=json.dumps({"do": "echo", "key": "grüße"}), LogType="Tail", ClientContext=context
    )
    found, log = json.loads(answer["Payload"].read()), base64.b64decode(answer["LogResult"]).decode()
    assert "FunctionError" not in answer, found
    assert found["event"] == {"do": "echo", "key": "grüße"}
    assert found["id"] == answer["ResponseMetadata"]["RequestId"]
    assert found["arn"].endswith(f":function:{name}")
    assert found["later_ms"] < found["left_ms"] <= TIMEOUT_S * 1000
    assert (found["name"], found["version"], found["memory"]) == (name, "$LATEST", "1769")
    assert (found["group"], found["custom"]) == (f"/aws/lambda/{name}", CUSTOM)
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", found["stream"])
    env = found["env"]
    assert (env["OWN"], env["AWS_REGION"], env["LAMBDA_TASK_ROOT"]) == ("grüße", "us-east-1", "/var/task")
    assert env["AWS_LAMBDA_FUNCTION_NAME"] == name
    is_managed = functions.language.family != "provided"
    assert env.get("AWS_EXECUTION_ENV") == (f"AWS_Lambda_{functions.runtime}" if is_managed else None)
    assert "a line of the function\n" in log
    assert re.search(functions.language.record.replace("ID", found["id"]), log)
    assert f"START RequestId: {found['id']} Version: $LATEST\n" in log
    assert "Init Duration" in log
    assert "Init Duration" not in functions.call(name, "echo")[2]
    assert functions.call(name, "read", path="/opt/data.txt")[0] == "of the layer"


def check_json(functions: Functions) -> None:
    """Platform records and the logger's own; and none of these below the level that the function asks for."""
    name = functions.make("json", LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "DEBUG"})
    found, _, log = functions.call(name, "echo")
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    kinds = [line.get("type") for line in lines]
    assert "platform.start" in kinds
    assert "platform.report" in kinds
    assert any("a line of the function" in line for line in log.splitlines())
    assert "START RequestId" not in log
    if not functions.language.json:
        return
    (record,) = [line for line in lines if line.get("message") == "a record"]
    assert record["level"] in ("WARN", "WARNING")
    assert record.get("requestId", record.get("AWSRequestId")) == found["id"]
    assert record["timestamp"].endswith("Z")
    quiet = functions.make("quiet", LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "ERROR"})
    assert "a record" not in functions.call(quiet, "echo")[2]


def test_success_context_environment_and_a_layer(functions: Functions, plain: str) -> None:
    check_success(functions, plain)


def check_error(functions: Functions, name: str, do: str, kind: str) -> None:
    found, answer, log = functions.call(name, do)
    assert answer["FunctionError"] == "Unhandled"
    assert "boom" in found["errorMessage"]
    assert kind in found["errorType"]
    assert "REPORT RequestId" in log


def test_an_error_of_the_handler_and_a_panic(functions: Functions, plain: str) -> None:
    check_error(functions, plain, "raise", functions.language.raised)
    check_error(functions, plain, "panic", functions.language.panicked)
    assert functions.call(plain, "echo")[0]["event"] == {"do": "echo"}


def check_exit(functions: Functions, name: str) -> None:
    found, answer, _ = functions.call(name, "exit")
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorType"] == "Runtime.ExitError"
    assert found["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")
    assert functions.call(name, "echo")[0]["event"] == {"do": "echo"}


def test_a_process_that_leaves(functions: Functions, plain: str) -> None:
    check_exit(functions, plain)


def test_an_event_that_takes_too_long(functions: Functions, slow: Slow) -> None:
    found, answer, log = slow.of(slow.late)
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorMessage"].endswith(f"Task timed out after {TIMEOUT_S}.00 seconds")
    assert f"Duration: {TIMEOUT_S}000.00 ms" in log
    assert functions.call(slow.late, "echo")[0]["event"] == {"do": "echo"}


def test_a_response_that_is_too_large(functions: Functions, plain: str) -> None:
    found, answer, _ = functions.call(plain, "large")
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorType"] == "Function.ResponseSizeTooLarge"
    assert functions.call(plain, "echo")[0]["event"] == {"do": "echo"}


def test_more_memory_than_there_is(functions: Functions, slow: Slow) -> None:
    found, answer, _ = slow.of(slow.filling)
    assert answer["FunctionError"] == "Unhandled"
    assert any(word in json.dumps(found) for word in ("OutOfMemory", "MemoryError", "signal: killed")), found
    assert functions.call(slow.filling, "echo")[0]["event"] == {"do": "echo"}


def check_failed_init(functions: Functions) -> None:
    name = functions.make("bad-init", Environment={"Variables": {"AT_INIT": "raise"}})
    for _ in range(2):
        found, answer, _ = functions.call(name, "echo")
        assert answer["FunctionError"] == "Unhandled"
        assert found["errorType"]
        assert "event" not in found


def test_an_initialisation_that_fails(functions: Functions) -> None:
    check_failed_init(functions)


def test_an_initialisation_that_takes_too_long(functions: Functions, slow: Slow) -> None:
    """After the init phase's limit it is tried again within the event's own time, as on Lambda."""
    found, answer, _ = slow.of(slow.slow_init)
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorMessage"].endswith("Task timed out after 1.00 seconds")
    stored = functions.server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{slow.slow_init}")["events"]
    assert any("INIT_REPORT" in event["message"] and "timeout" in event["message"] for event in stored)


def test_logs_as_json(functions: Functions) -> None:
    check_json(functions)


# What decides the rest of the table is the same code in every version of a family: Paddock's own, and AWS's client. By
# version differ the packages, the way they start, and how they log; so of the table that is what every version runs.
OLDER = {name: family for family in ("python", "nodejs", "java") for name in here(family) if name != newest(family)}
OLDER |= {name: "provided" for name in here("provided") if name != newest("provided")}


@pytest.mark.parametrize("runtime", OLDER)
def test_other_versions(impatient: RunningServer, runtime: str) -> None:
    family = OLDER[runtime]
    language = LANGUAGES[family if family in LANGUAGES else "awslambdaric"]
    try:
        functions = Functions(impatient, runtime, language, runtime)
    except clients.Missing as why:
        pytest.skip(str(why))
    name = functions.plain()
    check_success(functions, name)
    check_error(functions, name, "raise", language.raised)
    check_exit(functions, name)
    check_failed_init(functions)
    check_json(functions)
