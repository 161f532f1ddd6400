"""Rows about the pool's policy: a trace replayed in simulated time, adaptive keep-alive against fixed ten minutes.

Nothing is started here: tests/simulation drives the same pure functions as the worker. The machine's memory is what the
fixed policy uses on average when nothing bounds it, so that both have to choose. The fixed policy evicts whoever is
idle longest, as is usual.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bench.figures import Figure, Row, compared
from paddock.worker.keepalive import KeepAliveSettings
from paddock.worker.pool import PoolLimits
from tests.simulation.machine import Machine, Outcome, Policy
from tests.simulation.trace import MB, Arrival, trace

SEED = 20_260_115
EVENTS_PER_DAY_MAX = 480.0
TICK_S = 60.0
STEPS = 6
"""Of the search for the bound under which adaptive uses as much on average as fixed does without one: within 1 %."""

ROOMY = PoolLimits(environments_max=1_000_000, memory_budget_bytes=1 << 60)
ADAPTIVE = KeepAliveSettings(adaptive=True, fixed_s=600.0, keep_s_max=14_400.0)
FIXED = dataclasses.replace(ADAPTIVE, adaptive=False)


def rows(functions: int, days: float) -> list[Row]:
    """Cold starts and seconds waited for them, at equal memory in both meanings."""
    arrivals = trace(SEED, functions, days, EVENTS_PER_DAY_MAX)
    free = _played(arrivals, FIXED, None)
    bound = int(free.memory_bytes_mean)
    fixed = _played(arrivals, FIXED, bound)
    adaptive = _played(arrivals, ADAPTIVE, bound)
    same_mean = _of_mean(arrivals, free.memory_bytes_mean)
    unbounded = _played(arrivals, ADAPTIVE, None)
    where = f"{functions} functions, {days:g} days"
    return [
        *_pair(f"bound {bound // MB:,} MB", fixed, adaptive, where),
        *_pair("same mean memory", free, same_mean, where),
        compared(_figure("cold starts, adaptive, no bound", unbounded), _figure("fixed, no bound", free)),
        compared(
            Figure(
                name="mean memory, adaptive, no bound",
                value=unbounded.memory_bytes_mean / MB,
                unit="MB",
                n=unbounded.events,
            ),
            Figure(name="fixed, no bound", value=free.memory_bytes_mean / MB, unit="MB", n=free.events),
        ),
    ]


def _pair(what: str, fixed: Outcome, adaptive: Outcome, where: str) -> list[Row]:
    reference = _figure(f"cold starts, fixed 10 min, {what}", fixed, where)
    waited = _waited(f"time waited for them, fixed 10 min, {what}", fixed)
    return [
        reference,
        compared(_figure(f"cold starts, adaptive, {what}", adaptive, where), reference, most=1.0),
        waited,
        compared(_waited(f"time waited for them, adaptive, {what}", adaptive), waited, most=1.0),
    ]


def _figure(name: str, outcome: Outcome, where: str = "") -> Figure:
    used = (
        f"mean memory {outcome.memory_bytes_mean / MB:,.0f} MB, {outcome.ahead} started ahead "
        f"({outcome.wasted} in vain), {outcome.evicted} evicted, {outcome.refused} refused"
    )
    note = f"{where}; {used}" if where else ""
    return Figure(name=name, value=outcome.cold + outcome.refused, unit="", n=outcome.events, note=note)


def _waited(name: str, outcome: Outcome) -> Figure:
    return Figure(name=name, value=outcome.cold_s, unit="s", n=outcome.events)


def _played(arrivals: Sequence[Arrival], keep_alive: KeepAliveSettings, bound: int | None) -> Outcome:
    limits = ROOMY if bound is None else dataclasses.replace(ROOMY, memory_budget_bytes=bound)
    policy = Policy(keep_alive=keep_alive, limits=limits, by_cost=keep_alive.adaptive, tick_s=TICK_S)
    return Machine(policy).play(arrivals)


def _of_mean(arrivals: Sequence[Arrival], wanted_bytes: float) -> Outcome:
    """Adaptive under the bound that makes its mean memory the wanted one, or less."""
    low, high = wanted_bytes * 0.9, wanted_bytes * 1.3
    best = _played(arrivals, ADAPTIVE, int(low))
    for _ in range(STEPS):
        bound = (low + high) / 2
        outcome = _played(arrivals, ADAPTIVE, int(bound))
        if outcome.memory_bytes_mean > wanted_bytes:
            high = bound
        else:
            low, best = bound, outcome
    return best
