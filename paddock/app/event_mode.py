"""Event mode: what waits in the queue, and who works on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paddock.app.ground import Foundation
from paddock.backends.sql.queue import SqlQueue
from paddock.config import Config
from paddock.control.event_invokes import EventInvokes
from paddock.invoke.asynchronous import TOPIC as EVENTS
from paddock.invoke.asynchronous import Asynchronous
from paddock.invoke.dispatcher import Dispatcher
from paddock.invoke.gauge import Gauge
from paddock.invoke.outbox import TOPIC as OUTBOX
from paddock.invoke.outbox import Outbox
from paddock.invoke.targets import TargetTable


@dataclass(frozen=True, slots=True, kw_only=True)
class EventMode:
    """What waits in the queue, and who works on it."""

    queue: SqlQueue
    targets: TargetTable
    outbox: Outbox
    asynchronous: Asynchronous
    gauge: Gauge

    @classmethod
    def of(cls, config: Config, on: Foundation, dispatcher: Dispatcher, functions: EventInvokes) -> EventMode:
        queue = SqlQueue(on.store, on.clock, on.ids)
        targets = TargetTable()
        outbox = Outbox(queue, targets, on.clock, on.ids)
        asynchronous = Asynchronous(
            queue=queue,
            outbox=outbox,
            dispatcher=dispatcher,
            functions=functions,
            clock=on.clock,
            ids=on.ids,
            quotas=on.quotas,
            backlog_bytes_max=config.event_backlog_mb_max << 20,
        )
        targets.add("lambda", asynchronous.send, asynchronous.check)
        gauge = Gauge(queue, (EVENTS, OUTBOX), on.clock)
        return cls(queue=queue, targets=targets, outbox=outbox, asynchronous=asynchronous, gauge=gauge)

    async def start(self) -> None:
        await self.queue.start()
        self.outbox.start()
        await self.asynchronous.start()
        self.gauge.start()

    def counts(self) -> dict[str, Any]:
        """For the health page: what waits or runs, how old the oldest is, what was given up since the start."""
        events, outbox = self.gauge.depths[EVENTS], self.gauge.depths[OUTBOX]
        return {
            "events": {
                "queued": self.asynchronous.backlog.events,
                "queued_bytes": self.asynchronous.backlog.bytes,
                "running": self.asynchronous.running,
                "oldest_s": round(events.oldest_s, 1),
            },
            "outbox": {"queued": outbox.messages, "oldest_s": round(outbox.oldest_s, 1), "lost": self.outbox.lost},
        }

    async def stop(self) -> None:
        await self.gauge.stop()
        await self.asynchronous.stop()
        await self.outbox.stop()
