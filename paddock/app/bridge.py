"""EventBridge and its Scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paddock.app.event_mode import EventMode
from paddock.app.ground import Foundation
from paddock.control.archives import Archives
from paddock.control.event_buses import Buses
from paddock.control.replays import Replays
from paddock.control.schedules import Schedules
from paddock.event_sources.schedule import Ticker
from paddock.interfaces import Clock, Ids, Tx
from paddock.invoke.outbox import DeadLetter, RetryPolicy
from paddock.model.delivery import TargetEvent
from paddock.model.event_bus import PRINCIPAL, Delivering
from paddock.services import events, scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """EventBridge and its Scheduler, and the clock that fires both's schedules."""

    buses: Buses
    schedules: Schedules
    ticker: Ticker
    archives: Archives
    replays: Replays

    @classmethod
    def of(cls, on: Foundation, event_mode: EventMode) -> Bridge:
        handed: dict[str, Any] = {"store": on.store, "clock": on.clock, "ids": on.ids}

        def send(tx: Tx, event: TargetEvent, delivering: Delivering) -> None:
            policy = RetryPolicy(attempts_max=delivering.attempts_max + 1, age_s_max=float(delivering.age_s_max))
            arn = delivering.dead_letter_arn
            named = {"RULE_ARN" if event.principal == PRINCIPAL else "SCHEDULE_ARN": event.source_arn}
            letter = DeadLetter(target_arn=arn, attributes=named) if arn else None
            event_mode.outbox.put(tx, event, policy=policy, dead_letter=letter)

        def ticked() -> None:
            ticker.planned()

        archives = Archives(on.store, on.clock)
        buses = Buses(**handed, send=send, ticked=ticked, archives=archives)
        replays = Replays(on.store, archives, buses.replay, on.clock)
        schedules = Schedules(**handed, send=send, ticked=ticked)
        ticker = Ticker(on.store, {"rule": buses, "schedule": schedules}, on.clock)
        event_mode.targets.add("events", buses.receive)
        return cls(buses=buses, schedules=schedules, ticker=ticker, archives=archives, replays=replays)

    def desks(self, clock: Clock, ids: Ids) -> dict[str, Any]:
        return {
            "events": events.Desk(buses=self.buses, archives=self.archives, replays=self.replays, clock=clock, ids=ids),
            "scheduler": scheduler.Desk(schedules=self.schedules, clock=clock),
        }

    async def start(self) -> None:
        await self.archives.start()
        await self.buses.start()
        self.ticker.start()
        self.replays.start()

    async def stop(self) -> None:
        await self.ticker.stop()
        await self.replays.stop()
