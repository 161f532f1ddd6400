"""The clock that fires schedules: at their time, evenly when many are due together, whatever one of them does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

from paddock.backends.sql.sqlite import SqliteStore
from paddock.control import ticks
from paddock.control.ticks import Planned
from paddock.event_sources.schedule import SHARE_S, SHARES, Ticker
from paddock.interfaces import Tx
from tests.unit.event_sources.simulation import START, SimulatedClock

MINUTE = timedelta(minutes=1)


class Fired:
    """Each owner is due every minute; what fired, and when."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.fired: list[tuple[str, float]] = []
        self.broken = ""

    def fire(self, tx: Tx, owner: str, tick: datetime, now: datetime) -> Planned | None:
        if owner == self.broken:
            raise ValueError("no such time zone")
        self.fired.append((owner, self.clock.seconds))
        return Planned(tick=tick + MINUTE, due=tick + MINUTE)


def play(tmp_path: Path, story: Callable[[SqliteStore, SimulatedClock, Fired, Ticker], Awaitable[None]]) -> None:
    async def run() -> None:
        store = await SqliteStore.open(tmp_path / "t.db", readers=1)
        clock = SimulatedClock()
        fired = Fired(clock)
        ticker = Ticker(store, {"x": fired}, clock)
        try:
            await story(store, clock, fired, ticker)
        finally:
            await ticker.stop()
            await store.close()

    asyncio.run(run())


async def planned(store: SqliteStore, count: int, at: datetime) -> None:
    def work(tx: Tx) -> None:
        for number in range(count):
            ticks.plan(tx, f"x:{number}", Planned(tick=at, due=at))

    await store.write(work)


async def passing(clock: SimulatedClock, seconds: float, step: float = 0.5) -> None:
    """Time goes on in steps, and the database's threads get theirs."""
    for _ in range(int(seconds / step)):
        await clock.pass_time(step)
        await asyncio.sleep(0.003)


def test_one_fires_at_its_moment_and_again(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: SimulatedClock, fired: Fired, ticker: Ticker) -> None:
        await planned(store, 1, START + timedelta(seconds=3))
        ticker.start()
        await passing(clock, 70)
        assert [owner for owner, _ in fired.fired] == ["x:0", "x:0"]
        assert 3 <= fired.fired[0][1] < 5
        assert 63 <= fired.fired[1][1] < 65

    play(tmp_path, story)


def test_what_is_planned_while_it_sleeps_is_not_slept_through(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: SimulatedClock, fired: Fired, ticker: Ticker) -> None:
        ticker.start()
        await passing(clock, 1)
        await planned(store, 1, START)
        ticker.planned()
        await passing(clock, 1)
        assert len(fired.fired) == 1

    play(tmp_path, story)


def test_ten_thousand_of_one_minute_fire_within_it_and_evenly(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: SimulatedClock, fired: Fired, ticker: Ticker) -> None:
        await planned(store, 10_000, START)
        ticker.start()
        for _ in range(110):
            await clock.pass_time(0.5)
            while not clock.sleepers:  # the database's threads are at work
                await asyncio.sleep(0.001)
        assert {owner for owner, _ in fired.fired} == {f"x:{number}" for number in range(10_000)}
        assert len(fired.fired) == 10_000
        seconds = [int(at) for _, at in fired.fired]
        # The database's threads may take what is half a second of this clock: so one share more or less in a second.
        assert max(seconds) <= SHARES * SHARE_S + 5
        assert max(seconds.count(second) for second in set(seconds)) <= 3 * 10_000 / SHARES

    play(tmp_path, story)


def test_one_that_cannot_fire_holds_up_no_other(tmp_path: Path) -> None:
    async def story(store: SqliteStore, clock: SimulatedClock, fired: Fired, ticker: Ticker) -> None:
        fired.broken = "x:1"
        await planned(store, 3, START)
        ticker.start()
        await passing(clock, 2)
        assert sorted(owner for owner, _ in fired.fired) == ["x:0", "x:2"]
        rows = await store.read(lambda tx: tx.rows("ticks_due", now_us=1 << 60, limit=10))
        assert sorted(row["owner"] for row in rows) == ["x:0", "x:2"]

    play(tmp_path, story)
