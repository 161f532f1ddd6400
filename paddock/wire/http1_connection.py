"""One connection of the HTTP/1.1 server: bytes in, requests to the handler one after the other, answers out."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import cast

import httptools

from paddock.wire.errand import Errand
from paddock.wire.http1_head import Head, Refused, head_again
from paddock.wire.http1_limits import HttpLimits
from paddock.wire.http1_request import AnswerCut, BodyTooLarge, ClientGone, IncomingRequest
from paddock.wire.http1_response import dispose, framed, framing, head, plain_error
from paddock.wire.messages import Response

Handler = Callable[[IncomingRequest], Awaitable[Response]]

log = logging.getLogger("paddock.http")

# The parser is fed in slices, so that a packet of many tiny requests can be stopped in the middle.
SLICE_BYTES = 16_384
# Bodies up to this size leave in one write together with their head; larger ones in pieces with back-pressure.
ONE_WRITE_BYTES = 65_536
# Framing bytes that a chunked body may cost per byte of content; head_bytes_max of it may go unpaid. Chunks of one
# byte cost five; endless chunk extensions and trailers cost without bound.
CHUNK_FRAMING_FACTOR = 16

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Shared:
    """What the connections of one server have in common."""

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits,
        common_lines: Callable[[], str],
        is_light: Callable[[IncomingRequest], bool],
    ) -> None:
        self.handler = handler
        self.is_light = is_light
        self.limits = limits
        self.common_lines = common_lines
        self.closing = False
        self.connections: set[Http1Protocol] = set()
        self.busy: set[Http1Protocol] = set()
        self.first_connected: Callable[[], None] = lambda: None
        self.all_gone = asyncio.Event()

    def note_gone(self) -> None:
        """Let a closing server know when nothing is left."""
        if self.closing and not self.connections and not self.busy:
            self.all_gone.set()


class Http1Protocol(asyncio.Protocol):
    """The state of one connection. `deadline`: loop time at which `expire` is due, infinity when nothing is awaited."""

    def __init__(self, shared: Shared) -> None:
        self.deadline = math.inf
        self.task: asyncio.Task[None] | Errand | None = None
        self._shared = shared
        self._limits = shared.limits
        self._headers_max = shared.limits.headers_max
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpRequestParser(self)
        self._peer = ""
        # The message being parsed: its head until headers_complete, then `_incoming` until message_complete.
        self._head: Head | None = None
        self._trailers: Head | None = None
        self._unfinished_bytes = 0
        self._incoming: IncomingRequest | None = None
        self._framing_bytes = 0
        self._skip_head = False
        # Requests parsed and waiting; the one being answered; the last word once all are answered.
        self._queue: deque[IncomingRequest] = deque()
        self._running: IncomingRequest | None = None
        self._fresh: IncomingRequest | None = None
        self._farewell: tuple[int, str] | None = None
        # The state of the two directions.
        self._unfed = b""
        self._reading_paused = False
        self._input_over = False
        self._eof = False
        self._closing = False
        self._lost = False
        self._discarded_bytes = 0
        self._drain_until = 0
        self._head_sent = False
        self._writer: asyncio.Future[None] | None = None
        self._write_paused = False

    # -- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        shared = self._shared
        peername = transport.get_extra_info("peername")
        if isinstance(peername, tuple):
            self._peer = f"{peername[0]}:{peername[1]}"
        if not shared.connections:
            shared.first_connected()
        shared.connections.add(self)
        connections_max = self._limits.connections_max
        if shared.closing or (connections_max is not None and len(shared.connections) > connections_max):
            self._say_farewell(503, "too many connections")
            return
        self._await(self._limits.head_timeout_s)

    def data_received(self, data: bytes) -> None:
        if self._input_over or self._closing:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > self._limits.linger_bytes_max:
                self._transport.abort()
        elif self._unfed:
            self._unfed += data
        else:
            self._feed(data)

    def eof_received(self) -> bool:
        """The client sends no more. Whatever it asked before is still answered."""
        self._eof = True
        self._tell_gone()
        if self._incoming is not None:
            self._incoming.fail(ClientGone("the client closed its side in the middle of a body"))
        unanswered = self._running is not None or bool(self._queue) or bool(self._unfed)
        # A TLS transport can not stay half open.
        return unanswered and not self._closing and self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._eof = True
        self.deadline = math.inf
        self._unfed = b""
        self._tell_gone()
        if self._incoming is not None:
            self._incoming.fail(ClientGone("the connection was lost"))
        self._queue.clear()
        if self._writer is not None and not self._writer.done():
            self._writer.set_exception(ClientGone("the connection was lost"))
        self._shared.connections.discard(self)
        self._shared.note_gone()

    def pause_writing(self) -> None:
        self._write_paused = True
        self._await(self._limits.write_timeout_s)

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        self._set_deadline()

    # -- called by the server

    def expire(self) -> None:
        """The deadline has passed: end what did not move."""
        self.deadline = math.inf
        if self._closing or self._write_paused:
            self._transport.abort()
        elif self._incoming is not None:
            self._refuse(408, "the request body did not come in time")
        elif self._head is not None:
            self._refuse(408, "the request head did not come in time")
        else:
            self._close()

    def close_if_idle(self) -> None:
        """The server closes: a connection with nothing to answer goes at once."""
        if self._running is None and not self._closing:
            self._close()

    def cut(self) -> None:
        """The server's patience is over."""
        if self.task is not None:
            self.task.cancel()
        self._transport.abort()

    # -- called by the request's reader (BodySource)

    def body_wanted(self, request: IncomingRequest) -> None:
        if request.continue_pending:
            request.continue_pending = False
            if not request.complete and request.received_bytes == 0 and not self._closing:
                self._write(_CONTINUE)
            self._set_deadline()

    def body_taken(self, request: IncomingRequest) -> None:
        if self._reading_paused:
            self._read_on()

    # -- called by the parser

    def on_message_begin(self) -> None:
        if not self._skip_head:
            self._head = Head(self._limits)
            self._trailers = None
            self._unfinished_bytes = 0

    def on_url(self, url: bytes) -> None:
        if self._head is not None:
            self._head.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        head = self._head
        if head is not None:
            if len(head.raw) >= self._headers_max:
                raise Refused(431, "too many header fields")
            head.raw.append((name, value))
        elif self._incoming is not None and not self._skip_head:
            if self._trailers is None:
                self._trailers = Head(self._limits)
            self._trailers.add(name, value)

    def on_headers_complete(self) -> None:
        if self._skip_head:
            self._skip_head = False
            return
        parser, complete_head = self._parser, self._head
        if complete_head is None:
            return
        self._head = None
        request = complete_head.request(
            parser.get_method().decode("latin-1"),
            parser.get_http_version(),
            parser.should_keep_alive(),
            self._peer,
            self,
        )
        self._incoming = request
        self._framing_bytes = 0
        if self._eof:
            request.lose_client()
        if self._running is None:
            self._run(request)
            self._fresh = request  # it is answered once all of this packet is parsed: its body may be in it
        else:
            self._queue.append(request)

    def on_body(self, body: bytes) -> None:
        if self._incoming is not None:
            self._incoming.feed(body)

    def on_message_complete(self) -> None:
        request = self._incoming
        # With an ignored Upgrade the parser says complete before the body: see _feed_parser.
        if request is None or self._parser.should_upgrade():
            return
        self._complete(request)

    # -- in

    def _complete(self, request: IncomingRequest) -> None:
        if self._trailers is not None:
            request.trailers = tuple(self._trailers.headers({}))
        request.finish()
        self._incoming = None
        if not request.keep_alive:
            self._input_over = True
        self._set_deadline()

    def _feed(self, data: bytes) -> None:
        self._take(data)
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            self._launch(fresh)

    def _take(self, data: bytes) -> None:
        """Parse, slice by slice, until the data is used up or the pipeline or the body's buffer is full."""
        before, head_before = self._incoming, self._head
        at = 0
        while at < len(data):
            piece = data if len(data) <= SLICE_BYTES else data[at : at + SLICE_BYTES]
            at += len(piece)
            self._parse(piece)
            if self._input_over or self._closing:
                return
            if self._is_full():
                self._unfed = data[at:]
                if not self._reading_paused and not self._lost and not self._transport.is_closing():
                    self._reading_paused = True
                    self._transport.pause_reading()
                    self._set_deadline()
                return
        if self._incoming is None:
            if self._head is not head_before and self._running is None:
                self._await(self._limits.head_timeout_s)
        elif self._incoming is before:
            self._extend_body_deadline(len(data))
        else:
            self._set_deadline()

    def _parse(self, piece: bytes) -> None:
        chunked = self._incoming if self._incoming is not None and self._incoming.content_length is None else None
        received_before = 0 if chunked is None else chunked.received_bytes
        head_before = self._head
        rest = piece
        try:
            while rest:
                rest = self._feed_parser(rest)
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, Refused):
                self._refuse(cause.status, cause.message)
            else:
                self._refuse(400, "malformed HTTP request")
            return
        if chunked is not None and chunked is self._incoming:
            gained = chunked.received_bytes - received_before
            waste = len(piece) - (CHUNK_FRAMING_FACTOR + 1) * gained
            self._framing_bytes = max(0, self._framing_bytes + waste)
            if self._framing_bytes > self._limits.head_bytes_max:
                self._refuse(400, "malformed HTTP request")
        incoming = self._incoming
        if incoming is not None and incoming.discarding and incoming.received_bytes > self._drain_until:
            self._close(linger=True)
            return
        unfinished = self._head
        if unfinished is not None:
            self._unfinished_bytes += len(piece) if unfinished is head_before else 0
            if self._unfinished_bytes > self._limits.head_bytes_max:
                self._refuse(431, "the request head is too large")

    def _feed_parser(self, data: bytes) -> bytes:
        """Feed the parser; what it left over because a client offered to switch protocols. The offer is ignored.

        The parser stops at such a head and skips its body. A fresh parser is told the framing by a head of ours, then
        reads the body and what follows.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        else:
            return b""
        request = self._incoming
        if request is None:
            return b""
        self._parser = httptools.HttpRequestParser(self)
        self._skip_head = True
        self._parser.feed_data(head_again(request))
        return b"" if self._input_over else rest

    def _is_full(self) -> bool:
        if len(self._queue) >= self._limits.pipelined_max:
            return True
        incoming = self._incoming
        return incoming is not None and incoming.buffered_bytes >= self._limits.buffered_body_bytes_max

    def _read_on(self) -> None:
        """There may be room again: use up what was put aside, then read from the socket."""
        if self._closing or self._lost or self._is_full():
            return
        unfed, self._unfed = self._unfed, b""
        if unfed:
            self._feed(unfed)
        if self._reading_paused and not self._unfed and not self._is_full() and not self._lost:
            self._reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
            self._set_deadline()

    # -- out

    def _run(self, request: IncomingRequest) -> None:
        self._running = request
        self._head_sent = False
        self._shared.busy.add(self)

    def _launch(self, request: IncomingRequest) -> None:
        if request.complete and self._shared.is_light(request):
            errand = Errand(self._serve(request))
            if not errand.is_over and self._running is request:
                self.task = errand
        else:
            self.task = self._loop.create_task(self._serve(request))

    async def _serve(self, request: IncomingRequest) -> None:
        """Answer one request. The one place of the server where a handler's failures end."""
        keep = False
        try:
            response = await self._shared.handler(request)
            keep = await self._send(request, response)
        except ClientGone:
            if not self._closing:
                self._transport.abort()
        except AnswerCut:
            log.info("an answer to %s %s ends in the middle", request.method, request.path)
        except BodyTooLarge as error:
            self._send_error(request, 413, f"the request body is larger than {error.bytes_max} bytes")
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        except Exception:
            log.exception("a handler failed on %s %s", request.method, request.path)
            self._send_error(request, 500, "internal error")
        finally:
            self._finished(request, keep)

    async def _send(self, request: IncomingRequest, response: Response) -> bool:
        """Write the response; whether the connection may be kept."""
        body = response.body
        if self._lost or self._closing:
            if not isinstance(body, bytes):
                await dispose(body)
            return False
        keep = request.keep_alive and not self._shared.closing and request.can_drain(self._limits.drain_bytes_max)
        bodyless = request.method == "HEAD" or response.status in (204, 304)
        lines, chunked, length = framing(request, response)
        keep = keep and (bodyless or chunked or length is not None)
        if not keep:
            lines += "Connection: close\r\n"
        elif request.http_version == "1.0":
            lines += "Connection: keep-alive\r\n"
        block = head(response.status, response.headers, lines, self._shared.common_lines())
        self._head_sent = True
        if isinstance(body, bytes):
            if bodyless or len(body) <= ONE_WRITE_BYTES:
                self._write(block if bodyless else block + body)
            else:
                await self._send_large(block, body)
        elif bodyless:
            self._write(block)
            await dispose(body)
        else:
            self._write(block)
            await self._send_stream(body, chunked, length)
        # A client that pipelines without reading gets no further answer before this one has left.
        if self._write_paused:
            await self._flush()
        return keep

    async def _send_large(self, block: bytes, body: bytes) -> None:
        view = memoryview(body)
        self._writelines([block, view[:ONE_WRITE_BYTES]])
        for at in range(ONE_WRITE_BYTES, len(view), ONE_WRITE_BYTES):
            if self._write_paused:
                await self._flush()
            self._write(view[at : at + ONE_WRITE_BYTES])

    async def _send_stream(self, body: AsyncIterator[bytes], chunked: bool, length: int | None) -> None:
        async with aclosing(framed(body, chunked, length)) as written:
            async for pieces in written:
                self._writelines(pieces)
                if self._write_paused:
                    await self._flush()

    def _send_error(self, request: IncomingRequest, status: int, message: str) -> None:
        """An answer of the server's own; after the head of another there is only one way left to say it."""
        if self._closing or self._lost or self._transport.is_closing():
            return
        if self._head_sent:
            self._transport.abort()
            return
        self._head_sent = True
        self._write(plain_error(status, message, self._shared.common_lines(), with_body=request.method != "HEAD"))

    async def _flush(self) -> None:
        """Wait until the client has read enough. Raises ClientGone when it never does."""
        if self._lost:
            raise ClientGone("the connection was lost")
        self._writer = self._loop.create_future()
        try:
            await self._writer
        finally:
            self._writer = None

    def _write(self, data: bytes | memoryview) -> None:
        # uvloop raises where asyncio only warns.
        if self._transport.is_closing():
            raise ClientGone("the connection was lost")
        self._transport.write(data)

    def _writelines(self, pieces: list[bytes | memoryview]) -> None:
        if self._transport.is_closing():
            raise ClientGone("the connection was lost")
        self._transport.writelines(pieces)

    # -- between two requests, and at the end

    def _finished(self, request: IncomingRequest, keep: bool) -> None:
        """The request is answered, or never will be: the next one, or the end."""
        self._running = None
        self.task = None
        self._shared.busy.discard(self)
        if self._lost or self._closing:
            self._shared.note_gone()
            return
        if not keep:
            self._close(linger=not request.complete)
            return
        if not request.complete:
            request.discard()
            self._drain_until = request.received_bytes + self._limits.drain_bytes_max
        if self._queue:
            following = self._queue.popleft()
            self._run(following)
            self.task = self._loop.create_task(self._serve(following))
        elif self._farewell is not None:
            self._say_farewell(*self._farewell)
        if self._reading_paused:
            self._read_on()
        if self._running is None and not self._closing:
            if self._shared.closing or self._eof or self._input_over:
                self._close()
            else:
                self._set_deadline()

    def _refuse(self, status: int, message: str) -> None:
        """What comes in is not to be used any more: answer what was asked before, then this, then close."""
        self._input_over = True
        self._head = None
        self._unfed = b""
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            self._say_farewell(status, message)
            return
        incoming.fail(ClientGone(message))
        if incoming is self._running:
            if not self._head_sent:
                self._send_error(incoming, status, message)
                self._close(linger=True)
        elif incoming.discarding:
            self._close(linger=True)
        else:
            self._queue.pop()
            self._say_farewell(status, message)

    def _say_farewell(self, status: int, message: str) -> None:
        self._farewell = (status, message)
        self._input_over = True
        if self._running is None and not self._queue and not self._closing:
            if not self._transport.is_closing():
                self._transport.write(plain_error(status, message, self._shared.common_lines()))
            self._close(linger=True)

    def _close(self, linger: bool = False) -> None:
        """Close when all is written. With `linger`, discard what the client still sends for a while first."""
        if self._closing:
            return
        self._closing = True
        self._queue.clear()
        self._unfed = b""
        transport = self._transport
        if transport.is_closing():
            return
        if not linger or self._eof:
            self._await(self._limits.write_timeout_s)
            transport.close()
            return
        self._await(self._limits.linger_timeout_s)
        if transport.can_write_eof():
            transport.write_eof()
        if self._reading_paused:
            self._reading_paused = False
            transport.resume_reading()

    def _tell_gone(self) -> None:
        if self._running is not None:
            self._running.lose_client()
        for request in self._queue:
            request.lose_client()

    # -- deadlines

    def _await(self, timeout_s: float | None) -> None:
        self.deadline = math.inf if timeout_s is None else self._loop.time() + timeout_s

    def _set_deadline(self) -> None:
        """What this connection waits for now, as a deadline."""
        if self._closing or self._write_paused:
            return
        if self._incoming is not None and not self._reading_paused and not self._incoming.continue_pending:
            self._await(self._limits.body_idle_timeout_s)
        elif self._running is not None:
            self.deadline = math.inf
        elif self._head is not None:
            self._await(self._limits.head_timeout_s)
        else:
            self._await(self._limits.keep_alive_timeout_s)

    def _extend_body_deadline(self, size: int) -> None:
        """Body bytes came: more patience, but only as much as they earn."""
        idle_s, rate = self._limits.body_idle_timeout_s, self._limits.body_bytes_per_s_min
        if idle_s is None or self.deadline == math.inf:
            return
        full = self._loop.time() + idle_s
        self.deadline = full if rate is None else min(full, self.deadline + size / rate)
