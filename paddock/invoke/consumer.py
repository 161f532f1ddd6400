"""Takes what is due from one topic of the queue and works on many at once.

    take as many as there are free hands -> a task for each -> the task acks or retries -> its hand is free

Whoever adds a message may claim a free hand for it first, while nothing older waits for one: then it is taken by the
commit that stores it, and begins right after it.

What a handler raises is not lost: the delivery is tried again a little later, and the log says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from paddock.interfaces import Clock, Queue
from paddock.invoke.pace import WINDOW_S, Pace
from paddock.model.delivery import Delivery

log = logging.getLogger("paddock.invoke")

WAIT_S = 60.0
TAKE_MAX = 64
BROKEN_RETRY_S = 10.0
DISK_PAUSE_S = 1.0
HELD_UP_S = 0.005
LEASE_S = 3_600.0
"""Longer than any handler may take: an event of 15 minutes, and its start."""


class Consumer:
    """Call start() before anything else and stop() at the end.

    handle: works on one delivery and acks or retries it. hands_max: how many at once. pace: how many of one group.
    """

    def __init__(
        self,
        queue: Queue,
        topic: str,
        handle: Callable[[Delivery], Awaitable[None]],
        *,
        clock: Clock,
        hands_max: int,
        pace: Pace | None = None,
    ) -> None:
        self._clock = clock
        self._queue = queue
        self._topic = topic
        self._handle = handle
        self._hands_max = hands_max
        self._pace = pace
        self._room = None if pace is None else pace.room
        self._claimed = 0
        self._busy: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self._loop_task: asyncio.Task[None] | None = None
        # Groups of which messages may wait: those put since the last take began, those that had no room in it; all
        # of them, when it was cut short.
        self._put_in: set[str] = set()
        self._held_up: frozenset[str] = frozenset()
        self._cut_short = True

    @property
    def busy(self) -> int:
        """Deliveries being worked on."""
        return len(self._busy)

    def start(self) -> None:
        self._loop_task = asyncio.get_running_loop().create_task(self._loop())

    async def stop(self) -> None:
        """Take no more, end what is being worked on: it is due again when the next process starts."""
        tasks = [*self._busy, *([self._loop_task] if self._loop_task is not None else [])]
        self._loop_task = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # -- messages that begin as soon as they are stored

    def claim(self, group: str) -> bool:
        """A hand for a message of the group that is about to be added; begin() must follow. False: let it wait."""
        waiting = self._cut_short or group in self._put_in or group in self._held_up
        if self._loop_task is None or waiting or self._free <= 0:
            return False
        if self._pace is not None:
            if self._pace.room(group) <= 0:
                return False
            self._pace.began(group, self._clock.monotonic())
        self._claimed += 1
        return True

    def begin(self, group: str, delivery: Delivery | None) -> None:
        """With the hand that was claimed; None gives it back."""
        self._claimed -= 1
        if delivery is None:
            self._ended(group)
        elif self._loop_task is not None:  # else the next process finds it
            self._start(group, self._work(delivery))

    def put(self, group: str) -> None:
        """A message of the group was put that waits to be taken. Called from any thread."""
        self._put_in.add(group)

    # -- the others

    @property
    def _free(self) -> int:
        return self._hands_max - len(self._busy) - self._claimed

    async def _loop(self) -> None:
        while True:
            try:
                await self._turn()
            except OSError as error:  # the disk is full or fails: what is stored stays stored
                log.error("the queue of %s can not be read: %s", self._topic, error)
                await self._clock.sleep(DISK_PAUSE_S)
            except Exception:
                # A defect must not end it for good: nothing would be taken any more, and nobody would see why.
                log.exception("the consumer of %s had a fault", self._topic)
                await self._clock.sleep(DISK_PAUSE_S)

    async def _turn(self) -> None:
        self._freed.clear()
        free = min(self._free, TAKE_MAX)
        if free <= 0:
            self._cut_short = True
            await self._freed.wait()
            return
        put_in, self._put_in = self._put_in, set()
        taken = await self._queue.take(self._topic, free, LEASE_S, self._room)
        for delivery in taken:
            if self._pace is not None:
                self._pace.began(delivery.group, self._clock.monotonic())
            self._start(delivery.group, self._work(delivery))
        self._cut_short = len(taken) >= free
        if self._pace is not None:
            self._held_up = self._pace.look(self._clock.monotonic())
        if self._cut_short:
            self._put_in |= put_in
        elif self._held_up:
            await self._wait_for_hands()
        else:
            await self._queue.wait(self._topic, WAIT_S, self._room)

    async def _wait_for_hands(self) -> None:
        """Until a hand is free, or something of another group is there, or the pace may have changed.

        What is put meanwhile is mostly of the groups that are held up, so it does not wake every time.
        """
        waits: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._freed.wait()),
            asyncio.ensure_future(self._clock.sleep(HELD_UP_S)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not self._freed.is_set():
                waits.append(asyncio.ensure_future(self._queue.wait(self._topic, WINDOW_S, self._room)))
                await asyncio.wait([waits[0], waits[2]], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    def _start(self, group: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._busy.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._busy.discard(task)
            self._ended(group)

        task.add_done_callback(done)

    def _ended(self, group: str) -> None:
        if self._pace is not None:
            self._pace.ended(group)
        self._freed.set()

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
