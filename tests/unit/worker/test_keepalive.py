"""How long to keep an environment: the example of the page, when the histogram is trusted, and what is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.worker.keepalive import (
    BIN_S,
    BINS,
    LINGER_S,
    OBSERVED_MIN,
    PREWARM_AFTER_S_MIN,
    History,
    KeepAlive,
    KeepAliveSettings,
    chance,
    decide,
    is_representative,
    observe,
    soon,
    survivors,
)

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
ADAPTIVE = KeepAliveSettings(adaptive=True, fixed_s=600.0, keep_s_max=4 * HOUR)
FIXED = KeepAlive(prewarm_after_s=0.0, keep_s=600.0)


def seen(*idle_times_s: float) -> History:
    history = History()
    for idle_s in idle_times_s:
        history = observe(history, idle_s)
    return history


def test_the_pages_example() -> None:
    decision = decide(seen(*[1799.0] * 8), ADAPTIVE)
    assert decision.prewarm_after_s == pytest.approx(29 * MINUTE * 0.9)
    assert decision.prewarm_after_s + decision.keep_s == pytest.approx(30 * MINUTE * 1.1)
    assert decision.after_event_s == LINGER_S


def test_a_busy_functions_environments_stay_little_longer_than_its_pauses() -> None:
    decision = decide(seen(*[1.0] * 50, 90.0), ADAPTIVE)
    assert decision.prewarm_after_s == 0.0
    assert decision.keep_s == pytest.approx(2 * MINUTE * 1.1)
    assert decision.after_event_s == decision.keep_s


def test_a_near_head_is_waited_out_warm() -> None:
    near = decide(seen(*[PREWARM_AFTER_S_MIN - 1] * 20), ADAPTIVE)
    assert near.prewarm_after_s == 0.0
    assert near.keep_s > PREWARM_AFTER_S_MIN


def test_too_little_seen_is_not_trusted() -> None:
    few = seen(*[1800.0] * (OBSERVED_MIN - 1))
    assert decide(few, ADAPTIVE) == FIXED
    assert decide(observe(few, 1800.0), ADAPTIVE) != FIXED


def test_too_much_beyond_the_histogram_is_not_trusted() -> None:
    half = seen(*[5 * HOUR] * 20, *[1800.0] * 20)
    assert decide(half, ADAPTIVE) == FIXED
    assert decide(observe(half, 1800.0), ADAPTIVE) != FIXED


def test_an_even_spread_is_not_trusted() -> None:
    assert not is_representative(seen(*[slot * BIN_S for slot in range(BINS)]))
    assert is_representative(seen(*[slot * BIN_S for slot in range(BINS)], *[0.0] * 60))


def test_switched_off_it_always_takes_the_fixed_time() -> None:
    settings = KeepAliveSettings(adaptive=False, fixed_s=77.0, keep_s_max=50.0)
    for history in (History(), seen(*[1800.0] * 50)):
        assert decide(history, settings) == KeepAlive(prewarm_after_s=0.0, keep_s=77.0)


def test_what_is_learnt_stays_below_the_longest_allowed() -> None:
    short = KeepAliveSettings(adaptive=True, fixed_s=600.0, keep_s_max=200.0)
    assert decide(seen(*[840.0] * 20), short).keep_s == 200.0
    assert decide(seen(*[840.0] * 20), ADAPTIVE).keep_s > 200.0


def test_histories_are_values() -> None:
    before = History()
    after = observe(before, 10.0)
    assert (sum(before.counts), before.total) == (0, 0)
    assert sum(after.counts) == after.total > 0
    with pytest.raises(ValueError, match="idle time of -1"):
        observe(before, -1.0)


def test_a_new_habit_replaces_the_old_one() -> None:
    history = seen(*[1800.0] * 100)
    weeks = 0
    while decide(history, ADAPTIVE).prewarm_after_s < 50 * MINUTE:
        for _ in range(7 * 24):
            history = observe(history, HOUR - 1)
        weeks += 1
    assert 1 < weeks < 8, "by what it does now, once the old habit is forgotten"


IDLE_TIMES = st.lists(st.tuples(st.floats(0, 6 * HOUR), st.integers(1, 3000)), max_size=30)


@given(IDLE_TIMES)
def test_every_history_is_bounded_and_adds_up(idle_times: list[tuple[float, int]]) -> None:
    history = History()
    for idle_s, times in idle_times:
        history = observe(history, idle_s, times)
        assert history.total == sum(history.counts) + history.beyond
        assert len(history.counts) * history.counts.itemsize == 2 * BINS
        assert history.total < 1 << 16
    decision = decide(history, ADAPTIVE)
    assert 0 < decision.keep_s <= 4 * HOUR
    assert decision.prewarm_after_s == 0 or decision.prewarm_after_s >= PREWARM_AFTER_S_MIN


@given(IDLE_TIMES, st.floats(0, 5 * HOUR), st.floats(1, HOUR))
def test_every_chance_is_one(idle_times: list[tuple[float, int]], idle_s: float, within_s: float) -> None:
    history = History()
    for observed_s, times in idle_times:
        history = observe(history, observed_s, times)
    survived = survivors(history)
    assert survived[0] == history.total
    assert 0 < chance(survived, idle_s, within_s) <= 1
    assert chance(survived, idle_s, within_s) <= chance(survived, idle_s, within_s + 60.0), "later is no less likely"


def test_chances_follow_what_was_seen() -> None:
    timer = survivors(seen(*[1800.0] * 50))
    assert chance(timer, 1700.0, 300.0) > 0.95, "it is due"
    assert chance(timer, 60.0, 300.0) < 0.05, "it has just been"
    nothing = survivors(History())
    unknown = [chance(nothing, idle_s, 300.0) for idle_s in (0.0, 1.0, 60.0, HOUR)]
    assert unknown == sorted(unknown, reverse=True), "of the unknown, who is idle longest is the least likely"
    assert unknown[0] == 1.0


def test_what_comes_in_a_minute_is_sooner_than_what_comes_in_an_hour() -> None:
    minutes, hours = survivors(seen(*[90.0] * 50)), survivors(seen(*[HOUR] * 50))
    assert soon(minutes, 45.0) > 10 * soon(hours, 45.0) > 0
    assert soon(hours, HOUR - 30) > 0.9 / 300
