"""The bucket from which new environments are taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paddock.worker import scaling
from paddock.worker.scaling import WINDOW_S, ScalingRate


def taken(rate: ScalingRate, function: str, now_s: float, tries: int) -> int:
    return sum(rate.take(function, now_s) for _ in range(tries))


def test_a_burst_and_then_as_much_as_comes_back() -> None:
    rate = ScalingRate(1000)
    assert taken(rate, "f", 0.0, 1500) == 1000
    assert taken(rate, "f", 0.005, 10) == 0
    assert taken(rate, "f", 0.0101, 10) == 1
    assert taken(rate, "f", 5.005, 1500) == 499


def test_what_is_not_used_does_not_add_up() -> None:
    rate = ScalingRate(10)
    assert taken(rate, "f", 0.0, 1) == 1
    assert taken(rate, "f", 3600.0, 100) == 10


def test_functions_do_not_share() -> None:
    rate = ScalingRate(2)
    assert taken(rate, "f", 0.0, 3) == 2
    assert taken(rate, "g", 0.0, 3) == 2


def test_no_limit() -> None:
    assert taken(ScalingRate(0), "f", 0.0, 5000) == 5000


def test_only_buckets_that_are_not_full_are_remembered() -> None:
    rate = ScalingRate(10)
    assert taken(rate, "busy", 0.0, 10) == 10
    for number in range(3 * scaling.FUNCTIONS_MAX):
        assert rate.take(number, number * 0.1)
    assert taken(rate, "busy", 0.0, 1) == 1, "its bucket was full long ago and is forgotten"
    assert len(rate._buckets) <= scaling.FUNCTIONS_MAX + 1


@given(st.integers(1, 50), st.lists(st.floats(0.0, 3.0), max_size=60))
def test_never_more_than_the_burst_and_what_came_back(size: int, waits: list[float]) -> None:
    rate, now, granted = ScalingRate(size), 0.0, 0
    for wait in waits:
        now += wait
        granted += rate.take("f", now)
    assert granted <= size + now * size / WINDOW_S + 1e-6
