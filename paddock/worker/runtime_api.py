"""The Runtime API over HTTP, as AWS's own runtime clients expect it (spec 02 section 1): one per environment.

    GET  /2018-06-01/runtime/invocation/next              waits for an event
    POST /2018-06-01/runtime/invocation/{id}/response     202; in pieces with Lambda-Runtime-Function-Response-Mode:
                                                          streaming, and an error in the middle of it as trailers
    POST /2018-06-01/runtime/invocation/{id}/error        202
    POST /2018-06-01/runtime/init/error                   202, before the first next
    GET  /2018-06-01/ping                                 pong

What is not the runtime's is passed on to the API of extensions (extensions.py), on the same port.

It listens on 169.254.100.1:9001 inside the environment's own network, so nobody else can reach it. A managed Python
speaks frames instead; there this API refuses `next`, and answers the rest by the same rules. Where the function has an
AWS_LAMBDA_EXEC_WRAPPER either may come, for a wrapper may start what it likes: the events go to where it asks.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec

from paddock.interfaces import ResponseSink
from paddock.model.invocation import Invocation
from paddock.wire.http1 import BodyTooLarge, HttpLimits, IncomingRequest
from paddock.wire.messages import Response
from paddock.worker import failures
from paddock.worker.frames import RESPONSE_BYTES_MAX, RuntimeEvents

API = "/2018-06-01"
LIMITS = HttpLimits(
    body_bytes_max=None,
    head_timeout_s=None,
    body_idle_timeout_s=None,
    body_bytes_per_s_min=None,
    keep_alive_timeout_s=None,
    write_timeout_s=None,
    connections_max=64,
)

_MODE, _STREAMING = "lambda-runtime-function-response-mode", "streaming"
_ERROR_TYPE, _ERROR_BODY = "lambda-runtime-function-error-type", "lambda-runtime-function-error-body"
JSON = (("Content-Type", "application/json"),)
_TRUNCATED_INIT_BYTES_MAX = 262_144


class Holder(RuntimeEvents, Protocol):
    """What the API must know of its environment besides telling it things."""

    @property
    def current_request_id(self) -> str: ...

    @property
    def is_initialising(self) -> bool: ...

    def cut_short(self, request_id: str, body: bytes, error_type: str) -> None:
        """The response ends with an error of that type, which the runtime did not report as one; body is JSON."""


def problem(status: int, error_type: str, message: str) -> Response:
    body = msgspec.json.encode({"errorMessage": message, "errorType": error_type})
    return Response(status=status, headers=JSON, body=body)


def accepted() -> Response:
    return Response(status=202, headers=JSON, body=b'{"status":"OK"}')


def _trailers(request: IncomingRequest) -> tuple[str, bytes]:
    """What went wrong in the middle of a stream: (type, JSON), both empty when nothing did."""
    found = dict(request.trailers)
    try:
        body = base64.b64decode(found.get(_ERROR_BODY, ""), validate=True)
    except (binascii.Error, ValueError):
        body = b""
    return found.get(_ERROR_TYPE, ""), body


def _forbidden(step: str) -> Response:
    text = f"State transition from {step} failed for runtime. Error: State transition is not allowed"
    return problem(403, "InvalidStateTransition", text)


def next_headers(invocation: Invocation, deadline_ms: int) -> tuple[tuple[str, str], ...]:
    """The head of an event, only with fields that have a value."""
    fields: Mapping[str, str] = {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
        "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": invocation.invoked_arn,
        "Lambda-Runtime-Trace-Id": invocation.trace_id,
        "Lambda-Runtime-Client-Context": invocation.client_context,
        "Lambda-Runtime-Aws-Tenant-Id": invocation.version.tenant_id,
    }
    return tuple((name, value) for name, value in fields.items() if value)


class HttpPort:
    """The API of one environment. `invoke` hands the event to whoever asks next.

    gives_events: whether the runtime may speak HTTP at all; a managed one gets its events by frames. others: answers
    whatever is not of the Runtime API. was_asked: whether this life's runtime wants its events from here.
    """

    def __init__(
        self,
        holder: Holder,
        gives_events: bool = True,
        others: Callable[[IncomingRequest], Awaitable[Response]] | None = None,
    ) -> None:
        self._holder = holder
        self._others = others
        self._gives_events = gives_events
        self.was_asked = False
        self._event: Response | None = None
        self._arrived = asyncio.Event()
        self._generation = 0
        self._reading = asyncio.Lock()  # one answer at a time is held in memory, however many connections bring one

    def invoke(self, invocation: Invocation, deadline_ms: int) -> None:
        self._event = Response(status=200, headers=next_headers(invocation, deadline_ms), body=invocation.payload)
        self._arrived.set()

    def disconnect(self) -> None:
        """The runtime was ended: polls of its former life get nothing any more."""
        self._generation += 1
        self.was_asked = False
        self._event = None
        self._arrived.set()
        self._arrived = asyncio.Event()

    async def handle(self, request: IncomingRequest) -> Response:
        """Answer one request from inside the environment."""
        if self._others is not None and not request.path.startswith(API):
            return await self._others(request)
        match (request.method, request.path.removeprefix(API).strip("/").split("/")):
            case ("GET", ["runtime", "invocation", "next"]):
                return await self._next(request)
            case ("POST", ["runtime", "invocation", request_id, "response" | "error" as kind]):
                return await self._result(request, request_id, kind)
            case ("POST", ["runtime", "init", "error"]):
                return await self._init_error(request)
            case ("GET", ["ping"]):
                return Response(status=200, body=b"pong")
        return Response(status=404, body=b"404 page not found\n")

    async def _next(self, request: IncomingRequest) -> Response:
        if not self._gives_events:
            return _forbidden("Ready to Ready")
        self.was_asked = True
        self._holder.asked_next()
        if self._holder.current_request_id and self._event is not None:
            return self._event  # asked again without an answer: the same event again (spec 02 section 12)
        self._event = None
        self._arrived.clear()
        generation, arrived = self._generation, self._arrived
        gone = asyncio.ensure_future(request.disconnected())
        came = asyncio.ensure_future(arrived.wait())
        try:
            await asyncio.wait((gone, came), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            came.cancel()
        if self._event is None or generation != self._generation:
            return problem(500, "InternalServerError", "Internal Server Error")
        return self._event

    async def _result(self, request: IncomingRequest, request_id: str, kind: str) -> Response:
        async with self._reading:
            return await self._read_result(request, request_id, kind)

    async def _read_result(self, request: IncomingRequest, request_id: str, kind: str) -> Response:
        if not request_id or request_id != self._holder.current_request_id:
            return problem(400, "InvalidRequestID", "Invalid request ID")
        mode = request.headers.get(_MODE)
        if mode and mode != _STREAMING:
            self._holder.cut_short(request_id, failures.unknown_mode(request_id), failures.UNKNOWN_MODE)
            return problem(400, "InvalidFunctionResponseMode", "Invalid function response mode")
        sink = self._holder.sink_for(request_id) if mode and kind == "response" else None
        try:
            body = await request.read(RESPONSE_BYTES_MAX) if sink is None else await self._stream(request, sink)
        except BodyTooLarge as error:
            self._holder.oversized(request_id, error.bytes_max)
            text = f"Exceeded maximum allowed payload size ({error.bytes_max} bytes)."
            return problem(413, "RequestEntityTooLarge", text)
        except ConnectionError:
            if sink is not None:
                self._holder.cut_short(request_id, failures.truncated(request_id), failures.TRUNCATED)
            return problem(400, "TruncatedHTTPRequest", "HTTP request detected as truncated")
        if request_id != self._holder.current_request_id:
            return problem(400, "InvalidRequestID", "Invalid request ID")
        error_type, error_body = _trailers(request)
        if mode and kind == "response" and (error_type or error_body):
            self._holder.cut_short(request_id, error_body, error_type)
        elif kind == "response":
            self._holder.answered(request_id, body)
        else:
            self._holder.erred(request_id, body)
        return accepted()

    async def _stream(self, request: IncomingRequest, sink: ResponseSink) -> bytes:
        """Hand the body on as it comes; nothing of it is left. Raises BodyTooLarge, ClientGone."""
        sink.begin(request.headers.get("content-type", "application/octet-stream"))
        async for piece in request.chunks():
            if not sink.put(piece):
                await sink.room()
            if sink.is_exceeded:
                raise BodyTooLarge(sink.bytes_max)
        return b""

    async def _init_error(self, request: IncomingRequest) -> Response:
        try:
            body = await request.read(_TRUNCATED_INIT_BYTES_MAX)
        except BodyTooLarge:
            body = b"{}"
        if not self._holder.is_initialising:
            return _forbidden("Ready to InitError")
        self._holder.init_failed(body, request.headers.get("lambda-runtime-function-error-type", "Runtime.Unknown"))
        return accepted()
