"""interfaces.Queue in memory, for tests that have no database: what a transaction puts is there at once."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from paddock.interfaces import Clock, Row, Tx
from paddock.model.delivery import Delivery


class NoTransaction:
    """A Tx in which nothing can be asked: whoever only puts into a MemoryQueue needs no more."""

    def run(self, query: str, **args: Any) -> int:
        raise AssertionError(f"{query}: there is no database here")

    def run_many(self, query: str, rows: Sequence[Row]) -> None:
        raise AssertionError(f"{query}: there is no database here")

    def rows(self, query: str, **args: Any) -> list[Row]:
        raise AssertionError(f"{query}: there is no database here")

    def row(self, query: str, **args: Any) -> Row | None:
        raise AssertionError(f"{query}: there is no database here")


NO_TX = NoTransaction()


class MemoryQueue:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next = 1
        self._messages: dict[int, Delivery] = {}
        self._due: dict[int, float] = {}
        self._last_served: dict[str, str] = {}
        self._bell = asyncio.Event()

    def put(self, tx: Tx, topic: str, body: bytes, *, delay_s: float = 0.0, group: str = "") -> None:
        number, self._next = self._next, self._next + 1
        now = self._clock.now()
        self._messages[number] = Delivery(
            id=number, topic=topic, group=group, body=body, attempts=0, put_at=now, lease=""
        )
        self._due[number] = now.timestamp() + delay_s
        self._bell.set()

    async def add(
        self,
        topic: str,
        body: bytes,
        *,
        group: str = "",
        begin: Callable[[Delivery | None], None] | None = None,
        lease_s: float = 0.0,
    ) -> None:
        self.put(NO_TX, topic, body, group=group)
        if begin is not None:
            begin(self._lease(self._next - 1, self._clock.now().timestamp() + lease_s))

    async def take(
        self, topic: str, count_max: int, lease_s: float, room: Callable[[str], int] | None = None
    ) -> Sequence[Delivery]:
        now_s = self._clock.now().timestamp()
        due: dict[str, list[int]] = {}
        for number in sorted(self._messages, key=lambda one: (self._due[one], one)):
            if self._messages[number].topic == topic and self._due[number] <= now_s:
                group = self._messages[number].group
                if room is None or len(due.get(group, ())) < room(group):
                    due.setdefault(group, []).append(number)
        last = self._last_served.get(topic, "")
        groups = sorted(due, key=lambda group: (group <= last, group))
        taken: list[Delivery] = []
        while groups and len(taken) < count_max:
            for group in list(groups):
                if len(taken) == count_max:
                    break
                taken.append(self._lease(due[group].pop(0), now_s + lease_s))
                self._last_served[topic] = group
                if not due[group]:
                    groups.remove(group)
        return taken

    def _lease(self, number: int, until_s: float) -> Delivery:
        before = self._messages[number]
        attempts = before.attempts + 1
        self._messages[number] = dataclasses.replace(before, attempts=attempts, lease=f"{number}-{attempts}")
        self._due[number] = until_s
        return self._messages[number]

    async def ack(self, deliveries: Sequence[Delivery], also: Callable[[Tx], None] | None = None) -> None:
        for one in deliveries:
            if self._is_held(one):
                del self._messages[one.id], self._due[one.id]
        if also is not None:
            also(NO_TX)

    async def retry(self, delivery: Delivery, delay_s: float, body: bytes | None = None) -> None:
        if self._is_held(delivery):
            held = self._messages[delivery.id]
            changed = dataclasses.replace(held, lease="", body=held.body if body is None else body)
            self._messages[delivery.id] = changed
            self._due[delivery.id] = (self._clock.now() + timedelta(seconds=delay_s)).timestamp()
            self._bell.set()

    async def wait(self, topic: str, timeout_s: float, room: Callable[[str], int] | None = None) -> None:
        waiting = [one for one in self._messages.values() if one.topic == topic]
        due = [self._due[one.id] for one in waiting if room is None or room(one.group) > 0]
        left_s = min([timeout_s, *(max(0.0, at - self._clock.now().timestamp()) for at in due)])
        if not self._bell.is_set() and left_s > 0:
            waits = [asyncio.ensure_future(self._bell.wait()), asyncio.ensure_future(self._clock.sleep(left_s))]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for one in waits:
                one.cancel()
        self._bell.clear()

    async def depth(self, topic: str) -> tuple[int, float]:
        put_at = [one.put_at for one in self._messages.values() if one.topic == topic]
        age_s = (self._clock.now() - min(put_at)).total_seconds() if put_at else 0.0
        return len(put_at), age_s

    def release(self) -> None:
        """What a process held that is no more: due at once, as SqlQueue.start makes it."""
        for number, one in self._messages.items():
            if one.lease:
                self._messages[number] = dataclasses.replace(one, lease="")
                self._due[number] = self._clock.now().timestamp()

    async def groups(self, topic: str) -> Mapping[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for one in self._messages.values():
            if one.topic == topic:
                count, size = found.get(one.group, (0, 0))
                found[one.group] = (count + 1, size + len(one.body))
        return found

    def has_messages(self) -> bool:
        """Whether anything waits or is being worked on."""
        return bool(self._messages)

    def _is_held(self, delivery: Delivery) -> bool:
        return delivery.id in self._messages and self._messages[delivery.id].lease == delivery.lease
