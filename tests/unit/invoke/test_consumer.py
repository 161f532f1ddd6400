"""A consumer whose disk is full: it neither spins nor forgets."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence

from paddock.invoke.consumer import DISK_PAUSE_S, Consumer
from paddock.model.delivery import Delivery
from tests.support.queue import NO_TX, MemoryQueue
from tests.unit.worker.world import FakeClock, settle


class FullDisk(MemoryQueue):
    """Refuses that many takes and retries."""

    def __init__(self, clock: FakeClock, takes: int, retries: int) -> None:
        super().__init__(clock)
        self.takes, self.retries, self.asked = takes, retries, 0

    async def take(
        self, topic: str, count_max: int, lease_s: float, room: Callable[[str], int] | None = None
    ) -> Sequence[Delivery]:
        self.asked += 1
        if self.asked <= self.takes:
            raise OSError(errno.ENOSPC, "full")
        return await super().take(topic, count_max, lease_s, room)

    async def retry(self, delivery: Delivery, delay_s: float, body: bytes | None = None) -> None:
        self.retries -= 1
        if self.retries >= 0:
            raise OSError(errno.ENOSPC, "full")
        await super().retry(delivery, delay_s, body)


def test_it_waits_for_room_and_gives_back_what_it_could_not_finish() -> None:
    async def story() -> None:
        clock = FakeClock()
        queue = FullDisk(clock, takes=3, retries=2)
        queue.put(NO_TX, "t", b"a")
        handled: list[int] = []

        async def handle(delivery: Delivery) -> None:
            handled.append(delivery.attempts)
            if len(handled) == 1:
                raise OSError(errno.ENOSPC, "full")
            await queue.ack([delivery])

        consumer = Consumer(queue, "t", handle, clock=clock, hands_max=4)
        consumer.start()
        for asked in (1, 2, 3):
            await settle()
            assert queue.asked == asked  # once, and not again before the pause is over
            await clock.turn(DISK_PAUSE_S)
        for _ in range(20):
            await clock.turn(1.0)
        assert handled == [1, 2]
        assert not queue.has_messages()
        await consumer.stop()

    asyncio.run(story())


def test_a_hand_is_claimed_only_while_nothing_older_waits() -> None:
    async def story() -> None:
        clock = FakeClock()
        queue = MemoryQueue(clock)
        handled: list[bytes] = []
        held = asyncio.Event()

        async def handle(delivery: Delivery) -> None:
            handled.append(delivery.body)
            await held.wait()
            await queue.ack([delivery])

        consumer = Consumer(queue, "t", handle, clock=clock, hands_max=3)
        assert not consumer.claim("g")  # it does not run yet
        consumer.start()
        await settle()
        assert consumer.claim("g")
        await queue.add("t", b"a", group="g", begin=lambda one: consumer.begin("g", one), lease_s=9)
        assert consumer.claim("g")
        consumer.begin("g", None)  # could not be stored: the hand is free again
        consumer.put("g")
        assert not consumer.claim("g")
        assert consumer.claim("h")
        consumer.begin("h", None)
        await queue.add("t", b"b", group="g")
        await settle()
        assert handled == [b"a", b"b"]
        assert consumer.claim("g")
        assert not consumer.claim("g")  # no hand is left
        consumer.begin("g", None)
        held.set()
        await settle()
        assert not queue.has_messages()
        await consumer.stop()

    asyncio.run(story())


def test_a_fault_in_the_queue_does_not_end_it() -> None:
    class Faulty(MemoryQueue):
        faults = 2

        async def take(
            self, topic: str, count_max: int, lease_s: float, room: Callable[[str], int] | None = None
        ) -> Sequence[Delivery]:
            self.faults -= 1
            if self.faults >= 0:
                raise ValueError("a defect")
            return await super().take(topic, count_max, lease_s, room)

    async def story() -> None:
        clock = FakeClock()
        queue = Faulty(clock)
        queue.put(NO_TX, "t", b"a")

        async def handle(delivery: Delivery) -> None:
            await queue.ack([delivery])

        consumer = Consumer(queue, "t", handle, clock=clock, hands_max=1)
        consumer.start()
        for _ in range(4):
            await settle()
            await clock.turn(DISK_PAUSE_S)
        assert not queue.has_messages()
        await consumer.stop()

    asyncio.run(story())
