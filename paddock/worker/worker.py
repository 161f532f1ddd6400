"""The worker: this machine's environments, and interfaces.Fleet on top of them.

    run(invocation)   pool.assign decides -> reuse, or a waiting cell (or a new one) becomes an environment -> invoke
    prepare(version)  unpack its code, have its runtime's cells ready
    retire(arn)       environments of old code end once they are idle

Cells are sandboxes that are booted and isolated already and wait for code; a few per runtime in use are kept, started
in the background. A cell that has been given code serves that function version and nothing else, ever.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from paddock.interfaces import Clock, Ids, LogSink, Sandbox, Sandboxes, SandboxFailed
from paddock.model.errors import InternalError, TooManyRequests
from paddock.model.function import FunctionVersion
from paddock.model.invocation import Invocation, InvocationResult
from paddock.worker import pool
from paddock.worker.code import CodeStore
from paddock.worker.environment import Environment, EnvironmentSettings, RuntimeFacts
from paddock.worker.pool import EnvironmentKey, Idle, PoolLimits, PoolView
from paddock.worker.runtime_api import HttpPort

log = logging.getLogger("paddock.worker")

REAP_INTERVAL_S_MAX = 5.0

ServePorts = Callable[[HttpPort, Sandbox, FunctionVersion], Awaitable[Callable[[], None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """cells_ready: kept waiting per runtime in use. idle_timeout_s: after which an environment ends."""

    cells_ready: int
    idle_timeout_s: float
    limits: PoolLimits
    environment: EnvironmentSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOffer:
    """A runtime this machine can start: its identifier, label, family and transport ("frames" or "http")."""

    name: str
    label: str
    family: str
    transport: str

    def facts(self, region: str) -> RuntimeFacts:
        digest = hashlib.sha256(self.label.encode()).hexdigest()
        return RuntimeFacts(
            name=self.name,
            label=self.label,
            arn=f"arn:aws:lambda:{region}::runtime:{digest}",
            transport=self.transport,
            managed=self.family != "provided",
        )


def _close_doors(cell: Sandbox) -> None:
    for sock in (cell.channel, cell.runtime_api, cell.aws_api):
        sock.close()
    for fd in (cell.output, cell.telemetry):
        os.close(fd)


class Worker:
    """Call start() before anything else and stop() at the end."""

    def __init__(
        self,
        *,
        sandboxes: Sandboxes,
        code: CodeStore,
        offers: Sequence[RuntimeOffer],
        settings: WorkerSettings,
        clock: Clock,
        ids: Ids,
        sink: LogSink,
        serve: ServePorts,
    ) -> None:
        self._sandboxes = sandboxes
        self._code = code
        self._offers = {offer.name: offer for offer in offers}
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._sink = sink
        self._serve = serve
        self._environments: dict[int, Environment] = {}
        self._idle: dict[EnvironmentKey, list[int]] = defaultdict(list)
        self._next = 0
        self._starting = 0
        self._cells: dict[str, deque[Sandbox]] = {}
        self._cells_starting: dict[str, int] = defaultdict(int)
        self._tasks: set[asyncio.Task[None]] = set()
        self._retired: set[int] = set()
        self._stopping = False
        self._all_gone = asyncio.Event()

    # -- interfaces.Fleet ---------------------------------------------------------------------------------------

    def runtimes(self) -> Sequence[str]:
        return tuple(self._offers)

    async def prepare(self, version: FunctionVersion) -> None:
        await self._code.ensure(version.code.digest)
        await self._warm(version.runtime)

    async def run(self, invocation: Invocation) -> InvocationResult:
        environment = await self._acquire(invocation.version)
        try:
            result = await environment.invoke(invocation)
        except BaseException:
            environment.shut_down()  # whatever state it is in, nobody may use it again
            raise
        self._release(environment)
        return result

    async def retire(self, function_arn: str, keep_build: str | None) -> None:
        for environment in list(self._environments.values()):
            version = environment.version
            if version.function_arn == function_arn and version.build_id != keep_build:
                self._retired.add(environment.number)  # a busy one ends after its event
                if environment.is_usable:
                    environment.shut_down()

    # -- its life -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to end what has been idle for too long."""
        self._background(self._reap_loop())

    async def stop(self, patience_s: float) -> None:
        """End every environment and wait until they are gone, for at most patience_s."""
        self._stopping = True
        for task in list(self._tasks):
            task.cancel()
        for environment in list(self._environments.values()):
            environment.shut_down()
        for cells in self._cells.values():
            for cell in list(cells):
                cell.stop()
        try:
            async with asyncio.timeout(patience_s):
                while self._environments:
                    self._all_gone.clear()
                    await self._all_gone.wait()
        except TimeoutError:
            log.warning("%d environments did not end in time", len(self._environments))

    def counts(self) -> dict[str, int]:
        """For the health page: environments alive, idle, and cells waiting for code."""
        idle = sum(len(numbers) for numbers in self._idle.values())
        cells = sum(len(cells) for cells in self._cells.values())
        return {"environments": len(self._environments), "idle": idle, "cells": cells}

    # -- finding an environment ---------------------------------------------------------------------------------

    async def _acquire(self, version: FunctionVersion) -> Environment:
        decision = pool.assign(version.environment_key, self._view(version), self._settings.limits)
        if isinstance(decision, pool.Reuse):
            environment = self._environments[decision.number]
            self._idle[version.environment_key].remove(decision.number)
            return environment
        if isinstance(decision, pool.Refuse):
            raise TooManyRequests("ConcurrentInvocationLimitExceeded")
        for number in decision.evict:
            self._end_idle(number)
        return await self._start(version)

    def _view(self, version: FunctionVersion) -> PoolView:
        """The whole picture only when it may be needed: a warm hit looks at its own version's idle ones alone."""
        fitting = self._idle_of(self._idle.get(version.environment_key, ()))
        if fitting:
            return PoolView(idle=fitting, live=0, memory_bytes=0)
        idle = [one for numbers in self._idle.values() for one in self._idle_of(numbers)]
        living = [one for one in self._environments.values() if not one.is_ending]
        used = sum(environment.memory_used_bytes for environment in living)
        return PoolView(idle=idle, live=len(living) + self._starting, memory_bytes=used)

    def _idle_of(self, numbers: Sequence[int]) -> list[Idle]:
        """As the pool sees them. One that is ending already is nobody's any more, though it is still here."""
        environments = [self._environments[number] for number in numbers]
        return [
            Idle(
                number=environment.number,
                key=environment.version.environment_key,
                since=environment.idle_since,
                memory_bytes=environment.memory_used_bytes,
            )
            for environment in environments
            if environment.is_usable
        ]

    async def _start(self, version: FunctionVersion) -> Environment:
        """A cell that waits, or a new one, becomes an environment of the version."""
        digest = version.code.digest
        self._code.hold(digest)
        try:
            for attempt in (1, 2):
                try:
                    sandbox = await self._counted(self._prepared_cell(version))
                    return await self._adopt(sandbox, version)
                except SandboxFailed as error:
                    if attempt == 2 or self._stopping:
                        log.error("%s: no environment could be started: %s", version.version_arn, error)
                        raise InternalError(f"Paddock could not start an environment: {error}") from error
            raise AssertionError("unreachable")
        finally:
            self._later(self._code.release(digest))
            self._refill(version.runtime)  # not earlier: it would compete with the start for the processors

    async def _prepared_cell(self, version: FunctionVersion) -> Sandbox:
        await self._code.ensure(version.code.digest)
        return await self._cell(version.runtime)

    async def _counted(self, work: Awaitable[Sandbox]) -> Sandbox:
        """Count it among the living while it has no number yet."""
        self._starting += 1
        try:
            return await work
        finally:
            self._starting -= 1

    async def _adopt(self, sandbox: Sandbox, version: FunctionVersion) -> Environment:
        number, self._next = self._next, self._next + 1
        environment = Environment(
            sandbox,
            version,
            self._offers[version.runtime].facts(version.region),
            settings=self._settings.environment,
            clock=self._clock,
            sink=self._sink,
            number=number,
            stream_id=self._ids.hex(32),
            serve=self._serve,
        )
        self._environments[number] = environment
        self._code.hold(version.code.digest)  # until it is gone
        environment.on_terminated = self._terminated
        try:
            await environment.start()
        except BaseException:
            environment.shut_down()
            raise
        if not environment.is_usable:
            raise SandboxFailed("it ended while it initialised")
        return environment

    def _release(self, environment: Environment) -> None:
        """After an event: idle again, unless its code is old by now or it did not survive."""
        if not environment.is_usable:
            return
        if self._stopping or environment.number in self._retired:
            environment.shut_down()
            return
        self._idle[environment.version.environment_key].append(environment.number)

    def _terminated(self, environment: Environment) -> None:
        number = environment.number
        if self._environments.pop(number, None) is None:
            return
        self._retired.discard(number)
        key = environment.version.environment_key
        numbers = self._idle.get(key, [])
        if number in numbers:
            numbers.remove(number)
        if not numbers:
            self._idle.pop(key, None)
        self._later(self._code.release(environment.version.code.digest))
        self._all_gone.set()

    # -- cells --------------------------------------------------------------------------------------------------

    async def _cell(self, runtime: str) -> Sandbox:
        waiting = self._cells.setdefault(runtime, deque())
        if waiting:
            return waiting.popleft()
        return await self._sandboxes.start(runtime)

    async def _warm(self, runtime: str) -> None:
        """Have at least one cell of the runtime ready, so that its zygote is up and known to work."""
        waiting = self._cells.setdefault(runtime, deque())
        if not waiting and self._settings.cells_ready > 0:
            try:
                self._keep(runtime, await self._sandboxes.start(runtime, ahead=True))
            except SandboxFailed as error:
                raise InternalError(f"The runtime {runtime} could not be started: {error}") from error
        self._refill(runtime)

    def _refill(self, runtime: str) -> None:
        if self._stopping:
            return
        ready = {runtime: len(self._cells.setdefault(runtime, deque()))}
        more = pool.spare_cells(ready, self._cells_starting, self._settings.cells_ready)
        for _ in range(more.get(runtime, 0)):
            self._cells_starting[runtime] += 1
            self._background(self._start_cell(runtime))

    async def _start_cell(self, runtime: str) -> None:
        try:
            self._keep(runtime, await self._sandboxes.start(runtime, ahead=True))
        except SandboxFailed as error:
            log.warning("no spare environment of %s: %s", runtime, error)
        finally:
            self._cells_starting[runtime] -= 1

    def _keep(self, runtime: str, cell: Sandbox) -> None:
        waiting = self._cells[runtime]
        waiting.append(cell)

        def gone() -> None:
            if cell in waiting:
                waiting.remove(cell)
            _close_doors(cell)  # no environment will

        cell.on_gone = gone
        if self._stopping:
            cell.stop()

    # -- in the background --------------------------------------------------------------------------------------

    async def _reap_loop(self) -> None:
        timeout_s = self._settings.idle_timeout_s
        while True:
            await self._clock.sleep(min(REAP_INTERVAL_S_MAX, max(0.05, timeout_s / 4)))
            idle = [one for numbers in self._idle.values() for one in self._idle_of(numbers)]
            for number in pool.expired(idle, self._clock.monotonic(), timeout_s):
                self._end_idle(number)

    def _end_idle(self, number: int) -> None:
        environment = self._environments[number]
        self._idle[environment.version.environment_key].remove(number)
        environment.shut_down()

    def _background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)

    def _later(self, work: Awaitable[None]) -> None:
        self._background(work)
