"""The Runtime API, route by route and state by state, without a server."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from paddock.invoke.streaming import HELD_BYTES_MAX, ResponseStream
from paddock.wire.http1 import ClientGone, IncomingRequest
from paddock.wire.messages import Headers, Request, Response
from paddock.worker.frames import RESPONSE_BYTES_MAX
from paddock.worker.runtime_api import API, HttpPort
from tests.unit.worker.world import invocation, settle

NEXT = f"{API}/runtime/invocation/next"


class Holder:
    """An environment as the API sees it; `told` is what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.current_request_id = ""
        self.is_initialising = False
        self.stream: ResponseStream | None = None

    def asked_next(self) -> None:
        self.told.append(("next",))

    def answered(self, request_id: str, body: bytes) -> None:
        self.told.append(("answered", request_id, body))
        self.current_request_id = ""

    def erred(self, request_id: str, body: bytes) -> None:
        self.told.append(("erred", request_id, body))
        self.current_request_id = ""

    def oversized(self, request_id: str, limit_bytes: int = RESPONSE_BYTES_MAX) -> None:
        self.told.append(("oversized", request_id, limit_bytes))
        self.current_request_id = ""

    def init_failed(self, body: bytes, error_type: str) -> None:
        self.told.append(("init_failed", body, error_type))

    def nonsense(self, what: str) -> None:
        self.told.append(("nonsense", what))

    def cut_short(self, request_id: str, body: bytes, error_type: str) -> None:
        self.told.append(("cut_short", request_id, body, error_type))
        self.current_request_id = ""

    def sink_for(self, request_id: str) -> ResponseStream | None:
        return self.stream if request_id == self.current_request_id else None


def get(path: str) -> IncomingRequest:
    return IncomingRequest.of(Request(method="GET", path=path))


def post(path: str, body: bytes = b"", **headers: str) -> IncomingRequest:
    fields = Headers((name.replace("_", "-"), value) for name, value in headers.items())
    return IncomingRequest.of(Request(method="POST", path=API + path, headers=fields, body=body))


def played(act: Callable[[HttpPort, Holder], Awaitable[None]]) -> None:
    async def main() -> None:
        holder = Holder()
        await act(HttpPort(holder), holder)

    asyncio.run(main())


def hand(port: HttpPort, holder: Holder, request_id: str = "r-1", **changes: Any) -> None:
    holder.current_request_id = request_id
    port.invoke(invocation(request_id, **changes), 1_700_000_000_000)


def problem(response: Response) -> tuple[int, str]:
    assert isinstance(response.body, bytes)
    return response.status, json.loads(response.body)["errorType"]


def test_next_waits_for_the_event() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        poll = asyncio.ensure_future(port.handle(get(NEXT)))
        await settle()
        assert not poll.done()
        assert holder.told == [("next",)]
        hand(port, holder, payload=b'{"a":1}', trace_id="Root=1", client_context="{}")
        response = await poll
        assert (response.status, response.body) == (200, b'{"a":1}')
        assert dict(response.headers) == {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": "r-1",
            "Lambda-Runtime-Deadline-Ms": "1700000000000",
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:fn",
            "Lambda-Runtime-Trace-Id": "Root=1",
            "Lambda-Runtime-Client-Context": "{}",
        }

    played(act)


def test_fields_without_a_value_are_left_out() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        hand(port, holder)
        names = {name for name, _ in (await port.handle(get(NEXT))).headers}
        assert not names & {"Lambda-Runtime-Trace-Id", "Lambda-Runtime-Client-Context"}

    played(act)


def test_an_event_that_came_first_is_handed_out_at_once_and_again_until_it_is_answered() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        hand(port, holder)
        first, again = await port.handle(get(NEXT)), await port.handle(get(NEXT))
        assert first is again
        assert (await port.handle(post("/runtime/invocation/r-1/response", b"1"))).status == 202
        poll = asyncio.ensure_future(port.handle(get(NEXT)))
        await settle()
        assert not poll.done(), "an answered event must not be handed out again"
        hand(port, holder, "r-2")
        assert ("Lambda-Runtime-Aws-Request-Id", "r-2") in (await poll).headers

    played(act)


def test_two_polls_at_once_get_the_same_event() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        polls = [asyncio.ensure_future(port.handle(get(NEXT))) for _ in range(2)]
        await settle()
        hand(port, holder)
        first, second = await asyncio.gather(*polls)
        assert first is second
        assert first.status == 200

    played(act)


def test_a_poll_whose_client_left_ends_and_the_next_one_gets_the_event() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        request = get(NEXT)
        poll = asyncio.ensure_future(port.handle(request))
        await settle()
        request.lose_client()
        assert (await poll).status == 500
        hand(port, holder)
        assert (await port.handle(get(NEXT))).status == 200

    played(act)


def test_a_poll_of_a_former_life_gets_nothing() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        poll = asyncio.ensure_future(port.handle(get(NEXT)))
        await settle()
        port.disconnect()
        hand(port, holder)
        assert problem(await poll) == (500, "InternalServerError")
        assert (await port.handle(get(NEXT))).status == 200

    played(act)


def test_nothing_is_left_running_after_a_poll() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        poll = asyncio.ensure_future(port.handle(get(NEXT)))
        await settle()
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
        await settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    played(act)


@pytest.mark.parametrize(("kind", "told"), [("response", "answered"), ("error", "erred")])
def test_answers(kind: str, told: str) -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        hand(port, holder)
        response = await port.handle(post(f"/runtime/invocation/r-1/{kind}", b'{"x":1}'))
        assert (response.status, response.body) == (202, b'{"status":"OK"}')
        assert holder.told == [(told, "r-1", b'{"x":1}')]
        again = await port.handle(post(f"/runtime/invocation/r-1/{kind}", b'{"x":1}'))
        assert problem(again) == (400, "InvalidRequestID")
        assert len(holder.told) == 1

    played(act)


@pytest.mark.parametrize("current", ["", "r-1"])
@pytest.mark.parametrize("given", ["r-2", "", "%72-1", "r-1 "])
@pytest.mark.parametrize("kind", ["response", "error"])
def test_an_id_that_is_not_the_current_one(current: str, given: str, kind: str) -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        holder.current_request_id = current
        response = await port.handle(post(f"/runtime/invocation/{given}/{kind}", b"x"))
        assert problem(response) == (400, "InvalidRequestID")
        assert holder.told == []

    played(act)


def test_the_largest_answer_and_one_byte_more() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        hand(port, holder)
        body = bytes(RESPONSE_BYTES_MAX)
        assert (await port.handle(post("/runtime/invocation/r-1/response", body))).status == 202
        hand(port, holder, "r-2")
        response = await port.handle(post("/runtime/invocation/r-2/response", body + b"x"))
        assert problem(response) == (413, "RequestEntityTooLarge")
        assert [told[:2] for told in holder.told] == [("answered", "r-1"), ("oversized", "r-2")]

    played(act)


def test_an_answer_that_breaks_off() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        hand(port, holder)
        path = f"{API}/runtime/invocation/r-1/response"
        request = IncomingRequest(method="POST", path=path, headers=Headers(), content_length=10)
        answer = asyncio.ensure_future(port.handle(request))
        request.feed(b"half")
        await settle()
        request.fail(ClientGone("gone"))
        assert problem(await answer) == (400, "TruncatedHTTPRequest")
        assert holder.told == []

    played(act)


def test_an_answer_that_comes_too_late() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        hand(port, holder)
        path = f"{API}/runtime/invocation/r-1/response"
        request = IncomingRequest(method="POST", path=path, headers=Headers(), content_length=4)
        answer = asyncio.ensure_future(port.handle(request))
        await settle()
        holder.current_request_id = "r-2"  # it timed out while its body was on its way
        request.feed(b"late")
        request.finish()
        assert problem(await answer) == (400, "InvalidRequestID")
        assert holder.told == []

    played(act)


def test_a_mode_that_does_not_exist_ends_the_event() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        hand(port, holder)
        request = post("/runtime/invocation/r-1/response", b"x", lambda_runtime_function_response_mode="dripping")
        assert problem(await port.handle(request)) == (400, "InvalidFunctionResponseMode")
        ((kind, request_id, body, error_type),) = holder.told
        assert (kind, request_id, error_type) == ("cut_short", "r-1", "Runtime.InvalidResponseModeHeader")
        assert json.loads(body)["errorType"] == error_type

    played(act)


def test_a_failed_init_is_told_while_initialising_only() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        holder.is_initialising = True
        request = post("/runtime/init/error", b'{"e":1}', lambda_runtime_function_error_type="Runtime.NoSuchHandler")
        assert (await port.handle(request)).status == 202
        assert (await port.handle(post("/runtime/init/error", b"{}"))).status == 202
        assert (await port.handle(post("/runtime/init/error", bytes(262_145)))).status == 202
        assert holder.told == [
            ("init_failed", b'{"e":1}', "Runtime.NoSuchHandler"),
            ("init_failed", b"{}", "Runtime.Unknown"),
            ("init_failed", b"{}", "Runtime.Unknown"),
        ]
        holder.is_initialising = False
        assert problem(await port.handle(post("/runtime/init/error", b"{}"))) == (403, "InvalidStateTransition")
        assert len(holder.told) == 3

    played(act)


def test_ping() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        response = await port.handle(get(f"{API}/ping"))
        assert (response.status, response.body) == (200, b"pong")

    played(act)


@pytest.mark.parametrize(
    "request_",
    [
        get("/"),
        get(f"{API}/"),
        get(f"{API}/runtime/invocation/"),
        post("/runtime/invocation/next"),
        get(f"{API}/runtime/invocation/r-1/response"),
        post("/runtime/invocation/r-1/other"),
        post("/runtime/invocation/r-1/response/more"),
        get(f"{API}/runtime/init/error"),
        post("/ping"),
        get("/2020-01-01/extension/event/next"),
    ],
    ids=lambda request: f"{request.method} {request.path}",
)
def test_everything_else_is_not_found(request_: IncomingRequest) -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        hand(port, holder)
        assert (await port.handle(request_)).status == 404
        assert holder.told == []

    played(act)


def streamed(**trailers: str) -> tuple[IncomingRequest, Callable[[], None]]:
    """A response whose body comes in pieces, and what ends it with trailers."""
    fields = Headers([("lambda-runtime-function-response-mode", "streaming"), ("content-type", "text/plain")])
    path = f"{API}/runtime/invocation/r-1/response"
    request = IncomingRequest(method="POST", path=path, headers=fields, content_length=None)

    def end() -> None:
        request.trailers = tuple((name.replace("_", "-"), value) for name, value in trailers.items())
        request.finish()

    return request, end


def test_a_streamed_response_is_handed_on_as_it_comes() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        holder.stream = stream = ResponseStream(1 << 20)
        hand(port, holder)
        request, end = streamed()
        answer = asyncio.ensure_future(port.handle(request))
        request.feed(b"one")
        assert await stream.next_piece() == b"one"
        assert stream.content_type == "text/plain"
        request.feed(bytes(HELD_BYTES_MAX))
        request.feed(b"two")
        await settle()
        assert stream.taken_bytes == 3 + HELD_BYTES_MAX, "nobody reads: nothing more is taken"
        await stream.next_piece()
        assert await stream.next_piece() == b"two"
        end()
        assert (await answer).status == 202
        assert holder.told == [("answered", "r-1", b"")]

    played(act)


def test_trailers_tell_what_went_wrong_in_the_middle() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        error = base64.b64encode(b'{"errorMessage":"no"}').decode()
        names = {
            "lambda_runtime_function_error_type": "Mine",
            "lambda_runtime_function_error_body": error,
        }
        for stream in (ResponseStream(1 << 20), None):  # a buffered invocation ends the same way
            holder.stream = stream
            hand(port, holder)
            request, end = streamed(**names)
            request.feed(b"half")
            end()
            assert (await port.handle(request)).status == 202
            assert holder.told.pop() == ("cut_short", "r-1", b'{"errorMessage":"no"}', "Mine")

    played(act)


def test_a_stream_that_stops_in_the_middle() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        holder.stream = ResponseStream(1 << 20)
        hand(port, holder)
        request, _ = streamed()
        request.feed(b"half")
        request.fail(ClientGone("gone"))
        assert problem(await port.handle(request)) == (400, "TruncatedHTTPRequest")
        kind, request_id, body, error_type = holder.told.pop()
        assert (kind, request_id, error_type) == ("cut_short", "r-1", "Runtime.TruncatedResponse")
        assert json.loads(body)["errorType"] == error_type

    played(act)


def test_a_stream_over_its_limit() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        holder.stream = ResponseStream(10)
        hand(port, holder)
        request, end = streamed()
        request.feed(bytes(11))
        end()
        assert problem(await port.handle(request)) == (413, "RequestEntityTooLarge")
        assert holder.told == [("oversized", "r-1", 10)]

    played(act)


def test_a_buffered_invocation_gets_a_streamed_response_as_one() -> None:
    async def act(port: HttpPort, holder: Holder) -> None:
        hand(port, holder)
        request, end = streamed()
        request.feed(b"one")
        request.feed(b"two")
        end()
        assert (await port.handle(request)).status == 202
        assert holder.told == [("answered", "r-1", b"onetwo")]

    played(act)
