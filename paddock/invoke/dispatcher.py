"""The one way to run something: every kind of Invoke ends in Dispatcher.run.

A caller that hangs up does not stop its invocation (the function may have had effects already, and its permit is in
use until it ends), so an admitted invocation runs in a task of its own.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from paddock.interfaces import Fleet, ResponseSink
from paddock.invoke.admission import Admission, Permit, Reservations
from paddock.model import tenancy
from paddock.model.errors import RecursiveInvocation
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.lineage import Lineage, with_lineage
from paddock.model.quotas import Quotas


class Dispatcher:
    """Admits invocations and hands them to the fleet."""

    def __init__(self, fleet: Fleet, quotas: Quotas, reservations: Reservations) -> None:
        self._fleet = fleet
        self._admission = Admission(quotas, reservations)
        self._reservations = reservations
        self._running: set[asyncio.Task[InvocationResult]] = set()

    def in_flight(self, account: str, region: str) -> int:
        """Invocations of the account that run now in the region."""
        return self._admission.in_flight(account, region)

    async def run(self, invocation: Invocation, sink: ResponseSink | None = None) -> InvocationResult:
        """Run it to its end. Raises TooManyRequests at once when the function, or its account, has no free permit.

        A function error is a result; what the fleet raises (a ServiceError) is passed on. Raises RecursiveInvocation
        when the function has been called too often in the chain that the trace header tells of.

        sink: for a response that is to be streamed, see streaming.py.
        """
        version = invocation.version
        if version.tenant_isolation and not version.tenant_id:
            # Whoever invokes without naming a tenant (an event source, a URL) must not share what tenants leave behind.
            tenancy.for_tenant(version, "")
        invocation = self._in_lineage(invocation)
        invocation, permit = self._admitted(invocation)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[InvocationResult] = loop.create_future()

        def ended(task: asyncio.Task[InvocationResult]) -> None:
            self._running.discard(task)
            # Before the caller hears of the end, so that his next Invoke finds room.
            self._admission.give_back(permit)
            _hand_on(task, answer)

        task = loop.create_task(self._fleet.run(invocation, sink))
        self._running.add(task)
        task.add_done_callback(ended)
        return await answer  # a caller who is cancelled gives up this future, not the task

    def _admitted(self, invocation: Invocation) -> tuple[Invocation, Permit]:
        """With a permit; without its pool when every provisioned environment of that is busy, or none is ready yet."""
        version = invocation.version
        if version.provisioned_for:
            ready = self._fleet.provisioned(version).ready
            provisioned = self._admission.take_provisioned(version, ready)
            if provisioned is not None:
                return invocation, provisioned
            invocation = replace(invocation, version=replace(version, provisioned_for=""))
        now_s = None if invocation.is_event else asyncio.get_running_loop().time()
        return invocation, self._admission.take(version.account, version.region, version.name, now_s)

    def _in_lineage(self, invocation: Invocation) -> Invocation:
        """The invocation with itself in the chain that it hands on."""
        version, arn = invocation.version, invocation.version.function_arn
        lineage = Lineage.of(invocation.trace_id)
        if lineage.stops(arn):
            if not self._reservations.recursion_allowed(version.account, version.region, version.name):
                raise RecursiveInvocation(f"The function {arn} has been called in a recursive loop, which was stopped.")
            return invocation
        return replace(invocation, trace_id=with_lineage(invocation.trace_id, lineage.with_execution(arn)))

    async def drain(self) -> None:
        """Wait until nothing runs any more."""
        while self._running:
            await asyncio.wait(self._running)


def _hand_on(task: asyncio.Task[InvocationResult], answer: asyncio.Future[InvocationResult]) -> None:
    """As asyncio.shield does, with fewer parts."""
    if task.cancelled():
        answer.cancel()
        return
    error = task.exception()
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(task.result())
