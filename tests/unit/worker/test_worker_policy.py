"""The worker does what its policy says: starts ahead, keeps by use, evicts by worth, has cells by demand."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from paddock.worker import demand
from tests.unit.worker.test_worker import Yard, played
from tests.unit.worker.world import FakeSandbox, Runtime, settle, until, version

HALF_HOUR = 1800.0
DUE = 29 * 60 * 0.9


def adaptive(**settings: Any) -> dict[str, Any]:
    return {"adaptive": True, "keep_s_max": 14_400.0, **settings}


async def turn(yard: Yard, seconds: float) -> None:
    """Time passes, in steps that let the reaper end and start what it wants to."""
    until_s = yard.clock.seconds + seconds
    while yard.clock.seconds < until_s:
        await yard.clock.turn(min(5.0, until_s - yard.clock.seconds))


async def be_a_timer(yard: Yard, rounds: int = 9) -> None:
    """Half-hourly events, until that is known; the last one has just ended."""
    yard.worker.start()
    for number in range(rounds):
        if number:
            yard.clock.seconds += HALF_HOUR - 1
        await yard.run(f"timer-{number}")
    await turn(yard, 100.0)
    await yard.count(environments=0)


def test_an_environment_is_started_ahead_of_the_event_that_is_expected() -> None:
    async def act(yard: Yard) -> None:
        await be_a_timer(yard)
        made = len(yard.sandboxes.made)
        await turn(yard, DUE - 200)
        assert yard.worker.counts()["environments"] == 0, "not yet"
        await turn(yard, 120.0)
        await until(lambda: yard.worker.counts()["idle"] == 1)
        assert len(yard.sandboxes.made) == made + 1
        ahead = yard.sandboxes.made[-1]
        assert ahead.calls[0] == "assign"
        assert await yard.run("expected", payload=b"2") == b"2"
        assert len(yard.sandboxes.made) == made + 1, "the event found it"
        assert not ahead.is_gone

    played(act, **adaptive())


def test_one_that_waited_in_vain_ends_and_none_follows() -> None:
    async def act(yard: Yard) -> None:
        await be_a_timer(yard)
        made = len(yard.sandboxes.made)
        await turn(yard, DUE)
        await until(lambda: yard.worker.counts()["idle"] == 1)
        await turn(yard, 500.0)
        await yard.count(environments=0)
        await turn(yard, 2 * HALF_HOUR)
        assert len(yard.sandboxes.made) == made + 1

    played(act, **adaptive())


def test_nothing_is_started_ahead_on_a_full_machine() -> None:
    async def act(yard: Yard) -> None:
        other = version("other")
        await be_a_timer(yard)
        await yard.run("other", other)
        for _ in range(40):
            await turn(yard, 50.0)
            await yard.run("other", other)
            assert yard.worker.counts() == {"environments": 1, "idle": 1, "cells": 0, "snapshots": 0}

    played(act, **adaptive(environments_max=1))


def test_as_many_are_started_ahead_at_once_as_there_is_room_for() -> None:
    async def act(yard: Yard) -> None:
        timers = [version(f"timer-{number}") for number in range(3)]
        for _ in range(9):
            yard.clock.seconds += HALF_HOUR
            for timer in timers:
                await yard.run("r", timer)
        yard.worker.start()
        await turn(yard, 100.0)
        await yard.count(environments=0)
        made = len(yard.sandboxes.made)
        await yard.clock.turn(DUE)
        await until(lambda: yard.worker.counts()["idle"] == 2)
        assert len(yard.sandboxes.made) == made + 2

    played(act, **adaptive(environments_max=2))


def test_nothing_is_started_ahead_of_a_function_that_is_deleted() -> None:
    async def act(yard: Yard) -> None:
        await be_a_timer(yard)
        made = len(yard.sandboxes.made)
        await yard.worker.retire(version().function_arn, frozenset())
        await turn(yard, HALF_HOUR)
        assert len(yard.sandboxes.made) == made

    played(act, **adaptive())


def test_one_that_is_deleted_while_it_is_started_ahead_is_not_kept() -> None:
    async def act(yard: Yard) -> None:
        await be_a_timer(yard)
        made = len(yard.sandboxes.made)
        yard.sandboxes.hold = asyncio.Event()
        await turn(yard, DUE)
        await yard.worker.retire(version().function_arn, frozenset())
        yard.sandboxes.hold.set()
        await until(lambda: len(yard.sandboxes.made) == made + 1)
        await until(lambda: yard.sandboxes.made[-1].is_gone)
        await yard.count(environments=0, idle=0)

    played(act, **adaptive())


def test_a_start_ahead_that_fails_is_no_error() -> None:
    async def act(yard: Yard) -> None:
        await be_a_timer(yard)
        yard.sandboxes.failures = ["no", "no"]
        await turn(yard, DUE)
        await until(lambda: not yard.sandboxes.failures)
        assert await yard.run("after", payload=b"3") == b"3"

    played(act, **adaptive())


def test_with_the_fixed_time_nothing_is_foreseen() -> None:
    async def act(yard: Yard) -> None:
        await be_a_timer(yard)
        made = len(yard.sandboxes.made)
        await turn(yard, 2 * HALF_HOUR)
        assert len(yard.sandboxes.made) == made

    played(act)


def test_who_is_used_again_sooner_and_starts_slower_stays() -> None:
    async def act(yard: Yard) -> None:
        async def slow(sandbox: FakeSandbox, runtime: Runtime) -> None:
            await runtime.assigned()
            yard.clock.seconds += 5.0
            await runtime.next()
            while True:
                head, body = await runtime.event()
                await runtime.answer(head["id"], body)

        heavy, light = version("heavy"), version("light")
        normal, yard.sandboxes.scripts = yard.sandboxes.scripts, (slow,)
        await yard.run("1", heavy)
        yard.sandboxes.scripts = normal
        yard.clock.seconds += 1.0
        await yard.run("2", light)
        yard.clock.seconds += 1.0
        await yard.run("3", version("third"))
        await until(lambda: yard.sandboxes.made[1].is_gone)
        assert not yard.sandboxes.made[0].is_gone, "idle for longer, but dear"

    played(act, environments_max=2)


def test_frequent_cold_starts_have_more_cells_ready_and_fewer_again_later() -> None:
    async def act(yard: Yard) -> None:
        yard.worker.start()
        await yard.worker.prepare(version())
        await yard.count(cells=2)
        yard.worker._demand["python3.12"] = demand.Demand(starts_per_s=200.0, at=yard.clock.seconds, ready_s=0.1)
        await yard.clock.turn(5.0)
        await yard.count(cells=10)
        sizes = []
        for _ in range(15):
            await yard.clock.turn(5.0)
            sizes.append(yard.worker.counts()["cells"])
        assert sizes[-1] == 2
        assert all(before - after in (0, 1) for before, after in itertools.pairwise(sizes))

    played(act, cells_ready=2, cells_ready_max=10)


def test_cells_taken_are_counted_and_their_making_timed() -> None:
    async def act(yard: Yard) -> None:
        await yard.worker.prepare(version())
        await yard.count(cells=2)
        yard.sandboxes.hold = asyncio.Event()
        await yard.run("1")
        await until(lambda: yard.worker._cells_starting["python3.12"])
        await settle()  # its making has begun, not only been ordered
        yard.clock.seconds += 3.0
        yard.sandboxes.hold.set()
        await yard.count(cells=2)
        known = yard.worker._demand["python3.12"]
        assert known.starts_per_s == 1 / demand.RATE_MEMORY_S
        assert known.ready_s > 0

    played(act, cells_ready=2)


def test_many_prepared_at_once_make_no_more_cells_than_wanted() -> None:
    async def act(yard: Yard) -> None:
        yard.sandboxes.hold = asyncio.Event()
        preparing = [asyncio.ensure_future(yard.worker.prepare(version(f"f{number}"))) for number in range(20)]
        await settle()
        yard.sandboxes.hold.set()
        await asyncio.gather(*preparing)
        await yard.count(cells=2)
        assert len(yard.sandboxes.made) == 2

    played(act, cells_ready=2)
