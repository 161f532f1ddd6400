"""Starting and closing the server."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from pathlib import Path

from paddock.wire.http1 import HttpLimits, HttpServer, IncomingRequest
from paddock.wire.messages import Response

GET = b"GET /good HTTP/1.1\r\nHost: h\r\n\r\n"


def now() -> datetime:
    return datetime(2026, 5, 4, tzinfo=UTC)


def test_running_requests_are_finished_and_idle_connections_closed(run, serve) -> None:
    async def main() -> None:
        started, release = asyncio.Event(), asyncio.Event()

        async def handler(request: IncomingRequest) -> Response:
            if request.path == "/slow":
                started.set()
                await release.wait()
            return Response(status=200, body=b"done")

        async with serve(handler) as rig:
            idle, busy = await rig.connect(), await rig.connect()
            await idle.ask(GET)
            await busy.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
            await started.wait()
            closing = asyncio.create_task(rig.server.close(drain_s=20.0))
            assert await idle.closed()
            assert not closing.done()
            release.set()
            answer = await busy.answer()
            assert (answer.body, answer.headers["connection"]) == (b"done", "close")
            await closing
            assert rig.server.connection_count == 0

    run(main())


def test_what_outlasts_the_drain_is_cut(run, serve) -> None:
    async def main() -> None:
        started = asyncio.Event()
        cancelled: list[bool] = []

        async def handler(request: IncomingRequest) -> Response:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise
            return Response(status=200)

        async with serve(handler) as rig:
            client = await rig.connect()
            await client.send(GET)
            await started.wait()
            await rig.server.close(drain_s=0.01)
            assert cancelled == [True]
            assert await client.closed()

    run(main())


def test_a_handler_whose_client_left_is_waited_for(run, serve) -> None:
    async def main() -> None:
        started, release = asyncio.Event(), asyncio.Event()
        finished: list[bool] = []

        async def handler(request: IncomingRequest) -> Response:
            started.set()
            await release.wait()
            finished.append(True)
            return Response(status=200)

        async with serve(handler) as rig:
            client = await rig.connect()
            await client.send(GET)
            await started.wait()
            client.writer.transport.abort()
            closing = asyncio.create_task(rig.server.close(drain_s=20.0))
            await asyncio.sleep(0)
            release.set()
            await closing
        assert finished == [True]

    run(main())


def test_several_sockets_and_unix_sockets(run, tmp_path: Path) -> None:
    async def handler(request: IncomingRequest) -> Response:
        return Response(status=200, body=f"<{request.peer}>".encode())

    async def main() -> None:
        first, second = socket.socket(), socket.socket(socket.AF_UNIX)
        first.bind(("127.0.0.1", 0))
        second.bind(str(tmp_path / "s"))
        address = first.getsockname()
        server = await HttpServer.start(handler, [first, second], limits=HttpLimits(), now=now)
        reader, writer = await asyncio.open_connection(*address)
        mine = writer.get_extra_info("sockname")
        writer.write(GET.replace(b"Host: h", b"Host: h\r\nConnection: close"))
        assert (await reader.read()).endswith(f"<{mine[0]}:{mine[1]}>".encode())
        writer.close()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(GET.replace(b"Host: h", b"Host: h\r\nConnection: close"))
        assert (await reader.read()).endswith(b"<>")
        writer.close()
        await server.close(drain_s=5.0)

    run(main())
