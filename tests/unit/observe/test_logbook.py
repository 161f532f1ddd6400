"""LogBook over a real logs.db: batches, bounds, read-your-writes, failing disks, retention. Time is a fake."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from paddock.backends.sql.sqlite import SqliteStore
from paddock.backends.sql.statements import load_logs
from paddock.interfaces import Tx
from paddock.model.log import LogEvent, LogStreamRef
from paddock.observe import log_store
from paddock.observe.logbook import LogBook, LogBookLimits

NOW_MS = 1_768_478_400_000
A = LogStreamRef(account="000000000000", region="us-east-1", group="/aws/lambda/a", stream="a")
B = LogStreamRef(account="000000000000", region="us-east-1", group="/aws/lambda/b", stream="b")


class FakeClock:
    """Sleepers wake when the test says so."""

    def __init__(self) -> None:
        self.at = datetime.fromtimestamp(NOW_MS / 1000, UTC)
        self.sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self.sleepers.append((seconds, woken))
        await woken.wait()

    def asleep(self, seconds: float) -> int:
        """How many sleeps of that length have begun."""
        return len([duration for duration, _ in self.sleepers if duration == seconds])

    def wake(self, seconds: float) -> None:
        for duration, woken in self.sleepers:
            if duration == seconds:
                woken.set()


class FlakyStore:
    """A Store whose writes fail while `full`."""

    def __init__(self, inner: SqliteStore) -> None:
        self.inner = inner
        self.full = False
        self.writes = 0

    async def write(self, work: Callable[[Tx], Any]) -> Any:
        self.writes += 1
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return await self.inner.write(work)

    async def read(self, work: Callable[[Tx], Any]) -> Any:
        return await self.inner.read(work)

    async def close(self) -> None:
        await self.inner.close()


Story = Callable[[LogBook, FlakyStore, FakeClock], Awaitable[None]]


def play(tmp_path: Path, story: Story, **limits: Any) -> None:
    async def run() -> None:
        store = FlakyStore(await SqliteStore.open(tmp_path / "logs.db", statements=load_logs()))
        clock = FakeClock()
        book = LogBook(store=store, clock=clock, limits=LogBookLimits(**limits))
        try:
            await story(book, store, clock)
        finally:
            await store.close()

    asyncio.run(run())


def event(text: str, at_ms: int = NOW_MS) -> LogEvent:
    return LogEvent(at_ms, text)


async def messages(store: FlakyStore, ref: LogStreamRef) -> list[str]:
    def work(tx: Tx) -> list[str]:
        group = log_store.group_of(tx, ref.account, ref.region, ref.group)
        stream = log_store.stream_of(tx, group, ref.stream) if group else None
        if group is None or stream is None:
            return []
        span = log_store.Span(group_id=group.id, stream_id=stream.id)
        return [each.message for each in log_store.read_page(tx, span, bounds=log_store.Bounds()).events]

    result: list[str] = await store.read(work)
    return result


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it is so; the test's own timeout is the bound."""
    while not condition():
        await asyncio.sleep(0)


def test_a_flush_makes_group_stream_and_events(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        book.put(A, [event("one\n", NOW_MS - 2), event("two\n")])
        assert await book.flush()
        assert await messages(store, A) == ["one\n", "two\n"]

        def facts(tx: Tx) -> tuple[log_store.Group, log_store.Stream]:
            group = log_store.group_of(tx, A.account, A.region, A.group)
            assert group is not None
            stream = log_store.stream_of(tx, group, A.stream)
            assert stream is not None
            return group, stream

        group, stream = await store.read(facts)
        assert (group.stored_bytes, stream.stored_bytes) == (2 * (4 + 26),) * 2
        assert (stream.first_event_ms, stream.last_event_ms) == (NOW_MS - 2, NOW_MS)
        assert (group.created_ms, stream.last_ingestion_ms) == (NOW_MS, NOW_MS)

    play(tmp_path, story)


def test_the_background_task_writes_after_the_interval(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        book.start()
        book.put(A, [event("one\n")])
        await until(lambda: clock.asleep(0.1) == 1)
        assert store.writes == 0
        clock.wake(0.1)
        await until(lambda: book.stats().waiting_events == 0)
        assert await messages(store, A) == ["one\n"]
        await book.stop()

    play(tmp_path, story)


def test_a_full_batch_does_not_wait_for_the_interval(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        book.start()
        book.put(A, [event("one\n")])
        await until(lambda: bool(clock.sleepers))
        book.put(A, [event("two\n"), event("three\n")])
        await until(lambda: book.stats().waiting_events == 0)
        assert await messages(store, A) == ["one\n", "two\n", "three\n"]
        await book.stop()

    play(tmp_path, story, batch_events_max=3)


def test_stop_writes_what_waits(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        book.start()
        book.put(A, [event("last words\n")])
        await book.stop()
        assert await messages(store, A) == ["last words\n"]

    play(tmp_path, story)


def test_many_batches_keep_every_streams_order(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        for number in range(50):
            book.put(A, [event(f"a{number}")])
            book.put(B, [event(f"b{number}")])
        assert await book.flush()
        assert await messages(store, A) == [f"a{number}" for number in range(50)]
        assert await messages(store, B) == [f"b{number}" for number in range(50)]
        assert store.writes > 10

    play(tmp_path, story, batch_events_max=7)


def test_over_the_bound_the_noisiest_loses_its_oldest_and_says_so(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        book.put(A, [event("a1"), event("a2"), event("a3")])
        book.put(B, [event("b1")])
        book.put(B, [event("b2")])
        assert book.stats().dropped_events == 1
        await book.flush()
        told, *kept = await messages(store, A)
        assert told.startswith("LOGS_DROPPED Records: 1\tBytes: 28\t")
        assert kept == ["a2", "a3"]
        assert await messages(store, B) == ["b1", "b2"]
        assert book.stats().waiting_bytes == 0

    play(tmp_path, story, buffer_events_max=4)


def test_the_bound_in_bytes(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        book.put(B, [event("small")])
        book.put(A, [event("x" * 500), event("y" * 500)])
        await book.flush()
        assert await messages(store, B) == ["small"]
        assert (await messages(store, A))[1:] == ["y" * 500]

    play(tmp_path, story, buffer_bytes_max=1000)


def test_one_event_over_the_whole_bound_leaves_its_notice(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        book.put(A, [event("x" * 5000)])
        await book.flush()
        (told,) = await messages(store, A)
        assert told.startswith("LOGS_DROPPED Records: 1\t")

    play(tmp_path, story, buffer_bytes_max=1000)


def test_a_full_disk_is_counted_and_tried_again(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        store.full = True
        book.start()
        book.put(A, [event("kept\n")])
        await until(lambda: clock.asleep(0.1) == 1)
        clock.wake(0.1)
        await until(lambda: clock.asleep(0.25) == 1)
        assert book.stats().failed_writes == 1
        assert book.stats().waiting_events == 1
        store.full = False
        clock.wake(0.25)
        await until(lambda: clock.asleep(0.1) == 2)
        clock.wake(0.1)
        await until(lambda: book.stats().waiting_events == 0)
        assert await messages(store, A) == ["kept\n"]
        await book.stop()

    play(tmp_path, story)


def test_a_disk_that_stays_full_costs_a_bounded_number_of_attempts(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        store.full = True
        book.put(A, [event("lost")])
        assert [await book.flush() for _ in range(3)] == [False, False, False]
        assert book.stats().dropped_events == 1
        assert book.stats().waiting_events == 0
        assert await book.flush()
        store.full = False
        book.put(A, [event("later")])
        await book.flush()
        assert await messages(store, A) == ["later"]

    play(tmp_path, story, write_attempts_max=3)


def test_a_batch_given_up_is_told_by_the_streams_next_line(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        store.full = True
        book.put(A, [event("lost1"), event("lost2")])
        assert not await book.flush()
        book.put(A, [event("later")])
        assert not await book.flush()  # the second attempt gives the first batch up
        store.full = False
        assert await book.flush()
        told, *kept = await messages(store, A)
        assert told.startswith("LOGS_DROPPED Records: 2\t")
        assert kept == ["later"]

    play(tmp_path, story, write_attempts_max=2)


def test_expired_events_are_swept_and_no_longer_counted(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        book.put(A, [event(f"old{number}", NOW_MS + number) for number in range(5)])
        book.put(A, [event("new", NOW_MS + log_store.DAY_MS)])
        book.put(B, [event("kept for ever")])
        await book.flush()

        def retain(tx: Tx) -> None:
            group = log_store.group_of(tx, A.account, A.region, A.group)
            assert group is not None
            tx.run("log_group_set_retention", group_id=group.id, retention_days=1)

        await store.write(retain)
        clock.at += timedelta(days=1, seconds=1)
        assert await book.expire() == 5
        assert await messages(store, A) == ["new"]
        assert await messages(store, B) == ["kept for ever"]
        group = await store.read(lambda tx: log_store.group_of(tx, A.account, A.region, A.group))
        assert group.stored_bytes == 3 + 26
        stream = await store.read(lambda tx: log_store.stream_of(tx, group, A.stream))
        assert (stream.first_event_ms, stream.stored_bytes) == (NOW_MS + log_store.DAY_MS, 29)

    play(tmp_path, story, retention_chunk_events=2)


def test_a_reader_that_gives_up_does_not_make_lines_come_twice(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        book.put(A, [event("once")])
        reader = asyncio.create_task(book.flush())
        await until(lambda: store.writes == 1)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await book.flush()
        assert await messages(store, A) == ["once"]
        assert store.writes == 1

    play(tmp_path, story)


def test_lone_surrogates_do_not_lose_the_batch(tmp_path: Path) -> None:
    async def story(book: LogBook, store: FlakyStore, clock: FakeClock) -> None:
        book.put(A, [event("a\ud800b"), event("fine")])
        assert await book.flush()
        assert await messages(store, A) == ["a\ufffdb", "fine"]

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("prefix", "end"),
    [("", None), ("a", "b"), ("/aws/", "/aws0"), ("a\U0010ffff", "b"), ("\U0010ffff", None), ("\ud7ff", "\ue000")],
)
def test_where_a_prefix_ends(prefix: str, end: str | None) -> None:
    assert log_store.prefix_end(prefix) == end
