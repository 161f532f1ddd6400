"""Every runtime and every one of AWS's runtime clients, unmodified, against one table of expectations (spec 02)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from paddock.worker.runtimes import choose, packages
from tests.support import clients
from tests.support.server import ROLE, RunningServer, zipped

# Building a client takes minutes where nothing is cached yet.
pytestmark = pytest.mark.timeout(900)

INIT_TIMEOUT_S = 3
TIMEOUT_S = 4


@dataclass(frozen=True, slots=True)
class Language:
    """One column of the matrix. family: whose newest runtime here runs it. raised, panicked: the type of "boom"."""

    family: str
    handler: str
    files: Callable[[], clients.Files]
    raised: str
    panicked: str

    @property
    def is_managed(self) -> bool:
        return self.family != "provided"


LANGUAGES = {
    "python": Language("python", "app.handler", clients.python, "ValueError", "ValueError"),
    "nodejs": Language("nodejs", "index.handler", clients.node, "RangeError", "RangeError"),
    "java": Language(
        "java",
        "example.Functions",
        clients.java,
        "java.lang.IllegalArgumentException",
        "java.lang.IllegalArgumentException",
    ),
    "awslambdaric": Language("provided", "app.handler", clients.python_client, "ValueError", "ValueError"),
    "aws-lambda-ric": Language("provided", "index.handler", clients.node_client, "RangeError", "RangeError"),
    "aws-lambda-go": Language("provided", "bootstrap", clients.golang, "errorString", "string"),
    "lambda_runtime": Language("provided", "bootstrap", clients.rust, "", ""),
}


def newest(family: str) -> str:
    """The newest runtime of a family that can start here, or ""."""
    found = choose.runtimes()
    here = [r.name for r in found if r.family.family == family and r.interpreter and not packages.available(r)]
    return here[-1] if here else ""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("matrix"), init_timeout_s=INIT_TIMEOUT_S) as running:
        yield running


class Functions:
    """The functions of one language: its program under other settings."""

    def __init__(self, server: RunningServer, column: str, language: Language, files: clients.Files) -> None:
        self.server = server
        self.language = language
        self._column = column
        self._runtime = newest(language.family)
        self._package = zipped(files, 0o755)

    def make(self, kind: str, **settings: Any) -> str:
        name = f"matrix-{self._column}-{kind}"
        client = self.server.client("lambda")
        given = {"Handler": self.language.handler, "Role": ROLE, "Timeout": TIMEOUT_S, "MemorySize": 1769}
        given |= {"Runtime": self._runtime, "Code": {"ZipFile": self._package}, **settings}
        client.create_function(FunctionName=name, **given)
        waiter = client.get_waiter("function_active_v2")
        waiter.wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
        return name

    def call(self, name: str, do: str, **more: Any) -> tuple[Any, dict[str, Any], str]:
        """(result, answer, the tail of the log)"""
        found, answer = self.server.invoke(name, {"do": do, **more}, LogType="Tail")
        return found, answer, base64.b64decode(answer["LogResult"]).decode()


@pytest.fixture(scope="module", params=LANGUAGES)
def functions(request: pytest.FixtureRequest, impatient: RunningServer) -> Functions:
    language = LANGUAGES[request.param]
    if not newest(language.family):
        pytest.skip(f"no runtime of the family {language.family} here")
    try:
        files = language.files()
    except clients.Missing as why:
        pytest.skip(str(why))
    return Functions(impatient, request.param, language, files)


@pytest.fixture(scope="module")
def plain(functions: Functions) -> str:
    layer = functions.server.client("lambda").publish_layer_version(
        LayerName="matrix-data", Content={"ZipFile": zipped({"data.txt": "of the layer"})}
    )
    return functions.make("plain", Environment={"Variables": {"OWN": "grüße"}}, Layers=[layer["LayerVersionArn"]])


def test_success_context_and_environment(functions: Functions, plain: str) -> None:
    found, answer, log = functions.call(plain, "echo", key="grüße")
    assert "FunctionError" not in answer, found
    assert found["event"] == {"do": "echo", "key": "grüße"}
    assert found["id"] == answer["ResponseMetadata"]["RequestId"]
    assert found["arn"].endswith(f":function:{plain}")
    assert 0 < found["left_ms"] <= TIMEOUT_S * 1000
    assert (found["own"], found["memory"], found["name"]) == ("grüße", "1769", plain)
    assert "a line of the function\n" in log
    assert f"START RequestId: {found['id']} Version: $LATEST\n" in log
    assert "Init Duration" in log
    assert "Init Duration" not in functions.call(plain, "echo")[2]


def test_a_layer(functions: Functions, plain: str) -> None:
    assert functions.call(plain, "read", path="/opt/data.txt")[0] == "of the layer"


def test_an_error_of_the_handler_and_a_panic(functions: Functions, plain: str) -> None:
    for do, kind in (("raise", functions.language.raised), ("panic", functions.language.panicked)):
        found, answer, log = functions.call(plain, do)
        assert answer["FunctionError"] == "Unhandled"
        assert "boom" in found["errorMessage"]
        assert kind in found["errorType"]
        assert "REPORT RequestId" in log
    assert functions.call(plain, "echo")[0]["event"] == {"do": "echo"}


def test_a_process_that_leaves(functions: Functions, plain: str) -> None:
    found, answer, _ = functions.call(plain, "exit")
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorType"] == "Runtime.ExitError"
    assert found["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")
    assert functions.call(plain, "echo")[0]["event"] == {"do": "echo"}


def test_an_event_that_takes_too_long(functions: Functions, plain: str) -> None:
    found, answer, log = functions.call(plain, "sleep")
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorMessage"].endswith(f"Task timed out after {TIMEOUT_S}.00 seconds")
    assert f"Duration: {TIMEOUT_S}000.00 ms" in log
    assert functions.call(plain, "echo")[0]["event"] == {"do": "echo"}


def test_a_response_that_is_too_large(functions: Functions, plain: str) -> None:
    found, answer, _ = functions.call(plain, "large")
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorType"] == "Function.ResponseSizeTooLarge"
    assert functions.call(plain, "echo")[0]["event"] == {"do": "echo"}


def test_more_memory_than_there_is(functions: Functions) -> None:
    name = functions.make("fill", MemorySize=256, Timeout=20)
    found, answer, _ = functions.call(name, "fill")
    assert answer["FunctionError"] == "Unhandled"
    assert any(word in json.dumps(found) for word in ("OutOfMemory", "MemoryError", "signal: killed")), found
    assert functions.call(name, "echo")[0]["event"] == {"do": "echo"}


def test_an_initialisation_that_fails(functions: Functions) -> None:
    name = functions.make("bad-init", Environment={"Variables": {"AT_INIT": "raise"}})
    for _ in range(2):
        found, answer, _ = functions.call(name, "echo")
        assert answer["FunctionError"] == "Unhandled"
        assert found["errorType"]
        assert "event" not in found


def test_an_initialisation_that_takes_too_long(functions: Functions) -> None:
    """After the init phase's limit it is tried again within the event's own time, as on Lambda."""
    name = functions.make("slow-init", Environment={"Variables": {"AT_INIT": "sleep"}}, Timeout=1)
    found, answer, _ = functions.call(name, "echo")
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorMessage"].endswith("Task timed out after 1.00 seconds")
    stored = functions.server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert any("INIT_REPORT" in event["message"] and "timeout" in event["message"] for event in stored)


def test_logs_as_json(functions: Functions) -> None:
    name = functions.make("json", LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "DEBUG"})
    log = functions.call(name, "echo")[2]
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    kinds = [line.get("type") for line in lines]
    assert "platform.start" in kinds
    assert "platform.report" in kinds
    assert any("a line of the function" in line for line in log.splitlines())
    assert "START RequestId" not in log
