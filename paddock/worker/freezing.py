"""Between events an environment's processes are frozen, after a grace, so that a busy one is not frozen and thawed for
every event.

    rest(since)   an event is over, or there has been none yet: it has nothing to do since that reading of the clock
    wake()        it has, from now on

One timer outlives many short events: it looks how long nothing has been done when it fires.
"""

from __future__ import annotations

import asyncio

from paddock.interfaces import Clock, Sandbox
from paddock.worker.telemetry import Telemetry

DELIVERY_GRACE_S = 0.05


class Freezing:
    """Of one environment. grace_s: how long it rests before it is frozen."""

    def __init__(self, sandbox: Sandbox, telemetry: Telemetry, clock: Clock, grace_s: float) -> None:
        self._sandbox = sandbox
        self._telemetry = telemetry
        self._clock = clock
        self._grace_s = grace_s
        self._timer: asyncio.TimerHandle | None = None
        self._resting = False
        self._since = 0.0
        self._is_frozen = False

    def rest(self, since: float) -> None:
        self._resting, self._since = True, since
        if self._timer is None:
            self._arm(self._grace_s)

    def wake(self) -> None:
        self._resting = False
        if self._is_frozen:
            self._is_frozen = False
            self._sandbox.thaw()
            self._telemetry.resume()

    def close(self) -> None:
        """There is nothing left that could be frozen."""
        self._resting = False
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, after_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(after_s, self._consider)

    def _consider(self) -> None:
        self._timer = None
        if not self._resting or self._is_frozen:
            return
        left_s = self._grace_s - (self._clock.monotonic() - self._since)
        if left_s > 0:
            self._arm(left_s)
        elif self._telemetry.delays_freezing():
            self._arm(DELIVERY_GRACE_S)
        else:
            self._is_frozen = True
            self._telemetry.pause()
            self._sandbox.freeze()
