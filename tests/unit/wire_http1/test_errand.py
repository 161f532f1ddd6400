"""Requests that are answered without a task: as the others are, whatever becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from paddock.wire.errand import Errand
from paddock.wire.http1 import IncomingRequest
from paddock.wire.messages import Response

REQUEST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
Run = Callable[..., None]


def whole(request: IncomingRequest) -> bool:
    return True


def test_it_begins_at_once_and_goes_on_with_each_future(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        seen: list[Any] = []

        async def work() -> None:
            seen.append("begun")
            seen.append(await first)
            await asyncio.sleep(0)
            try:
                await second
            except ValueError as error:
                seen.append(error)

        errand = Errand(work())
        assert seen == ["begun"]
        assert not errand.is_over
        first.set_result(1)
        await asyncio.sleep(0)
        wrong = ValueError()
        second.set_exception(wrong)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen == ["begun", 1, wrong]
        assert errand.is_over

    run(main())


def test_cancelled_it_ends_where_it_waits(run: Run) -> None:
    async def main() -> None:
        waits: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        seen: list[str] = []

        async def work() -> None:
            try:
                await waits
            finally:
                seen.append("cleaned")

        errand = Errand(work())
        errand.cancel()
        assert seen == ["cleaned"]
        assert waits.cancelled()
        assert errand.is_over
        errand.cancel()

    run(main())


def test_answers_of_both_kinds_and_a_pipeline_come_in_order(serve: Any, run: Run) -> None:
    async def main() -> None:
        tasks = set()

        async def handler(request: IncomingRequest) -> Response:
            tasks.add(asyncio.current_task())
            body = await request.read(None)
            if request.path == "/later":
                later: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                asyncio.get_running_loop().call_soon(later.set_result, None)
                await later
            return Response(status=200, body=body + request.path.encode())

        async with serve(handler, is_light=whole) as rig:
            client = await rig.connect()
            assert (await client.ask(REQUEST)).body == b"hi/a"
            assert tasks == {None}, "no task for it"
            later = REQUEST.replace(b"/a", b"/later")
            await client.send(later + REQUEST + later)
            assert [(await client.answer()).body for _ in range(3)] == [b"hi/later", b"hi/a", b"hi/later"]

    run(main())


def test_a_request_whose_body_is_still_to_come_gets_a_task(serve: Any, run: Run) -> None:
    async def main() -> None:
        async def handler(request: IncomingRequest) -> Response:
            async with asyncio.timeout(10):  # which only a task can
                return Response(status=200, body=await request.read(None))

        async with serve(handler, is_light=whole) as rig:
            client = await rig.connect()
            await client.send(REQUEST[:-1])
            while not rig.server._shared.busy:
                await asyncio.sleep(0.001)
            assert (await client.ask(REQUEST[-1:])).body == b"hi"

    run(main())


def test_a_defect_of_the_handler_is_a_500(serve: Any, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async def handler(request: IncomingRequest) -> Response:
            raise RuntimeError("of ours")

        async with serve(handler, is_light=whole) as rig:
            client = await rig.connect()
            assert (await client.ask(REQUEST)).status == 500
        assert "a handler failed" in caplog.text

    run(main())


def test_a_client_that_leaves_stops_nobody(serve: Any, run: Run) -> None:
    async def main() -> None:
        held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ended = asyncio.Event()

        async def handler(request: IncomingRequest) -> Response:
            await held
            ended.set()
            return Response(status=200)

        async with serve(handler, is_light=whole) as rig:
            client = await rig.connect()
            await client.send(REQUEST)
            while not rig.server._shared.busy:
                await asyncio.sleep(0.001)
            client.writer.close()
            held.set_result(None)
            await ended.wait()
            assert (await (await rig.connect()).ask(REQUEST)).status == 200

    run(main())


def test_closing_cuts_it_off(run: Run, serve: Any) -> None:
    async def main() -> None:
        cut = asyncio.Event()

        async def handler(request: IncomingRequest) -> Response:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                cut.set()
                raise
            raise AssertionError

        async with serve(handler, is_light=whole) as rig:
            client = await rig.connect()
            await client.send(REQUEST)
            while not rig.server._shared.busy:
                await asyncio.sleep(0.001)
            await rig.server.close(drain_s=0.01)
            assert cut.is_set()
            assert await client.closed()

    run(main())
