"""Schedules that are due in the same minute: when each is sent, how evenly, and what memory that takes.

The real store, outbox and clock in this process, without HTTP; what is sent is counted by a target that takes all.
"""

from __future__ import annotations

import asyncio
import resource
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path

from bench.figures import Figure, Row
from paddock.backends.local.clock import SystemClock
from paddock.backends.local.ids import SystemIds
from paddock.backends.sql.queue import SqlQueue
from paddock.backends.sql.sqlite import SqliteStore
from paddock.control.schedules import Schedules
from paddock.event_sources.schedule import SHARE_S, SHARES, Ticker
from paddock.interfaces import Tx
from paddock.invoke.outbox import Outbox, RetryPolicy
from paddock.invoke.targets import TargetTable
from paddock.model.delivery import TargetEvent
from paddock.model.event_bus import Delivering
from paddock.model.scheduler import Schedule, ScheduleTarget

ACCOUNT, REGION = "000000000000", "us-east-1"
CHUNK = 250
PATIENCE_S = 120.0


def rows(count: int) -> list[Row]:
    return asyncio.run(_measured(count))


async def _measured(count: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        store = await SqliteStore.open(Path(directory) / "paddock.db")
        try:
            return await _rows(store, count)
        finally:
            await store.close()


async def _rows(store: SqliteStore, count: int) -> list[Row]:
    clock, ids, targets = SystemClock(), SystemIds(), TargetTable()
    queue = SqlQueue(store, clock, ids)
    outbox = Outbox(queue, targets, clock, ids)
    arrivals: list[float] = []

    async def take(event: TargetEvent) -> None:
        arrivals.append(clock.monotonic())

    def send(tx: Tx, event: TargetEvent, delivering: Delivering) -> None:
        outbox.put(tx, event, policy=RetryPolicy(attempts_max=delivering.attempts_max + 1))

    targets.add("lambda", take)
    schedules = Schedules(store=store, send=send, clock=clock, ids=ids, ticked=lambda: None)
    due = (clock.now() + timedelta(minutes=1)).replace(microsecond=0)
    target = ScheduleTarget(arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f", role_arn="arn:aws:iam::0:role/r")
    for first in range(0, count, CHUNK):
        made = [
            Schedule(
                account=ACCOUNT, region=REGION, group="default", name=f"s{number}",
                expression=f"at({due:%Y-%m-%dT%H:%M:%S})", target=target, delete_after=True,
                created=clock.now(), modified=clock.now(),
            )
            for number in range(first, min(first + CHUNK, count))
        ]  # fmt: skip
        await asyncio.gather(*(_put(schedules, one) for one in made))
    started = clock.monotonic() + (due - clock.now()).total_seconds()
    ticker = Ticker(store, {"schedule": schedules}, clock)
    await queue.start()
    outbox.start()
    ticker.start()
    await clock.sleep(max(0.0, started - clock.monotonic() - 1))
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while len(arrivals) < count and clock.monotonic() < started + PATIENCE_S:
        await clock.sleep(0.1)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    await ticker.stop()
    await outbox.stop()
    return _figures(count, [at - started for at in arrivals], grown_mb)


async def _put(schedules: Schedules, one: Schedule) -> None:
    await schedules.change((one.account, one.region, one.group, one.name), lambda before, group: one)


def _figures(count: int, after_s: list[float], grown_mb: float) -> list[Row]:
    seconds = Counter(int(each) for each in after_s)
    what = f"{count:,} schedules due at once: "
    last = max(after_s, default=PATIENCE_S) if len(after_s) == count else PATIENCE_S
    return [
        Figure(name=what + "the last is sent", value=last, unit="s", n=count, bar="<= 60 s", met=last <= 60),
        Figure(
            name=what + "share of the busiest second", value=max(seconds.values(), default=0) / count, unit="", n=count,
            note=f"1/{SHARES * SHARE_S:.0f} were perfectly even",
        ),
        Figure(name=what + "memory grown", value=grown_mb, unit="MB", n=count),
    ]  # fmt: skip
