"""Traces of events shaped like the public Azure Functions trace, made from a seed.

What is known of that trace is "Serverless in the Wild" (Shahrad et al., USENIX ATC 2020); what we take from it:

    popularity    45 % of applications are invoked at most once an hour, 81 % at most once a minute. A log-normal rate
                  through both points: log10(events a day) ~ Normal(1.60, 1.77)
    regularity    about a fifth of the applications have evenly spaced events, and about two fifths vary more than
                  chance would have them: timers with a jitter of half a second, bursts, and the rest at random with a
                  daily tide
    run times     function averages log-normal: ln(seconds) ~ Normal(-0.38, 2.36); within a function Normal(0, 0.3)
    memory        Burr XII (c 11.652, k 0.221, scale 107.083 MB)

Ours, for the paper has no such figure: bursts of 8 events on average, 5 s apart on average; init times ln(seconds) ~
Normal(ln 0.25, 1), which the imports of a Python function cost here; no function more often than events_per_day_max,
since whoever is never idle tells no policy from another and takes the simulation's time; run times, memory and init
times cut to what one machine is built for. Functions are not grouped into applications.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

DAY_S = 86_400.0
MB = 1 << 20

EVENTS_PER_DAY_LOG10 = (1.60, 1.77)
EVENTS_PER_DAY_MIN = 0.2
TIMER_SHARE, BURST_SHARE = 0.20, 0.40
TIMER_PERIODS_S = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 43_200.0, DAY_S)
TIMER_JITTER_S = 0.5
BURST_EVENTS, BURST_GAP_S = 8.0, 5.0
TIDE = 0.6
RUN_S_LN, RUN_S_SPREAD, RUN_S_LIMITS = (-0.38, 2.36), 0.3, (0.005, 60.0)
INIT_S_LN, INIT_S_LIMITS = (math.log(0.25), 1.0), (0.005, 10.0)
BURR_C, BURR_K, BURR_SCALE_MB, MEMORY_MB_LIMITS = 11.652, 0.221, 107.083, (20.0, 1024.0)


@dataclass(frozen=True, slots=True)
class TracedFunction:
    """key: as the pool's, build included. kind: timer, burst or random. run_s: its average."""

    key: tuple[str, ...]
    kind: str
    events_per_day: float
    run_s: float
    init_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Arrival:
    at: float
    function: TracedFunction
    run_s: float


def within(value: float, limits: tuple[float, float]) -> float:
    return min(limits[1], max(limits[0], value))


def function(chance: random.Random, number: int, events_per_day_max: float) -> TracedFunction:
    kinds = ("timer", "burst", "random")
    kind = chance.choices(kinds, (TIMER_SHARE, BURST_SHARE, 1 - TIMER_SHARE - BURST_SHARE))[0]
    rate = 10 ** chance.gauss(*EVENTS_PER_DAY_LOG10)
    memory_mb = BURR_SCALE_MB * ((1 - chance.random()) ** (-1 / BURR_K) - 1) ** (1 / BURR_C)
    return TracedFunction(
        key=("000000000000", f"f{number}", "$LATEST", "build"),
        kind=kind,
        events_per_day=within(rate, (EVENTS_PER_DAY_MIN, events_per_day_max)),
        run_s=within(chance.lognormvariate(*RUN_S_LN), RUN_S_LIMITS),
        init_s=within(chance.lognormvariate(*INIT_S_LN), INIT_S_LIMITS),
        memory_bytes=int(within(memory_mb, MEMORY_MB_LIMITS) * MB),
    )


def times(chance: random.Random, of: TracedFunction, days: float) -> Iterator[float]:
    """When its events come, in seconds from the start; not sorted."""
    end_s = days * DAY_S
    gap_s = DAY_S / of.events_per_day
    if of.kind == "timer":
        period_s = min(TIMER_PERIODS_S, key=lambda period_s: abs(math.log(period_s / gap_s)))
        at = chance.uniform(0, period_s)
        while at < end_s:
            yield max(0.0, at + chance.gauss(0, TIMER_JITTER_S))
            at += period_s
        return
    in_bursts = of.kind == "burst"
    at = chance.expovariate(1 / gap_s)
    while at < end_s:
        if in_bursts:
            inside = at
            while inside < end_s:
                yield inside
                if chance.random() < 1 / BURST_EVENTS:
                    break
                inside += chance.expovariate(1 / BURST_GAP_S)
        elif chance.random() < (1 + TIDE * math.sin(2 * math.pi * at / DAY_S)) / (1 + TIDE):
            yield at
        at += chance.expovariate(1 / (gap_s * BURST_EVENTS if in_bursts else gap_s / (1 + TIDE)))


def trace(seed: int, functions: int, days: float, events_per_day_max: float = 1440.0) -> list[Arrival]:
    """Arrivals in order. The same seed is the same trace."""
    chance = random.Random(seed)
    arrivals = []
    for number in range(functions):
        made = function(chance, number, events_per_day_max)
        for at in times(chance, made, days):
            run_s = within(made.run_s * chance.lognormvariate(0, RUN_S_SPREAD), RUN_S_LIMITS)
            arrivals.append(Arrival(at, made, run_s))
    arrivals.sort(key=lambda arrival: (arrival.at, arrival.function.key))
    return arrivals
