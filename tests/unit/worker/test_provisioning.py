"""Provisioned environments: the step of one pool, and stories of many with a clock that the story turns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable

import pytest

from paddock.interfaces import Pool
from paddock.model.function import FunctionVersion
from paddock.model.provisioned import PoolState
from paddock.worker.provisioning import (
    RETRY_S_MAX,
    STARTS_AT_ONCE,
    PoolView,
    Provisioning,
    StartFailed,
    Step,
    retry_s,
    step,
)
from tests.unit.worker.world import FakeClock, settle, version


def view(wanted: int, idle: tuple[int, ...] = (), busy: int = 0, starting: int = 0, retry_at: float = 0.0) -> PoolView:
    return PoolView(wanted=wanted, idle=idle, busy=busy, starting=starting, retry_at=retry_at)


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (view(3), Step(start=3)),
        (view(9), Step(start=4)),
        (view(3, idle=(1,), busy=1), Step(start=1)),
        (view(3, idle=(1,), starting=2), Step()),
        (view(3, retry_at=11.0), Step()),
        (view(1, idle=(4, 5), busy=1), Step(end=(4, 5))),
        (view(0, busy=2), Step()),
        (view(1, idle=(4,), starting=1, retry_at=11.0), Step(end=(4,))),
    ],
)
def test_a_step(pool: PoolView, expected: Step) -> None:
    assert step(pool, 10.0, 4) == expected


def test_later_and_later() -> None:
    assert [retry_s(failures) for failures in (1, 2, 3, 9, 10, 10_000)] == [1.0, 2.0, 4.0, 256.0, RETRY_S_MAX, 300.0]


class Shop:
    """Environments that take a second to start, and fail as often as `failures` says."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.idle: dict[tuple[str, ...], list[int]] = {}
        self.next = 0
        self.starting = self.most_starting = 0
        self.failures = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.provisioning = Provisioning(
            clock=self.clock,
            start=self.start,
            idle=lambda one: self.idle.get(one.environment_key, ()),
            end=self.end,
            background=self.background,
        )

    async def start(self, one: FunctionVersion) -> int:
        self.starting += 1
        self.most_starting = max(self.most_starting, self.starting)
        try:
            await self.clock.sleep(1.0)
        finally:
            self.starting -= 1
        if self.failures:
            self.failures -= 1
            raise StartFailed("broken")
        self.next += 1
        self.idle.setdefault(one.environment_key, []).append(self.next)
        return self.next

    def end(self, number: int) -> None:
        for numbers in self.idle.values():
            if number in numbers:
                numbers.remove(number)
                return
        raise AssertionError("only what is idle is ended")

    def background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def want(self, executions: int, one: FunctionVersion) -> None:
        self.provisioning.set(one.function_arn, (Pool(version=one, executions=executions),))

    def lose(self, one: FunctionVersion) -> None:
        self.provisioning.lost(self.idle[one.environment_key].pop(), one)


LIVE = version(version="1", provisioned_for="live")


def test_a_pool_fills_and_stays_full() -> None:
    async def story() -> None:
        shop = Shop()
        shop.want(6, LIVE)
        assert shop.provisioning.state(LIVE) == PoolState(ready=0, wanted=6)
        await settle()
        await shop.clock.turn(1.0)
        assert shop.provisioning.state(LIVE) == PoolState(ready=STARTS_AT_ONCE, wanted=6)
        await shop.clock.turn(1.0)
        assert shop.provisioning.state(LIVE) == PoolState(ready=6, wanted=6, was_reached=True)
        shop.lose(LIVE)
        assert shop.provisioning.state(LIVE) == PoolState(ready=5, wanted=6, was_reached=True)
        await settle()
        await shop.clock.turn(1.0)
        assert shop.provisioning.state(LIVE).ready == 6
        shop.want(2, LIVE)
        assert shop.provisioning.state(LIVE) == PoolState(ready=2, wanted=2, was_reached=True)
        assert len(shop.idle[LIVE.environment_key]) == 2
        shop.provisioning.set(LIVE.function_arn, ())
        assert shop.provisioning.state(LIVE) == PoolState()
        assert not shop.idle[LIVE.environment_key]

    asyncio.run(story())


def test_one_that_started_for_a_pool_that_is_gone_ends() -> None:
    async def story() -> None:
        shop = Shop()
        shop.want(1, LIVE)
        await settle()
        moved = version(version="2", provisioned_for="live", build="build-2")
        shop.want(1, moved)
        await settle()
        await shop.clock.turn(1.0)
        assert shop.provisioning.state(moved).ready == 1
        assert not shop.idle[LIVE.environment_key]

    asyncio.run(story())


def test_failures_are_told_and_retried() -> None:
    async def story() -> None:
        shop = Shop()
        shop.failures = 2
        shop.want(1, LIVE)
        await settle()
        await shop.clock.turn(1.0)
        assert shop.provisioning.state(LIVE) == PoolState(wanted=1, failure="broken")
        shop.provisioning.reconcile()
        assert shop.starting == 0, "not at once"
        for _ in range(10):
            await shop.clock.turn(1.0)
            shop.provisioning.reconcile()
            await settle()
        assert shop.provisioning.state(LIVE) == PoolState(ready=1, wanted=1, was_reached=True)

    asyncio.run(story())


@pytest.mark.parametrize("seed", range(50))
def test_whatever_happens_every_pool_ends_as_wanted(seed: int) -> None:
    """Numbers change, environments die, starts fail, versions move; then it is quiet and all is as it should be."""
    dice = random.Random(seed)

    async def story() -> None:
        shop, wanted = Shop(), 0
        current = LIVE
        for turn in range(60):
            match dice.randrange(5):
                case 0:
                    wanted = dice.randrange(8)
                    shop.want(wanted, current)
                case 1:
                    current = version(version=str(turn), provisioned_for="live", build=f"build-{turn}")
                    shop.want(wanted, current)
                case 2 if shop.idle.get(current.environment_key):
                    shop.lose(current)
                case 3:
                    shop.failures = dice.randrange(3)
                case _:
                    await shop.clock.turn(dice.random() * 3)
                    shop.provisioning.reconcile()
            await settle()
            state = shop.provisioning.state(current)
            assert state.ready <= max(wanted, state.wanted)
        shop.failures = 0
        for _ in range(40):
            await shop.clock.turn(5.0)
            shop.provisioning.reconcile()
            await settle()
        alive = {key: len(numbers) for key, numbers in shop.idle.items() if numbers}
        assert alive == ({current.environment_key: wanted} if wanted else {})
        assert shop.most_starting <= STARTS_AT_ONCE

    asyncio.run(story())
