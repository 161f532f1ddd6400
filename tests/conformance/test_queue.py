"""What every Queue promises (interfaces.Queue). A new engine is one more entry in ENGINES."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from paddock.backends.local.ids import SystemIds
from paddock.backends.sql.queue import SqlQueue
from paddock.backends.sql.sqlite import SqliteStore
from paddock.interfaces import Queue, Store, Tx
from paddock.model.delivery import Delivery
from tests.support.queue import MemoryQueue


class Clock:
    """Stands still until it is set forward; a sleeper sleeps until then."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    async def sleep(self, seconds: float) -> None:
        until = self._now + timedelta(seconds=seconds)
        while self._now < until:
            await self._moved.wait()

    def forward(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._moved.set()
        self._moved = asyncio.Event()


class World:
    """A queue with the store whose transactions put into it."""

    def __init__(self, queue: Queue, store: Store, clock: Clock) -> None:
        self.queue, self.store, self.clock = queue, store, clock

    async def put(self, body: str, *, topic: str = "t", delay_s: float = 0.0, group: str = "") -> None:
        await self.store.write(
            lambda tx: self.queue.put(tx, topic, body.encode(), delay_s=delay_s, group=group)
        )  # fmt: skip

    async def bodies(self, count_max: int = 10, *, topic: str = "t", lease_s: float = 30) -> list[str]:
        return [one.body.decode() for one in await self.queue.take(topic, count_max, lease_s)]


async def _sql(store: SqliteStore, clock: Clock) -> Queue:
    queue = SqlQueue(store, clock, SystemIds())
    await queue.start()
    return queue


async def _memory(store: SqliteStore, clock: Clock) -> Queue:
    return MemoryQueue(clock)


ENGINES: dict[str, Callable[[SqliteStore, Clock], Awaitable[Queue]]] = {"sqlite": _sql, "memory": _memory}
Story = Callable[[World], Awaitable[None]]


@pytest.fixture(params=list(ENGINES))
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    def run(story: Story) -> None:
        async def playing() -> None:
            clock = Clock()
            store = await SqliteStore.open(tmp_path / "paddock.db")
            try:
                await story(World(await ENGINES[request.param](store, clock), store, clock))
            finally:
                await store.close()

        asyncio.run(playing())

    return run


def test_what_is_put_is_taken_once(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        await world.put("a")
        await world.put("other", topic="u")
        [one] = await world.queue.take("t", 10, 30)
        assert (one.body, one.topic, one.attempts, one.put_at) == (b"a", "t", 1, world.clock.now())
        assert await world.bodies() == []
        assert await world.bodies(topic="u") == ["other"]

    play(story)


def test_oldest_first(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        for body in "abcde":
            await world.put(body)
            world.clock.forward(0.001)
        assert await world.bodies(2) == ["a", "b"]
        assert await world.bodies(9) == ["c", "d", "e"]

    play(story)


def test_acked_is_gone(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        await world.put("a")
        await world.queue.ack(await world.queue.take("t", 1, 30))
        world.clock.forward(3600)
        assert await world.bodies() == []

    play(story)


def test_a_lease_that_ran_out_makes_it_due_again_and_is_worth_nothing(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        await world.put("a")
        [first] = await world.queue.take("t", 1, 30)
        world.clock.forward(29)
        assert await world.bodies() == []
        world.clock.forward(2)
        [second] = await world.queue.take("t", 1, 30)
        assert (second.id, second.attempts) == (first.id, 2)
        await world.queue.ack([first])
        await world.queue.retry(first, 0)
        assert await world.bodies() == []  # the second holder still has it
        world.clock.forward(31)
        assert await world.bodies() == ["a"]

    play(story)


def test_retried_later_with_what_has_changed(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        await world.put("a")
        [one] = await world.queue.take("t", 1, 30)
        await world.queue.retry(one, 60, b"b")
        world.clock.forward(59)
        assert await world.bodies() == []
        world.clock.forward(1)
        [again] = await world.queue.take("t", 1, 30)
        assert (again.body, again.attempts, again.put_at) == (b"b", 2, one.put_at)
        await world.queue.retry(again, 0)
        assert await world.bodies() == ["b"]

    play(story)


def test_delayed(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        await world.put("later", delay_s=10)
        await world.put("now")
        assert await world.bodies() == ["now"]
        world.clock.forward(10)
        assert await world.bodies() == ["later"]

    play(story)


def test_groups_take_turns(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        for number in range(50):
            await world.put(f"flood{number}", group="flood")
        await world.put("quiet", group="quiet")
        await world.put("nameless")
        world.clock.forward(1)
        first = await world.bodies(6)
        assert {"quiet", "nameless"} < set(first)
        flood = [body for body in first if body.startswith("flood")]
        assert flood
        assert flood == [f"flood{number}" for number in range(len(flood))]
        await world.put("quiet2", group="quiet")
        await world.put("abc", group="abc")
        world.clock.forward(1)
        one_by_one = [(await world.bodies(1))[0] for _ in range(3)]
        assert {"quiet2", "abc"} < set(one_by_one)

    play(story)


def test_a_group_gives_no_more_than_there_is_room_for(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        for number in range(5):
            await world.put(f"a{number}", group="a")
        for group in ("b", "c", "d"):
            await world.put(group, group=group)
        world.clock.forward(1)
        room = {"a": 2, "b": 0, "c": 1, "d": 0}
        taken = await world.queue.take("t", 10, 30, lambda group: room.get(group, 0))
        assert sorted(one.body for one in taken) == [b"a0", b"a1", b"c"]
        waiting = asyncio.ensure_future(world.queue.wait("t", 3600, lambda group: 0))
        for _ in range(20):
            await asyncio.sleep(0.001)
        # What is due has no room. Only the bell that was rung by the puts may have ended it.
        waiting.cancel()
        assert sorted(await world.bodies(10)) == ["a2", "a3", "a4", "b", "d"]

    play(story)


def test_what_is_added_is_durable_and_taken_at_once_if_somebody_begins_it(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        begun: list[Delivery | None] = []
        await asyncio.gather(
            world.queue.add("t", b"a", group="g"),
            world.queue.add("t", b"b", group="g", begin=begun.append, lease_s=30),
            world.queue.add("u", b"c"),
        )
        [delivery] = begun
        assert delivery is not None
        assert (delivery.body, delivery.group, delivery.attempts) == (b"b", "g", 1)
        assert await world.bodies() == ["a"]
        assert await world.bodies(topic="u") == ["c"]
        assert (await world.queue.depth("t"))[0] == 2
        await world.queue.ack([delivery])
        assert (await world.queue.depth("t"))[0] == 1

    play(story)


def test_what_was_begun_comes_again_when_its_lease_is_over(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        await world.queue.add("t", b"a", begin=lambda delivery: None, lease_s=30)
        assert await world.bodies() == []
        world.clock.forward(31)
        assert await world.bodies() == ["a"]
        await world.put("b")
        await world.queue.add("t", b"c")
        world.clock.forward(1)
        assert await world.bodies() == ["b", "c"]  # numbers given here and by the database follow each other

    play(story)


def test_it_begins_though_nobody_waits_and_is_told_of_a_failure(tmp_path: Path) -> None:
    async def story() -> None:
        store = await SqliteStore.open(tmp_path / "paddock.db")
        queue = await _sql(store, Clock())
        begun: asyncio.Future[Delivery | None] = asyncio.get_running_loop().create_future()
        waiting = asyncio.ensure_future(queue.add("t", b"a", begin=begun.set_result, lease_s=30))
        await asyncio.sleep(0)
        waiting.cancel()
        delivery = await begun
        assert delivery is not None
        failed: list[Delivery | None] = []
        await store.write(lambda tx: tx.run("queue_ack", id=delivery.id, lease=delivery.lease))
        await store.close()
        with pytest.raises(RuntimeError):
            await queue.add("t", b"b", begin=failed.append, lease_s=30)
        assert failed == [None]

    asyncio.run(story())


def test_what_a_transaction_that_failed_has_put_is_not_there(tmp_path: Path) -> None:
    async def story() -> None:
        store = await SqliteStore.open(tmp_path / "paddock.db")
        queue = await _sql(store, Clock())

        def broken(tx: Tx) -> None:
            queue.put(tx, "t", b"never")
            raise KeyError("the change that caused it is refused")

        with pytest.raises(KeyError):
            await store.write(broken)
        assert await queue.take("t", 1, 30) == []
        await store.close()

    asyncio.run(story())


def test_a_process_that_starts_has_what_the_one_before_it_held(tmp_path: Path) -> None:
    async def story() -> None:
        clock = Clock()
        store = await SqliteStore.open(tmp_path / "paddock.db")
        world = World(await _sql(store, clock), store, clock)
        await world.put("a")
        assert await world.bodies(lease_s=3600) == ["a"]
        await store.close()
        store = await SqliteStore.open(tmp_path / "paddock.db")
        [one] = await (await _sql(store, clock)).take("t", 1, 30)
        assert (one.body, one.attempts) == (b"a", 2)
        await store.close()

    asyncio.run(story())


def test_waiting_ends_when_something_is_put_or_becomes_due(play: Callable[[Story], None]) -> None:
    async def story(world: World) -> None:
        waiting = asyncio.ensure_future(world.queue.wait("t", 3600))
        await asyncio.sleep(0)
        await world.put("a", delay_s=5)
        await asyncio.wait_for(waiting, 10)
        waiting = asyncio.ensure_future(world.queue.wait("t", 3600))
        while not waiting.done():
            world.clock.forward(1)
            await asyncio.sleep(0.001)
        await asyncio.wait_for(world.queue.wait("t", 0), 10)

    play(story)
