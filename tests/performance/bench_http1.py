"""Our HTTP server against the least that httptools allows: a protocol that answers in the parser's callback.

    python tests/performance/bench_http1.py [seconds]

Both echo a 42-byte JSON body on uvloop; a raw client in another process keeps one request open on each of its
connections. Only the ratio means anything; the reference runs in the same run, before and after.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import sys
import time
from datetime import UTC, datetime

import httptools
import uvloop

from paddock.wire.http1 import HttpLimits, HttpServer, IncomingRequest
from paddock.wire.messages import Response

BODY = b'{"key":"value","number":123456789,"x":"y"}'
REQUEST = (
    b"POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nHost: 127.0.0.1:4566\r\nUser-Agent: bench/1\r\n"
    b"X-Amz-Date: 20260504T030201Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIA/20260504/us-east-1/lambda/"
    b"aws4_request, SignedHeaders=host;x-amz-date, Signature=%s\r\nContent-Length: %d\r\n\r\n%s"
    % (b"0" * 64, len(BODY), BODY)
)


class Bare(asyncio.Protocol):
    """No limits, no headers kept, no tasks: the floor."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n" % len(self.body)
        self.transport.write(head + self.body)  # type: ignore[attr-defined]
        self.body = b""


class Hammer(asyncio.Protocol):
    """Sends the next request when the answer before it is whole; counts."""

    counted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(REQUEST)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if data.endswith(BODY):
            Hammer.counted += 1
            self.transport.write(REQUEST)  # type: ignore[attr-defined]


async def ours(request: IncomingRequest) -> Response:
    return Response(status=200, headers=(("Content-Type", "application/json"),), body=await request.read(6_291_456))


def serve(kind: str, sock: socket.socket) -> None:
    """Run one server until it is told to end."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, ended.set)
        if kind.strip() == "bare":
            await loop.create_server(Bare, sock=sock)
        else:
            await HttpServer.start(ours, [sock], limits=HttpLimits(), now=lambda: datetime.now(UTC))
        await ended.wait()
        os._exit(0)

    uvloop.run(main())


async def hammer(address: tuple[str, int], connections: int, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    transports = [(await loop.create_connection(Hammer, *address))[0] for _ in range(connections)]
    await asyncio.sleep(0.5)
    counted, started = Hammer.counted, time.perf_counter()
    await asyncio.sleep(seconds)
    rate = (Hammer.counted - counted) / (time.perf_counter() - started)
    for transport in transports:
        transport.abort()
    return rate


def measure(kind: str, connections: int, seconds: float) -> tuple[float, float]:
    """Requests per second, and the server's CPU microseconds per request."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(512)
    process = multiprocessing.get_context("fork").Process(target=serve, args=(kind, sock))
    process.start()
    before = Hammer.counted
    rate = uvloop.run(hammer(sock.getsockname(), connections, seconds))
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    process.terminate()
    process.join()
    sock.close()
    return rate, cpu_s / (Hammer.counted - before) * 1e6


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    for connections in (1, 16):
        results = {kind: [measure(kind, connections, seconds) for _ in range(2)] for kind in ("bare", "ours", "bare ")}
        bare = max(results["bare"] + results["bare "])
        mine = max(results["ours"])
        print(
            f"{connections:3} connections: bare {bare[0]:7.0f}/s {bare[1]:5.1f} us CPU   ours {mine[0]:7.0f}/s "
            f"{mine[1]:5.1f} us CPU   ours/bare {mine[0] / bare[0]:.2f}"
        )


if __name__ == "__main__":
    main()
