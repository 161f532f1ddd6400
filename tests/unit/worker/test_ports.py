"""The doors inside an environment: a server behind each from its first knock on, and nothing after the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

from paddock.interfaces import Sandbox
from paddock.wire.http1 import HttpLimits, IncomingRequest
from paddock.wire.messages import Headers, Response
from paddock.worker.ports import Ports, _within
from paddock.worker.runtime_api import HttpPort
from tests.unit.worker.test_runtime_api import Holder
from tests.unit.worker.world import START, open_descriptors, settle, until, version


class House:
    """Only what Ports looks at: two listening sockets, on loopback."""

    def __init__(self) -> None:
        self.runtime_api, self.aws_api = socket.socket(), socket.socket()
        for sock in (self.runtime_api, self.aws_api):
            sock.bind(("127.0.0.1", 0))
            sock.listen(8)
        self.runtime_port, self.aws_port = (s.getsockname()[1] for s in (self.runtime_api, self.aws_api))


async def asks(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()
        await writer.wait_closed()


def played(act: Callable[[House, Callable[[], None], list[Any]], Awaitable[None]]) -> None:
    async def main() -> None:
        confined: list[Any] = []

        def api_for(of: Any) -> Callable[[IncomingRequest], Awaitable[Response]]:
            confined.append(of)

            async def handler(request: IncomingRequest) -> Response:
                return Response(status=200, body=b"aws " + request.path.encode())

            return handler

        before = open_descriptors()
        house, ports = House(), Ports(api_for, HttpLimits(), lambda: START)
        close = await ports.serve(HttpPort(Holder()), cast(Sandbox, house), version())
        await act(house, close, confined)
        await until(lambda: open_descriptors() <= before)
        assert not ports._closing

    asyncio.run(main())


def test_both_doors_answer_again_and_again() -> None:
    async def act(house: House, close: Callable[[], None], confined: list[Any]) -> None:
        assert confined == [version()]
        for _ in range(2):
            assert (await asks(house.runtime_port, "/2018-06-01/ping")).endswith(b"pong")
            assert (await asks(house.aws_port, "/x")).endswith(b"aws /x")
        close()

    played(act)


def test_doors_nobody_knocked_on_cost_nothing_and_close() -> None:
    async def act(house: House, close: Callable[[], None], confined: list[Any]) -> None:
        close()
        assert house.runtime_api.fileno() == house.aws_api.fileno() == -1

    played(act)


def test_closing_cuts_a_poll_off() -> None:
    async def act(house: House, close: Callable[[], None], confined: list[Any]) -> None:
        poll = asyncio.ensure_future(asks(house.runtime_port, "/2018-06-01/runtime/invocation/next"))
        await until(lambda: house.runtime_api.fileno() == -1 or len(asyncio.all_tasks()) > 3)
        close()
        result = await asyncio.gather(poll, return_exceptions=True)
        assert isinstance(result[0], bytes | ConnectionError)

    played(act)


def test_bodies_wait_for_room_and_the_largest_one_gets_its_turn() -> None:
    async def main() -> None:
        inside: list[str] = []
        gate = asyncio.Event()

        async def handler(request: IncomingRequest) -> Response:
            inside.append(request.path)
            await gate.wait()
            return Response(status=200)

        bounded = _within(100, 60, handler)

        def arrives(path: str, length: int | None) -> asyncio.Future[Response]:
            request = IncomingRequest(method="POST", path=path, headers=Headers(), content_length=length)
            return asyncio.ensure_future(bounded(request))

        first = [arrives("/60", 60), arrives("/unknown", None), arrives("/40", 40), arrives("/0", 0)]
        await settle()
        assert inside == ["/60", "/40", "/0"]
        gate.set()
        answers = await asyncio.wait_for(asyncio.gather(*first, arrives("/huge", 10_000)), 20)
        assert [answer.status for answer in answers] == [200] * 5
        assert sorted(inside[3:]) == ["/huge", "/unknown"]

    asyncio.run(main())
