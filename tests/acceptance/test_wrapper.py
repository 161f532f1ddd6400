"""AWS_LAMBDA_EXEC_WRAPPER: a program of one's own that starts a managed runtime, or a web server in its place."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.test_function_urls import Visitor, opened
from tests.acceptance.test_layers import publish
from tests.support import clients
from tests.support.calls import until
from tests.support.packages import installed
from tests.support.runtimes import here, newest
from tests.support.server import ROLE, ROOT, RunningServer, default_runtime, zipped

# Building the adapter takes minutes where it is not cached yet.
pytestmark = pytest.mark.timeout(900)

EXEC_WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"

# As AWS's guide has it: another option for the interpreter, before the last argument, and a variable more.
WRAPPER = """#!/bin/bash
args=("$@")
export FROM_WRAPPER="$#"
exec "${args[@]:0:$#-1}" OPTION "${args[@]: -1}"
"""

PYTHON = """
import logging, os, sys
def handler(event, context):
    print("a line")
    logging.getLogger().warning("a record")
    if event == "raise":
        raise ValueError("boom")
    if event == "exit":
        sys.exit(3)
    return {"option": sys._xoptions.get("mine"), "variable": os.environ["FROM_WRAPPER"], "event": event,
            "id": context.aws_request_id, "ours": [name for name in sys.modules if name.startswith("paddock")],
            "path": sys.path[:3], "cwd": os.getcwd()}
"""

NODE = """
exports.handler = async (event, context) => {
  console.log("a line");
  if (event === "raise") throw new RangeError("boom");
  if (event === "exit") process.exit(3);
  return { option: typeof gc, variable: process.env.FROM_WRAPPER, event, id: context.awsRequestId, cwd: process.cwd() };
};
"""


def wrapped(server: RunningServer, name: str, wrapper: str, files: Any, **settings: Any) -> None:
    arn = publish(server.client("lambda"), {"wrapper": wrapper}, 0o755)
    variables = settings.pop("variables", {})
    environment = {"Variables": {EXEC_WRAPPER: "/opt/wrapper", **variables}}
    server.create(name, files, Layers=[arn], Environment=environment, MemorySize=512, **settings)


def pythons() -> list[str]:
    """The oldest, whose packages are others, and the one that runs the tests."""
    return sorted({here("python")[0], default_runtime()})


@pytest.mark.parametrize("runtime", pythons())
def test_python(server: RunningServer, runtime: str) -> None:
    name = "wrapper-" + runtime.replace(".", "")
    wrapped(server, name, WRAPPER.replace("OPTION", "-X mine=yes"), PYTHON, Runtime=runtime)
    for event in (1, 2):
        found, answer = server.invoke(name, event)
        assert found == {
            "option": "yes", "variable": "2", "event": event, "id": answer["ResponseMetadata"]["RequestId"],
            "ours": [], "path": ["/var/task", f"/opt/python/lib/{runtime}/site-packages", "/opt/python"],
            "cwd": "/var/task",
        }  # fmt: skip
    fails(server, name, "ValueError")
    stored = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    lines = [event["message"] for event in stored]
    assert "a line\n" in lines
    assert any(line.startswith("[WARNING]\t") and line.endswith("\ta record\n") for line in lines)


def fails(server: RunningServer, name: str, kind: str) -> None:
    """An error of the handler, then the end of its process; and it goes on each time."""
    found, answer = server.invoke(name, "raise")
    assert (answer["FunctionError"], found["errorType"], found["errorMessage"]) == ("Unhandled", kind, "boom")
    found, answer = server.invoke(name, "exit")
    assert (answer["FunctionError"], found["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert found["errorMessage"].endswith("exit status 3")
    assert server.invoke(name, "again")[0]["event"] == "again"


def test_nodejs(server: RunningServer, name: str) -> None:
    runtime = newest("nodejs")
    if not runtime:
        pytest.skip("no Node.js on this machine")
    wrapped(server, name, WRAPPER.replace("OPTION", "--expose-gc"), {"app.js": NODE}, Runtime=runtime)
    for event in (1, 2):
        found, answer = server.invoke(name, event)
        request_id = answer["ResponseMetadata"]["RequestId"]
        assert found == {"option": "function", "variable": "2", "event": event, "id": request_id, "cwd": "/var/task"}
    fails(server, name, "RangeError")


def test_java(server: RunningServer, name: str) -> None:
    runtime = newest("java")
    if not runtime:
        pytest.skip("no Java on this machine")
    try:
        files = clients.java()
    except clients.Missing as why:
        pytest.skip(str(why))
    wrapper = '#!/bin/sh\nexport OWN="by the wrapper"\nexec "$@"\n'
    wrapped(server, name, wrapper, files, Runtime=runtime, Handler="example.Functions")
    found, answer = server.invoke(name, {"do": "echo"})
    assert "FunctionError" not in answer, found
    assert found["env"]["OWN"] == "by the wrapper"


def test_a_wrapper_may_choose_another_handler(server: RunningServer, name: str) -> None:
    wrapper = '#!/bin/sh\nexport ORIGINAL="$_HANDLER" _HANDLER=other.handler\nexec "$@"\n'
    source = "import os\ndef handler(event, context):\n    return os.environ['ORIGINAL']\n"
    wrapped(server, name, wrapper, {"other.py": source})
    assert server.invoke(name)[0] == "app.handler"


@pytest.mark.parametrize("runtime", [default_runtime(), *filter(None, [newest("nodejs"), newest("java")])])
def test_a_wrapper_that_cannot_be_started(server: RunningServer, runtime: str) -> None:
    """As a shell would say it: 127 for what is not there, 126 for what may not be executed."""
    name = "bad-wrapper-" + runtime.replace(".", "")
    file = {"app.js": ""} if runtime.startswith("nodejs") else {"app.py": ""}
    server.create(name, file, Runtime=runtime, Environment={"Variables": {EXEC_WRAPPER: "/opt/none"}}, MemorySize=512)
    aws = server.client("lambda")
    for wrapper, status, reason in (
        ("/opt/none", 127, "No such file or directory"),
        (f"/var/task/{next(iter(file))}", 126, "Permission denied"),
    ):
        aws.update_function_configuration(FunctionName=name, Environment={"Variables": {EXEC_WRAPPER: wrapper}})
        aws.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
        found, _ = server.invoke(name)
        assert found["errorType"] == "Runtime.ExitError"
        assert found["errorMessage"].endswith(f"Error: Runtime exited with error: exit status {status}")
        logs = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        assert any(f"/var/runtime/bootstrap: {wrapper}: {reason}" in event["message"] for event in logs)


def test_what_closes_the_channel_is_told_so(server: RunningServer, name: str) -> None:
    wrapped(server, name, '#!/bin/bash\nexec 3>&- "$@"\n', PYTHON)
    assert server.invoke(name)[0]["errorType"] == "Runtime.ExitError"
    logs = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert any("the wrapper must leave descriptors 3 and 4 open" in event["message"] for event in logs)


def test_a_custom_runtime_has_no_wrapper(server: RunningServer, name: str) -> None:
    """AWS ignores the variable there: the bootstrap is the function's own already."""
    package = zipped({"bootstrap": "#!/bin/sh\nexit 9\n"}, 0o755)
    aws = server.client("lambda")
    aws.create_function(
        FunctionName=name, Runtime="provided.al2023", Handler="x", Role=ROLE,
        Code={"ZipFile": package}, Environment={"Variables": {EXEC_WRAPPER: "/opt/none"}},
    )  # fmt: skip
    aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    assert server.invoke(name)[0]["errorMessage"].endswith("exit status 9")


def test_no_snapshot_of_a_wrapped_function(server: RunningServer, name: str) -> None:
    runtime = newest("python")
    if runtime not in ("python3.12", "python3.13", "python3.14"):
        pytest.skip("no Python here that may have a snapshot")
    snap_start = {"ApplyOn": "PublishedVersions"}
    wrapped(server, name, WRAPPER.replace("OPTION", ""), PYTHON, Runtime=runtime, SnapStart=snap_start)
    aws = server.client("lambda")
    aws.publish_version(FunctionName=name)

    def settled() -> dict[str, Any]:
        found: dict[str, Any] = aws.get_function_configuration(FunctionName=name, Qualifier="1")
        return {} if found["State"] == "Pending" else found

    found = until(settled, patience_s=120)
    assert found["State"] == "Failed"
    assert "SnapStart with AWS_LAMBDA_EXEC_WRAPPER is not supported by Paddock yet" in found["StateReason"]


# -- AWS's Lambda Web Adapter, and ordinary web servers behind it

# Beside the example's own: a response whose second half waits until the first has arrived.
GATED = """
import json, os, time, urllib.error, urllib.request
from app import StreamingResponse, app

def halves(gate):
    yield "first"
    asked = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], json.dumps({"Name": gate}).encode(),
        {"X-Amz-Target": "AmazonSSM.GetParameter", "Content-Type": "application/x-amz-json-1.1"})
    while True:
        try:
            urllib.request.urlopen(asked).read()
            break
        except urllib.error.HTTPError:
            time.sleep(0.01)
    yield "second"

@app.get("/gated")
def gated(gate: str):
    return StreamingResponse(halves(gate), media_type="text/plain")
"""

NODE_SERVER = """
const http = require("node:http");
http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    if (request.url === "/crash") process.exit(4);
    response.statusCode = request.url === "/none" ? 404 : 200;
    response.setHeader("Set-Cookie", ["a=1", "b=2"]);
    response.end(`${request.method} ${request.url} ${Buffer.concat(parts)} ${request.headers.cookie ?? ""}`);
  });
}).listen(process.env.PORT);
"""


@pytest.fixture(scope="module")
def adapter(server: RunningServer) -> str:
    try:
        files = clients.web_adapter()
    except clients.Missing as why:
        pytest.skip(str(why))
    return publish(server.client("lambda"), dict(files), 0o755)


def serve(server: RunningServer, name: str, adapter: str, files: Any, mode: str, **variables: str) -> Visitor:
    environment = {EXEC_WRAPPER: "/opt/bootstrap", "PORT": "8000", **variables}
    if mode == "RESPONSE_STREAM":
        environment["AWS_LWA_INVOKE_MODE"] = "response_stream"
    aws = server.client("lambda")
    runtime = newest("nodejs") if "server.js" in files else default_runtime()
    aws.create_function(
        FunctionName=name, Runtime=runtime, Handler="run.sh", Role=ROLE,
        Code={"ZipFile": zipped(files, 0o755)}, Layers=[adapter], Environment={"Variables": environment},
        MemorySize=1769, Timeout=30,
    )  # fmt: skip
    aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
    return opened(server, name, InvokeMode=mode)


@dataclass(frozen=True, slots=True)
class Application:
    """One function behind the adapter. streams: whether its URL does."""

    name: str
    visit: Visitor
    streams: bool


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | bytes]:
    """examples/web_adapter."""
    example = ROOT / "examples" / "web_adapter"
    files = installed(tmp_path_factory.mktemp("adapter") / "package", "-r", str(example / "requirements.txt"))
    return {**files, **{name: (example / name).read_bytes() for name in ("app.py", "run.sh")}, "gated.py": GATED}


@pytest.fixture(scope="module", params=["BUFFERED", "RESPONSE_STREAM"])
def fastapi(
    server: RunningServer, adapter: str, package: dict[str, str | bytes], request: pytest.FixtureRequest
) -> Application:
    name = f"adapter-{request.param.lower().replace('_', '-')}"
    visitor = serve(server, name, adapter, package, request.param, APP="gated:app")
    return Application(name, visitor, request.param == "RESPONSE_STREAM")


@contextmanager
def reading(server: RunningServer, visitor: Visitor, target: str) -> Iterator[http.client.HTTPResponse]:
    """The answer, of which only the head has been read."""
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=60)
    try:
        connection.request("GET", target, headers={"Host": urlsplit(visitor.url).netloc})
        with connection.getresponse() as answer:
            yield answer
    finally:
        connection.close()


def test_a_web_application(fastapi: Application) -> None:
    visit = fastapi.visit
    status, _, body = visit("GET", "/greet/you%20there?loud=true", headers={"Cookie": "visits=3; other=x"})
    assert (status, json.loads(body)) == (200, {"greeting": "Hello YOU THERE", "visits": 3})
    note = json.dumps({"name": "Zoë", "times": 2}).encode()
    status, headers, body = visit("POST", "/greet", note, {"Content-Type": "application/json"})
    assert (status, json.loads(body)) == (201, {"greeting": "Hello Zoë Hello Zoë"})
    assert [one.partition(";")[0] for one in headers.get_all("Set-Cookie", [])] == ["visits=2", "theme=dark"]
    status, headers, body = visit("POST", "/digest", bytes(range(256)))
    assert (headers["Content-Type"], body) == ("application/octet-stream", hashlib.sha256(bytes(range(256))).digest())
    assert visit("GET", "/none")[0] == 404
    assert visit("POST", "/greet", b"{}", {"Content-Type": "application/json"})[0] == 422
    assert b"swagger" in visit("GET", "/docs")[2]
    assert visit("GET", "/count?to=3")[2] == b"1\n2\n3\n"


def test_a_streamed_response_leaves_before_it_ends(server: RunningServer, fastapi: Application) -> None:
    """Unless it is to be buffered: then it comes as a whole."""
    gate = f"/{fastapi.name}/gate"
    ssm = server.client("ssm")
    if not fastapi.streams:
        ssm.put_parameter(Name=gate, Value="open", Type="String")
    with reading(server, fastapi.visit, f"/gated?gate={gate}") as answer:
        if fastapi.streams:
            assert answer.read(5) == b"first"
            ssm.put_parameter(Name=gate, Value="open", Type="String")
        else:
            assert answer.headers["Content-Length"] == "11"
            assert answer.read(5) == b"first"
        assert answer.read() == b"second"


def test_nodejs_behind_the_adapter(server: RunningServer, adapter: str, name: str) -> None:
    if not newest("nodejs"):
        pytest.skip("no Node.js on this machine")
    files = {"server.js": NODE_SERVER, "run.sh": "#!/bin/sh\nexec node server.js\n"}
    visitor = serve(server, name, adapter, files, "BUFFERED")
    status, headers, body = visitor("POST", "/a/b?c=d", b"text", {"Content-Type": "text/plain", "Cookie": "x=y"})
    assert (status, body) == (200, b"POST /a/b?c=d text x=y")
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert visitor("GET", "/none")[0] == 404
    assert visitor("GET", "/crash")[0] == 502
    # The adapter lives on, and answers for the server until its end has been noticed and all is started again.
    until(lambda: visitor("GET", "/again")[0] == 200, patience_s=120)
