"""A streamed response at a function URL (spec 02 section 1, 03 section 8).

A function that wants to say status and headers begins its stream with them: JSON, then eight NULs, then the body. The
content type of the stream tells that it does. Without, the answer is 200 with the stream's own type.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from paddock.front.function_urls.answer import BadAnswer, head_of, text_of
from paddock.invoke.streaming import StreamedInvocation
from paddock.model.errors import ServiceError
from paddock.wire.http1 import AnswerCut
from paddock.wire.messages import Response

WITH_PRELUDE = "application/vnd.awslambda.http-integration-response"
BYTES = "application/octet-stream"
PRELUDE_BYTES_MAX = 1 << 20

_END = bytes(8)


class FunctionFailed(Exception):
    """It ended with an error before it said anything."""


async def streamed(running: StreamedInvocation) -> Response:
    """Raises FunctionFailed, BadAnswer."""
    stream = running.stream
    if not stream.has_begun:
        result = await running.result()
        if result.function_error:
            raise FunctionFailed
        return Response(status=200, headers=(("Content-Type", BYTES),), body=result.payload)
    if stream.content_type.partition(";")[0].strip().lower() != WITH_PRELUDE:
        return Response(
            status=200, headers=(("Content-Type", text_of(stream.content_type) or BYTES),), body=Body(running)
        )
    try:
        prelude, rest = await _prelude(running)
        value = msgspec.json.decode(prelude)
        if not isinstance(value, dict):
            raise BadAnswer("the prelude is no object")
        status, fields = head_of(value, BYTES)
    except msgspec.DecodeError as error:
        stream.abandon()
        raise BadAnswer("the prelude is no JSON") from error
    except BaseException:
        stream.abandon()
        raise
    return Response(status=status, headers=fields, body=Body(running, rest))


async def _prelude(running: StreamedInvocation) -> tuple[bytes, bytes]:
    """The prelude, and what came after its end. Raises BadAnswer, FunctionFailed when it never comes."""
    read = b""
    while (end := read.find(_END)) < 0:
        if len(read) > PRELUDE_BYTES_MAX:
            raise BadAnswer("the prelude has no end")
        piece = await running.stream.next_piece()
        if not piece:
            raise FunctionFailed
        read += piece
    return read[:end], read[end + len(_END) :]


class Body:
    """The pieces as they come. Raises AnswerCut where the function failed in the middle."""

    def __init__(self, running: StreamedInvocation, first: bytes = b"") -> None:
        self._running = running
        self._first = first

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece, self._first = self._first, b""
        if piece := piece or await self._running.stream.next_piece():
            return piece
        try:
            result = await self._running.result()
        except ServiceError as error:
            raise AnswerCut(error.message) from error
        if result.function_error:
            raise AnswerCut(result.error_type or result.function_error)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._running.stream.abandon()
