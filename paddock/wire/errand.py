"""An Errand drives a coroutine without a task.

asyncio.Task begins in the loop's next turn, is registered among all tasks and cancelled through their machinery. A
coroutine that awaits nothing but futures needs none of that: it begins at once, goes on from each future's callback,
and most of the time there is one.

What it must not await: whatever asks for the current task, asyncio.timeout above all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Errand:
    """Begins when made. The coroutine answers for its own failures: what it raises goes to whoever went on with it."""

    __slots__ = ("_coroutine", "_waits")

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self._waits: asyncio.Future[Any] | None = None
        self._go_on()

    @property
    def is_over(self) -> bool:
        return self._waits is None

    def _go_on(self, _: object = None) -> None:
        try:
            waits = self._coroutine.send(None)
        except StopIteration:
            self._waits = None
        else:
            self._wait(waits)

    def _wait(self, waits: Any) -> None:
        if waits is None:  # asyncio.sleep(0): a turn of the loop
            waits = asyncio.get_running_loop().create_future()
            waits.set_result(None)
        waits._asyncio_future_blocking = False  # the sign between a future and who drives, which a task checks, too
        self._waits = waits
        waits.add_done_callback(self._go_on)

    def cancel(self) -> None:
        """Ends it where it waits, as a task's cancel does, but before this returns."""
        waits, self._waits = self._waits, None
        if waits is None:
            return
        waits.remove_done_callback(self._go_on)
        waits.cancel()
        try:
            waits = self._coroutine.throw(asyncio.CancelledError())
        except (StopIteration, asyncio.CancelledError):
            return
        self._wait(waits)
