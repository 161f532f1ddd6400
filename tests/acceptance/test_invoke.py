"""Invoking through boto3: what goes in, what comes out, and what a function finds around itself."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.calls import TOOLBOX, refused
from tests.support.server import RunningServer, default_runtime

Tool = Callable[..., tuple[Any, dict[str, Any]]]

ARN = "arn:aws:lambda:us-east-1:000000000000:function"
PAYLOAD_BYTES_MAX = 6 * 1024 * 1024
ECHO = "def handler(event, context):\n    return event\n"


@pytest.fixture(scope="module")
def echo(server: RunningServer) -> str:
    server.create("echo", ECHO)
    return "echo"


@pytest.fixture(scope="module")
def toolbox(server: RunningServer) -> Tool:
    """A function shared by the tests of this module, which none of them changes."""
    server.create("toolbox", TOOLBOX, Environment={"Variables": {"MINE": "yes", "TZ": "Europe/Vienna"}})

    def call(do: str, **options: Any) -> tuple[Any, dict[str, Any]]:
        return server.invoke("toolbox", {"do": do}, **options)

    return call


def test_success(aws: Any, echo: str) -> None:
    answer = aws.invoke(FunctionName=echo, Payload=b'{"a": [1, 2.5, null, true]}')
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in answer
    assert "LogResult" not in answer
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["content-type"] == "application/json"
    assert re.match(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};", headers["x-amzn-trace-id"])
    assert json.loads(answer["Payload"].read()) == {"a": [1, 2.5, None, True]}


def test_the_tail_of_the_log(toolbox: Tool) -> None:
    _, answer = toolbox("print('one')\nprint('two')", LogType="Tail")
    text = base64.b64decode(answer["LogResult"]).decode()
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert text.startswith(f"START RequestId: {request_id} Version: $LATEST\n")
    assert "\none\ntwo\n" in text
    report = (
        rf"END RequestId: {request_id}\nREPORT RequestId: {request_id}\tDuration: \d+\.\d\d ms\tBilled Duration: "
        r"\d+ ms\tMemory Size: 128 MB\tMax Memory Used: \d+ MB\t(Init Duration: \d+\.\d\d ms\t)?\n$"
    )
    assert re.search(report, text)
    assert "INIT_START" not in text


def test_the_tail_is_the_last_4096_bytes(toolbox: Tool) -> None:
    _, answer = toolbox("for number in range(2000): print('line', number)", LogType="Tail")
    tail = base64.b64decode(answer["LogResult"])
    assert len(tail) == 4096
    assert b"line 1999\nEND " in tail
    assert b"START" not in tail


def test_init_duration_only_once(tool: Tool) -> None:
    first = base64.b64decode(tool("return 1", LogType="Tail")[1]["LogResult"])
    second = base64.b64decode(tool("return 1", LogType="Tail")[1]["LogResult"])
    assert b"Init Duration: " in first
    assert b"Init Duration: " not in second


def test_client_context(toolbox: Tool) -> None:
    given = {"client": {"app_title": "field"}, "custom": {"k": "v"}, "env": {"locale": "de"}}
    encoded = base64.b64encode(json.dumps(given).encode()).decode()
    do = "c = context.client_context\nreturn c and [c.client.app_title, c.custom, c.env]"
    assert toolbox(do, ClientContext=encoded)[0] == ["field", {"k": "v"}, {"locale": "de"}]
    assert toolbox(do)[0] is None
    with refused("InvalidRequestContentException", "Client context"):
        toolbox(do, ClientContext="!!!")
    with refused("InvalidParameterValueException", "limit 3583 bytes"):
        toolbox(do, ClientContext=base64.b64encode(json.dumps({"custom": {"k": "v" * 3000}}).encode()).decode())


def test_dry_run(server: RunningServer, aws: Any, tool: Tool, name: str) -> None:
    answer = aws.invoke(FunctionName=name, InvocationType="DryRun", Payload=b'{"do": "1/0"}')
    assert answer["StatusCode"] == 204
    assert answer["Payload"].read() == b""
    assert "ExecutedVersion" not in answer
    assert tool("return CALLS")[0] == 1
    with refused("ResourceNotFoundException", "Function not found"):
        aws.invoke(FunctionName="never", InvocationType="DryRun")


def test_the_context_object(toolbox: Tool) -> None:
    do = """
identity = context.identity
return {
    "id": context.aws_request_id, "name": context.function_name, "version": context.function_version,
    "arn": context.invoked_function_arn, "memory": context.memory_limit_in_mb, "group": context.log_group_name,
    "stream": context.log_stream_name, "left": context.get_remaining_time_in_millis(),
    "identity": [identity.cognito_identity_id, identity.cognito_identity_pool_id],
    "tenant": getattr(context, "tenant_id", None), "trace": os.environ.get("_X_AMZN_TRACE_ID"),
}
"""
    found, answer = toolbox(do)
    assert found["id"] == answer["ResponseMetadata"]["RequestId"]
    assert (found["name"], found["version"], found["arn"]) == ("toolbox", "$LATEST", f"{ARN}:toolbox")
    assert found["memory"] == "128"
    assert found["group"] == "/aws/lambda/toolbox"
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", found["stream"])
    assert 0 < found["left"] <= 30_000
    assert found["identity"] == [None, None]
    assert found["tenant"] is None
    assert found["trace"].startswith("Root=1-")
    assert toolbox("return context.invoked_function_arn", Qualifier="$LATEST")[0] == f"{ARN}:toolbox:$LATEST"


def test_the_environment_variables(toolbox: Tool) -> None:
    found, _ = toolbox("return [dict(os.environ), context.log_stream_name]")
    variables, stream = found
    version = default_runtime().removeprefix("python")
    expected = {
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
        "AWS_LAMBDA_FUNCTION_NAME": "toolbox",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/toolbox",
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_RUNTIME_API": "169.254.100.1:9001",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "LC_CTYPE": "C.UTF-8",
        "TZ": "Europe/Vienna",  # the function's own
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "PYTHONPATH": "/var/runtime",
        "PWD": "/var/task",
        "SHLVL": "0",
        "_HANDLER": "app.handler",
        "MINE": "yes",
    }
    assert {key: variables.get(key) for key in expected} == expected
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "LD_LIBRARY_PATH"} <= set(variables)
    assert not [key for key in variables if key.startswith("PADDOCK")]


def test_reserved_variables_cannot_be_set(server: RunningServer) -> None:
    with refused(
        "InvalidParameterValueException", "Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT", 400
    ):
        server.create("reserved", ECHO, Environment={"Variables": {"AWS_REGION": "x", "LAMBDA_TASK_ROOT": "y"}})
    with refused("InvalidParameterValueException", "exceeded the 4KB limit", 400):
        server.create("reserved", ECHO, Environment={"Variables": {"LONG": "x" * 4096}})


@pytest.mark.parametrize("payload", [b"{", b"\x99", b"{'a': 1}", b"undefined", b'{"a": 1} {"b": 2}'])
def test_a_payload_that_is_not_json(aws: Any, echo: str, payload: bytes) -> None:
    with refused("InvalidRequestContentException", "^Could not parse request body into json: ", 400):
        aws.invoke(FunctionName=echo, Payload=payload)


def test_an_empty_payload_is_an_empty_object(aws: Any, echo: str) -> None:
    assert aws.invoke(FunctionName=echo)["Payload"].read() == b"{}"
    assert aws.invoke(FunctionName=echo, Payload=b"")["Payload"].read() == b"{}"


def test_the_largest_payload_and_one_byte_more(aws: Any, toolbox: Tool) -> None:
    head = b'{"do": "return len(json.dumps(event))", "fill": "'
    fill = b"x" * (PAYLOAD_BYTES_MAX - len(head) - 2)
    answer = aws.invoke(FunctionName="toolbox", Payload=head + fill + b'"}')
    assert json.loads(answer["Payload"].read()) == PAYLOAD_BYTES_MAX
    text = (
        f"^{PAYLOAD_BYTES_MAX + 1} byte payload is too large for the RequestResponse invocation type "
        rf"\(limit {PAYLOAD_BYTES_MAX} bytes\)$"
    )
    with refused("RequestEntityTooLargeException", text, 413):
        aws.invoke(FunctionName="toolbox", Payload=head + fill + b'x"}')


def test_the_largest_response_and_more(toolbox: Tool) -> None:
    assert len(toolbox(f"return 'x' * ({PAYLOAD_BYTES_MAX} - 2)")[0]) == PAYLOAD_BYTES_MAX - 2
    found, answer = toolbox(f"return 'x' * ({PAYLOAD_BYTES_MAX} + 200)")
    assert answer["FunctionError"] == "Unhandled"
    assert found == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }
    assert toolbox("return CALLS")[0] > 2  # the environment lives on


def test_unicode_both_ways(aws: Any, server: RunningServer, echo: str) -> None:
    for text in ("grüße", "日本語", "🐎 \u0000 \u2028", "\\ud83d"):
        assert server.invoke(echo, {"text": text})[0] == {"text": text}
    raw = '{"k": "ünïcode 🐎"}'.encode()
    assert json.loads(aws.invoke(FunctionName=echo, Payload=raw)["Payload"].read()) == {"k": "ünïcode 🐎"}


def test_nan_and_nothing(aws: Any, toolbox: Tool) -> None:
    answer = aws.invoke(FunctionName="toolbox", Payload=json.dumps({"do": "return [float('nan')]"}).encode())
    assert answer["Payload"].read() == b"[NaN]"
    answer = aws.invoke(FunctionName="toolbox", Payload=json.dumps({"do": "pass"}).encode())
    assert answer["Payload"].read() == b"null"


def test_bytes_are_sent_as_they_are(aws: Any, toolbox: Tool) -> None:
    do = json.dumps({"do": "return bytes(range(256))"}).encode()
    assert aws.invoke(FunctionName="toolbox", Payload=do)["Payload"].read() == bytes(range(256))


def test_functions_and_aliases_that_are_missing(aws: Any, echo: str) -> None:
    with refused("ResourceNotFoundException", rf"^Function not found: {ARN}:never:\$LATEST$", 404):
        aws.invoke(FunctionName="never")
    with refused("ResourceNotFoundException", f"^Function not found: {ARN}:{echo}:live$", 404):
        aws.invoke(FunctionName=echo, Qualifier="live")
    with refused("ResourceNotFoundException", f"^Function not found: {ARN}:{echo}:7$", 404):
        aws.invoke(FunctionName=f"{ARN}:{echo}:7")
    with refused("ResourceNotFoundException", "Functions from 'eu-west-1' are not reachable in this region", 404):
        aws.invoke(FunctionName=f"arn:aws:lambda:eu-west-1:000000000000:function:{echo}")


def test_what_the_service_model_forbids(server: RunningServer, echo: str) -> None:
    blunt = server.client("lambda", parameter_validation=False)
    with refused("ValidationException", "at 'invocationType' failed to satisfy constraint: Member must satisfy enum"):
        blunt.invoke(FunctionName=echo, InvocationType="Later")
    with refused("ValidationException", "at 'functionName' failed to satisfy constraint: Member must satisfy regular"):
        blunt.invoke(FunctionName="what is this")


def test_a_trace_is_carried_through(server: RunningServer, toolbox: Tool) -> None:
    trace = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"
    request = urllib.request.Request(
        f"{server.endpoint}/2015-03-31/functions/toolbox/invocations",
        data=b'{"do": "return os.environ[\'_X_AMZN_TRACE_ID\']"}',
        headers={"X-Amzn-Trace-Id": trace},
    )
    with urllib.request.urlopen(request) as answer:
        assert "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700" in json.load(answer)
