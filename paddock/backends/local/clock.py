"""The machine's clock: the one place where Paddock asks what time it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial


class SystemClock:
    """interfaces.Clock over the operating system. An Invoke asks a dozen times: nothing stands before its functions."""

    def __init__(self) -> None:
        self.now: Callable[[], datetime] = partial(datetime.now, UTC)
        self.monotonic: Callable[[], float] = time.monotonic

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
