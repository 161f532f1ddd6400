"""How many cells wait for code: the examples of the page, the bounds, growing at once and shrinking slowly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.worker.demand import (
    CELL_BYTES,
    RATE_MEMORY_S,
    CellLimits,
    Demand,
    became_ready,
    rate_at,
    taken,
    wanted,
    will_wait,
)

LIMITS = CellLimits(least=2, most=100)
ROOMY = 1 << 40


def test_the_pages_example() -> None:
    assert wanted(Demand(starts_per_s=50.0, ready_s=0.020), 0.0, 0, LIMITS, ROOMY) == 4
    assert wanted(Demand(starts_per_s=50.0, ready_s=1.0), 0.0, 0, LIMITS, ROOMY) == 72


def test_a_steady_stream_is_measured() -> None:
    demand = Demand()
    for number in range(1000):
        demand = taken(demand, number / 20)
    assert rate_at(demand, 50.0) == pytest.approx(20.0, rel=0.05)
    assert rate_at(demand, 50.0 + 5 * RATE_MEMORY_S) < 0.2, "and is forgotten"


def test_the_time_to_become_ready_is_smoothed() -> None:
    demand = became_ready(Demand(), 0.1)
    assert demand.ready_s == 0.1
    demand = became_ready(demand, 0.2)
    assert demand.ready_s == pytest.approx(0.12)


def test_it_grows_at_once_and_shrinks_one_by_one() -> None:
    busy = Demand(starts_per_s=50.0, ready_s=0.2)
    grown = wanted(busy, 0.0, 2, LIMITS, ROOMY)
    assert grown == 20
    later, counts = 1000.0, [grown]
    while counts[-1] != LIMITS.least:
        counts.append(wanted(busy, later, counts[-1], LIMITS, ROOMY))
    assert counts == list(range(20, 1, -1))


def test_memory_bounds_it_but_not_the_least() -> None:
    busy = Demand(starts_per_s=50.0, ready_s=1.0)
    assert wanted(busy, 0.0, 72, LIMITS, 10 * CELL_BYTES) == 10
    assert wanted(busy, 0.0, 72, LIMITS, -1) == LIMITS.least


@given(
    st.floats(0, 1e4), st.floats(0, 100), st.integers(0, 300), st.integers(0, 50), st.integers(0, 50), st.integers(0)
)
def test_it_keeps_between_the_settings(
    rate: float, ready_s: float, before: int, least: int, more: int, free_bytes: int
) -> None:
    limits = CellLimits(least=least, most=least + more)
    answer = wanted(Demand(starts_per_s=rate, ready_s=ready_s), 0.0, before, limits, free_bytes)
    assert least <= answer <= least + more


def test_a_cell_prepares_itself_unless_it_is_likely_to_be_taken_first() -> None:
    assert will_wait(Demand(), 0.0, 0)
    assert will_wait(Demand(starts_per_s=1.0, ready_s=0.02), 0.0, 0)
    stream = Demand(starts_per_s=50.0, ready_s=0.1)
    assert not will_wait(stream, 0.0, 0)
    assert not will_wait(stream, 0.0, 4)
    assert will_wait(stream, 0.0, 5)
    assert will_wait(stream, 10 * RATE_MEMORY_S, 0), "and again once the stream is over"
