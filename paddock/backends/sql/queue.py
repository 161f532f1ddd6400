"""interfaces.Queue as a table beside everything else, so that a change and the event it causes commit together.

A take is one transaction of the store's only writer: it walks the groups that have something due, beginning behind
the group that was served last, and leases a fair share of each. Ten thousand messages of one function and one of
another: the next take holds the other's message, whichever came first.

wait() is woken when something is put. The writer runs put and take one after the other, so a take that follows the
wake-up finds what was put, though it may not have been committed at the moment of waking.

Known caveat: a take passes over groups in order of their names and looks at each that has messages, due or not;
that is microseconds a group.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from paddock.interfaces import Clock, Ids, Store, Tx
from paddock.model.delivery import Delivery

LEASE_DIGITS = 16

New = tuple[str, str, bytes, int]
"""A message to be added: topic, group, body, and for how many milliseconds it is taken at once, -1 for not at all."""


class SqlQueue:
    """Call start() in the event loop before anything else; one process at a time takes from a database.

    store: the one in whose transactions put() is called.
    """

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._last_served: dict[str, str] = {}
        self._bells: dict[str, asyncio.Event] = {}
        self._add_one: Callable[[New], Awaitable[Delivery | None]] = store.batched(self._add_all)
        self._ack_one: Callable[[Delivery], Awaitable[None]] = store.batched(_ack_all)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """What an earlier process held is due at once: nobody else can have it."""
        self._loop = asyncio.get_running_loop()
        await self._store.write(lambda tx: tx.run("queue_release", now_ms=self._now_ms()))

    def put(self, tx: Tx, topic: str, body: bytes, *, delay_s: float = 0.0, group: str = "") -> None:
        now_ms = self._now_ms()
        due_ms = now_ms + round(delay_s * 1000)
        tx.run("queue_put", topic=topic, sender=group, due_ms=due_ms, put_ms=now_ms, body=body)
        self._ring_from_writer(topic)

    def add(
        self,
        topic: str,
        body: bytes,
        *,
        group: str = "",
        begin: Callable[[Delivery | None], None] | None = None,
        lease_s: float = 0.0,
    ) -> Awaitable[object]:
        if begin is None:
            return self._add_one((topic, group, body, -1))
        added = self._add_one((topic, group, body, round(lease_s * 1000)))
        # Handed on even if whoever waits is gone by then: the lease is held, somebody has to use it.
        return asyncio.shield(_handed(added, begin))

    async def take(
        self, topic: str, count_max: int, lease_s: float, room: Callable[[str], int] | None = None
    ) -> Sequence[Delivery]:
        lease = self._ids.hex(LEASE_DIGITS)
        rows = await self._store.write(lambda tx: self._take(tx, topic, count_max, lease_s, lease, room or _endless))
        return [_delivery(row, lease) for row in rows]

    async def ack(self, deliveries: Sequence[Delivery], also: Callable[[Tx], None] | None = None) -> None:
        if also is None:
            await asyncio.gather(*(self._ack_one(one) for one in deliveries))
            return

        def work(tx: Tx) -> None:
            _ack_all(tx, deliveries)
            also(tx)

        await self._store.write(work)

    async def retry(self, delivery: Delivery, delay_s: float, body: bytes | None = None) -> None:
        args: dict[str, Any] = {"id": delivery.id, "lease": delivery.lease}
        args["due_ms"] = self._now_ms() + round(delay_s * 1000)
        if body is None:
            await self._store.write(lambda tx: tx.run("queue_retry", **args))
        else:
            await self._store.write(lambda tx: tx.run("queue_retry_changed", **args, body=body))
        self._ring(delivery.topic)

    async def wait(self, topic: str, timeout_s: float, room: Callable[[str], int] | None = None) -> None:
        bell = self._bell(topic)
        if not bell.is_set():
            timeout_s = min(timeout_s, await self._due_in_s(topic, room or _endless))
        if not bell.is_set() and timeout_s > 0:
            await self._sleep_or(bell, timeout_s)
        bell.clear()

    async def depth(self, topic: str) -> tuple[int, float]:
        row = await self._store.read(lambda tx: tx.row("queue_depth", topic=topic))
        if row is None or row["put_ms"] is None:
            return 0, 0.0
        return row["messages"], max(0.0, (self._now_ms() - row["put_ms"]) / 1000)

    async def _due_in_s(self, topic: str, room: Callable[[str], int]) -> float:
        """Until the next message is due, of the groups that there is room for."""
        rows = await self._store.read(lambda tx: tx.rows("queue_next_due", topic=topic))
        due_ms = min((row["due_ms"] for row in rows if room(row["sender"]) > 0), default=None)
        return math.inf if due_ms is None else max(0.0, (due_ms - self._now_ms()) / 1000)

    async def groups(self, topic: str) -> Mapping[str, tuple[int, int]]:
        rows = await self._store.read(lambda tx: tx.rows("queue_groups", topic=topic))
        return {row["sender"]: (row["messages"], row["bytes"]) for row in rows}

    def _add_all(self, tx: Tx, added: Sequence[New]) -> list[Delivery | None]:
        """Numbered here, so that one statement inserts all."""
        last = tx.row("queue_last_id")
        number = 0 if last is None else last["seq"]
        lease, now_ms = self._ids.hex(LEASE_DIGITS), self._now_ms()
        rows: list[Mapping[str, Any]] = []
        taken: list[Delivery | None] = []
        waiting: set[str] = set()
        for topic, group, body, lease_ms in added:
            number += 1
            is_taken = lease_ms >= 0
            row = {
                "id": number, "topic": topic, "sender": group, "put_ms": now_ms, "body": body, "attempts": is_taken,
                "due_ms": now_ms + lease_ms if is_taken else now_ms, "lease": lease if is_taken else "",
            }  # fmt: skip
            rows.append(row)
            if is_taken:
                taken.append(_delivery({**row, "attempts": 0}, lease))
            else:
                waiting.add(topic)
                taken.append(None)
        tx.run_many("queue_add", rows)
        for topic in waiting:
            self._ring_from_writer(topic)
        return taken

    def _take(
        self, tx: Tx, topic: str, count_max: int, lease_s: float, lease: str, room: Callable[[str], int]
    ) -> list[dict[str, Any]]:
        now_ms = self._now_ms()
        after = self._last_served.get(topic)
        groups = self._due(tx, topic, after or "", now_ms, count_max, room, is_first=after is None)
        if len(groups) < count_max and after is not None:
            # Round again from the beginning, up to and with the group that was served last.
            before = self._due(tx, topic, "", now_ms, count_max, room, is_first=True)
            groups += [group for group in before if group <= after][: count_max - len(groups)]
        taken: list[dict[str, Any]] = []
        for number, group in enumerate(groups):
            share = min(-(-(count_max - len(taken)) // (len(groups) - number)), room(group))
            args = {"topic": topic, "sender": group, "now_ms": now_ms, "count": share}
            taken += [dict(row) for row in tx.rows("queue_due", **args)]
        if taken:
            self._last_served[topic] = groups[-1]
            due_ms = now_ms + round(lease_s * 1000)
            tx.run_many("queue_lease", [{"id": row["id"], "due_ms": due_ms, "lease": lease} for row in taken])
        return taken

    @staticmethod
    def _due(
        tx: Tx, topic: str, after: str, now_ms: int, count: int, room: Callable[[str], int], *, is_first: bool
    ) -> list[str]:
        """Groups behind `after` with something due and room for it; the one with no name stands before every other."""
        found: list[str] = []
        if (
            is_first
            and room("") > 0
            and tx.row("queue_due", topic=topic, sender="", now_ms=now_ms, count=1) is not None
        ):
            found.append("")
        while len(found) < count:
            wanted = count - len(found)
            rows = tx.rows("queue_senders_due", topic=topic, after=after, now_ms=now_ms, count=wanted)
            found += [row["sender"] for row in rows if room(row["sender"]) > 0]
            if len(rows) < wanted:
                break
            after = rows[-1]["sender"]
        return found

    async def _sleep_or(self, bell: asyncio.Event, timeout_s: float) -> None:
        waits = [asyncio.ensure_future(bell.wait()), asyncio.ensure_future(self._clock.sleep(timeout_s))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    def _ring_from_writer(self, topic: str) -> None:
        """A bell that has rung already need not ring again: it is stopped before the take that finds all of them."""
        if self._loop is not None and not self._bell(topic).is_set():
            with suppress(RuntimeError):  # a loop that is closed has nobody waiting
                self._loop.call_soon_threadsafe(self._ring, topic)

    def _ring(self, topic: str) -> None:
        self._bell(topic).set()

    def _bell(self, topic: str) -> asyncio.Event:
        bell = self._bells.get(topic)
        return self._bells.setdefault(topic, asyncio.Event()) if bell is None else bell

    def _now_ms(self) -> int:
        return round(self._clock.now().timestamp() * 1000)


def _endless(group: str) -> int:
    return sys.maxsize


def _ack_all(tx: Tx, deliveries: Sequence[Delivery]) -> list[None]:
    tx.run_many("queue_ack", [{"id": one.id, "lease": one.lease} for one in deliveries])
    return [None] * len(deliveries)


async def _handed(added: Awaitable[Delivery | None], begin: Callable[[Delivery | None], None]) -> None:
    try:
        delivery = await added
    except BaseException:
        begin(None)
        raise
    begin(delivery)


def _delivery(row: Mapping[str, Any], lease: str) -> Delivery:
    return Delivery(
        id=row["id"],
        topic=row["topic"],
        group=row["sender"],
        body=row["body"],
        attempts=row["attempts"] + 1,
        put_at=datetime.fromtimestamp(row["put_ms"] / 1000, UTC),
        lease=lease,
    )
