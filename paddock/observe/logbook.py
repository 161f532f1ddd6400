"""LogBook: takes log lines from everywhere without waiting, and writes them to the Store in batches.

`put` appends to a queue per stream and returns. One background task wakes when there is something, waits until a batch
is full or the flush interval is over, and writes one transaction: group and stream are made when they are not there. A
reader awaits `flush()` first and so sees everything that was put before; PutLogEvents does not come through here, it
is acknowledged and goes to the Store itself.

What a crash may lose: what was put within the last flush interval (100 ms) and not flushed.

Worked example of the bound: buffer_events_max is 4, stream A holds a1 a2 a3, stream B holds b1, and b2 is put. A is
the noisiest, so a1 goes; when A is written next, its batch begins with a line that says one event was dropped. A quiet
function never loses lines to a noisy one.

Caveat: a write that fails (disk full) keeps its events for `write_attempts_max` attempts, then they are dropped
and counted the same way; `stats()` tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from paddock.interfaces import Clock, Store, Tx
from paddock.model.log import LogEvent, LogStreamRef
from paddock.observe import log_store
from paddock.observe.invocation_log import epoch_ms

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogBookLimits:
    """buffer_*: what may wait in memory. batch_*: one transaction. The rest are delays in seconds and counts."""

    buffer_events_max: int = 100_000
    buffer_bytes_max: int = 64 * 1024 * 1024
    batch_events_max: int = 2_000
    batch_bytes_max: int = 4 * 1024 * 1024
    flush_interval_s: float = 0.1
    write_attempts_max: int = 8
    retry_delay_s: float = 0.25
    retry_delay_s_max: float = 10.0
    retention_interval_s: float = 600.0
    retention_chunk_events: int = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogBookStats:
    """waiting_*: not written yet. dropped_events: lost to the bounds or to failed writes, since the start."""

    waiting_events: int
    waiting_bytes: int
    dropped_events: int
    failed_writes: int


@dataclass(slots=True)
class _Waiting:
    """One stream's queue. dropped_*: lost since the last batch of this stream was written."""

    events: deque[LogEvent] = field(default_factory=deque)
    size_bytes: int = 0
    dropped_events: int = 0
    dropped_bytes: int = 0


@dataclass(slots=True)
class _Share:
    """One stream's part of a batch. events may begin with a notice of losses, which own_* do not count."""

    stream: LogStreamRef
    events: list[LogEvent]
    own_events: int
    own_bytes: int
    lost_events: int = 0
    lost_bytes: int = 0


@dataclass(slots=True)
class _Batch:
    """What one transaction writes."""

    shares: list[_Share] = field(default_factory=list)
    own_events: int = 0
    own_bytes: int = 0
    attempts: int = 0


_Queues = dict[LogStreamRef, _Waiting]


class LogBook:
    """Implements interfaces.LogSink. Make it anywhere; `start` and everything after belong to one event loop."""

    def __init__(self, *, store: Store, clock: Clock, limits: LogBookLimits | None = None) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits or LogBookLimits()
        self._waiting: _Queues = {}
        self._leaving: _Queues = {}  # set aside by a flush, so that what is put meanwhile does not prolong it
        self._events = 0
        self._bytes = 0
        self._dropped = 0
        self._failed_writes = 0
        self._unwritten: _Batch | None = None
        self._writing = asyncio.Lock()
        self._something = asyncio.Event()
        self._is_told = False  # the same, for less
        self._enough = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._flushing: set[asyncio.Task[bool]] = set()

    def start(self) -> None:
        """Begin the background writing and the sweep of expired events."""
        self._tasks = [
            asyncio.create_task(self._write_loop(), name="logbook-write"),
            asyncio.create_task(self._retention_loop(), name="logbook-retention"),
        ]

    async def stop(self) -> None:
        """Write what waits, as far as the Store takes it, and end."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        await self.flush()

    def put(self, stream: LogStreamRef, events: Sequence[LogEvent]) -> None:
        """Take the events. Never waits, never raises for lack of room: the noisiest stream then loses its oldest."""
        if not events:
            return
        waiting = self._waiting.get(stream)
        if waiting is None:
            waiting = self._waiting[stream] = _Waiting()
        size = log_store.EVENT_OVERHEAD_BYTES * len(events)
        for event in events:
            message = event.message
            size += len(message) if message.isascii() else len(message.encode("utf-8", "replace"))
        waiting.events.extend(events)
        waiting.size_bytes += size
        self._events += len(events)
        self._bytes += size
        limits = self._limits
        if self._events > limits.buffer_events_max or self._bytes > limits.buffer_bytes_max:
            self._make_room()
        if not self._is_told:
            self._is_told = True
            self._something.set()
        if self._events >= limits.batch_events_max or self._bytes >= limits.batch_bytes_max:
            self._enough.set()

    async def flush(self) -> bool:
        """Everything put before this call is in the Store when it returns True. False: the Store refused a write.

        A failing Store gets one attempt per flush, so that readers are not held up by a full disk.
        """
        # A reader may be cancelled (its client left) while the Store commits: the writing goes on without it, or the
        # batch would be written a second time.
        flushing = asyncio.create_task(self._flush())
        self._flushing.add(flushing)
        flushing.add_done_callback(self._flushing.discard)
        return await asyncio.shield(flushing)

    async def _flush(self) -> bool:
        async with self._writing:
            if not await self._drain():  # what an earlier flush had to leave
                return False
            self._leaving, self._waiting = self._waiting, {}
            return await self._drain()

    async def expire(self) -> int:
        """Delete what is older than its group's retention; how many events went."""
        total = 0
        now_ms = epoch_ms(self._clock.now())
        while True:
            chunk = self._limits.retention_chunk_events
            swept = await self._store.write(partial(log_store.expire_chunk, now_ms=now_ms, events_max=chunk))
            total += swept
            if swept < chunk:
                return total

    def stats(self) -> LogBookStats:
        return LogBookStats(
            waiting_events=self._events,
            waiting_bytes=self._bytes,
            dropped_events=self._dropped,
            failed_writes=self._failed_writes,
        )

    # --- bounds ----------------------------------------------------------------------------------------------------

    def _make_room(self) -> None:
        """Drop the oldest of the noisiest stream until the buffer is within its bounds again."""
        limits = self._limits
        while self._events > limits.buffer_events_max or self._bytes > limits.buffer_bytes_max:
            queues = chain(self._leaving.values(), self._waiting.values())
            if self._events > limits.buffer_events_max:
                noisiest = max(queues, key=lambda waiting: len(waiting.events))
            else:
                noisiest = max(queues, key=lambda waiting: waiting.size_bytes)
            if not noisiest.events:
                return  # all that is left is being written just now
            self._drop_oldest(noisiest)

    def _drop_oldest(self, waiting: _Waiting) -> None:
        event = waiting.events.popleft()
        size = log_store.size_of(event.message)
        waiting.size_bytes -= size
        waiting.dropped_events += 1
        waiting.dropped_bytes += size
        self._events -= 1
        self._bytes -= size
        self._dropped += 1

    # --- writing ---------------------------------------------------------------------------------------------------

    async def _write_loop(self) -> None:
        delay_s = self._limits.retry_delay_s
        while True:
            await self._something.wait()
            if not self._enough.is_set():
                await self._interval()
            self._something.clear()
            self._is_told = False
            self._enough.clear()
            if await self.flush():
                delay_s = self._limits.retry_delay_s
            else:
                await self._clock.sleep(delay_s)
                delay_s = min(delay_s * 2, self._limits.retry_delay_s_max)
                self._is_told = True
                self._something.set()

    async def _interval(self) -> None:
        """Until the flush interval is over or a batch is full."""
        asleep = asyncio.ensure_future(self._clock.sleep(self._limits.flush_interval_s))
        full = asyncio.ensure_future(self._enough.wait())
        try:
            await asyncio.wait((asleep, full), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asleep.cancel()
            full.cancel()

    async def _drain(self) -> bool:
        """Write batch after batch until nothing is set aside any more; False when the Store failed. Needs the lock."""
        while self._unwritten is not None or self._leaving:
            batch = self._unwritten or self._take_batch()
            self._unwritten = batch
            now_ms = epoch_ms(self._clock.now())
            try:
                await self._store.write(partial(_write, batch=batch, now_ms=now_ms))
            except Exception as error:  # a named loop: whatever a Store raises, the server goes on without these lines
                self._failed_writes += 1
                batch.attempts += 1
                _log.warning("writing %d log events failed (attempt %d): %r", batch.own_events, batch.attempts, error)
                if batch.attempts >= self._limits.write_attempts_max:
                    self._give_up(batch)
                return False
            self._finish(batch)
        return True

    def _take_batch(self) -> _Batch:
        """The next events of the streams set aside, in their order of arrival, up to the size of a batch."""
        limits = self._limits
        batch = _Batch()
        for stream in list(self._leaving):
            waiting = self._leaving[stream]
            share = _Share(stream, [], 0, 0, waiting.dropped_events, waiting.dropped_bytes)
            fits = batch.own_bytes + waiting.size_bytes <= limits.batch_bytes_max
            if fits and batch.own_events + len(waiting.events) <= limits.batch_events_max:
                share.events, share.own_bytes = list(waiting.events), waiting.size_bytes
                share.own_events = len(share.events)
                waiting.events.clear()
            while waiting.events and batch.own_events + share.own_events < limits.batch_events_max:
                size = log_store.size_of(waiting.events[0].message)
                taken_bytes = batch.own_bytes + share.own_bytes
                if taken_bytes and taken_bytes + size > limits.batch_bytes_max:
                    break
                share.events.append(waiting.events.popleft())
                share.own_events += 1
                share.own_bytes += size
            waiting.size_bytes -= share.own_bytes
            batch.own_events += share.own_events
            batch.own_bytes += share.own_bytes
            if share.events or (share.lost_events and not waiting.events):
                self._add_notice(share)
                waiting.dropped_events = waiting.dropped_bytes = 0
                batch.shares.append(share)
            if waiting.events:
                return batch  # full
            del self._leaving[stream]
        return batch

    def _add_notice(self, share: _Share) -> None:
        if share.lost_events:
            at_ms = share.events[0].timestamp_ms if share.events else epoch_ms(self._clock.now())
            share.events.insert(0, _notice(share, at_ms))

    def _finish(self, batch: _Batch) -> None:
        self._unwritten = None
        self._events -= batch.own_events
        self._bytes -= batch.own_bytes

    def _give_up(self, batch: _Batch) -> None:
        """The batch is lost. Streams that have more to say will say so; of the others the server's log tells."""
        self._finish(batch)
        self._dropped += batch.own_events
        for share in batch.shares:
            waiting = self._leaving.get(share.stream) or self._waiting.get(share.stream)
            if waiting is not None:
                waiting.dropped_events += share.own_events + share.lost_events
                waiting.dropped_bytes += share.own_bytes + share.lost_bytes

    # --- retention -------------------------------------------------------------------------------------------------

    async def _retention_loop(self) -> None:
        while True:
            await self._clock.sleep(self._limits.retention_interval_s)
            try:
                await self.expire()
            except Exception as error:  # a named loop: a sweep that fails is tried again at the next interval
                _log.warning("sweeping expired log events failed: %r", error)


def _notice(share: _Share, timestamp_ms: int) -> LogEvent:
    text = (
        f"LOGS_DROPPED Records: {share.lost_events}\tBytes: {share.lost_bytes}\t"
        "Reason: log lines came faster than they could be written\n"
    )
    return LogEvent(timestamp_ms, text)


def _write(tx: Tx, *, batch: _Batch, now_ms: int) -> None:
    for share in batch.shares:
        ref = share.stream
        log_store.create_group(tx, ref.account, ref.region, ref.group, now_ms)
        group = log_store.group_of(tx, ref.account, ref.region, ref.group)
        assert group is not None
        log_store.create_stream(tx, group, ref.stream, now_ms)
        stream = log_store.stream_of(tx, group, ref.stream)
        assert stream is not None
        log_store.add_events(tx, group.id, stream.id, share.events, now_ms)
