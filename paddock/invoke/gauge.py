"""How much waits in the queue and for how long: looked at now and then, so that asking costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paddock.interfaces import Clock, Queue
from paddock.invoke.consumer import log

LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class Depth:
    """messages: that wait or are worked on. oldest_s: since the oldest of them was put."""

    messages: int = 0
    oldest_s: float = 0.0


class Gauge:
    """Call start() before anything else and stop() at the end."""

    def __init__(self, queue: Queue, topics: Sequence[str], clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._depths = dict.fromkeys(topics, Depth())
        self._loop_task: asyncio.Task[None] | None = None

    @property
    def depths(self) -> Mapping[str, Depth]:
        """By topic, of the last look."""
        return self._depths

    def start(self) -> None:
        self._loop_task = asyncio.get_running_loop().create_task(self._loop())

    async def stop(self) -> None:
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.wait([self._loop_task])

    async def _loop(self) -> None:
        while True:
            for topic in self._depths:
                try:
                    self._depths[topic] = Depth(*await self._queue.depth(topic))
                except OSError as error:
                    log.error("the depth of %s is not known: %s", topic, error)
            await self._clock.sleep(LOOK_S)
