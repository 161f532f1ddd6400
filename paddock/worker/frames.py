"""Frames on a socket: the server's end of what runtimes/python/bootstrap.py speaks. One per life of a runtime.

The other side runs the function and may send anything. A frame that announces too much is swallowed without being
kept and reported as oversized; one that makes no sense ends the runtime's life, which its holder is told.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import msgspec

from paddock.interfaces import ResponseSink
from paddock.model.invocation import Invocation
from paddock.worker.runtimes.python.bootstrap import (
    ASSIGN,
    BEGIN,
    CHUNK,
    ERROR,
    FAILED,
    HEADER,
    INVOKE,
    NEXT,
    RESPONSE,
    RESTORED,
    TAKEN,
)

RESPONSE_BYTES_MAX = 6 * 1024 * 1024 + 100
"""Lambda's limit for a buffered response (spec 02 section 1)."""


class RuntimeEvents(Protocol):
    """What a runtime can tell, whatever it speaks."""

    def asked_next(self) -> None:
        """It wants an event; after its first time it is initialised."""

    def answered(self, request_id: str, body: bytes) -> None: ...

    def erred(self, request_id: str, body: bytes) -> None: ...

    def oversized(self, request_id: str, limit_bytes: int = RESPONSE_BYTES_MAX) -> None:
        """It tried to answer with more than that."""

    def sink_for(self, request_id: str) -> ResponseSink | None:
        """Where the response to that event may be streamed to; None when it is over, or wants its answer as one."""

    def init_failed(self, body: bytes, error_type: str) -> None: ...

    def not_started(self, cause: str) -> None:
        """There is no runtime: what the function brings cannot be executed."""

    def told_of_snapshot(self, kind: int) -> None:
        """TAKEN: all that it has become is in the file that it was given. RESTORED: it is what the file holds; the
        function's own hooks come next.
        """

    def nonsense(self, what: str) -> None:
        """It broke the protocol and cannot go on."""


class _Event(msgspec.Struct, omit_defaults=True, gc=False):
    """The head of an event, as the runtime is given it."""

    id: str
    arn: str
    deadline_ms: int
    trace: str = ""
    client_context: str = ""
    tenant: str = ""
    stream: bool = False


class _Head(msgspec.Struct, gc=False):
    id: str = ""
    type: str = ""
    cause: str = ""


def encode(kind: int, head: bytes, body: bytes) -> bytes:
    return b"".join((HEADER.pack(len(head) + len(body), kind, len(head)), head, body))


class FramePort(asyncio.Protocol):
    """The channel of one runtime process."""

    def __init__(self, events: RuntimeEvents) -> None:
        self._events = events
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._is_connected = False
        self._is_closed = False
        self._buffer = bytearray()
        self._swallow = 0
        self._heads = msgspec.json.Decoder(_Head)
        self._encoder = msgspec.json.Encoder()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None  # how the process ended comes from pid 1

    def connected(self) -> None:
        """The transport is complete: whoever made it says so once it was handed to him.

        Only now it can be ended. uvloop takes charge of the socket after connection_made, and a transport that is
        aborted before, or whose socket is closed by another hand, leaves a closed descriptor in its epoll set: abort().
        """
        self._is_connected = True
        if self._is_closed:
            self.close()

    def close(self) -> None:
        self._is_closed = True
        if self._transport is not None and self._is_connected:
            self._transport.abort()
            self._transport = None
        if self._waiting is not None:
            self._waiting.cancel()

    # -- to the runtime

    def assign(self, settings: dict[str, object]) -> None:
        self._send(encode(ASSIGN, b"", self._encoder.encode(settings)))

    def invoke(self, invocation: Invocation, deadline_ms: int, wants_stream: bool = False) -> None:
        head = _Event(
            invocation.request_id,
            invocation.invoked_arn,
            deadline_ms,
            invocation.trace_id,
            invocation.client_context,
            invocation.version.tenant_id,
            wants_stream,
        )
        self._send(encode(INVOKE, self._encoder.encode(head), invocation.payload))

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._is_closed and not self._transport.is_closing():
            self._transport.write(data)

    # -- from it

    def data_received(self, data: bytes) -> None:
        if self._is_closed:
            return
        if not self._buffer and not self._swallow:
            data = self._whole_frames(data)
            if not data:
                return
        if self._swallow:
            skipped = min(self._swallow, len(data))
            self._swallow -= skipped
            data = data[skipped:]
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            length, kind, head_length = HEADER.unpack_from(self._buffer)
            end = HEADER.size + length
            head_end = HEADER.size + head_length
            if head_length > length:
                self._broken("a head longer than its frame")
                return
            if length - head_length > RESPONSE_BYTES_MAX:
                if len(self._buffer) < head_end:
                    return
                self._take_oversized(head_end, end)
                continue
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as view:
                head, body = bytes(view[HEADER.size : head_end]), bytes(view[head_end:end])
            del self._buffer[:end]
            if not self._frame(kind, head, body):
                return

    def _whole_frames(self, data: bytes) -> bytes:
        """Take the frames that this packet holds whole, which is nearly always all of it; the rest of the packet."""
        at, size = 0, len(data)
        while size - at >= HEADER.size:
            length, kind, head_length = HEADER.unpack_from(data, at)
            head_at = at + HEADER.size
            end = head_at + length
            if end > size or head_length > length or length - head_length > RESPONSE_BYTES_MAX:
                break
            body_at = head_at + head_length
            if not self._frame(kind, data[head_at:body_at], data[body_at:end]):
                return b""
            at = end
        return data[at:]

    def _take_oversized(self, head_end: int, end: int) -> None:
        head = bytes(self._buffer[HEADER.size : head_end])
        self._swallow = max(0, end - len(self._buffer))
        del self._buffer[:end]
        try:
            self._events.oversized(self._heads.decode(head).id)
        except msgspec.DecodeError:
            self._broken("an unreadable head")

    def _frame(self, kind: int, head: bytes, body: bytes) -> bool:
        if kind == NEXT and not head:
            self._events.asked_next()
            return True
        try:
            known = self._heads.decode(head) if head else _Head()
        except msgspec.DecodeError:
            return self._broken("an unreadable head")
        if kind == NEXT:
            self._events.asked_next()
        elif kind == RESPONSE:
            self._events.answered(known.id, body)
        elif kind == ERROR:
            self._events.erred(known.id, body)
        elif kind == FAILED and known.cause:
            self._events.not_started(known.cause)
        elif kind == FAILED:
            self._events.init_failed(body, known.type)
        elif kind in (TAKEN, RESTORED):
            self._events.told_of_snapshot(kind)
        elif kind in (BEGIN, CHUNK):
            self._stream(kind, known, body)
        else:
            return self._broken(f"a frame of kind {kind}")
        return True

    def _stream(self, kind: int, head: _Head, piece: bytes) -> None:
        """A part of a response. While the sink holds enough, nothing is read from the runtime."""
        sink = self._events.sink_for(head.id)
        if sink is None:
            return  # of an event that is over
        if kind == BEGIN:
            sink.begin(head.type)
        elif not sink.put(piece) and self._transport is not None and self._waiting is None:
            self._transport.pause_reading()
            self._waiting = asyncio.get_running_loop().create_task(self._read_on(sink))
        if sink.is_exceeded:
            self._events.oversized(head.id, sink.bytes_max)

    async def _read_on(self, sink: ResponseSink) -> None:
        await sink.room()
        self._waiting = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _broken(self, what: str) -> bool:
        self._buffer.clear()
        self.close()
        self._events.nonsense(what)
        return False
