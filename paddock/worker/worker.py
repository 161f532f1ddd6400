"""The worker: this machine's environments, and interfaces.Fleet on top of them.

    run(invocation)   pool.assign decides -> reuse, or a waiting cell (or a new one) becomes an environment -> invoke
    prepare(version)  unpack its code, have its runtime's cells ready
    retire(arn)       environments of old code end once they are idle

Cells are sandboxes that are booted and isolated already and wait for code; a few per runtime in use are kept, started
in the background, more of them while cold starts are frequent. A cell that has been given code serves that function
version and nothing else, ever.

How long an idle environment is kept, and whether one is started ahead of an event that is expected, is decided for each
version by how it was used so far (keepalive.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence

from paddock.interfaces import Clock, Ended, Ids, LogSink, Pool, ResponseSink, Sandbox, Sandboxes, SandboxFailed
from paddock.model.errors import InternalError, ServiceError, TooManyRequests
from paddock.model.function import FunctionVersion
from paddock.model.image import IMAGE_RUNTIME
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.provisioned import INIT_FAILED, PoolState
from paddock.worker import demand, pool
from paddock.worker.code import CodeStore
from paddock.worker.debugging import Held, settings_for
from paddock.worker.demand import Demand
from paddock.worker.environment import Environment
from paddock.worker.offers import RuntimeOffer
from paddock.worker.pool import EnvironmentKey, Idle, PoolView
from paddock.worker.provisioning import Provisioning, StartFailed
from paddock.worker.ranking import Ranking
from paddock.worker.rhythms import VERSIONS_MAX, Rhythms
from paddock.worker.runtime_api import HttpPort
from paddock.worker.scaling import ScalingRate
from paddock.worker.settings import WorkerSettings
from paddock.worker.snapshots import Image, RestoreFailed, Snapshots, is_for_snapshots
from paddock.worker.templates import Templates, kind_of

log = logging.getLogger("paddock.worker")

REFILL_DELAY_S = 0.01
REAP_INTERVAL_S_MAX = 5.0

ServePorts = Callable[[HttpPort, Sandbox, FunctionVersion], Awaitable[Callable[[], None]]]


def _held(version: FunctionVersion) -> tuple[str, ...]:
    """The directories that an environment of the version has mounted."""
    return (version.code.digest, version.layers_digest) if version.layers else (version.code.digest,)


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
        self._cells_wanted: dict[str, int] = {}
        self._warming: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._demand: dict[str, Demand] = defaultdict(Demand)
        self._rhythms = Rhythms(settings.keep_alive)
        self._ranking = Ranking()
        self._versions: dict[EnvironmentKey, FunctionVersion] = {}
        self._scaling = ScalingRate(settings.scaling_rate_per_10_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._beginning: dict[str, asyncio.Future[None]] = {}
        self._retired: set[int] = set()
        self.held = Held()
        self._stopping = False
        self._all_gone = asyncio.Event()
        self._snapshots = Snapshots(settings.snapshot_budget_bytes, clock.monotonic)
        self._templates = Templates(
            self._snapshots,
            cell=lambda version: self._counted(self._prepared_cell(version)),
            template=self._environment,
            monotonic=clock.monotonic,
        )
        self._provisioning = Provisioning(
            clock=clock,
            start=self._start_provisioned,
            idle=lambda version: self._idle.get(version.environment_key, ()),
            end=self._end_idle,
            background=self._background,
        )

    # -- interfaces.Fleet ---------------------------------------------------------------------------------------

    def runtimes(self) -> Sequence[str]:
        return tuple(name for name in self._offers if name != IMAGE_RUNTIME)

    def runtime_version_arn(self, runtime: str, region: str) -> str:
        """Of the version of the runtime that is on this machine; "" when there is none."""
        offer = self._offers.get(runtime)
        return "" if offer is None else offer.facts(region).arn

    def _check_runtime_version(self, version: FunctionVersion) -> None:
        """Raises InvalidRuntimeException when it is pinned to a version of its runtime that is not here any more."""
        pinned = version.runtime_version_arn
        if pinned and pinned != self.runtime_version_arn(version.runtime, version.region):
            text = f"The runtime version {pinned} that the function is pinned to is not on this machine any more."
            raise ServiceError(text, code="InvalidRuntimeException", status=502)

    async def prepare(self, version: FunctionVersion) -> None:
        self._check_runtime_version(version)
        await self._code.ensure_version(version)
        await self._warm(version.runtime)
        if version.starts_by_snapshot:
            await self._templates.take(version)

    def begin(self, invocation: Invocation, ended: Ended, sink: ResponseSink | None = None) -> None:
        key = invocation.version.environment_key
        self._rhythms.began(key, self._clock.monotonic())

        def over(result: InvocationResult | BaseException) -> None:
            self._rhythms.ended(key, self._clock.monotonic())
            ended(result)

        environment = self._take_idle(key)
        if environment is not None:
            environment.begin(invocation, over, sink)
            return
        task = asyncio.ensure_future(self._begin_in_another(key, invocation, over, sink))
        self._beginning[invocation.request_id] = task
        task.add_done_callback(lambda _: self._beginning.pop(invocation.request_id, None))

    async def _begin_in_another(
        self, key: EnvironmentKey, invocation: Invocation, over: Ended, sink: ResponseSink | None
    ) -> None:
        try:
            environment = await self._acquire(key, invocation.version)
        except BaseException as error:
            over(error)
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            environment.begin(invocation, over, sink)

    def break_off(self, request_id: str) -> None:
        """What runs that event ends; whoever began it hears of that."""
        if request_id in self._beginning:
            self._beginning[request_id].cancel()
        for environment in list(self._environments.values()):
            if environment.request_id == request_id:
                environment.shut_down()

    async def retire(self, function_arn: str, keep_builds: frozenset[str]) -> None:
        for key, version in list(self._versions.items()):
            if version.function_arn == function_arn and version.build_id not in keep_builds:
                del self._versions[key]  # nothing is started ahead of it any more
        self._snapshots.drop_others(function_arn, keep_builds)
        for environment in list(self._environments.values()):
            version = environment.version
            if version.function_arn == function_arn and version.build_id not in keep_builds:
                self._retired.add(environment.number)  # a busy one ends after its event
                if environment.is_usable or version.is_debugged:  # a debugger would hold it for ever
                    environment.shut_down()

    def provision(self, function_arn: str, pools: Sequence[Pool]) -> None:
        if not self._stopping:
            self._provisioning.set(function_arn, pools)

    def provisioned(self, version: FunctionVersion) -> PoolState:
        return self._provisioning.state(version)

    # -- for debuggers ------------------------------------------------------------------------------------------

    async def start_ahead(self, version: FunctionVersion) -> None:
        """An environment that waits for its first event."""
        self._release(await self._start(version))

    # -- its life -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to end what has been idle for too long, and to start what will be wanted."""
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
        self._snapshots.close()

    def counts(self) -> dict[str, int]:
        """For the health page: environments alive, idle, cells waiting for code, snapshots held."""
        idle = sum(len(numbers) for numbers in self._idle.values())
        cells = sum(len(cells) for cells in self._cells.values())
        return {
            "environments": len(self._environments), "idle": idle, "cells": cells, "snapshots": len(self._snapshots)
        }  # fmt: skip

    # -- finding an environment ---------------------------------------------------------------------------------

    def _take_idle(self, key: EnvironmentKey) -> Environment | None:
        """What pool.assign decides first of all, without showing it the pool: the one of its own used last."""
        numbers = self._idle.get(key)
        environment = self._environments[numbers[-1]] if numbers else None
        if numbers is None or environment is None or not environment.is_usable:
            return None
        numbers.pop()
        environment.was_started_ahead = False
        return environment

    async def _acquire(self, key: EnvironmentKey, version: FunctionVersion) -> Environment:
        if version.provisioned_for:  # its environment was lost, or recovers from an event
            version = dataclasses.replace(version, provisioned_for="")
            return self._take_idle(version.environment_key) or await self._acquire(version.environment_key, version)
        decision = pool.assign(key, self._view(key), self._settings.limits)
        if isinstance(decision, pool.Refuse) and len(self._snapshots):
            self._snapshots.shed(self._rhythms.memory_bytes(key))  # nothing idle is left to end
            decision = pool.assign(key, self._view(key), self._settings.limits)
        if isinstance(decision, pool.Reuse):
            environment = self._environments[decision.number]
            environment.was_started_ahead = False
            self._idle[key].remove(decision.number)
            return environment
        may_grow = isinstance(decision, pool.Start) and self._scaling.take(key[:3], self._clock.monotonic())
        if isinstance(decision, pool.Refuse) or not may_grow:
            raise TooManyRequests("ConcurrentInvocationLimitExceeded")
        for number in decision.evict:
            self._end_idle(number)
        return await self._start(version)

    def _view(self, key: EnvironmentKey) -> PoolView:
        """As much as the decision may need: a warm hit looks at the version's own idle one that was used last, a start
        with room to spare at sums, and only who must end somebody at everybody.
        """
        numbers = self._idle.get(key, ())
        fitting = self._idle_of(numbers[-1:]) or self._idle_of(numbers)
        if fitting:
            return PoolView(idle=fitting, live=0, memory_bytes=0)
        return self._view_of_start(key)

    def _view_of_start(self, key: EnvironmentKey) -> PoolView:
        """The sums, and who may go where there is no room: a few, as long as they are enough."""
        view = self._sums(key)
        if pool.has_room(view, self._settings.limits):
            return view
        now = self._clock.monotonic()
        few = dataclasses.replace(view, idle=self._ranking.few(now, self._is_as_it_was))
        if isinstance(pool.assign((), few, self._settings.limits), pool.Start):
            return few
        everybody = self._all_idle(now)
        self._ranking.weighed(everybody, now)
        return dataclasses.replace(view, idle=everybody)

    def _is_as_it_was(self, one: Idle) -> bool:
        is_idle = one.number in self._idle.get(one.key, ())
        return is_idle and [one.since] == [now.since for now in self._idle_of((one.number,))]

    def _sums(self, key: EnvironmentKey) -> PoolView:
        """Without the idle ones."""
        living = [one for one in self._environments.values() if not one.is_ending]
        used = sum(environment.memory_used_bytes for environment in living) + self._snapshots.bytes
        new_bytes = self._rhythms.memory_bytes(key)
        return PoolView(idle=(), live=len(living) + self._starting, memory_bytes=used, new_bytes=new_bytes)

    def _idle_of(self, numbers: Sequence[int]) -> list[Idle]:
        """As the pool sees them. One that is ending already is nobody's any more, though it is still here; and one
        that is provisioned goes only when it is not wanted any more.
        """
        environments = [self._environments[number] for number in numbers]
        return [
            Idle(
                number=environment.number,
                key=environment.key,
                since=environment.idle_since,
                memory_bytes=environment.memory_used_bytes,
                was_started_ahead=environment.was_started_ahead,
            )
            for environment in environments
            if environment.is_usable and not environment.version.provisioned_for
        ]

    def _all_idle(self, now: float) -> list[Idle]:
        """Everybody, each with what it is worth."""
        return [
            dataclasses.replace(one, worth=self._rhythms.worth(one, now))
            for numbers in self._idle.values()
            for one in self._idle_of(numbers)
        ]

    async def _start(self, version: FunctionVersion) -> Environment:
        """A cell that waits, or a new one, becomes an environment of the version."""
        digests = _held(version)
        if not version.provisioned_for:
            self._versions[version.environment_key[:-1]] = version
        if len(self._versions) > VERSIONS_MAX:
            del self._versions[next(iter(self._versions))]
        self._demand[version.runtime] = demand.taken(self._demand[version.runtime], self._clock.monotonic())
        for digest in digests:
            self._code.hold(digest)
        try:
            for attempts_left in (2, 1, 0):
                try:
                    sandbox = await self._counted(self._prepared_cell(version))
                    return await self._adopt(sandbox, version)
                except SandboxFailed as error:
                    if isinstance(error, RestoreFailed):
                        log.warning("%s: %s; it starts without", version.version_arn, error)
                        self._snapshots.failed(version.environment_key)
                    if not attempts_left or self._stopping:
                        log.error("%s: no environment could be started: %s", version.version_arn, error)
                        raise InternalError(f"Paddock could not start an environment: {error}") from error
            raise AssertionError("unreachable")
        finally:
            for digest in digests:
                self._later(self._code.release(digest))
            # Not at once: it would compete with this start, and with the event it is for, for the processors.
            asyncio.get_running_loop().call_later(REFILL_DELAY_S, self._refill, version.runtime)

    async def _prepared_cell(self, version: FunctionVersion) -> Sandbox:
        self._check_runtime_version(version)
        await self._code.ensure_version(version)
        return await self._cell(version.runtime)

    async def _counted(self, work: Awaitable[Sandbox]) -> Sandbox:
        """Count it among the living while it has no number yet."""
        self._starting += 1
        try:
            return await work
        finally:
            self._starting -= 1

    def _environment(self, sandbox: Sandbox, version: FunctionVersion, image: Image | None) -> Environment:
        """One that has not started, counted among the living until it is gone."""
        number, self._next = self._next, self._next + 1
        environment = kind_of(image)(
            sandbox,
            version,
            self._offers[version.runtime].facts(version.region),
            settings=settings_for(version, self._settings.environment),
            clock=self._clock,
            sink=self._sink,
            ids=self._ids,
            number=number,
            stream_id=self._ids.hex(32),
            serve=self._serve,
        )
        self._environments[number] = environment
        self.held.add(environment, sandbox)
        for digest in _held(version):
            self._code.hold(digest)  # until it is gone
        environment.on_terminated = self._terminated
        environment.on_free = self._release
        return environment

    async def _adopt(self, sandbox: Sandbox, version: FunctionVersion) -> Environment:
        image = None
        if is_for_snapshots(version, self._settings.snapshots):
            image = self._snapshots.find(version.environment_key, sandbox.lineage)
            restored = dataclasses.replace(version, by_snapshot=True)
            if image is None and self._snapshots.wants(version.environment_key):
                self._background(self._templates.retake(restored))
            version = version if image is None else restored
        environment = self._environment(sandbox, version, image)
        began = self._clock.monotonic()
        try:
            await environment.start()
        except BaseException:
            environment.shut_down()
            raise
        if not environment.is_usable:
            raise SandboxFailed("it ended while it initialised")
        environment.measure_memory()  # it counts from now on, not only after its first event
        self._rhythms.started(version.environment_key, self._clock.monotonic() - began)
        return environment

    def _release(self, environment: Environment) -> None:
        """After an event: idle again, unless its code is old by now."""
        version = environment.version
        if version.provisioned_for and not self._keeps(environment):
            self._retired.add(environment.number)
        if self._stopping or environment.number in self._retired:
            environment.shut_down()
            return
        key = version.environment_key
        self._rhythms.measured(key, environment.memory_used_bytes)
        self._idle[key].append(environment.number)

    def _terminated(self, environment: Environment) -> None:
        number = environment.number
        if self._environments.pop(number, None) is None:
            return
        self._retired.discard(number)
        self.held.forget(number)
        if environment.version.provisioned_for and not self._stopping:
            self._provisioning.lost(number, environment.version)
        key = environment.key
        numbers = self._idle.get(key, [])
        if number in numbers:
            numbers.remove(number)
        if not numbers:
            self._idle.pop(key, None)
        for digest in _held(environment.version):
            self._later(self._code.release(digest))
        self._all_gone.set()

    # -- provisioned ones ------------------------------------------------------------------------------------------

    async def _start_provisioned(self, version: FunctionVersion) -> int:
        """An initialised environment that waits; its number. Room is made for it as for an event's."""
        key = version.environment_key
        decision = pool.assign(key, self._view_of_start(key), self._settings.limits)
        if not isinstance(decision, pool.Start):
            raise StartFailed("This machine has no room for so many environments.")
        for number in decision.evict:
            self._end_idle(number)
        try:
            environment = await self._start(version)
        except (ServiceError, OSError) as error:
            log.warning("%s: no provisioned environment: %s", version.version_arn, error)
            raise StartFailed("The environment could not be started.") from error
        if not environment.is_initialised or self._stopping:
            environment.shut_down()
            raise StartFailed(INIT_FAILED)
        self._idle[key].append(environment.number)
        return environment.number

    def _keeps(self, environment: Environment) -> bool:
        """One whose runtime was lost with an event is replaced, so that no event finds it uninitialised."""
        return environment.is_initialised and self._provisioning.keeps(environment.number, environment.version)

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
            async with self._warming[runtime]:  # one cell tells it to all who prepare at once
                if not waiting:
                    await self._first_cell(runtime)
        self._refill(runtime)

    async def _first_cell(self, runtime: str) -> None:
        try:
            self._keep(runtime, await self._sandboxes.start(runtime, ahead=True))
        except SandboxFailed as error:
            raise InternalError(f"The runtime {runtime} could not be started: {error}") from error

    def _refill(self, runtime: str) -> None:
        if self._stopping:
            return
        ready = {runtime: len(self._cells.setdefault(runtime, deque()))}
        wanted = self._cells_wanted.get(runtime, self._settings.cells_ready)
        more = pool.spare_cells(ready, self._cells_starting, wanted)
        for _ in range(more.get(runtime, 0)):
            self._cells_starting[runtime] += 1
            self._background(self._start_cell(runtime))

    async def _start_cell(self, runtime: str) -> None:
        began = self._clock.monotonic()
        try:
            ahead = demand.will_wait(self._demand[runtime], began, len(self._cells[runtime]))
            self._keep(runtime, await self._sandboxes.start(runtime, ahead=ahead))
            took_s = self._clock.monotonic() - began
            self._demand[runtime] = demand.became_ready(self._demand[runtime], took_s)
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
        interval_s = min(REAP_INTERVAL_S_MAX, max(0.05, self._settings.idle_timeout_s / 4))
        while True:
            await self._clock.sleep(interval_s)
            now = self._clock.monotonic()
            idle = [one for numbers in self._idle.values() for one in self._idle_of(numbers)]
            for number in pool.expired(idle, now, self._rhythms.keep):
                self._end_idle(number)
            self._provisioning.reconcile()
            self._start_ahead(now)
            self._size_cells(now)

    def _start_ahead(self, now: float) -> None:
        """Of versions whose next event is near, where that needs nobody's memory."""
        living = {one.version.environment_key[:-1] for one in self._environments.values() if not one.is_ending}
        view = self._sums(())
        for key in self._rhythms.due(now):
            version = self._versions.get(key)
            if version is None or key in living:
                continue
            view = dataclasses.replace(view, new_bytes=self._rhythms.memory_bytes(version.environment_key))
            if not pool.has_room(view, self._settings.limits):
                return
            view = dataclasses.replace(view, live=view.live + 1, memory_bytes=view.memory_bytes + view.new_bytes)
            self._starting += 1  # from now on, not only once its task runs
            self._background(self._start_one_ahead(version))

    async def _start_one_ahead(self, version: FunctionVersion) -> None:
        key = version.environment_key
        self._starting -= 1  # _start counts it again before it lets anybody else go on
        try:
            environment = await self._start(version)
        except (ServiceError, OSError) as error:
            log.warning("%s: not started ahead: %s", version.version_arn, error)
            return
        if self._versions.get(key[:-1]) is not version:
            environment.shut_down()  # retired meanwhile
            return
        environment.was_started_ahead = True
        environment.measure_memory()
        self._release(environment)

    def _size_cells(self, now: float) -> None:
        """As many cells of each runtime as its cold starts ask for, one less at a time when they cease."""
        limits = self._settings.cells
        used = sum(environment.memory_used_bytes for environment in self._environments.values())
        for runtime, waiting in self._cells.items():
            free = self._settings.limits.memory_budget_bytes - used
            before = self._cells_wanted.get(runtime, limits.least)
            wanted = demand.wanted(self._demand[runtime], now, before, limits, free)
            used += wanted * demand.CELL_BYTES
            self._cells_wanted[runtime] = wanted
            if len(waiting) > wanted:
                waiting.popleft().stop()
            self._refill(runtime)

    def _end_idle(self, number: int) -> None:
        environment = self._environments[number]
        self._idle[environment.key].remove(number)
        environment.shut_down()

    def _background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)

    def _later(self, work: Awaitable[None]) -> None:
        self._background(work)
