"""The pool's decisions: the examples of its page, and what must hold for every view."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.worker.keepalive import LINGER_S, KeepAlive
from paddock.worker.pool import (
    Idle,
    PoolLimits,
    PoolView,
    Refuse,
    Reuse,
    Start,
    assign,
    expired,
    has_room,
    spare_cells,
    worth,
)

MB = 1 << 20
NEW = 16 * MB
ROOMY = PoolLimits(environments_max=100, memory_budget_bytes=1 << 40)
THREE = PoolLimits(environments_max=3, memory_budget_bytes=1 << 40)
SIX_SECONDS = KeepAlive(prewarm_after_s=0.0, keep_s=6.0)


def idle(number: int, key: str, since: float, memory_bytes: int = MB) -> Idle:
    return Idle(number=number, key=(key,), since=since, memory_bytes=memory_bytes)


def view(*known: Idle, live: int | None = None, memory_bytes: int = 0) -> PoolView:
    return PoolView(idle=known, live=len(known) if live is None else live, memory_bytes=memory_bytes)


def test_the_pages_example() -> None:
    a, b = idle(1, "a", 0.0), idle(2, "b", 8.0)
    assert assign(("d",), view(a, b, live=3), THREE) == Start(evict=(1,))
    a = dataclasses.replace(a, worth=worth(0.9 / 60, 2.0, 50 * MB))
    b = dataclasses.replace(b, worth=worth(0.97 / 60, 0.1, 20 * MB))
    assert a.worth * MB**0.5 == pytest.approx(0.003)
    assert b.worth * MB**0.5 == pytest.approx(0.0011, rel=0.05)
    assert assign(("d",), view(a, b, live=3), THREE) == Start(evict=(2,))
    assert assign(("d",), view(a, live=3), THREE) == Start(evict=(1,))
    assert assign(("d",), view(live=3), THREE) == Refuse()


def test_worth_rises_with_likelihood_and_cost_and_falls_with_memory() -> None:
    least = worth(0.5, 1.0, 100 * MB)
    assert worth(0.6, 1.0, 100 * MB) > least
    assert worth(0.5, 1.1, 100 * MB) > least
    assert worth(0.5, 1.0, 90 * MB) > least
    assert worth(0.5, 0.0, 0) > 0, "neither a start nor an environment is free"


def test_the_worthless_go_first_whoever_was_idle_longer() -> None:
    old, new = dataclasses.replace(idle(1, "a", 0.0), worth=2.0), dataclasses.replace(idle(2, "b", 9.0), worth=1.0)
    assert assign(("d",), view(old, new, live=3), THREE) == Start(evict=(2,))


def test_a_new_one_is_reckoned_with_what_its_version_holds() -> None:
    limits = PoolLimits(environments_max=100, memory_budget_bytes=100 * MB)
    known = view(idle(1, "a", 0.0, 40 * MB), memory_bytes=80 * MB)
    assert has_room(known, limits)
    large = dataclasses.replace(known, new_bytes=30 * MB)
    assert not has_room(large, limits)
    assert assign(("d",), large, limits) == Start(evict=(1,))
    assert assign(("d",), dataclasses.replace(large, live=2, new_bytes=200 * MB), limits) == Refuse()
    assert has_room(PoolView(idle=(), live=0, memory_bytes=0, new_bytes=200 * MB), limits), "an empty machine takes any"


def test_the_environment_used_last_is_used_again() -> None:
    known = view(idle(1, "f", 3.0), idle(2, "f", 9.0), idle(3, "f", 5.0), idle(4, "other", 10.0))
    assert assign(("f",), known, ROOMY) == Reuse(number=2)


def test_a_full_machine_still_reuses() -> None:
    assert assign(("f",), view(idle(7, "f", 1.0), live=50, memory_bytes=1 << 50), THREE) == Reuse(number=7)


def test_an_empty_machine_starts_whatever_the_budget() -> None:
    assert assign(("f",), view(), PoolLimits(environments_max=1, memory_budget_bytes=1)) == Start()


def test_memory_evicts_until_it_fits_and_no_further() -> None:
    known = view(idle(1, "a", 1.0, 50 * MB), idle(2, "b", 2.0, 50 * MB), idle(3, "c", 3.0), memory_bytes=101 * MB)
    limits = PoolLimits(environments_max=100, memory_budget_bytes=70 * MB)
    assert assign(("d",), known, limits) == Start(evict=(1,))


def test_memory_in_the_hands_of_the_busy_refuses() -> None:
    limits = PoolLimits(environments_max=100, memory_budget_bytes=70 * MB)
    assert assign(("d",), view(live=2, memory_bytes=60 * MB), limits) == Refuse()
    assert assign(("d",), view(live=2, memory_bytes=70 * MB - NEW), limits) == Start()


KEYS = st.sampled_from([("a",), ("b",), ("c",)])
IDLES = st.lists(st.tuples(KEYS, st.floats(0, 1e6), st.integers(0, 200 * MB)), max_size=12).map(
    lambda rows: [
        Idle(number=number, key=key, since=since, memory_bytes=size) for number, (key, since, size) in enumerate(rows)
    ]
)
LIMITS = st.builds(PoolLimits, environments_max=st.integers(1, 15), memory_budget_bytes=st.integers(MB, 2000 * MB))


@given(KEYS, IDLES, st.integers(0, 8), st.integers(0, 500 * MB), LIMITS)
def test_every_decision(
    key: tuple[str, ...], known: list[Idle], busy: int, busy_bytes: int, limits: PoolLimits
) -> None:
    live = len(known) + busy
    used = sum(one.memory_bytes for one in known) + (busy_bytes if busy else 0)
    decision = assign(key, PoolView(idle=known, live=live, memory_bytes=used), limits)
    own = [one for one in known if one.key == key]
    by_idleness = [one.number for one in sorted(known, key=lambda one: one.since)]

    def fits(evicted: int) -> bool:
        gone = sum(known[number].memory_bytes for number in by_idleness[:evicted])
        left = live - evicted
        return left < limits.environments_max and (not left or used - gone + NEW <= limits.memory_budget_bytes)

    if isinstance(decision, Reuse):
        assert known[decision.number].key == key
        assert known[decision.number].since == max(one.since for one in own)
        return
    assert not own, "an idle environment of the version is used before a new one is started"
    if isinstance(decision, Refuse):
        assert not fits(len(known)), "refused although ending the idle ones would have made room"
        return
    count = len(decision.evict)
    assert list(decision.evict) == by_idleness[:count], "who is idle longest goes first"
    assert fits(count)
    assert not any(fits(fewer) for fewer in range(count)), "more were ended than needed"


def test_expired_ones_are_those_past_the_timeout() -> None:
    assert expired([idle(1, "a", 0.0), idle(2, "b", 4.0), idle(3, "c", 5.0)], 10.0, lambda _: SIX_SECONDS) == (1, 2)
    assert expired([], 10.0, lambda _: SIX_SECONDS) == ()


def test_each_version_has_its_own_time() -> None:
    def keep(key: tuple[str, ...]) -> KeepAlive:
        return SIX_SECONDS if key == ("a",) else KeepAlive(prewarm_after_s=0.0, keep_s=100.0)

    known = [idle(1, "a", 0.0), idle(2, "b", 0.0)]
    assert expired(known, 99.0, keep) == (1,)
    assert expired(known, 100.0, keep) == (1, 2)


def test_one_started_ahead_outlives_one_that_has_run_the_event_before() -> None:
    later = KeepAlive(prewarm_after_s=3600.0, keep_s=300.0)
    ran, ahead = idle(1, "a", 0.0), dataclasses.replace(idle(2, "a", 0.0), was_started_ahead=True)
    assert expired([ran, ahead], LINGER_S - 0.1, lambda _: later) == ()
    assert expired([ran, ahead], LINGER_S, lambda _: later) == (1,)
    assert expired([ran, ahead], 300.0, lambda _: later) == (1, 2)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 5)),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 5)),
    st.integers(0, 6),
)
def test_spare_cells_fill_up_to_what_is_wanted(ready: dict[str, int], starting: dict[str, int], wanted: int) -> None:
    more = spare_cells(ready, starting, wanted)
    assert set(more) <= set(ready), "runtimes that nobody uses get no cells"
    for runtime, count in ready.items():
        total = count + starting.get(runtime, 0)
        assert total + more.get(runtime, 0) == max(total, wanted)
