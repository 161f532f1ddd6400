"""What listens inside an environment's network: the Runtime API and Paddock's own API.

Both sockets were opened inside the sandbox and handed out, so they can be reached from there and from nowhere else.
A server is started on one when its first connection knocks: most functions never use either, and a cold start should
not pay for them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from datetime import datetime

from paddock.interfaces import Sandbox
from paddock.model.function import FunctionVersion
from paddock.wire.http1 import Handler, HttpLimits, HttpServer, IncomingRequest
from paddock.wire.messages import Response
from paddock.worker import runtime_api
from paddock.worker.runtime_api import HttpPort

API_CONNECTIONS_MAX = 256
BODIES_BYTES_MAX = 128 << 20
"""Of request bodies that one environment may have in the server's memory at a time."""


class _Door:
    """One listening socket, served from its first knock on."""

    def __init__(self, sock: socket.socket, handler: Handler, limits: HttpLimits, now: Callable[[], datetime]) -> None:
        self._socket = sock
        self._handler = handler
        self._limits = limits
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._opening: asyncio.Task[HttpServer] | None = None
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._knock)

    def _knock(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        start = HttpServer.start(self._handler, [self._socket], limits=self._limits, now=self._now)
        self._opening = self._loop.create_task(start)

    def close(self) -> asyncio.Task[None] | None:
        """Close the socket; when a server runs on it already, in the background, by the task returned."""
        if self._opening is None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            return None
        return self._loop.create_task(_close(self._opening))


async def _close(opening: asyncio.Task[HttpServer]) -> None:
    server = await opening
    await server.close(0)


def _within(bytes_max: int, body_bytes_max: int | None, handler: Handler) -> Handler:
    """`handler` for requests whose bodies together stay within bytes_max; the rest wait, unread, for their turn.

    A function may open many connections and bring the largest allowed body on each: without this it would choose how
    much memory the server uses. A body of unknown length counts as the largest allowed one.
    """
    left = bytes_max
    freed = asyncio.Event()

    async def handle(incoming: IncomingRequest) -> Response:
        nonlocal left, freed
        declared = incoming.content_length
        size = min(bytes_max, (body_bytes_max or bytes_max) if declared is None else declared)
        while left < size:
            await freed.wait()
        left -= size
        try:
            return await handler(incoming)
        finally:
            left += size
            freed.set()
            freed = asyncio.Event()

    return handle


class Ports:
    """api_for: the handler of Paddock's own API as a function of this version may use it. limits: of that API."""

    def __init__(
        self, api_for: Callable[[FunctionVersion], Handler], limits: HttpLimits, now: Callable[[], datetime]
    ) -> None:
        self._api_for = api_for
        self._limits = limits
        self._now = now
        self._closing: set[asyncio.Task[None]] = set()

    async def serve(self, port: HttpPort, sandbox: Sandbox, version: FunctionVersion) -> Callable[[], None]:
        """Open both doors; returns what closes them."""
        api = _within(BODIES_BYTES_MAX, self._limits.body_bytes_max, self._api_for(version))
        doors = (
            _Door(sandbox.runtime_api, port.handle, runtime_api.LIMITS, self._now),
            _Door(sandbox.aws_api, api, self._limits, self._now),
        )

        def close() -> None:
            for door in doors:
                task = door.close()
                if task is not None:
                    self._closing.add(task)
                    task.add_done_callback(self._closing.discard)

        return close
