"""A consumer whose disk is full: it neither spins nor forgets."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence

from paddock.invoke.consumer import DISK_PAUSE_S, Consumer
from paddock.model.delivery import Delivery
from tests.support.queue import NO_TX, MemoryQueue
from tests.unit.worker.world import FakeClock, settle


class FullDisk(MemoryQueue):
    """Refuses that many takes and retries."""

    def __init__(self, clock: FakeClock, takes: int, retries: int) -> None:
        super().__init__(clock)
        self.takes, self.retries, self.asked = takes, retries, 0

    async def take(self, topic: str, count_max: int, lease_s: float) -> Sequence[Delivery]:
        self.asked += 1
        if self.asked <= self.takes:
            raise OSError(errno.ENOSPC, "full")
        return await super().take(topic, count_max, lease_s)

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
