"""How many cells of a runtime wait for code: a pure decision from how fast they are taken and made.

A cell taken is replaced in the background, which takes ready_s. In that time starts_per_s x ready_s more are asked for
on average, and now and then more than that; with starts at random three standard deviations cover nearly all:

    wanted = m + 3 x sqrt(m), rounded up, where m = starts_per_s x ready_s

between the two settings and within the memory that is free. It grows at once and shrinks by one for each look of the
worker, so that a pause in a stream of cold starts does not cost the cells it will need after it.

Worked example: 50 cold starts a second, a cell ready in 20 ms: m = 1, wanted 4. On a machine so busy that a cell takes
a second, m = 50: 72 wanted.

Caveat: it follows a stream of cold starts, not the first burst: the rate is smoothed over ten seconds, and the worker
looks every few.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

RATE_MEMORY_S = 10.0
"""A cold start this long ago counts 1/e of one now."""

CELL_BYTES = 3 << 20
_READY_SHARE = 0.2  # of the newest measurement in the mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """starts_per_s: cold starts of the runtime, smoothed, as of `at`. ready_s: a cell takes to become ready."""

    starts_per_s: float = 0.0
    at: float = 0.0
    ready_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLimits:
    """Cells ready for each runtime in use. least: however little is asked for."""

    least: int
    most: int


def rate_at(demand: Demand, now: float) -> float:
    """Cold starts a second, as they are remembered now."""
    return demand.starts_per_s * math.exp(-max(0.0, now - demand.at) / RATE_MEMORY_S)


def taken(demand: Demand, now: float) -> Demand:
    """After a cold start."""
    return dataclasses.replace(demand, starts_per_s=rate_at(demand, now) + 1 / RATE_MEMORY_S, at=now)


def became_ready(demand: Demand, took_s: float) -> Demand:
    """After a cell has become ready in took_s."""
    ready_s = took_s if not demand.ready_s else demand.ready_s + _READY_SHARE * (took_s - demand.ready_s)
    return dataclasses.replace(demand, ready_s=ready_s)


def will_wait(demand: Demand, now: float, waiting: int) -> bool:
    """Whether a cell begun now is likely to wait once it is ready, so that it may take the time to prepare itself.

    waiting: cells that wait already. Where starts come faster than cells are made, preparing only keeps the processors
    from those who wait for them.
    """
    return rate_at(demand, now) * demand.ready_s < waiting + 1


def wanted(demand: Demand, now: float, before: int, limits: CellLimits, free_bytes: int) -> int:
    """How many to have ready. before: the last answer. free_bytes: of the memory budget, cells there included."""
    meanwhile = rate_at(demand, now) * demand.ready_s
    needed = math.ceil(meanwhile + 3 * math.sqrt(meanwhile) - 1e-9)
    affordable = max(0, free_bytes) // CELL_BYTES
    return max(limits.least, min(max(needed, before - 1), limits.most, affordable))
