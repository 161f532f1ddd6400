"""The buffer between a function that writes and a client that reads, without either."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from paddock.interfaces import ResponseSink
from paddock.invoke.streaming import HELD_BYTES_MAX, ResponseStream, StreamedInvocation, Throttle
from paddock.model.errors import InternalError, TooManyRequests
from paddock.model.invocation import InvocationResult
from paddock.model.quotas import Quotas

DONE = InvocationResult(payload=b"", executed_version="$LATEST")


class FakeClock:
    """Time passes by sleeping alone."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        raise AssertionError("nobody needs the date")

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


class FakeDispatcher:
    """Runs `work` with the sink; what it returns or raises is the end."""

    def __init__(self, work: Any) -> None:
        self._work = work

    async def run(self, invocation: object, sink: ResponseSink) -> InvocationResult:
        found: InvocationResult = await self._work(sink)
        return found


async def started(work: Any, bytes_max: int = 1 << 30) -> StreamedInvocation:
    dispatcher: Any = FakeDispatcher(work)
    nobody: Any = None
    return await StreamedInvocation.start(dispatcher, nobody, Quotas(streamed_bytes_max=bytes_max), FakeClock())


async def all_of(stream: ResponseStream) -> bytes:
    read = b""
    while piece := await stream.next_piece():
        read += piece
    return read


def test_the_first_piece_is_read_before_the_end() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def work(sink: ResponseSink) -> InvocationResult:
            sink.begin("text/plain")
            sink.put(b"one")
            await gate.wait()
            sink.put(b"two")
            return DONE

        running = await started(work)
        assert running.stream.content_type == "text/plain"
        assert await running.stream.next_piece() == b"one"
        gate.set()
        assert await all_of(running.stream) == b"two"
        assert await running.result() is DONE

    asyncio.run(main())


def test_who_writes_waits_for_who_reads() -> None:
    async def main() -> None:
        held: list[int] = []

        async def work(sink: ResponseSink) -> InvocationResult:
            sink.begin("")
            for _ in range(64):
                if not sink.put(bytes(65_536)):
                    held.append(sink.taken_bytes)
                    await sink.room()
            return DONE

        running = await started(work)
        for _ in range(100):
            await asyncio.sleep(0)
        assert held == [HELD_BYTES_MAX], "nobody has read yet"
        assert len(await all_of(running.stream)) == 64 * 65_536
        assert len(held) == 64 * 65_536 // HELD_BYTES_MAX

    asyncio.run(main())


def test_a_reader_who_leaves_stops_nobody() -> None:
    async def main() -> None:
        async def work(sink: ResponseSink) -> InvocationResult:
            sink.begin("")
            for _ in range(64):
                if not sink.put(bytes(65_536)):
                    await sink.room()
            return DONE

        running = await started(work)
        running.stream.abandon()
        assert await running.result() is DONE
        assert running.stream.taken_bytes == 64 * 65_536
        assert await running.stream.next_piece() == b""

    asyncio.run(main())


def test_too_much_is_told_and_not_kept() -> None:
    async def main() -> None:
        stream = ResponseStream(bytes_max=10)
        stream.begin("")
        assert stream.put(bytes(10))
        assert not stream.is_exceeded
        assert stream.put(b"!")
        assert stream.is_exceeded
        stream.end()
        assert await all_of(stream) == bytes(10)

    asyncio.run(main())


def test_a_throttle_lets_so_much_pass_at_once_and_so_much_a_second() -> None:
    async def main() -> None:
        clock = FakeClock()
        throttle = Throttle(600, 200, clock)
        for size in (100, 500):
            await throttle.passed(size)
        assert clock.slept == []
        await throttle.passed(100)
        assert clock.slept == [0.5]
        await throttle.passed(50)
        assert clock.slept == [0.5, 0.25]
        clock.seconds += 1.0  # the function says nothing for a second: so much may come at once again
        await throttle.passed(200)
        assert clock.slept == [0.5, 0.25]
        clock.seconds += 1000.0  # but never more than at the beginning
        await throttle.passed(700)
        assert clock.slept == [0.5, 0.25, 0.5]

    asyncio.run(main())


def test_a_throttled_stream_makes_its_reader_wait() -> None:
    async def main() -> None:
        clock = FakeClock()
        stream = ResponseStream(1 << 20, Throttle(10, 10, clock))
        for _ in range(3):
            stream.put(bytes(10))
            assert await stream.next_piece() == bytes(10)
        stream.end()
        assert await stream.next_piece() == b""
        assert clock.slept == [1.0, 1.0]

    asyncio.run(main())


@pytest.mark.parametrize("error", [TooManyRequests("ConcurrentInvocationLimitExceeded"), InternalError("no")])
def test_what_is_refused_before_the_first_byte_is_raised(error: Exception) -> None:
    async def main() -> None:
        async def work(sink: ResponseSink) -> InvocationResult:
            raise error

        with pytest.raises(type(error)):
            await started(work)

    asyncio.run(main())


def test_what_fails_after_it_is_raised_at_the_end() -> None:
    async def main() -> None:
        async def work(sink: ResponseSink) -> InvocationResult:
            sink.begin("")
            sink.put(b"half")
            raise InternalError("no")

        running = await started(work)
        assert await all_of(running.stream) == b"half"
        with pytest.raises(InternalError):
            await running.result()

    asyncio.run(main())


def test_a_function_that_does_not_stream() -> None:
    async def main() -> None:
        result = InvocationResult(payload=b"1", executed_version="$LATEST")

        async def work(sink: ResponseSink) -> InvocationResult:
            return result

        running = await started(work)
        assert not running.stream.has_begun
        assert await running.stream.next_piece() == b""
        assert await running.result() is result

    asyncio.run(main())


def test_a_caller_who_is_cancelled_lets_the_function_end() -> None:
    async def main() -> None:
        gate, ended = asyncio.Event(), asyncio.Event()

        async def work(sink: ResponseSink) -> InvocationResult:
            await gate.wait()
            sink.begin("")
            while not sink.put(bytes(HELD_BYTES_MAX)):
                await sink.room()
            ended.set()
            return DONE

        waiting = asyncio.ensure_future(started(work))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        await ended.wait()

    asyncio.run(main())
