"""A real HttpServer on loopback, and raw clients for it. Every test runs on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import uvloop

from paddock.wire.http1 import Handler, HttpLimits, HttpServer, IncomingRequest
from paddock.wire.messages import Response

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


async def echo(request: IncomingRequest) -> Response:
    """The body back, with what was understood in headers."""
    body = await request.read(None)
    seen = f"{request.method} {request.path}?{request.query}"
    return Response(status=200, headers=(("X-Seen", seen),), body=body)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A raw client: sends bytes as they are, reads whole answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, method: str = "GET") -> Answer:
        block = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = block.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        status = int(first.split(" ")[1])
        body = b""
        if method == "HEAD" or status in (100, 204, 304):
            pass
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(await self.reader.readline(), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        elif "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        else:
            body = await self.reader.read()
        return Answer(status, headers, body)

    async def ask(self, data: bytes, method: str = "GET") -> Answer:
        await self.send(data)
        return await self.answer(method)

    async def closed(self) -> bool:
        """Read to the end; true when nothing more came before it."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True


class Rig:
    """A server and its clients."""

    def __init__(self, server: HttpServer, address: Any) -> None:
        self.server = server
        self.address = address
        self.clients: list[Client] = []

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_connection(*self.address, limit=1 << 22)
        client = Client(reader, writer)
        self.clients.append(client)
        return client


Serve = Callable[..., Any]


@pytest.fixture
def serve() -> Serve:
    @asynccontextmanager
    async def running(
        handler: Handler = echo, is_light: Callable[[IncomingRequest], bool] = lambda request: False, **limits: Any
    ) -> AsyncIterator[Rig]:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        server = await HttpServer.start(
            handler, [sock], limits=HttpLimits(**limits), now=lambda: NOW, is_light=is_light
        )
        rig = Rig(server, sock.getsockname())
        try:
            yield rig
        finally:
            for client in rig.clients:
                client.writer.close()
            await server.close(drain_s=5.0)

    return running


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_it(main: Coroutine[Any, Any, None]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(30):
                await main

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(bounded())

    return run_it
