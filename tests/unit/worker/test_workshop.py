"""What developers want of a function: which version an event runs, and for how long; and a debugger's way in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

import pytest

from paddock.interfaces import Ended
from paddock.model.development import DEBUG_TIME_S, Development
from paddock.model.errors import ResourceConflict
from paddock.model.function import FunctionVersion
from paddock.model.invocation import Invocation, InvocationResult
from paddock.worker import workshop
from paddock.worker.debugging import Relay, settings_for
from paddock.worker.worker import Worker
from paddock.worker.workshop import Workshop
from tests.unit.worker.world import SETTINGS, FakeClock, event, invocation, until, version

BUILDS = frozenset({"build-1"})
MOUNTED = Development(directory="/home/me/f", generation=1)


class FakeWorker:
    """Remembers what was run, retired and started; `gate` holds what runs."""

    def __init__(self) -> None:
        self.ran: list[FunctionVersion] = []
        self.retired: list[tuple[str, frozenset[str]]] = []
        self.ahead: list[FunctionVersion] = []
        self.running = self.most_running = 0
        self.gate: asyncio.Event | None = None
        self.inside: list[socket.socket] = []
        self.held = self
        self.tasks: dict[str, asyncio.Future[InvocationResult]] = {}

    def begin(self, invocation: Invocation, ended: Ended, sink: object = None) -> None:
        task = self.tasks[invocation.request_id] = asyncio.ensure_future(self.run(invocation))
        task.add_done_callback(
            lambda task: ended(asyncio.CancelledError() if task.cancelled() else task.exception() or task.result())
        )

    def break_off(self, request_id: str) -> None:
        self.tasks[request_id].cancel()

    async def run(self, invocation: Invocation) -> InvocationResult:
        self.ran.append(invocation.version)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await (self.gate.wait() if self.gate is not None else asyncio.sleep(0))
        finally:
            self.running -= 1
        return InvocationResult(payload=invocation.payload, executed_version="$LATEST")

    async def retire(self, function_arn: str, keep_builds: frozenset[str]) -> None:
        self.retired.append((function_arn, keep_builds))

    async def start_ahead(self, version: FunctionVersion) -> None:
        self.ahead.append(version)

    async def connect(self, function_arn: str, port: int) -> socket.socket:
        if not self.inside:
            raise ConnectionRefusedError("nobody listens yet")
        return self.inside.pop(0)


def played(act: Callable[[Workshop, FakeWorker], Awaitable[None]]) -> FakeWorker:
    async def main() -> FakeWorker:
        worker = FakeWorker()
        shop = Workshop(cast(Worker, worker), FakeClock())
        await act(shop, worker)
        await shop.close()
        return worker

    return asyncio.run(main())


def test_only_latest_runs_as_its_developer_wants() -> None:
    async def act(shop: Workshop, worker: FakeWorker) -> None:
        await event(shop, invocation())
        await shop.develop(version(), BUILDS, MOUNTED)
        await event(shop, invocation())
        await event(shop, invocation(of=version(version="1")))
        await event(shop, invocation(of=version("other")))
        await shop.develop(version(), BUILDS, replace(MOUNTED, generation=2))
        await event(shop, invocation())
        await shop.release(version().function_arn)
        await shop.release(version().function_arn)
        await event(shop, invocation())

    worker = played(act)
    assert [(v.code.digest[:10], v.build_id) for v in worker.ran] == [
        ("a" * 10, "build-1"), ("directory:", "build-1-1"), ("a" * 10, "build-1"), ("a" * 10, "build-1"),
        ("directory:", "build-1-2"), ("a" * 10, "build-1"),
    ]  # fmt: skip
    assert worker.retired == [(version().function_arn, BUILDS)] * 3, "each time anew, nothing twice"
    assert {v.timeout_s for v in worker.ran} == {3}


def test_the_same_wish_again_changes_nothing_and_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workshop, "LEASE_S", 0.05)

    async def act(shop: Workshop, worker: FakeWorker) -> None:
        for _ in range(3):
            await shop.develop(version(), BUILDS, MOUNTED)
        assert len(worker.retired) == 1
        await until(lambda: len(worker.retired) == 2)  # nobody has said it again
        await event(shop, invocation())

    assert played(act).ran[-1].build_id == "build-1"


def test_what_a_debugger_holds_goes_one_after_the_other_and_has_time() -> None:
    async def act(shop: Workshop, worker: FakeWorker) -> None:
        wanted = await shop.develop(version(), BUILDS, Development(debug_port=0))
        assert wanted.debug_port
        await until(lambda: worker.ahead)
        await asyncio.gather(*(event(shop, invocation()) for _ in range(5)))
        again = await shop.develop(version(), BUILDS, wanted)
        assert (again, len(worker.ahead)) == (wanted, 1)

    worker = played(act)
    assert worker.most_running == 1
    assert {(v.timeout_s, v.is_debugged) for v in worker.ran + worker.ahead} == {(DEBUG_TIME_S, True)}
    held = settings_for(worker.ran[0], SETTINGS)
    assert held.init_timeout_s == held.freeze_after_idle_s == DEBUG_TIME_S
    assert not held.cpu_by_memory
    assert settings_for(version(), SETTINGS) is SETTINGS


def test_what_a_debugger_holds_is_broken_off_when_the_code_is_loaded_anew() -> None:
    async def act(shop: Workshop, worker: FakeWorker) -> None:
        worker.gate = asyncio.Event()
        wanted = await shop.develop(version(), BUILDS, Development(debug_port=0))
        events = [asyncio.ensure_future(event(shop, invocation())) for _ in range(2)]
        await until(lambda: worker.running)
        await shop.develop(version(), BUILDS, replace(wanted, generation=1))
        for one in events:
            with pytest.raises(ResourceConflict, match="loaded anew"):
                await one
        assert worker.running == 0
        worker.gate.set()
        await event(shop, invocation())

    assert played(act).ran[-1].build_id == "build-1-1-debug"


def test_a_port_that_is_taken() -> None:
    async def act(shop: Workshop, worker: FakeWorker) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            wanted = Development(debug_port=other.getsockname()[1])
            with pytest.raises(ResourceConflict, match="cannot be taken"):
                await shop.develop(version(), BUILDS, wanted)
        await event(shop, invocation())

    assert not played(act).ran[0].is_debugged


# -- the way in


def relayed(act: Callable[[Relay, list[socket.socket]], Awaitable[None]], speaks_dap: bool = True) -> None:
    async def main() -> None:
        inside: list[socket.socket] = []

        async def connect() -> socket.socket:
            if not inside:
                raise ConnectionRefusedError
            return inside.pop(0)

        class Impatient(FakeClock):
            async def sleep(self, seconds: float) -> None:
                await asyncio.sleep(0)

        relay = await Relay.open(0, connect, Impatient(), speaks_dap=speaks_dap)
        try:
            await act(relay, inside)
        finally:
            relay.close()

    asyncio.run(main())


async def opened(relay: Relay) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", relay.port)


def test_a_debugger_is_held_until_somebody_listens_inside() -> None:
    async def act(relay: Relay, inside: list[socket.socket]) -> None:
        reader, writer = await opened(relay)
        writer.write(b"Content-Length: 2\r\n\r\n{}")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        inside.append(theirs)
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(ours, 100) == b"Content-Length: 2\r\n\r\n{}"[:100]
        await loop.sock_sendall(ours, b"hello")
        assert await reader.readexactly(5) == b"hello"
        ours.close()
        assert await reader.read() == b""
        writer.close()

    relayed(act)


@pytest.mark.parametrize("said", [b"POST / HTTP/1.1\r\n", b"GET /json HTTP/1.1\r\n", b"OPTIONS / HTTP/1.1\r\n"])
def test_what_a_browser_says_does_not_reach_a_debug_server(said: bytes) -> None:
    async def act(relay: Relay, inside: list[socket.socket]) -> None:
        ours, theirs = socket.socketpair()
        inside.append(theirs)
        reader, writer = await opened(relay)
        writer.write(said)
        assert await reader.read() == b""
        assert inside == [theirs], "nobody was connected"
        for each in (ours, theirs):
            each.close()
        writer.close()

    relayed(act)


def test_hanging_up_ends_who_waits_and_who_talks() -> None:
    async def act(relay: Relay, inside: list[socket.socket]) -> None:
        ours, theirs = socket.socketpair()
        inside.append(theirs)
        first, second = await opened(relay), await opened(relay)
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, b"x")
        talking = await asyncio.wait_for(asyncio.wait(
            [asyncio.ensure_future(one[0].read(1)) for one in (first, second)], return_when=asyncio.FIRST_COMPLETED
        ), 20)  # fmt: skip
        assert len(talking[0]) == 1
        relay.hang_up()
        assert await loop.sock_recv(ours, 1) == b""
        await asyncio.wait(talking[1])
        for _, writer in (first, second):
            writer.close()
        ours.close()

    relayed(act, speaks_dap=False)


def test_there_is_an_end_to_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paddock.worker.debugging.CONNECTIONS_MAX", 1)

    async def act(relay: Relay, inside: list[socket.socket]) -> None:
        _, held = await opened(relay)
        held.write(b"C")
        reader, refused = await opened(relay)
        assert await reader.read() == b""
        for writer in (held, refused):
            writer.close()

    relayed(act)
