"""How many hands a function gets, from what its events do: a machine of a few lines stands for it."""

from __future__ import annotations

from collections.abc import Callable

from paddock.invoke.pace import FORGET_S, HANDS_FIRST, WINDOW_S, Pace

LOOK_S = 0.01


def hands_after(seconds: float, ended_per_s: Callable[[int], float], pace: Pace | None = None) -> int:
    """How many run at once after so long, with more to do than hands. ended_per_s: of so many that run at once."""
    pace = pace or Pace(lambda group: None)
    now_s, running, ended = 0.0, 0, 0.0
    while now_s < seconds:
        while pace.room("f") > 0:
            pace.began("f", now_s)
            running += 1
        ended += ended_per_s(running) * LOOK_S
        while ended >= 1 and running:
            ended -= 1
            running -= 1
            pace.ended("f")
            if pace.room("f") > 0:
                pace.began("f", now_s)
                running += 1
        pace.look(now_s)
        now_s += LOOK_S
    return running


def test_events_that_sleep_all_run_at_once_soon() -> None:
    assert hands_after(2.0, lambda running: 0.0) >= 1000


def test_short_events_get_no_more_hands_than_help() -> None:
    assert hands_after(30.0, lambda running: 2000.0) <= 2 * HANDS_FIRST


def test_events_that_wait_for_something_get_as_many_as_help() -> None:
    def ended(running: int) -> float:
        return 10.0 * min(running, 200)  # a tenth of a second each, and two hundred at once are the most that help

    assert 150 <= hands_after(60.0, ended) <= 500


def test_a_throttle_leaves_what_runs() -> None:
    pace = Pace(lambda group: None)
    for _ in range(HANDS_FIRST):
        pace.began("f", 0.0)
    for _ in range(6):
        pace.ended("f")  # refused: they never ran
        pace.throttled("f")
    assert pace.room("f") <= 0
    pace.look(WINDOW_S)
    assert pace.room("f") <= 0


def test_a_reservation_bounds_it_and_none_still_lets_one_find_out() -> None:
    bounds: dict[str, int | None] = {"f": 3, "g": 0, "h": None}
    pace = Pace(bounds.get)
    assert [pace.room(name) for name in ("f", "g", "h")] == [3, 1, HANDS_FIRST]


def test_what_is_idle_is_forgotten() -> None:
    pace = Pace(lambda group: None)
    pace.began("f", 0.0)
    pace.ended("f")
    pace.throttled("f")
    assert pace.room("f") == 1
    assert pace.look(FORGET_S + 1) == frozenset()
    assert pace.room("f") == HANDS_FIRST
