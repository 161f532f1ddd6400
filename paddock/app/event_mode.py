"""Event mode: what waits in the queue, and who works on it."""

from __future__ import annotations

from dataclasses import dataclass

from paddock.app.ground import Foundation
from paddock.backends.sql.queue import SqlQueue
from paddock.control.event_invokes import EventInvokes
from paddock.invoke.asynchronous import Asynchronous
from paddock.invoke.dispatcher import Dispatcher
from paddock.invoke.outbox import Outbox
from paddock.invoke.targets import TargetTable


@dataclass(frozen=True, slots=True, kw_only=True)
class EventMode:
    """What waits in the queue, and who works on it."""

    queue: SqlQueue
    targets: TargetTable
    outbox: Outbox
    asynchronous: Asynchronous

    @classmethod
    def of(cls, on: Foundation, dispatcher: Dispatcher, functions: EventInvokes) -> EventMode:
        queue = SqlQueue(on.store, on.clock, on.ids)
        targets = TargetTable()
        outbox = Outbox(queue, targets, on.clock, on.ids)
        asynchronous = Asynchronous(
            store=on.store,
            queue=queue,
            outbox=outbox,
            dispatcher=dispatcher,
            functions=functions,
            clock=on.clock,
            ids=on.ids,
            quotas=on.quotas,
        )
        targets.add("lambda", asynchronous.send, asynchronous.check)
        return cls(queue=queue, targets=targets, outbox=outbox, asynchronous=asynchronous)

    async def start(self) -> None:
        await self.queue.start()
        self.outbox.start()
        self.asynchronous.start()

    async def stop(self) -> None:
        await self.asynchronous.stop()
        await self.outbox.stop()
