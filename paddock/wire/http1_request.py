"""A request as it arrives: its head is whole, its body comes when it is read.

The server (http1.py) makes one IncomingRequest per request head and feeds it the body; the handler reads. In
between stands a small buffer: the server stops reading from the socket while it is full, so a slow handler slows
its client down instead of filling the memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Protocol

from paddock.wire.messages import Headers, Request


class BodyTooLarge(Exception):
    """The body is, or says that it will be, larger than `bytes_max`."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the request body is larger than {bytes_max} bytes")
        self.bytes_max = bytes_max


class ClientGone(ConnectionError):
    """The client went away, fell silent, or sent nonsense in the middle of its body. Nobody's error to report."""


class AnswerCut(Exception):
    """What yields an answer's body cannot go on: the client keeps what it has, and sees that the end is missing."""


class BodySource(Protocol):
    """What a request asks of the connection it came on."""

    def body_wanted(self, request: IncomingRequest) -> None:
        """The handler starts to read: the moment for `100 Continue`."""

    def body_taken(self, request: IncomingRequest) -> None:
        """The handler took buffered bytes: there may be room to read on."""


class IncomingRequest:
    """One request. `method`, `path` and `query` are as they came: still percent-encoded.

    peer: "address:port" of the client, or "" on a unix socket. http_version: "1.1" or "1.0".
    content_length: bytes as declared; None when the body is chunked. A request without a body has 0.
    trailers: fields after a chunked body, filled once the body has been read.
    known: what whoever answers has found out about it ahead; the server does not look at it.
    """

    # What most requests never change stands here once, and not in each of them.
    known: Any = None
    trailers: tuple[tuple[str, str], ...] = ()
    complete = False
    received_bytes = 0
    buffered_bytes = 0
    discarding = False
    _error: ClientGone | None = None
    _waiter: asyncio.Future[None] | None = None
    _gone = False
    _gone_event: asyncio.Event | None = None

    def __init__(
        self,
        *,
        method: str,
        path: str,
        query: str = "",
        headers: Headers,
        peer: str = "",
        http_version: str = "1.1",
        content_length: int | None = 0,
        keep_alive: bool = True,
        continue_pending: bool = False,
        body_bytes_max: int | None = None,
        source: BodySource | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.peer = peer
        self.http_version = http_version
        self.content_length = content_length
        self.keep_alive = keep_alive
        self.continue_pending = continue_pending
        self._source = source
        self._body_bytes_max = body_bytes_max
        self._chunks: deque[bytes] = deque()

    @classmethod
    def of(cls, request: Request, peer: str = "") -> IncomingRequest:
        """A request that is already whole, for callers that have no connection."""
        made = cls(
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            peer=peer,
            content_length=len(request.body),
        )
        if request.body:
            made.feed(request.body)
        made.finish()
        return made

    # -- for handlers

    async def read(self, bytes_max: int | None) -> bytes:
        """The whole body. Raises BodyTooLarge as soon as the excess is known, ClientGone when it never comes."""
        limit = self._limit(bytes_max)
        if limit is not None and self.content_length is not None and self.content_length > limit:
            raise BodyTooLarge(limit)
        if self.complete and self._error is None and (limit is None or self.received_bytes <= limit):
            return self._take_all()
        parts: list[bytes] = []
        async for chunk in self.chunks(bytes_max):
            parts.append(chunk)
        return b"".join(parts)

    async def chunks(self, bytes_max: int | None = None) -> AsyncIterator[bytes]:
        """The body as it comes, at most once. Raises as `read` does."""
        limit = self._limit(bytes_max)
        taken = 0
        if self._source is not None:
            self._source.body_wanted(self)
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                taken += len(chunk)
                if limit is not None and taken > limit:
                    raise BodyTooLarge(limit)
                self.buffered_bytes -= len(chunk)
                if self._source is not None:
                    self._source.body_taken(self)
                yield chunk
            if self._error is not None:
                raise self._error
            if self.complete:
                return
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def disconnected(self) -> None:
        """Return once the client has closed its side. For long polls: nobody waits for the answer any more."""
        if self._gone:
            return
        if self._gone_event is None:
            self._gone_event = asyncio.Event()
        await self._gone_event.wait()

    @property
    def client_gone(self) -> bool:
        """The client has closed its side of the connection, or the connection is lost."""
        return self._gone

    # -- for the server

    def feed(self, data: bytes) -> None:
        """More of the body."""
        self.received_bytes += len(data)
        if self.discarding:
            return
        self._chunks.append(data)
        self.buffered_bytes += len(data)
        if self._waiter is not None:
            self._wake()

    def finish(self) -> None:
        """The body is whole."""
        self.complete = True
        if self._waiter is not None:
            self._wake()

    def fail(self, error: ClientGone) -> None:
        """The rest of the body will never come."""
        if not self.complete and self._error is None:
            self._error = error
            self._wake()

    def can_drain(self, bytes_max: int) -> bool:
        """Whether what is still to come of the body is so little, as far as one can tell."""
        if self.complete:
            return True
        if self.continue_pending:
            # Nobody can tell whether the client will send the body it asked about.
            return False
        # Nor how much of a chunked one is still to come: as much as there was, perhaps.
        size, came = self.content_length, self.received_bytes
        return (came if size is None else size - came) <= bytes_max

    def discard(self) -> None:
        """The answer is on its way: whatever of the body is still to come is thrown away."""
        self.discarding = True
        self._chunks.clear()
        self.buffered_bytes = 0

    def lose_client(self) -> None:
        """The client's side is closed."""
        self._gone = True
        if self._gone_event is not None:
            self._gone_event.set()

    def _limit(self, bytes_max: int | None) -> int | None:
        if bytes_max is None:
            return self._body_bytes_max
        return bytes_max if self._body_bytes_max is None else min(bytes_max, self._body_bytes_max)

    def _take_all(self) -> bytes:
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if self.buffered_bytes:
            self.buffered_bytes = 0
            if self._source is not None:
                self._source.body_taken(self)
        return body

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
