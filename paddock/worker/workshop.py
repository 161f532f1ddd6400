"""Functions that their developers work at: a Fleet in front of the worker.

    develop(version, builds, development)     from now on $LATEST runs like that
    release(function_arn, builds)             and now as it is stored

What a developer changes is the version as an invocation sees it, with a build of its own; so the worker needs to know
nothing, and no environment of one code is ever used for another. A function that a debugger holds has one environment:
its events come one after the other. It is started before an event asks for it, so that a debugger can be there first,
and what it does is broken off when the code is loaded anew.

A developer's command that dies says no word, so what it wants lasts LEASE_S unless it is said again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from paddock.interfaces import Clock, Ended, ResponseSink
from paddock.model.development import Development, developed
from paddock.model.errors import ResourceConflict, ServiceError
from paddock.model.function import LATEST, FunctionVersion
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.provisioned import PoolState
from paddock.worker.debugging import Relay
from paddock.worker.variables import DEBUG_PORT
from paddock.worker.worker import Worker

log = logging.getLogger("paddock.worker")

LEASE_S = 30.0
T = TypeVar("T")


class _Bench:
    """One function and what its developer wants of it. turn: of a debugger's events, one at a time."""

    def __init__(self, development: Development, builds: frozenset[str]) -> None:
        self.development = development
        self.builds = builds
        self.turn = asyncio.Lock()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.is_over = False
        self.lease: asyncio.TimerHandle | None = None

    def end(self) -> None:
        self.is_over = True
        for task in self.tasks:
            task.cancel()
        if self.lease is not None:
            self.lease.cancel()


class Workshop:
    """See the module's page. `begin` of what nobody develops costs one look into an empty mapping."""

    def __init__(self, worker: Worker, clock: Clock) -> None:
        self._worker = worker
        self._clock = clock
        self._benches: dict[str, _Bench] = {}
        self._relays: dict[str, Relay] = {}

    # -- as the dispatcher's fleet ----------------------------------------------------------------------------------

    def begin(self, invocation: Invocation, ended: Ended, sink: ResponseSink | None = None) -> None:
        bench = self._benches.get(invocation.version.function_arn) if self._benches else None
        if bench is not None and invocation.version.version == LATEST:
            version = developed(invocation.version, bench.development)
            invocation = msgspec.structs.replace(invocation, version=version)
            if bench.development.debug_port is not None:
                task = asyncio.ensure_future(self._in_turn(bench, self._run(invocation, sink)))
                task.add_done_callback(lambda task: ended(_outcome(task)))
                return
        self._worker.begin(invocation, ended, sink)

    async def prepare(self, version: FunctionVersion) -> None:
        await self._worker.prepare(version)

    async def retire(self, function_arn: str, keep_builds: frozenset[str]) -> None:
        await self._worker.retire(function_arn, keep_builds)

    def provision(self, function_arn: str, pools: Sequence[Any]) -> None:
        self._worker.provision(function_arn, pools)

    def provisioned(self, version: FunctionVersion) -> PoolState:
        return self._worker.provisioned(version)

    def runtimes(self) -> Sequence[str]:
        return self._worker.runtimes()

    # -- what developers want ---------------------------------------------------------------------------------------

    async def develop(self, version: FunctionVersion, builds: frozenset[str], wanted: Development) -> Development:
        """The same, with the port that was taken. builds: those of the function as it is stored.

        Raises ResourceConflict when the debugger's port is another's.
        """
        arn = version.function_arn
        before = self._benches.get(arn)
        relay = await self._relay(version, wanted)
        wanted = replace(wanted, debug_port=None if relay is None else relay.port)
        if before is not None and (before.development, before.builds) == (wanted, builds):
            self._lend(arn, before)
            return wanted
        bench = self._benches[arn] = _Bench(wanted, builds)
        await self._clear(arn, before, builds)
        self._lend(arn, bench)
        if relay is not None:
            work = self._in_turn(bench, self._ahead(developed(version, wanted)))
            asyncio.ensure_future(work).add_done_callback(_retrieve)
        return wanted

    async def release(self, function_arn: str) -> None:
        """It runs as it is stored. Repeats are harmless."""
        bench = self._benches.pop(function_arn, None)
        relay = self._relays.pop(function_arn, None)
        if relay is not None:
            relay.close()
        if bench is not None:
            await self._clear(function_arn, bench, bench.builds)

    async def _clear(self, arn: str, bench: _Bench | None, builds: frozenset[str]) -> None:
        """Nothing of what was developed before goes on, save an event that no debugger holds."""
        if bench is not None:
            bench.end()
        if arn in self._relays:
            self._relays[arn].hang_up()
        await self._worker.retire(arn, builds)

    def _lend(self, arn: str, bench: _Bench) -> None:
        if bench.lease is not None:
            bench.lease.cancel()
        bench.lease = asyncio.get_running_loop().call_later(LEASE_S, self._lapse, arn)

    def _lapse(self, arn: str) -> None:
        log.info("%s: its developer's command is gone; it runs as it is stored", arn)
        asyncio.ensure_future(self.release(arn)).add_done_callback(_retrieve)

    async def close(self) -> None:
        for arn in list(self._benches):
            await self.release(arn)

    # -- debuggers --------------------------------------------------------------------------------------------------

    async def _relay(self, version: FunctionVersion, wanted: Development) -> Relay | None:
        arn = version.function_arn
        relay = self._relays.get(arn)
        if relay is not None and wanted.debug_port in (0, relay.port):
            return relay
        if relay is not None:
            self._relays.pop(arn).close()
        if wanted.debug_port is None:
            return None

        async def connect() -> socket.socket:
            return await self._worker.held.connect(arn, DEBUG_PORT)

        try:
            speaks_dap = version.runtime.startswith("python")
            relay = await Relay.open(wanted.debug_port, connect, self._clock, speaks_dap=speaks_dap)
        except OSError as error:
            raise ResourceConflict(f"The port {wanted.debug_port} cannot be taken: {error.strerror}.") from error
        self._relays[arn] = relay
        return relay

    async def _ahead(self, version: FunctionVersion) -> None:
        try:
            await self._worker.start_ahead(version)
        except (ServiceError, OSError) as error:
            log.warning("%s: not started for its debugger: %s", version.version_arn, error)

    async def _in_turn(self, bench: _Bench, work: Coroutine[Any, Any, T]) -> T:
        """Raises ResourceConflict when the code is loaded anew meanwhile."""
        task = asyncio.ensure_future(_after(bench.turn, work))
        bench.tasks.add(task)
        task.add_done_callback(bench.tasks.discard)
        task.add_done_callback(lambda _: work.close())  # it may not even have begun
        try:
            return await task
        except asyncio.CancelledError:
            task.cancel()
            if bench.is_over:
                raise ResourceConflict("The code was loaded anew while the debugger held it.") from None
            raise

    async def _run(self, invocation: Invocation, sink: ResponseSink | None) -> InvocationResult:
        """In the worker; cancelled, it is broken off there."""
        end: asyncio.Future[InvocationResult] = asyncio.get_running_loop().create_future()

        def ended(result: InvocationResult | BaseException) -> None:
            if end.done():
                return
            if isinstance(result, BaseException):
                end.set_exception(result)
            else:
                end.set_result(result)

        self._worker.begin(invocation, ended, sink)
        try:
            return await end
        except asyncio.CancelledError:
            self._worker.break_off(invocation.request_id)
            raise


async def _after(turn: asyncio.Lock, work: Coroutine[Any, Any, T]) -> T:
    async with turn:
        return await work


def _outcome(task: asyncio.Future[InvocationResult]) -> InvocationResult | BaseException:
    return asyncio.CancelledError() if task.cancelled() else task.exception() or task.result()


def _retrieve(task: asyncio.Future[None]) -> None:
    """Its failure needs no further word."""
    if not task.cancelled():
        task.exception()
