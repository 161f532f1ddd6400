"""When an event has had its time: one timer outlives many short events, and looks whose time it is when it fires.

No event may end before its own time is over, whichever one the timer was set for. Setting it for a later one costs an
attribute; the loop's timer is touched when it would fire too late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Lateness:
    """Calls `late` when the time that was set last is over. It may be called for an event that has ended meanwhile."""

    def __init__(self, late: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._late = late
        self._at = 0.0
        self.timer: asyncio.TimerHandle | None = None

    def set(self, limit_s: float) -> None:
        self._at = self._loop.time() + limit_s
        if self.timer is None or self.timer.when() > self._at:
            self._arm(limit_s)

    def close(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def consider(self) -> None:
        """The timer fires."""
        self.timer = None
        left_s = self._at - self._loop.time()
        if left_s > 0:
            self._arm(left_s)
        else:
            self._late()

    def _arm(self, after_s: float) -> None:
        self.close()
        self.timer = self._loop.call_later(after_s, self.consider)
