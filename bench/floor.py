"""The references of the warm path, each an HTTP server of its own on uvloop and httptools.

    python -m bench.floor echo PORT_FD       answers in the parser's callback: the least an HTTP server can do
    python -m bench.floor hop PORT_FD        one unix-socket hop to one of four Python processes, length-prefixed
                                             frames, the standard library's json: "the floor" of an Invoke

They know nothing of AWS: no routing, no signatures, no limits, no isolation, no logs.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
from collections import deque
from typing import cast

import httptools
import uvloop

WORKERS = 4
_LENGTH = struct.Struct("!I")
_CHUNK = 65536


class _Http(asyncio.Protocol):
    """The HTTP half: collects a body, then `complete`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def answer(self, body: bytes) -> None:
        if not self.transport.is_closing():
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n" % len(body)
            self.transport.write(head + body)


class Echo(_Http):
    def on_message_complete(self) -> None:
        body, self.body = self.body, b""
        self.answer(body)


class Pool:
    """Requests that wait, and workers that are free."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Hop, bytes]] = deque()
        self.free: deque[Worker] = deque()

    def match(self) -> None:
        while self.waiting and self.free:
            request, body = self.waiting.popleft()
            self.free.pop().take(request, body)


class Hop(_Http):
    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def on_message_complete(self) -> None:
        body, self.body = self.body, b""
        self.pool.waiting.append((self, body))
        self.pool.match()


class Worker(asyncio.Protocol):
    """The front's end of one worker process."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.buffer = b""
        self.asker: Hop | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self.pool.free.append(self)

    def take(self, asker: Hop, body: bytes) -> None:
        self.asker = asker
        self.transport.write(_LENGTH.pack(len(body)) + body)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if len(self.buffer) < _LENGTH.size:
            return
        (length,) = _LENGTH.unpack_from(self.buffer)
        if len(self.buffer) < _LENGTH.size + length:
            return
        body, self.buffer = self.buffer[_LENGTH.size :], b""
        asker, self.asker = self.asker, None
        self.pool.free.append(self)
        if asker is not None:
            asker.answer(body)
        self.pool.match()


def handler(event: object) -> object:
    return event


def work(sock: socket.socket) -> None:
    """The other end: what a function's process does at the least."""
    buffer = b""
    while True:
        while len(buffer) < _LENGTH.size or len(buffer) < _LENGTH.size + _LENGTH.unpack_from(buffer)[0]:
            data = sock.recv(_CHUNK)
            if not data:
                return
            buffer += data
        (length,) = _LENGTH.unpack_from(buffer)
        end = _LENGTH.size + length
        result = json.dumps(handler(json.loads(buffer[_LENGTH.size : end]))).encode()
        buffer = buffer[end:]
        sock.sendall(_LENGTH.pack(len(result)) + result)


def start_workers() -> list[socket.socket]:
    """Forked before the loop exists. They end when their socket does, which is when the front ends."""
    ends: list[socket.socket] = []
    for _ in range(WORKERS):
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            for end in [*ends, ours]:
                end.close()
            try:
                work(theirs)
            finally:
                os._exit(0)
        theirs.close()
        ends.append(ours)
    return ends


async def serve(listener: socket.socket, workers: list[socket.socket]) -> None:
    loop = asyncio.get_running_loop()
    pool = Pool()
    for sock in workers:
        sock.setblocking(False)
        await loop.create_unix_connection(lambda: Worker(pool), sock=sock)
    server = await loop.create_server((lambda: Hop(pool)) if workers else Echo, sock=listener)
    await server.serve_forever()


def main(kind: str, listener_fd: int) -> None:
    uvloop.run(serve(socket.socket(fileno=listener_fd), start_workers() if kind == "hop" else []))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
