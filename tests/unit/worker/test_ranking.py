"""The order in which idle environments go, kept for a while."""

from __future__ import annotations

from paddock.worker.pool import Idle
from paddock.worker.ranking import FEW, KEPT_S, Ranking


def idle(number: int, *, worth: float, since: float = 0.0) -> Idle:
    return Idle(number=number, key=("f",), since=since, memory_bytes=1, worth=worth)


def numbers(ranking: Ranking, now: float, used: tuple[int, ...] = ()) -> list[int]:
    return [one.number for one in ranking.few(now, lambda one: one.number not in used)]


def test_those_worth_least_come_first_and_of_equals_the_one_idle_longest() -> None:
    ranking = Ranking()
    ranking.weighed([idle(1, worth=3), idle(2, worth=1, since=5), idle(3, worth=1, since=4), idle(4, worth=2)], 10)
    assert numbers(ranking, 10) == [3, 2, 4, 1]
    assert numbers(ranking, 10) == [3, 2, 4, 1], "whoever was looked at is there still"


def test_who_was_used_since_is_passed_over_for_good() -> None:
    ranking = Ranking()
    ranking.weighed([idle(number, worth=number) for number in range(4)], 10)
    assert numbers(ranking, 10, used=(0, 2)) == [1, 3]
    assert numbers(ranking, 10) == [1, 3]


def test_a_few_of_many_and_the_next_once_they_are_gone() -> None:
    ranking = Ranking()
    ranking.weighed([idle(number, worth=number) for number in range(3 * FEW)], 10)
    assert numbers(ranking, 10) == list(range(FEW))
    assert numbers(ranking, 10, used=tuple(range(5))) == list(range(5, FEW + 5))


def test_an_order_holds_for_a_while_and_none_is_none() -> None:
    ranking = Ranking()
    assert numbers(ranking, 0) == []
    ranking.weighed([idle(1, worth=1)], 10)
    assert numbers(ranking, 10 + 0.99 * KEPT_S) == [1]
    assert numbers(ranking, 10 + KEPT_S) == []
