"""The one way to run something: every kind of Invoke ends in Dispatcher.run.

A caller that hangs up does not stop its invocation (the function may have had effects already, and its permit is in
use until it ends): the fleet runs it on its own account and tells of its end.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec

from paddock.interfaces import Fleet, ResponseSink
from paddock.invoke.admission import Admission, Permit, Reservations
from paddock.model import tenancy
from paddock.model.errors import RecursiveInvocation
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.lineage import Lineage, first_of, with_lineage
from paddock.model.quotas import Quotas


class Dispatcher:
    """Admits invocations and hands them to the fleet."""

    def __init__(self, fleet: Fleet, quotas: Quotas, reservations: Reservations) -> None:
        self._fleet = fleet
        self._admission = Admission(quotas, reservations)
        self._reservations = reservations
        self._running = 0
        self._is_quiet = asyncio.Event()

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
        answer: asyncio.Future[InvocationResult] = asyncio.get_running_loop().create_future()

        def ended(result: InvocationResult | BaseException) -> None:
            # Before the caller hears of the end, so that his next Invoke finds room.
            self._admission.give_back(permit)
            self._running -= 1
            if not self._running:
                self._is_quiet.set()
            if answer.done():
                return
            if isinstance(result, InvocationResult):
                answer.set_result(result)
            elif isinstance(result, asyncio.CancelledError):
                answer.cancel()
            else:
                answer.set_exception(result)

        self._running += 1
        self._is_quiet.clear()
        self._fleet.begin(invocation, ended, sink)
        return await answer  # a caller who is cancelled gives up this future, not the invocation

    def _admitted(self, invocation: Invocation) -> tuple[Invocation, Permit]:
        """With a permit; without its pool when every provisioned environment of that is busy, or none is ready yet."""
        version = invocation.version
        if version.provisioned_for:
            ready = self._fleet.provisioned(version).ready
            provisioned = self._admission.take_provisioned(version, ready)
            if provisioned is not None:
                return invocation, provisioned
            invocation = msgspec.structs.replace(invocation, version=replace(version, provisioned_for=""))
        now_s = None if invocation.is_event else asyncio.get_running_loop().time()
        return invocation, self._admission.take(version.account, version.region, version.name, now_s)

    def _in_lineage(self, invocation: Invocation) -> Invocation:
        """The invocation with itself in the chain that it hands on."""
        version, arn = invocation.version, invocation.version.function_arn
        trace_id = invocation.trace_id
        if "Lineage=" not in trace_id:  # the first of its chain, as nearly every one is
            return msgspec.structs.replace(invocation, trace_id=with_lineage(trace_id, first_of(arn)))
        lineage = Lineage.of(trace_id)
        if lineage.stops(arn):
            if not self._reservations.recursion_allowed(version.account, version.region, version.name):
                raise RecursiveInvocation(f"The function {arn} has been called in a recursive loop, which was stopped.")
            return invocation
        return msgspec.structs.replace(invocation, trace_id=with_lineage(trace_id, lineage.with_execution(arn)))

    async def drain(self) -> None:
        """Wait until nothing runs any more."""
        while self._running:
            await self._is_quiet.wait()
