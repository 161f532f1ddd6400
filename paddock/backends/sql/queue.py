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
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from paddock.interfaces import Clock, Ids, Store, Tx
from paddock.model.delivery import Delivery

LEASE_DIGITS = 16


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
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """What an earlier process held is due at once: nobody else can have it."""
        self._loop = asyncio.get_running_loop()
        await self._store.write(lambda tx: tx.run("queue_release", now_ms=self._now_ms()))

    def put(self, tx: Tx, topic: str, body: bytes, *, delay_s: float = 0.0, group: str = "") -> None:
        now_ms = self._now_ms()
        due_ms = now_ms + round(delay_s * 1000)
        tx.run("queue_put", topic=topic, sender=group, due_ms=due_ms, put_ms=now_ms, body=body)
        if self._loop is not None:
            # Runs in the writer's thread; a loop that is closed has nobody waiting.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ring, topic)

    async def take(self, topic: str, count_max: int, lease_s: float) -> Sequence[Delivery]:
        lease = self._ids.hex(LEASE_DIGITS)
        rows = await self._store.write(lambda tx: self._take(tx, topic, count_max, lease_s, lease))
        return [_delivery(row, lease) for row in rows]

    async def ack(self, deliveries: Sequence[Delivery], also: Callable[[Tx], None] | None = None) -> None:
        rows = [{"id": one.id, "lease": one.lease} for one in deliveries]

        def work(tx: Tx) -> None:
            tx.run_many("queue_ack", rows)
            if also is not None:
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

    async def wait(self, topic: str, timeout_s: float) -> None:
        bell = self._bells.setdefault(topic, asyncio.Event())
        row = await self._store.read(lambda tx: tx.row("queue_next_due", topic=topic))
        if row is not None and row["due_ms"] is not None:
            timeout_s = min(timeout_s, max(0.0, (row["due_ms"] - self._now_ms()) / 1000))
        if not bell.is_set() and timeout_s > 0:
            await self._sleep_or(bell, timeout_s)
        bell.clear()

    async def depth(self, topic: str) -> tuple[int, float]:
        """(messages that wait or are being worked on, age of the oldest in seconds)."""
        row = await self._store.read(lambda tx: tx.row("queue_depth", topic=topic))
        if row is None or row["put_ms"] is None:
            return 0, 0.0
        return row["messages"], max(0.0, (self._now_ms() - row["put_ms"]) / 1000)

    def _take(self, tx: Tx, topic: str, count_max: int, lease_s: float, lease: str) -> list[dict[str, Any]]:
        now_ms = self._now_ms()
        after = self._last_served.get(topic)
        groups = self._due(tx, topic, "" if after is None else after, now_ms, count_max, is_first=after is None)
        if len(groups) < count_max and after is not None:
            # Round again from the beginning, up to and with the group that was served last.
            before = self._due(tx, topic, "", now_ms, count_max, is_first=True)
            groups += [group for group in before if group <= after][: count_max - len(groups)]
        taken: list[dict[str, Any]] = []
        for number, group in enumerate(groups):
            share = -(-(count_max - len(taken)) // (len(groups) - number))
            args = {"topic": topic, "sender": group, "now_ms": now_ms, "count": share}
            taken += [dict(row) for row in tx.rows("queue_due", **args)]
        if taken:
            self._last_served[topic] = groups[-1]
            due_ms = now_ms + round(lease_s * 1000)
            tx.run_many("queue_lease", [{"id": row["id"], "due_ms": due_ms, "lease": lease} for row in taken])
        return taken

    @staticmethod
    def _due(tx: Tx, topic: str, after: str, now_ms: int, count: int, *, is_first: bool) -> list[str]:
        """Groups with something due behind `after`; the group with no name stands before every other."""
        found: list[str] = []
        if is_first and tx.row("queue_due", topic=topic, sender="", now_ms=now_ms, count=1) is not None:
            found.append("")
        rows = tx.rows("queue_senders_due", topic=topic, after=after, now_ms=now_ms, count=count - len(found))
        return found + [row["sender"] for row in rows]

    async def _sleep_or(self, bell: asyncio.Event, timeout_s: float) -> None:
        waits = [asyncio.ensure_future(bell.wait()), asyncio.ensure_future(self._clock.sleep(timeout_s))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    def _ring(self, topic: str) -> None:
        self._bells.setdefault(topic, asyncio.Event()).set()

    def _now_ms(self) -> int:
        return round(self._clock.now().timestamp() * 1000)


def _delivery(row: dict[str, Any], lease: str) -> Delivery:
    return Delivery(
        id=row["id"],
        topic=row["topic"],
        group=row["sender"],
        body=row["body"],
        attempts=row["attempts"] + 1,
        put_at=datetime.fromtimestamp(row["put_ms"] / 1000, UTC),
        lease=lease,
    )
