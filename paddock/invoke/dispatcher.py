"""The one way to run something: every kind of Invoke ends in Dispatcher.run.

A caller that hangs up does not stop its invocation (the function may have had effects already, and its permit is in
use until it ends), so an admitted invocation runs in a task of its own.
"""

from __future__ import annotations

import asyncio

from paddock.interfaces import Fleet
from paddock.invoke.admission import Admission, Reservations
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.quotas import Quotas


class Dispatcher:
    """Admits invocations and hands them to the fleet."""

    def __init__(self, fleet: Fleet, quotas: Quotas, reservations: Reservations) -> None:
        self._fleet = fleet
        self._admission = Admission(quotas, reservations)
        self._running: set[asyncio.Task[InvocationResult]] = set()

    def in_flight(self, account: str, region: str) -> int:
        """Invocations of the account that run now in the region."""
        return self._admission.in_flight(account, region)

    async def run(self, invocation: Invocation) -> InvocationResult:
        """Run it to its end. Raises TooManyRequests at once when the function, or its account, has no free permit.

        A function error is a result; what the fleet raises (a ServiceError) is passed on.
        """
        version = invocation.version
        permit = self._admission.take(version.account, version.region, version.name)
        task = asyncio.get_running_loop().create_task(self._fleet.run(invocation))
        self._running.add(task)
        # Before anything that waits for the task hears of its end, so that a caller's next Invoke finds room.
        task.add_done_callback(lambda _: self._admission.give_back(permit))
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait until nothing runs any more."""
        while self._running:
            await asyncio.wait(self._running)
