"""provided.al2023: a bootstrap of one's own speaks the Runtime API over HTTP, and so does AWS's client unmodified."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import ROLE, RunningServer, zipped

PYTHON = Path("/usr/bin/python3")

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="the bootstraps of these tests are written in Python")

# Each call to the Runtime API, on one connection: (status, headers, body).
PRELUDE = """#!/usr/bin/python3
import http.client, json, os, sys, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def call(method, path, body=None, headers={}):
    api.request(method, "/2018-06-01" + path, body, headers)
    answer = api.getresponse()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
def following():
    status, headers, body = call("GET", "/runtime/invocation/next")
    assert status == 200, (status, body)
    return headers["lambda-runtime-aws-request-id"], headers, json.loads(body)
def respond(request_id, value):
    return call("POST", f"/runtime/invocation/{request_id}/response", json.dumps(value))
"""


def create(server: RunningServer, name: str, bootstrap: str, **settings: Any) -> dict[str, Any]:
    return create_from(server, name, {"bootstrap": PRELUDE + bootstrap}, **settings)


def create_from(
    server: RunningServer, name: str, files: Mapping[str, str | bytes], *, mode: int = 0o755, **settings: Any
) -> dict[str, Any]:
    client = server.client("lambda")
    given = {"Runtime": "provided.al2023", "Handler": "whatever", "Role": ROLE, "Timeout": 20, "MemorySize": 1769}
    client.create_function(FunctionName=name, Code={"ZipFile": zipped(files, mode)}, **{**given, **settings})
    waiter = client.get_waiter("function_active_v2")
    waiter.wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
    found: dict[str, Any] = client.get_function_configuration(FunctionName=name)
    return found


def test_an_event_and_its_head(server: RunningServer, name: str) -> None:
    made = create(
        server,
        name,
        """
while True:
    request_id, headers, event = following()
    respond(request_id, {"headers": headers, "event": event, "now_ms": time.time() * 1000, "env": dict(os.environ)})
""",
    )
    found, answer = server.invoke(name, {"k": "grüße"})
    assert "FunctionError" not in answer
    headers = found["headers"]
    assert found["event"] == {"k": "grüße"}
    assert headers["lambda-runtime-aws-request-id"] == answer["ResponseMetadata"]["RequestId"]
    assert headers["lambda-runtime-invoked-function-arn"] == made["FunctionArn"]
    assert 0 < int(headers["lambda-runtime-deadline-ms"]) - found["now_ms"] <= 20_000
    assert headers["lambda-runtime-trace-id"].startswith("Root=1-")
    assert headers["content-type"] == "application/json"
    assert not {"lambda-runtime-client-context", "lambda-runtime-cognito-identity"} & set(headers)
    assert found["env"]["AWS_LAMBDA_RUNTIME_API"] == "169.254.100.1:9001"
    assert found["env"]["_HANDLER"] == "whatever"
    assert found["env"]["LAMBDA_TASK_ROOT"] == "/var/task"
    assert "AWS_EXECUTION_ENV" not in found["env"]
    assert server.invoke(name, [1])[0]["event"] == [1]
    context = {"custom": {"a": 1}}
    encoded = base64.b64encode(json.dumps(context).encode()).decode()
    found, _ = server.invoke(name, None, ClientContext=encoded)
    assert json.loads(found["headers"]["lambda-runtime-client-context"]) == context


def test_answers_of_the_api(server: RunningServer, name: str) -> None:
    """What the bootstrap was told during one event, it returns in the next."""
    create(
        server,
        name,
        """
told = []
while True:
    request_id, _, event = following()
    if event == "tell":
        respond(request_id, told)
        continue
    again, _, same = following()
    told.append([again == request_id, same])
    told.append(call("GET", "/ping"))
    told.append(call("POST", "/runtime/invocation/00000000-0000-0000-0000-000000000000/response", "1"))
    told.append(call("POST", "/runtime/init/error", "{}"))
    told.append(call("GET", "/runtime/nothing"))
    told.append(call("POST", f"/runtime/invocation/{request_id}/response", '"done"'))
    told.append(call("POST", f"/runtime/invocation/{request_id}/response", '"twice"'))
""",
    )
    assert server.invoke(name, "first")[0] == "done"
    asked_twice, ping, wrong_id, late_init_error, unknown, accepted, second = server.invoke(name, "tell")[0]
    assert asked_twice == [True, "first"]
    assert ping[0] == 200
    assert ping[2] == "pong"
    assert wrong_id[0] == 400
    assert json.loads(wrong_id[2]) == {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}
    assert late_init_error[0] == 403
    assert json.loads(late_init_error[2])["errorType"] == "InvalidStateTransition"
    assert unknown[0] == 404
    assert accepted[0] == 202
    assert json.loads(accepted[2]) == {"status": "OK"}
    assert accepted[1]["content-type"] == "application/json"
    assert second[0] == 400
    assert json.loads(second[2])["errorType"] == "InvalidRequestID"


def test_an_error_of_the_function(server: RunningServer, name: str) -> None:
    create(
        server,
        name,
        """
while True:
    request_id, _, event = following()
    body = json.dumps({"errorMessage": "boom", "errorType": "MyError", "extra": event})
    headers = {"Lambda-Runtime-Function-Error-Type": "Runtime.MyError"}
    assert call("POST", f"/runtime/invocation/{request_id}/error", body, headers)[0] == 202
""",
    )
    for number in range(2):
        found, answer = server.invoke(name, number)
        assert answer["FunctionError"] == "Unhandled"
        assert found == {"errorMessage": "boom", "errorType": "MyError", "extra": number}


def test_an_error_of_the_init(server: RunningServer, name: str) -> None:
    create(
        server,
        name,
        """
body = json.dumps({"errorMessage": "no database", "errorType": "Runtime.NoDatabase"})
call("POST", "/runtime/init/error", body, {"Lambda-Runtime-Function-Error-Type": "Runtime.NoDatabase"})
sys.exit(1)
""",
    )
    found, answer = server.invoke(name)
    assert answer["FunctionError"] == "Unhandled"
    assert found == {"errorMessage": "no database", "errorType": "Runtime.NoDatabase"}


def test_a_response_that_is_too_large(server: RunningServer, name: str) -> None:
    create(
        server,
        name,
        """
told = None
while True:
    request_id, _, size = following()
    if size:
        told = call("POST", f"/runtime/invocation/{request_id}/response", "x" * size)
    else:
        respond(request_id, told)
""",
    )
    found, answer = server.invoke(name, 6_291_557)
    assert answer["FunctionError"] == "Unhandled"
    assert found == {
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    }
    told, answer = server.invoke(name, 0)
    assert "FunctionError" not in answer
    assert told[0] == 413
    assert json.loads(told[2]) == {
        "errorMessage": "Exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "RequestEntityTooLarge",
    }


def test_a_bootstrap_that_ends(server: RunningServer, name: str) -> None:
    create(server, name, "request_id, _, event = following()\nsys.exit(event)\n")
    for status in (7, 8):
        found, _ = server.invoke(name, status)
        assert found["errorType"] == "Runtime.ExitError"
        assert found["errorMessage"].endswith(f"Error: Runtime exited with error: exit status {status}")


@pytest.mark.parametrize(("files", "mode"), [({"app.sh": "#!/bin/sh\n"}, 0o755), ({"bootstrap": "#!/bin/sh\n"}, 0o644)])
def test_no_bootstrap_to_run(server: RunningServer, name: str, files: dict[str, str], mode: int) -> None:
    name = f"no-bootstrap-{mode:o}"
    create_from(server, name, files, mode=mode)
    found, answer = server.invoke(name)
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorType"] == "Runtime.InvalidEntrypoint"
    text = "Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
    assert found["errorMessage"] == f"RequestId: {request_id} {text}"


def test_a_shell_script_is_a_bootstrap(server: RunningServer, name: str) -> None:
    bootstrap = """#!/bin/sh
exec /usr/bin/python3 "$LAMBDA_TASK_ROOT/main.py"
"""
    main = PRELUDE + "while True:\n    request_id, _, event = following()\n    respond(request_id, event)\n"
    create_from(server, name, {"bootstrap": bootstrap, "main.py": main})
    assert server.invoke(name, {"a": 1})[0] == {"a": 1}


# -- AWS's own client, untouched


def installed(*names: str) -> dict[str, bytes]:
    """The files of packages as they are installed, by their places in site-packages."""
    root = Path(sysconfig.get_paths()["platlib"])
    found = [path for name in names for path in ((root / name).rglob("*") if (root / name).is_dir() else [root / name])]
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in found
        if path.is_file() and "__pycache__" not in path.parts
    }


def extension() -> Path | None:
    return next(Path(sysconfig.get_paths()["platlib"]).glob("runtime_client.cpython-*.so"), None)


def same_python() -> bool:
    if not PYTHON.exists():
        return False
    shown = subprocess.run([PYTHON, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    return shown.split(".")[:2] == [str(part) for part in sys.version_info[:2]]


@pytest.mark.skipif(extension() is None, reason="awslambdaric is installed without its C extension")
@pytest.mark.skipif(not same_python(), reason="the C extension was built for another Python than /usr/bin/python3")
def test_awslambdaric_unmodified(server: RunningServer, name: str) -> None:
    library = extension()
    assert library is not None
    app = """
import os, sys
calls = 0
def handler(event, context):
    global calls
    calls += 1
    if event == "fail":
        raise ValueError("as told")
    print("speaking")
    return {"event": event, "calls": calls, "id": context.aws_request_id, "modules": "runtime_client" in sys.modules}
"""
    files: dict[str, str | bytes] = {
        **installed("awslambdaric", "simplejson", "snapshot_restore_py.py", library.name),
        "app.py": app,
        "bootstrap": "#!/bin/sh\nexec /usr/bin/python3 -m awslambdaric app.handler\n",
    }
    create_from(server, name, files)
    for number in range(1, 4):
        found, answer = server.invoke(name, {"n": number})
        assert found == {
            "event": {"n": number},
            "calls": number,
            "id": answer["ResponseMetadata"]["RequestId"],
            "modules": True,
        }
    found, answer = server.invoke(name, "fail")
    assert answer["FunctionError"] == "Unhandled"
    assert (found["errorType"], found["errorMessage"]) == ("ValueError", "as told")
    assert server.invoke(name, None)[0]["calls"] == 5
    events = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="speaking")
    assert len(events["events"]) == 4
