"""The one loop of every source that is polled: read, filter, batch, dispatch, checkpoint.

    Supervisor   follows the catalogue of mappings; each mapping that is enabled has a Runner
    Runner       the lanes of one mapping. A lane reads a batch, invokes the function with it, and checkpoints.
    Source       what a source brings: `read`, `shape`, `checkpoint`

One lane waits for records. As soon as it has a batch, another lane goes on reading beside it, up to the bound that
model.event_source.lanes_max gives, which grows with the time that there was a backlog; a lane that finds nothing ends
unless it is the only one. So an idle mapping costs one waiting read, and MaximumConcurrency is the number of lanes.

A function that is throttled, or that cannot be run at the moment, gives its records back to the source, to come again
after a time that doubles with each such answer; nothing is read meanwhile. A source that cannot be read is tried
again in the same way. While the function does not exist, or is not Active yet, nothing is read at all.

A change (disable, update, delete) interrupts reading; batches in flight come to their end beside whoever reads next,
and count against the same MaximumConcurrency. The end of the server waits for them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from paddock.control.mappings import Mappings
from paddock.interfaces import Clock
from paddock.model.errors import ServiceError
from paddock.model.event_source import (
    EventSourceMapping,
    MappingState,
    Record,
    failed_keys,
    lanes_max,
)
from paddock.model.invocation import InvocationResult

log = logging.getLogger(__name__)

T = TypeVar("T")

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0
ABSENT_FUNCTION_S = 1.0
SETTLE_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a batch. done: finished for good. failed: the source decides when they come again.

    again_s: set when the function never had them; then they come again after so many seconds.
    """

    done: Sequence[Record] = ()
    failed: Sequence[Record] = ()
    again_s: float | None = None


class Source(Protocol):
    """One mapping's source. Every method may raise ServiceError."""

    async def read(self) -> Sequence[Record]:
        """A batch of records that the filters let through; empty when there was nothing for a while.

        May be cancelled while it waits.
        """

    def shape(self, records: Sequence[Record]) -> bytes:
        """The function's event."""

    async def checkpoint(self, verdict: Verdict) -> None: ...


class Invoker(Protocol):
    """Runs the function of a mapping."""

    def ready(self, mapping: EventSourceMapping) -> bool:
        """Whether it exists and is Active."""

    async def invoke(self, mapping: EventSourceMapping, event: bytes) -> InvocationResult:
        """Raises ServiceError when it could not be run (throttled, ...)."""


class Runner:
    """The lanes of one enabled mapping. stop() must be called at the end."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        source: Source,
        invoker: Invoker,
        clock: Clock,
        before: Sequence[Runner] = (),
    ) -> None:
        """before: runners of the same mapping that stopped reading, and may have batches in flight."""
        self._mapping = mapping
        self._before = tuple(before)
        self._source = source
        self._invoker = invoker
        self._clock = clock
        self._lanes: set[asyncio.Task[None]] = set()
        self._reading = 0
        self._read_ended = asyncio.Event()
        self._stopping = asyncio.Event()
        self._busy_since: float | None = None
        self._backoff_s = 0.0
        self._open_lane()

    @property
    def lanes(self) -> int:
        return len(self._lanes)

    async def stop_reading(self) -> None:
        """Read no more; batches in flight go on."""
        self._stopping.set()
        while self._reading:
            self._read_ended.clear()
            await self._read_ended.wait()

    async def stop(self) -> None:
        """Read no more; returns when every batch in flight has come to its end."""
        self._stopping.set()
        while self._lanes:
            await asyncio.wait(self._lanes)

    def _open_lane(self) -> None:
        lane = asyncio.get_running_loop().create_task(self._lane())
        self._lanes.add(lane)
        lane.add_done_callback(self._lanes.discard)

    async def _lane(self) -> None:
        while not self._stopping.is_set():
            try:
                if not await self._turn():
                    return
            except ServiceError as error:
                self._warn("cannot be polled", error)
                await self._pause(self._longer_backoff())
            except Exception:
                # A defect in a source must not end the mapping for good.
                log.exception("the event source mapping %s had a fault", self._mapping.uuid)
                await self._pause(self._longer_backoff())

    async def _turn(self) -> bool:
        """One batch. False when this lane is not needed any more."""
        if not self._invoker.ready(self._mapping):
            await self._pause(ABSENT_FUNCTION_S)
            return True
        if not self._lanes_free(1):
            await self._unless_stopped(self._one_before_ends())
            return True
        self._reading += 1
        try:
            records = await self._unless_stopped(self._source.read())
        finally:
            self._reading -= 1
            self._read_ended.set()
        if not records:
            if self._reading:
                return False
            self._busy_since = None
            return True
        if self._busy_since is None:
            self._busy_since = self._clock.monotonic()
        self._more_lanes()
        verdict = await self._dispatched(records)
        await self._source.checkpoint(verdict)
        if verdict.again_s is None:
            self._backoff_s = 0.0
        else:
            await self._pause(verdict.again_s)
        return True

    def _more_lanes(self) -> None:
        """Somebody goes on reading while this lane is busy, if there may be one more."""
        if not self._reading and not self._backoff_s and not self._stopping.is_set() and self._lanes_free(0):
            self._open_lane()

    def _lanes_free(self, own: int) -> bool:
        """Whether there may be another lane, beside those before. own: how many of this runner's are not counted."""
        since = self._busy_since
        busy_s = 0.0 if since is None else self._clock.monotonic() - since
        others = sum(runner.lanes for runner in self._before)
        return len(self._lanes) - own + others < lanes_max(busy_s, self._mapping.maximum_concurrency)

    async def _one_before_ends(self) -> None:
        lanes = [lane for runner in self._before for lane in runner._lanes]
        if lanes:
            await asyncio.wait(lanes, return_when=asyncio.FIRST_COMPLETED)

    async def _dispatched(self, records: Sequence[Record]) -> Verdict:
        try:
            result = await self._invoker.invoke(self._mapping, self._source.shape(records))
        except ServiceError as error:
            self._warn("cannot invoke its function", error)
            return Verdict(failed=records, again_s=self._longer_backoff())
        if result.function_error:
            return Verdict(failed=records)
        if not self._mapping.partial:
            return Verdict(done=records)
        failed = failed_keys(result.payload, {record.key for record in records})
        if failed is None:
            return Verdict(failed=records)
        return Verdict(
            done=[record for record in records if record.key not in failed],
            failed=[record for record in records if record.key in failed],
        )

    def _longer_backoff(self) -> float:
        self._backoff_s = min(BACKOFF_MAX_S, self._backoff_s * 2 or BACKOFF_FIRST_S)
        return self._backoff_s

    def _warn(self, what: str, error: ServiceError) -> None:
        log.info("the event source mapping %s %s: %s: %s", self._mapping.uuid, what, error.code, error.message)

    async def _pause(self, seconds: float) -> None:
        await self._unless_stopped(self._clock.sleep(seconds))

    async def _unless_stopped(self, waiting: Awaitable[T]) -> T | None:
        """What `waiting` gives, or None: it is cancelled when the runner stops."""
        task = asyncio.ensure_future(waiting)
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            return None
        finally:
            stopped.cancel()
            task.cancel()
            # Whatever was interrupted may have something to give back first.
            await asyncio.wait({task, stopped})


class Supervisor:
    """Keeps a Runner for each mapping that is enabled, and settles what is on its way."""

    def __init__(
        self,
        *,
        mappings: Mappings,
        source_of: Callable[[EventSourceMapping], Source],
        invoker: Invoker,
        clock: Clock,
    ) -> None:
        self._mappings = mappings
        self._source_of = source_of
        self._invoker = invoker
        self._clock = clock
        self._runners: dict[str, Runner] = {}
        # Of each mapping, those that read no more and have batches in flight.
        self._leaving: dict[str, list[Runner]] = {}
        self._working: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop().create_task(self._follow())

    async def stop(self) -> None:
        """Read no more, and wait for batches in flight; what is not settled goes on after the next start."""
        if self._loop is None:
            return
        tasks: list[asyncio.Task[Any]] = [self._loop, *self._working.values()]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        leaving = [runner for runners in self._leaving.values() for runner in runners]
        await asyncio.gather(*(runner.stop() for runner in (*self._runners.values(), *leaving)))
        self._runners.clear()

    async def _follow(self) -> None:
        while True:
            for mapping in self._mappings.all():
                if self._has_work(mapping) and mapping.uuid not in self._working:
                    self._work_on(mapping.uuid)
            await self._mappings.changed()

    def _has_work(self, mapping: EventSourceMapping) -> bool:
        return not mapping.settled or (mapping.enabled and mapping.uuid not in self._runners)

    def _work_on(self, uuid: str) -> None:
        task = asyncio.get_running_loop().create_task(self._work(uuid))
        self._working[uuid] = task

    async def _work(self, uuid: str) -> None:
        """Until nothing is left to do for the mapping: one at a time, so that two runners never read for it."""
        try:
            while (mapping := self._mappings.current(uuid)) is not None and self._has_work(mapping):
                try:
                    await self._change(mapping)
                except OSError as error:  # a full disk: the mapping stays on its way
                    log.warning("an event source mapping could not be settled: %s", error)
                    await self._clock.sleep(SETTLE_AGAIN_S)
        finally:
            del self._working[uuid]

    async def _change(self, mapping: EventSourceMapping) -> None:
        """From what polls for it now to what it says. Raises OSError."""
        uuid = mapping.uuid
        leaving = [runner for runner in self._leaving.pop(uuid, ()) if runner.lanes]
        runner = self._runners.pop(uuid, None)
        if runner is not None:
            leaving.append(runner)
        if leaving:
            self._leaving[uuid] = leaving
        if runner is not None:
            await runner.stop_reading()
        if mapping.enabled and mapping.state is not MappingState.DELETING:
            source = self._source_of(mapping)
            self._runners[uuid] = Runner(mapping, source, self._invoker, self._clock, tuple(leaving))
        await self._mappings.settle(mapping)
