"""What a worker remembers of its versions: idle times, who is due, what is worth most, and no more than a bound."""

from __future__ import annotations

import pytest

from paddock.worker import rhythms
from paddock.worker.keepalive import KeepAliveSettings
from paddock.worker.pool import NEW_ENVIRONMENT_BYTES, Idle
from paddock.worker.rhythms import Rhythms

KEY = ("fn", "$LATEST", "build-1")
ADAPTIVE = KeepAliveSettings(adaptive=True, fixed_s=600.0, keep_s_max=14_400.0)
HALF_HOUR = 1800.0


def timer(known: Rhythms, key: tuple[str, ...] = KEY, rounds: int = 12, period_s: float = HALF_HOUR) -> float:
    """Events in a row; the time when the last one ended."""
    for number in range(rounds):
        known.began(key, number * period_s)
        known.ended(key, number * period_s + 1)
    return (rounds - 1) * period_s + 1


def test_a_timer_is_due_once_shortly_before_its_event() -> None:
    known = Rhythms(ADAPTIVE)
    ended = timer(known)
    prewarm_s = known.keep(KEY).prewarm_after_s
    assert 0 < prewarm_s < HALF_HOUR
    assert list(known.due(ended + prewarm_s - 1)) == []
    assert list(known.due(ended + prewarm_s)) == [KEY[:-1]]
    assert list(known.due(ended + prewarm_s + 1)) == [], "once for each event"
    known.began(KEY, ended + HALF_HOUR)
    assert list(known.due(ended + HALF_HOUR + prewarm_s)) == [], "it runs"
    known.ended(KEY, ended + HALF_HOUR + 1)
    assert list(known.due(ended + HALF_HOUR + 1 + prewarm_s)) == [KEY[:-1]]


def test_what_did_not_come_is_not_awaited_for_ever() -> None:
    known = Rhythms(ADAPTIVE)
    ended = timer(known)
    decision = known.keep(KEY)
    assert list(known.due(ended + decision.prewarm_after_s + decision.keep_s + 1)) == []


def test_new_code_is_used_as_the_old_was() -> None:
    known = Rhythms(ADAPTIVE)
    timer(known)
    assert known.keep((*KEY[:-1], "build-2")) == known.keep(KEY)
    assert known.keep(("other", "$LATEST", "build-1")).keep_s == 600.0


def test_events_that_overlap_are_one_time_of_use() -> None:
    known = Rhythms(ADAPTIVE)
    for number in range(12):
        at = number * HALF_HOUR
        known.began(KEY, at)
        known.began(KEY, at + 1)
        known.ended(KEY, at + 2)
        assert known.busy() == 1
        known.ended(KEY, at + 3)
    assert known.keep(KEY).prewarm_after_s > 0, "the pause between two that overlap is none"
    assert known.busy() == 0


def test_quick_events_are_learnt_too() -> None:
    known = Rhythms(ADAPTIVE)
    timer(known, rounds=50, period_s=5.0)
    assert known.keep(KEY).keep_s == pytest.approx(66.0)


def test_worth_knows_the_rhythm_and_the_cost() -> None:
    known = Rhythms(ADAPTIVE)
    ended = timer(known)
    other = ("once", "$LATEST", "build-1")
    known.began(other, 0.0)
    known.ended(other, 1.0)
    for key in (KEY, other):
        known.started(key, 0.5)

    def worth(key: tuple[str, ...], idle_s: float, ahead: bool = False) -> float:
        one = Idle(number=1, key=key, since=ended + 1790 - idle_s, memory_bytes=1 << 25, was_started_ahead=ahead)
        return known.worth(one, ended + 1790)

    assert worth(KEY, 1790.0) > worth(other, 1790.0), "due against unknown"
    assert worth(KEY, 200.0, ahead=True) == worth(KEY, 1790.0) > worth(KEY, 200.0), "it waits for the same event"
    before = worth(other, 10.0)
    known.started(other, 2.0)
    assert worth(other, 10.0) == pytest.approx(2 * before)
    assert worth(("never", "seen"), 10.0) > 0


def test_a_new_environment_is_reckoned_with_what_the_last_one_held() -> None:
    known = Rhythms(ADAPTIVE)
    assert known.memory_bytes(KEY) == NEW_ENVIRONMENT_BYTES
    known.began(KEY, 0.0)
    known.measured(KEY, 100 << 20)
    assert known.memory_bytes(KEY) == 100 << 20
    known.measured(KEY, 1)
    assert known.memory_bytes(KEY) == NEW_ENVIRONMENT_BYTES


def test_it_remembers_so_many_versions_and_forgets_none_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rhythms, "VERSIONS_MAX", 20)
    known = Rhythms(ADAPTIVE)
    known.began(KEY, 0.0)
    known.measured(KEY, 100 << 20)
    for number in range(100):
        other = (f"f{number}", "build")
        known.began(other, float(number))
        known.ended(other, float(number))
        known.measured(other, 50 << 20)
    remembered = [number for number in range(100) if known.memory_bytes((f"f{number}", "")) == 50 << 20]
    assert len(remembered) < 20
    assert remembered[-5:] == [95, 96, 97, 98, 99], "the latest stay"
    known.ended(KEY, 100.0)
    assert known.memory_bytes(KEY) == 100 << 20
