"""Takes what is due from one topic of the queue and works on many at once.

    take as many as there are free hands -> a task for each -> the task acks or retries -> its hand is free

What a handler raises is not lost: the delivery is tried again a little later, and the log says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from paddock.interfaces import Clock, Queue
from paddock.model.delivery import Delivery

log = logging.getLogger("paddock.invoke")

WAIT_S = 60.0
TAKE_MAX = 64
BROKEN_RETRY_S = 10.0
DISK_PAUSE_S = 1.0
LEASE_S = 3_600.0
"""Longer than any handler may take: an event of 15 minutes, and its start."""


class Consumer:
    """Call start() before anything else and stop() at the end.

    handle: works on one delivery and acks or retries it. hands_max: how many at once.
    """

    def __init__(
        self,
        queue: Queue,
        topic: str,
        handle: Callable[[Delivery], Awaitable[None]],
        *,
        clock: Clock,
        hands_max: int,
    ) -> None:
        self._clock = clock
        self._queue = queue
        self._topic = topic
        self._handle = handle
        self._hands_max = hands_max
        self._busy: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> int:
        """Deliveries being worked on."""
        return len(self._busy)

    def start(self) -> None:
        self._loop_task = asyncio.get_running_loop().create_task(self._loop())

    async def stop(self) -> None:
        """Take no more, end what is being worked on: it is due again when the next process starts."""
        tasks = [*self._busy, *([self._loop_task] if self._loop_task is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _loop(self) -> None:
        while True:
            free = min(self._hands_max - len(self._busy), TAKE_MAX)
            try:
                taken = await self._queue.take(self._topic, free, LEASE_S)
                for delivery in taken:
                    task = asyncio.get_running_loop().create_task(self._work(delivery))
                    self._busy.add(task)
                    task.add_done_callback(self._busy.discard)
                if len(self._busy) >= self._hands_max:
                    await asyncio.wait(self._busy, return_when=asyncio.FIRST_COMPLETED)
                elif not taken:
                    await self._queue.wait(self._topic, WAIT_S)
            except OSError as error:  # the disk is full or fails: what is stored stays stored
                log.error("the queue of %s can not be read: %s", self._topic, error)
                await self._clock.sleep(DISK_PAUSE_S)

    async def _work(self, delivery: Delivery) -> None:
        try:
            await self._handle(delivery)
        except Exception:
            log.exception("%s: message %d failed inside Paddock; it is tried again", self._topic, delivery.id)
            await self._give_back(delivery)

    async def _give_back(self, delivery: Delivery) -> None:
        """Due again soon, even if the disk has no room to say so yet."""
        while True:
            try:
                return await self._queue.retry(delivery, BROKEN_RETRY_S)
            except OSError:
                await self._clock.sleep(DISK_PAUSE_S)
