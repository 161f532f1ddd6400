"""What the platform tells the extensions of one environment: the stream behind the Telemetry API and the Logs API.

    put("platform", at, "platform.start", {...})     a record, for whoever has subscribed to its kind

Each subscriber has a buffer of its own. A batch leaves when it has as many items or bytes as were asked for, or when
its oldest item has waited for as long; it is sent until it is accepted. A subscriber that does not keep up loses the
records that do not fit, and is told how many with the next batch (`platform.logsDropped`): never is the function held
up, or the server's memory spent, for it.

What happened before the first subscription, since the initialisation began, is kept for it, within the same bounds.
While the environment is frozen nothing is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from paddock.interfaces import Clock, Sandbox
from paddock.observe.invocation_log import timestamp
from paddock.worker.delivery import Deliverer
from paddock.worker.subscription import BYTES, LOGS, Subscription

DROPPED = "Some logs were dropped because the downstream consumer is slower than the logs production rate"
_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)

_DELAYS_MAX = 20
BUFFERS_BYTES_MAX = 4 << 20
"""Of one environment, whoever subscribes and whatever they ask for: it is the server's memory."""


def encoded(at: datetime, kind: str, record: object) -> bytes:
    body = {"time": timestamp(at), "type": kind, "record": record}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def as_logs(kind: str, record: Any, schema: str) -> Iterator[tuple[str, object]]:
    """A record as the Logs API of that schema knows it: in none, one or two of its own."""
    if kind == "platform.start":
        yield kind, {"requestId": record["requestId"], "version": record["version"]}
    elif kind == "platform.runtimeDone":
        if schema == "2021-03-18":
            yield kind, {"requestId": record["requestId"], "status": record["status"]}
    elif kind == "platform.report":
        yield "platform.end", {"requestId": record["requestId"]}
        yield kind, {"requestId": record["requestId"], "metrics": record["metrics"]}
    elif not kind.startswith("platform.init"):
        yield kind, record


class _Subscriber:
    """One subscription, its buffer and the task that empties it."""

    def __init__(
        self,
        subscription: Subscription,
        deliverer: Deliverer,
        *,
        clock: Clock,
        running: asyncio.Event,
        room: Callable[[], int],
    ) -> None:
        """room: bytes that the environment's buffers may still take, all together."""
        self.subscription = subscription
        self._deliverer = deliverer
        self._clock = clock
        self._room = room
        self._running = running
        self._buffer: deque[bytes] = deque()
        self.bytes = 0
        self._bytes_max = 2 * subscription.bytes_max
        self._dropped = [0, 0]  # records, bytes
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self.is_sending = False
        self._task = asyncio.ensure_future(self._run())

    def put(self, at: datetime, kind: str, record: object) -> None:
        if self.subscription.api == LOGS:
            for own_kind, own in as_logs(kind, record, self.subscription.schema):
                self._add(encoded(at, own_kind, own))
        else:
            self._add(encoded(at, kind, record))

    def _add(self, data: bytes) -> None:
        if len(data) > min(self._bytes_max - self.bytes, self._room()):
            self._dropped[0] += 1
            self._dropped[1] += len(data)
            return
        self._buffer.append(data)
        self.bytes += len(data)
        self._some.set()
        if self._is_full():
            self._full.set()

    def _is_full(self) -> bool:
        wanted = self.subscription
        return len(self._buffer) >= wanted.items_max or self.bytes >= wanted.bytes_max

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            try:
                async with asyncio.timeout(self.subscription.timeout_ms / 1000):
                    await self._full.wait()
            except TimeoutError:
                pass  # what there is has waited long enough
            await self._deliver(self._batch())

    def _batch(self) -> list[bytes]:
        """What leaves next. The buffer keeps its bytes until they are accepted: they count as long."""
        batch: list[bytes] = []
        size = 0
        for data in self._buffer:
            if len(batch) >= self.subscription.items_max or (batch and size + len(data) > self.subscription.bytes_max):
                break
            batch.append(data)
            size += len(data)
        return batch

    async def _deliver(self, batch: list[bytes]) -> None:
        tries = 0
        while True:
            await self._running.wait()
            self.is_sending = True
            try:
                accepted = await self._deliverer.send(batch)
            finally:
                self.is_sending = False
            if accepted:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_S[min(tries, len(_RETRY_S) - 1)]):
                    await asyncio.Event().wait()
            tries += 1
        for _ in batch:
            self.bytes -= len(self._buffer.popleft())
        self._tell_dropped()
        if not self._buffer:
            self._some.clear()
        if not self._is_full():
            self._full.clear()

    def _tell_dropped(self) -> None:
        records, size = self._dropped
        if not records:
            return
        self._dropped = [0, 0]
        if "platform" in self.subscription.types:
            told = {"reason": DROPPED, "droppedRecords": records, "droppedBytes": size}
            self._add(encoded(self._clock.now(), "platform.logsDropped", told))

    def close(self) -> None:
        self._task.cancel()
        self._deliverer.close()


class Telemetry:
    """See the module's page. `is_wanted` is whether anybody hears what is put; cheap to ask before making a record."""

    def __init__(self, sandbox: Sandbox, clock: Clock) -> None:
        self._sandbox = sandbox
        self._clock = clock
        self._subscribers: dict[str, _Subscriber] = {}
        self._early: list[tuple[str, datetime, str, object]] = []
        self._early_bytes = 0
        self._delays = 0
        self._running = asyncio.Event()
        self._running.set()
        self.is_open = self.is_wanted = True

    def open(self) -> None:
        """An initialisation begins: what happens is kept for those who subscribe during it."""
        self.is_open = self.is_wanted = True

    def close(self) -> None:
        """The initialisation is over: nobody can subscribe any more."""
        self.is_open = False
        self._early, self._early_bytes = [], 0
        self.is_wanted = bool(self._subscribers)

    def put(self, group: str, at: datetime, kind: str, record: object) -> None:
        """group: platform, function or extension. record: JSON; a string for a line of text."""
        if self.is_open and self._early_bytes < BYTES[0]:
            self._early.append((group, at, kind, record))
            self._early_bytes += len(record) if isinstance(record, str) else BYTES[0] // 100
        for one in self._subscribers.values():
            if group in one.subscription.types:
                one.put(at, kind, record)

    def subscribe(self, name: str, subscription: Subscription) -> None:
        """In place of the one that it had."""
        before = self._subscribers.pop(name, None)
        if before is not None:
            before.close()
        deliverer = Deliverer(self._sandbox, subscription)
        one = _Subscriber(subscription, deliverer, clock=self._clock, running=self._running, room=self._room)
        for group, at, kind, record in self._early:
            if group in subscription.types:
                one.put(at, kind, record)
        self._subscribers[name] = one

    def api_of(self, name: str) -> str:
        """Which of the two APIs it has subscribed with, "" for none."""
        one = self._subscribers.get(name)
        return one.subscription.api if one is not None else ""

    def pause(self) -> None:
        self._running.clear()

    def resume(self) -> None:
        self._running.set()

    def delays_freezing(self) -> bool:
        """Whether to wait a little more, for a batch that is on its way; but not again and again."""
        if self._delays >= _DELAYS_MAX or not any(one.is_sending for one in self._subscribers.values()):
            self._delays = 0
            return False
        self._delays += 1
        return True

    def _room(self) -> int:
        return BUFFERS_BYTES_MAX - sum(one.bytes for one in self._subscribers.values())

    def forget(self) -> None:
        """Whoever subscribed is no more."""
        for one in self._subscribers.values():
            one.close()
        self._subscribers = {}
        self.close()


def line_record(message: str, is_json: bool) -> object:
    """A line as a record: text, or an object when the function's log format is JSON and the line is one."""
    text = message.removesuffix("\n")
    if is_json and text.startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if isinstance(found, Mapping):
            return found
    return text
