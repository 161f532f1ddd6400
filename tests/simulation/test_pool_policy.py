"""Days of a machine in simulated time, one story for each seed: what must hold whatever happens, and what must pay."""

from __future__ import annotations

import dataclasses
import random

import pytest

from paddock.worker.demand import CellLimits
from paddock.worker.keepalive import KeepAliveSettings
from paddock.worker.pool import PoolLimits
from tests.simulation.machine import Machine, Outcome, Policy
from tests.simulation.trace import DAY_S, MB, Arrival, TracedFunction, trace

ADAPTIVE = KeepAliveSettings(adaptive=True, fixed_s=600.0, keep_s_max=14_400.0)
FIXED = dataclasses.replace(ADAPTIVE, adaptive=False)
ROOMY = PoolLimits(environments_max=100_000, memory_budget_bytes=1 << 50)


def some_policy(seed: int) -> Policy:
    """A machine too small for its functions in one way or another."""
    chance = random.Random(seed)
    return Policy(
        keep_alive=dataclasses.replace(ADAPTIVE, adaptive=chance.random() < 0.7, fixed_s=chance.choice((30.0, 600.0))),
        limits=PoolLimits(
            environments_max=chance.choice((1, 3, 12, 1000)), memory_budget_bytes=chance.choice((100, 1500, 8000)) * MB
        ),
        by_cost=chance.random() < 0.8,
        tick_s=chance.choice((5.0, 60.0)),
        cells=CellLimits(least=chance.choice((0, 2)), most=chance.choice((2, 16))),
    )


@pytest.fixture(scope="module")
def stories() -> list[tuple[Machine, int]]:
    """Machines at the end of their time, with how many events came."""
    told = []
    for seed in range(30):
        machine, arrivals = Machine(some_policy(seed), checks=True), trace(seed, 12, 0.4, events_per_day_max=720.0)
        machine.play(arrivals)
        told.append((machine, len(arrivals)))
    return told


def test_what_must_always_hold(stories: list[tuple[Machine, int]]) -> None:
    for seed, (machine, arrivals) in enumerate(stories):
        assert not machine.broken, (seed, machine.broken[:5])
        outcome = machine.outcome
        assert outcome.events + outcome.refused == arrivals, (seed, "every event is answered or refused")
        assert outcome.cold <= outcome.events, seed


def test_the_stories_reach_every_corner(stories: list[tuple[Machine, int]]) -> None:
    outcomes = [machine.outcome for machine, _ in stories]
    for what in ("cold", "refused", "ahead", "evicted", "cell_misses"):
        assert sum(getattr(outcome, what) for outcome in outcomes) > 0, f"no story has {what}"
    assert any(outcome.cold < outcome.events for outcome in outcomes)


def test_the_checks_see_what_is_broken() -> None:
    machine = Machine(some_policy(2), checks=True)
    arrivals = trace(2, functions=5, days=0.1)
    machine.memory_bytes = 1
    machine.play(arrivals)
    assert "memory does not add up" in machine.broken[0]


def test_a_seed_is_a_story() -> None:
    assert trace(7, 10, 0.2) == trace(7, 10, 0.2) != trace(8, 10, 0.2)
    play = [Machine(some_policy(7)).play(trace(7, 10, 0.2)) for _ in range(2)]
    assert play[0] == play[1]


def of_one(period_s: float, days: float = 2.0) -> list[Arrival]:
    timer = TracedFunction(("f", "build"), "timer", DAY_S / period_s, 0.5, 1.0, 100 * MB)
    return [Arrival(number * period_s, timer, 0.5) for number in range(int(days * DAY_S / period_s))]


def played(arrivals: list[Arrival], keep_alive: KeepAliveSettings, limits: PoolLimits = ROOMY) -> Outcome:
    return Machine(Policy(keep_alive=keep_alive, limits=limits, tick_s=30.0)).play(arrivals)


def test_a_timer_beyond_the_fixed_time_is_met_warm_in_less_memory() -> None:
    arrivals = of_one(1800.0)
    fixed, adaptive = played(arrivals, FIXED), played(arrivals, ADAPTIVE)
    assert fixed.cold == len(arrivals)
    assert adaptive.cold < 12, "until it is known"
    assert adaptive.ahead > 80
    assert adaptive.wasted == 0
    assert adaptive.memory_bytes_mean < fixed.memory_bytes_mean


def test_a_frequent_timer_costs_no_more_than_with_the_fixed_time() -> None:
    arrivals = of_one(300.0)
    fixed, adaptive = played(arrivals, FIXED), played(arrivals, ADAPTIVE)
    assert (fixed.cold, adaptive.cold, adaptive.ahead) == (1, 1, 0)


def test_a_timer_beyond_the_histogram_is_left_to_the_fixed_time() -> None:
    arrivals = of_one(6 * 3600.0, days=10.0)
    assert played(arrivals, ADAPTIVE) == played(arrivals, FIXED)


@pytest.mark.parametrize("seed", range(3))
def test_with_the_same_memory_fewer_wait_and_they_wait_less(seed: int) -> None:
    arrivals = trace(seed, functions=40, days=2.0, events_per_day_max=240.0)
    unbounded = Machine(Policy(keep_alive=FIXED, limits=ROOMY, by_cost=False, tick_s=60.0)).play(arrivals)
    limits = dataclasses.replace(ROOMY, memory_budget_bytes=int(unbounded.memory_bytes_mean))
    fixed = Machine(Policy(keep_alive=FIXED, limits=limits, by_cost=False, tick_s=60.0)).play(arrivals)
    adaptive = Machine(Policy(keep_alive=ADAPTIVE, limits=limits, tick_s=60.0)).play(arrivals)
    assert adaptive.cold < fixed.cold
    assert adaptive.cold_s < fixed.cold_s
