"""When each schedule is due next: an index in the database, not a task for each schedule.

An owner is a rule or a schedule, named by a text that begins with its kind ("rule:...", "schedule:..."). It has one
row: the tick (the moment that its expression names) and when that is due (later within a flexible window). Firing is
one transaction: what is sent is put into the outbox and the row moves on, or neither, so that a tick is fired by
exactly one process, and once.

What was missed while Paddock was down, or slept, or while the clock jumped (docs/decisions, "Missed ticks"): a tick
that is up to GRACE late fires late. Of those that are older, one fires for all, if its event age allows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from paddock.interfaces import Tx
from paddock.model.delivery import TargetEvent
from paddock.model.event_bus import Delivering

log = logging.getLogger(__name__)

Send = Callable[[Tx, TargetEvent, Delivering], None]
"""Puts an event into the outbox, as part of the transaction."""

GRACE = timedelta(minutes=5)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """tick: the moment that was meant. due: when to fire, not earlier."""

    tick: datetime
    due: datetime


class Firing(Protocol):
    """One kind of owner."""

    def fire(self, tx: Tx, owner: str, tick: datetime, now: datetime) -> Planned | None:
        """Put what this tick sends into the outbox; what comes next, or None when the owner is done."""


def plan(tx: Tx, owner: str, planned: Planned | None) -> None:
    """What comes next for an owner, instead of what was planned before."""
    if planned is None:
        tx.run("tick_delete", owner=owner)
    else:
        tx.run("tick_put", owner=owner, tick_us=to_us(planned.tick), due_us=to_us(planned.due))


def fire_due(tx: Tx, firings: Mapping[str, Firing], now: datetime, count_max: int) -> int:
    """Fire up to so many of those that are due, earliest first; how many there were."""
    rows = tx.rows("ticks_due", now_us=to_us(now), limit=count_max)
    for row in rows:
        owner = row["owner"]
        try:
            following = firings[owner.partition(":")[0]].fire(tx, owner, from_us(row["tick_us"]), now)
        except (ValueError, LookupError, msgspec.MsgspecError) as error:
            # A row that can not be read, a time zone that is no longer there: one must not hold up all others.
            log.error("%s can not be fired any more: %s", owner, error)
            following = None
        plan(tx, owner, following)
    return len(rows)


def next_due(tx: Tx) -> datetime | None:
    row = tx.row("ticks_next")
    return None if row is None or row["due_us"] is None else from_us(row["due_us"])


def count_due(tx: Tx, now: datetime) -> int:
    row = tx.row("ticks_count", now_us=to_us(now))
    return 0 if row is None else int(row["count"])


def to_us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_us(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)
