"""Responses that leave before their function ends: by event stream (botocore reads it), by URL, and cut short."""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.test_custom_runtime import PRELUDE, PYTHON, create_from
from tests.acceptance.test_function_urls import allow
from tests.acceptance.test_node import RUNTIME
from tests.acceptance.test_node import create as create_node
from tests.support.server import RunningServer

MB = 1 << 20
ALL_MB = 200
"""What a streamed response may be, as on Lambda."""
LONG_S = 120

# What the event says is done, piece by piece, while the response streams.
STREAMER = (
    PRELUDE
    + """
import base64, urllib.request
def wait_for(parameter):
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], json.dumps({"Name": parameter}).encode(),
        {"X-Amz-Target": "AmazonSSM.GetParameter", "Content-Type": "application/x-amz-json-1.1"})
    while True:
        try:
            return urllib.request.urlopen(request).read()
        except urllib.error.HTTPError:
            time.sleep(0.01)
def chunk(data):
    api.send(b"%x\\r\\n" % len(data) + data + b"\\r\\n")
while True:
    request_id, _, event = following()
    plan = event.get("plan") or json.loads(event["body"])["plan"]
    api.putrequest("POST", f"/2018-06-01/runtime/invocation/{request_id}/response")
    api.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    api.putheader("Transfer-Encoding", "chunked")
    api.putheader("Content-Type", plan.pop("type", "application/octet-stream"))
    api.putheader("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body")
    api.endheaders()
    trailers = b""
    try:
        for what, value in plan["steps"]:
            if what == "say":
                chunk(value.encode())
            elif what == "wait":
                wait_for(value)
            elif what == "megabytes":
                for _ in range(16 * value):
                    chunk(b"x" * 65536)
            elif what == "print":
                print(value, flush=True)
            elif what == "exit":
                os._exit(value)
            elif what == "hang up":
                api.close()
            elif what == "fail":
                body = base64.b64encode(json.dumps({"errorMessage": value, "errorType": "Mine"}).encode())
                trailers = b"Lambda-Runtime-Function-Error-Type: Mine\\r\\n"
                trailers += b"Lambda-Runtime-Function-Error-Body: " + body + b"\\r\\n"
        if api.sock is not None:
            api.send(b"0\\r\\n" + trailers + b"\\r\\n")
            answer = api.getresponse()
            answer.read()
    except OSError:  # it was told that this is too much
        api.close()
"""
)


def say(*texts: str) -> list[list[object]]:
    return [["say", text] for text in texts]


class Streams:
    """InvokeWithResponseStream, and the same function's URL in RESPONSE_STREAM mode."""

    def __init__(self, server: RunningServer, name: str, url: str) -> None:
        self.server = server
        self.name = name
        self._url = urlsplit(url)

    def invoke(self, event: object, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.server.client("lambda").invoke_with_response_stream(
            FunctionName=self.name, Payload=json.dumps(event).encode(), **options
        )
        return answer

    def told(self, event: object, **options: Any) -> tuple[bytes, dict[str, Any]]:
        """(all that was streamed, how it ended)."""
        *chunks, last = list(self.invoke(event, **options)["EventStream"])
        return b"".join(one["PayloadChunk"]["Payload"] for one in chunks), last["InvokeComplete"]

    @contextmanager
    def visit(self, event: object) -> Iterator[http.client.HTTPResponse]:
        """The answer of the URL, of which only the head has been read."""
        connection = http.client.HTTPConnection(urlsplit(self.server.endpoint).netloc, timeout=60)
        try:
            headers = {"Host": self._url.netloc, "Content-Type": "application/json"}
            connection.request("POST", "/", json.dumps(event), headers)
            with connection.getresponse() as answer:
                yield answer
        finally:
            connection.close()

    def status(self, event: object) -> int:
        with self.visit(event) as answer:
            return answer.status

    def release(self, parameter: str) -> None:
        self.server.client("ssm").put_parameter(Name=parameter, Value="go", Type="String")


def with_url(server: RunningServer, name: str) -> Streams:
    aws = server.client("lambda")
    made = aws.create_function_url_config(FunctionName=name, AuthType="NONE", InvokeMode="RESPONSE_STREAM")
    allow(aws, name)
    return Streams(server, name, made["FunctionUrl"])


@pytest.fixture(scope="module")
def custom(server: RunningServer) -> Streams:
    if not PYTHON.exists():
        pytest.skip("the bootstrap is written in Python")
    create_from(server, "streaming-custom", {"bootstrap": STREAMER}, Timeout=LONG_S)
    return with_url(server, "streaming-custom")


def plan(*steps: list[object], **more: object) -> dict[str, object]:
    return {"plan": {"steps": list(steps), **more}}


def test_the_first_byte_comes_before_the_function_ends(custom: Streams) -> None:
    answer = custom.invoke(plan(*say("one"), ["wait", "/streaming/first"], *say("two", "three")))
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    events = iter(answer["EventStream"])
    assert next(events) == {"PayloadChunk": {"Payload": b"one"}}
    custom.release("/streaming/first")
    *rest, last = list(events)
    assert b"".join(one["PayloadChunk"]["Payload"] for one in rest) == b"twothree"
    assert last == {"InvokeComplete": {}}


def test_the_permit_is_held_until_the_stream_ends(custom: Streams) -> None:
    aws = custom.server.client("lambda")
    aws.put_function_concurrency(FunctionName=custom.name, ReservedConcurrentExecutions=1)
    try:
        events = iter(custom.invoke(plan(*say("one"), ["wait", "/streaming/permit"]))["EventStream"])
        next(events)
        with pytest.raises(ClientError) as caught:
            custom.invoke(plan(*say("two")))
        assert caught.value.response["Error"]["Code"] == "TooManyRequestsException"
        assert custom.status(plan(*say("three"))) == 429
        custom.release("/streaming/permit")
        assert list(events) == [{"InvokeComplete": {}}]
        assert custom.told(plan(*say("four")))[0] == b"four"
    finally:
        aws.delete_function_concurrency(FunctionName=custom.name)


def test_an_error_in_the_middle_comes_as_trailers(custom: Streams) -> None:
    streamed, end = custom.told(plan(*say("half"), ["fail", "of a sudden"]))
    assert streamed == b"half"
    assert end["ErrorCode"] == "Mine"
    assert json.loads(end["ErrorDetails"]) == {"errorMessage": "of a sudden", "errorType": "Mine"}
    assert custom.told(plan(*say("well")))[1] == {}  # the same environment goes on


@pytest.mark.parametrize(
    ("step", "codes"),
    [
        (["exit", 3], {"Runtime.ExitError", "Runtime.TruncatedResponse"}),
        (["hang up", 0], {"Runtime.TruncatedResponse"}),
    ],
)
def test_a_stream_that_is_cut_keeps_what_came(custom: Streams, step: list[object], codes: set[str]) -> None:
    cut, gate = str(step[0]).replace(" ", "-"), "/streaming/cut/{}/{}"
    waits = plan(*say("half"), ["wait", gate.format(cut, 1)], step)
    events = iter(custom.invoke(waits, LogType="Tail")["EventStream"])
    assert next(events) == {"PayloadChunk": {"Payload": b"half"}}
    custom.release(gate.format(cut, 1))
    (last,) = list(events)
    end = last["InvokeComplete"]
    assert end["ErrorCode"] in codes
    assert end["ErrorDetails"]
    assert "REPORT RequestId" in base64.b64decode(end["LogResult"]).decode()
    assert custom.told(plan(*say("again")))[0] == b"again"
    with custom.visit(plan(*say("half"), ["wait", gate.format(cut, 2)], step)) as answer:
        assert answer.status == 200
        assert answer.read(4) == b"half"
        custom.release(gate.format(cut, 2))
        with pytest.raises(http.client.IncompleteRead):
            answer.read()


def test_a_function_that_takes_too_long_while_it_streams(server: RunningServer, custom: Streams) -> None:
    aws = server.client("lambda")
    aws.update_function_configuration(FunctionName=custom.name, Timeout=1)
    aws.get_waiter("function_updated_v2").wait(FunctionName=custom.name, WaiterConfig={"Delay": 0.05})
    try:
        streamed, end = custom.told(plan(*say("half"), ["wait", "/streaming/never"]))
        assert streamed == b"half"
        assert end["ErrorCode"] == "Sandbox.Timedout"
    finally:
        aws.update_function_configuration(FunctionName=custom.name, Timeout=LONG_S)
        aws.get_waiter("function_updated_v2").wait(FunctionName=custom.name, WaiterConfig={"Delay": 0.05})


def test_a_streaming_function_is_also_invoked_as_a_whole(custom: Streams) -> None:
    payload = json.dumps(plan(*say('{"a":', " 1}"))).encode()
    aws = custom.server.client("lambda")
    answer = aws.invoke(FunctionName=custom.name, Payload=payload)
    assert json.loads(answer["Payload"].read()) == {"a": 1}
    failing = aws.invoke(FunctionName=custom.name, Payload=json.dumps(plan(*say("half"), ["fail", "no"])).encode())
    assert failing["FunctionError"] == "Unhandled"
    assert json.loads(failing["Payload"].read())["errorMessage"] == "no"
    large = aws.invoke(FunctionName=custom.name, Payload=json.dumps(plan(["megabytes", 7])).encode())
    assert json.loads(large["Payload"].read())["errorType"] == "Function.ResponseSizeTooLarge"


def test_a_url_streams_too(custom: Streams) -> None:
    with custom.visit(plan(*say("one"), ["wait", "/streaming/url"], *say("two"), type="text/plain")) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain")
        assert answer.read(3) == b"one"
        custom.release("/streaming/url")
        assert answer.read() == b"two"
    prelude = json.dumps({"statusCode": 201, "headers": {"X-A": "b"}, "cookies": ["c=1", "d=2"]})
    kind = "application/vnd.awslambda.http-integration-response"
    with custom.visit(plan(*say(prelude[:9], prelude[9:] + "\0" * 3, "\0" * 5 + "body\0!"), type=kind)) as answer:
        assert (answer.status, answer.headers["X-A"]) == (201, "b")
        assert answer.headers.get_all("Set-Cookie") == ["c=1", "d=2"]
        assert answer.read() == b"body\0!"
    assert custom.status(plan(*say("no json", "\0" * 8), type=kind)) == 502
    assert custom.status(plan(*say("{}"), type=kind)) == 502  # a prelude without an end


def resident_bytes(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10


def test_a_slow_client_slows_the_function_down_and_memory_stays_flat(server: RunningServer, custom: Streams) -> None:
    """While nobody reads, other invocations pass the time in which the function would fill the memory.

    It is the largest response there may be.
    """
    server.create("streaming-other", "def handler(event, context):\n    return 1\n")
    custom.told(plan(["megabytes", 1]))
    server.invoke("streaming-other")
    before = resident_bytes(server.server_pid)
    with custom.visit(plan(["megabytes", ALL_MB])) as answer:
        assert answer.read(1) == b"x"
        for _ in range(100):
            server.invoke("streaming-other")
        assert resident_bytes(server.server_pid) - before < 24 * MB
        read = 1
        while piece := answer.read(MB):
            read += len(piece)
    assert read == ALL_MB * MB
    assert resident_bytes(server.server_pid) - before < 24 * MB


def test_one_byte_more_than_allowed_is_cut(server: RunningServer, custom: Streams) -> None:
    """What came before stays; the function's next write fails, and its environment goes on."""
    before = resident_bytes(server.server_pid)
    came = 0
    for event in custom.invoke(plan(["megabytes", ALL_MB], *say("!")))["EventStream"]:
        if "PayloadChunk" in event:
            came += len(event["PayloadChunk"]["Payload"])
        else:
            end = event["InvokeComplete"]
    assert came == ALL_MB * MB
    assert end["ErrorCode"] == "Function.ResponseSizeTooLarge"
    limit = f"maximum allowed payload size ({ALL_MB * MB} bytes)."
    assert json.loads(end["ErrorDetails"])["errorMessage"].endswith(limit)
    assert resident_bytes(server.server_pid) - before < 24 * MB
    assert custom.told(plan(*say("well"))) == (b"well", {})


def test_bandwidth_can_be_what_it_is_on_lambda(tmp_path: Path) -> None:
    """6 MB at once, then so much a second: a lower bound of time, which no busy machine can break."""
    with RunningServer(tmp_path, stream_bytes_per_s=8 * MB) as server:
        create_from(server, "paced", {"bootstrap": STREAMER}, Timeout=LONG_S)
        streams = Streams(server, "paced", "")
        streams.told(plan(*say("warm")))
        began = time.monotonic()
        assert len(streams.told(plan(["megabytes", 10]))[0]) == 10 * MB
        assert time.monotonic() - began >= (10 - 6) / 8


def test_a_client_that_goes_away_does_not_stop_the_function(server: RunningServer, custom: Streams) -> None:
    with custom.visit(plan(*say("one"), ["wait", "/streaming/gone"], ["megabytes", 9], ["print", "to the end"])) as it:
        assert it.read(3) == b"one"
    custom.release("/streaming/gone")
    logs = server.client("logs")
    group = f"/aws/lambda/{custom.name}"
    for _ in range(2_000):
        if logs.filter_log_events(logGroupName=group, filterPattern='"to the end"')["events"]:
            break
    else:
        raise AssertionError("the function never came to its end")
    assert custom.told(plan(*say("next")))[0] == b"next"


# -- functions that do not stream


def test_a_function_that_does_not_stream_answers_in_one_chunk(server: RunningServer, name: str) -> None:
    source = "def handler(event, context):\n    return {'is': 3 / event} if event else event['no']\n"
    server.create(name, source)
    streams = with_url(server, name)
    (chunk, end) = list(streams.invoke(2, LogType="Tail")["EventStream"])
    assert chunk == {"PayloadChunk": {"Payload": b'{"is": 1.5}'}}
    assert "START RequestId" in base64.b64decode(end["InvokeComplete"]["LogResult"]).decode()
    streamed, complete = streams.told(0)
    assert streamed == b""
    assert complete["ErrorCode"] == "Unhandled"
    assert json.loads(complete["ErrorDetails"])["errorType"] == "TypeError"
    assert streams.status(1) == 502  # an event is no number
    with pytest.raises(ClientError) as caught:
        server.client("lambda").invoke_with_response_stream(FunctionName=f"{name}-not")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"
    answer = server.client("lambda").invoke_with_response_stream(FunctionName=name, InvocationType="DryRun")
    answer["EventStream"].close()
    assert answer["StatusCode"] == 204


# -- Node.js

NODE = """
const pieces = (event) => event.pieces ?? JSON.parse(event.body).pieces;
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  let out = stream;
  if (event.body) out = awslambda.HttpResponseStream.from(stream, { statusCode: 202, headers: { "x-a": "b" } });
  for (const piece of pieces(event)) {
    if (piece === "boom") throw new Error("of a sudden");
    const text = typeof piece === "number" ? "y".repeat(piece) : piece;
    if (!out.write(text)) await new Promise((resolve) => out.once("drain", resolve));
  }
  out.end();
});
"""


@pytest.fixture(scope="module")
def node(server: RunningServer) -> Streams:
    if not RUNTIME:
        pytest.skip("no Node.js 20, 22 or 24 on this machine")
    create_node(server, "streaming-node", NODE)
    return with_url(server, "streaming-node")


def test_a_streaming_handler_of_nodejs(node: Streams) -> None:
    assert node.told({"pieces": ["one", "two"]}) == (b"onetwo", {})
    assert node.told({"pieces": []}) == (b"", {})
    streamed, _ = node.told({"pieces": ["a", 200_000, "b", 7 * MB]})
    assert streamed == b"a" + b"y" * 200_000 + b"b" + b"y" * (7 * MB)
    streamed, end = node.told({"pieces": ["half", "boom"]})
    assert streamed == b"half"
    assert end["ErrorCode"] == "Unhandled"
    assert json.loads(end["ErrorDetails"])["errorMessage"] == "of a sudden"
    assert node.told({"pieces": ["boom"]})[0] == b""
    whole: Mapping[str, Any] = node.server.client("lambda").invoke(
        FunctionName=node.name, Payload=b'{"pieces": ["1", "2"]}'
    )
    assert whole["Payload"].read() == b"12"


def test_a_url_of_nodejs(node: Streams) -> None:
    with node.visit({"pieces": ["hello ", 100_000]}) as answer:
        assert (answer.status, answer.headers["x-a"]) == (202, "b")
        assert answer.read() == b"hello " + b"y" * 100_000
    with node.visit({"pieces": ["half", "boom"]}) as answer, pytest.raises(http.client.IncompleteRead):
        answer.read()
