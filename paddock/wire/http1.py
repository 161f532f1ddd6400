"""An HTTP/1.1 server: one asyncio.Protocol over httptools, for the front and for the Runtime API.

How it works. The parser turns bytes into IncomingRequests, which queue per connection and are answered one after
the other, each in a task of its own (or an errand, which is less); the next one of a pipeline starts when the answer
before it is written. Whatever a connection waits for has one deadline (an attribute, set on each change of state); a
single coarse timer of the server compares them all, so that no request pays for a timer.

Worked example: a client sends `POST / ... Content-Length: 100000` slowly. Its head must be whole within
head_timeout_s. The handler starts as soon as it is and reads; the connection now must bring body bytes at least
every body_idle_timeout_s and body_bytes_per_s_min on average. The handler answers: 1 write. If it answers early, the
rest of the body is thrown away while it is small (drain_bytes_max), else the answer says `Connection: close`, and what
still comes is discarded for linger_timeout_s, because closing at once would make the kernel reset the connection
and the client lose the answer.

Known caveats: `Upgrade` is ignored, as RFC 9110 allows; CONNECT is refused. While reading is paused (a full buffer,
a full pipeline) a client's disappearance is noticed only afterwards. Deadlines are kept to about a quarter of the
smallest one, at best 10 ms.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime

from paddock.wire.http1_connection import Handler, Http1Protocol, Shared
from paddock.wire.http1_limits import HttpLimits
from paddock.wire.http1_request import AnswerCut, BodyTooLarge, ClientGone, IncomingRequest

__all__ = [
    "AnswerCut",
    "BodyTooLarge",
    "ClientGone",
    "Handler",
    "Http1Protocol",
    "HttpLimits",
    "HttpServer",
    "IncomingRequest",
]

log = logging.getLogger("paddock.http")

TICK_S_MIN, TICK_S_MAX = 0.01, 1.0


class HttpServer:
    """A running server. `await HttpServer.start(...)` makes one, `await close(drain_s)` ends it."""

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits,
        now: Callable[[], datetime],
        is_light: Callable[[IncomingRequest], bool] = lambda request: False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = now
        self._shared = Shared(handler, limits, self._common_lines, is_light)
        self._shared.first_connected = self._start_ticking
        self._servers: list[asyncio.Server] = []
        self._ticker: asyncio.TimerHandle | None = None
        shortest = limits.shortest_timeout_s()
        self._tick_s = None if shortest is None else min(max(shortest / 4, TICK_S_MIN), TICK_S_MAX)
        self._common = ""
        self._common_until = -1.0

    @classmethod
    async def start(
        cls,
        handler: Handler,
        socks: Sequence[socket.socket],
        *,
        limits: HttpLimits,
        now: Callable[[], datetime],
        tls: ssl.SSLContext | None = None,
        is_light: Callable[[IncomingRequest], bool] = lambda request: False,
    ) -> HttpServer:
        """Serve on stream sockets that are bound already (TCP or unix); the server owns them from here on.

        now: aware UTC time for the Date header. Each request is answered by `handler`, in a task of its own, but for
        those which is_light: whole ones, whose answering awaits nothing but futures (errand.py).
        """
        server = cls(handler, limits, now, is_light)
        loop = server._loop
        for sock in socks:
            make = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
            server._servers.append(await make(server._connection, sock=sock, ssl=tls, backlog=1024))
        return server

    @property
    def connection_count(self) -> int:
        """Connections open now."""
        return len(self._shared.connections)

    async def close(self, drain_s: float) -> None:
        """Accept no more, let running requests finish for up to drain_s seconds, then cut what is left."""
        shared = self._shared
        shared.closing = True
        for server in self._servers:
            server.close()
        for connection in list(shared.connections):
            connection.close_if_idle()
        shared.note_gone()
        try:
            async with asyncio.timeout(drain_s):
                await shared.all_gone.wait()
        except TimeoutError:
            left = shared.connections | shared.busy
            log.info("closing cuts off %d connections", len(left))
            tasks = [connection.task for connection in left if isinstance(connection.task, asyncio.Task)]
            for connection in left:
                connection.cut()
            await asyncio.gather(*tasks, return_exceptions=True)
            await shared.all_gone.wait()
        if self._ticker is not None:
            self._ticker.cancel()

    def _connection(self) -> Http1Protocol:
        return Http1Protocol(self._shared)

    def _common_lines(self) -> str:
        """Date and Server, made anew once a second."""
        now_s = self._loop.time()
        if now_s >= self._common_until:
            date = format_datetime(self._now().astimezone(UTC), usegmt=True)
            self._common = f"Date: {date}\r\nServer: paddock\r\n"
            self._common_until = now_s + 1.0
        return self._common

    def _start_ticking(self) -> None:
        if self._tick_s is not None and self._ticker is None:
            self._ticker = self._loop.call_later(self._tick_s, self._tick)

    def _tick(self) -> None:
        """The one timer: end what is overdue; stop ticking while nobody is connected."""
        self._ticker = None
        now_s = self._loop.time()
        for connection in [c for c in self._shared.connections if c.deadline <= now_s]:
            connection.expire()
        if self._shared.connections:
            self._start_ticking()
