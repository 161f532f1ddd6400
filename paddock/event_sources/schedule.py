"""The clock that fires schedules: rules with a ScheduleExpression, and those of EventBridge Scheduler.

One loop asks the database what is due, fires a share of it in one transaction, and sleeps until the next is due, or
until something is planned. When very much is due at once, as at the full minute, it goes in shares SHARE_S apart,
each a SHARES-th of what waits: so ten thousand schedules of one minute are spread over a third of it, and what is held
in memory is one share. A lone schedule fires at once. The shares keep their beat: what firing one takes is not added to
the pause before the next.

The sleep is never long, so that a wall clock which is set forward is seen. One that is set back fires nothing twice:
what has fired is planned for a later moment, and that is awaited.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from paddock.control import ticks
from paddock.control.ticks import Firing
from paddock.interfaces import Clock, Store

log = logging.getLogger(__name__)

SHARES = 40
SHARE_S = 0.5
BREATH_S = 0.05
"""Between two shares at least, also when the beat is lost: others write, too."""

SHARE_LEAST = 100
SLEEP_S_MAX = 5.0
SLEEP_S_LEAST = 0.005


class Ticker:
    """start(), and stop() at the end."""

    def __init__(self, store: Store, firings: Mapping[str, Firing], clock: Clock) -> None:
        """firings: by the kind with which the names of owners begin."""
        self._store = store
        self._firings = firings
        self._clock = clock
        self._planned = asyncio.Event()
        self._share = SHARE_LEAST
        self._task: asyncio.Task[None] | None = None

    def planned(self) -> None:
        """Something was planned, perhaps earlier than all others."""
        self._planned.set()

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._loop())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _loop(self) -> None:
        beat = self._clock.monotonic()
        while True:
            self._planned.clear()
            try:
                pause_s = await self._fire()
            except Exception:
                # A full disk, perhaps: time goes on.
                log.exception("schedules could not be fired")
                pause_s = SHARE_S
            if pause_s == SHARE_S:
                now = self._clock.monotonic()
                beat = max(beat + SHARE_S, now + BREATH_S)
                await self._clock.sleep(beat - now)
            else:
                await self._until_planned(pause_s)
                beat = self._clock.monotonic()

    async def _fire(self) -> float:
        """Fire a share of what is due; for how long there is nothing to do, or SHARE_S when there is more."""
        now = self._clock.now()
        waiting = await self._store.read(lambda tx: ticks.count_due(tx, now))
        if waiting:
            # A share stays as large as the backlog was at its largest, or the last of it would take ever longer.
            share = self._share = max(self._share, -(-waiting // SHARES))
            fired = await self._store.write(lambda tx: ticks.fire_due(tx, self._firings, now, share))
            if fired < waiting:
                return SHARE_S
        self._share = SHARE_LEAST
        due = await self._store.read(ticks.next_due)
        if due is None:
            return SLEEP_S_MAX
        return min(SLEEP_S_MAX, max(SLEEP_S_LEAST, (due - self._clock.now()).total_seconds()))

    async def _until_planned(self, seconds: float) -> None:
        """At most so long."""
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        waking = asyncio.ensure_future(self._planned.wait())
        try:
            await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()
