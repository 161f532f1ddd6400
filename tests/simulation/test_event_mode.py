"""A day of retries in milliseconds: events of unreliable functions, many seeds, a clock that only the story turns.

The real Asynchronous, Outbox and Consumer run over a queue in memory. What must hold for each event, whatever happens:
it ends exactly once (here nobody is killed), in time, after the attempts that its configuration allows, with the waits
that the contract gives, and what follows from its end is sent.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paddock.interfaces import Pool, Tx
from paddock.invoke.asynchronous import Asynchronous
from paddock.invoke.dispatcher import Dispatcher
from paddock.invoke.outbox import Outbox
from paddock.invoke.targets import TargetTable
from paddock.model.delivery import TargetEvent
from paddock.model.errors import ResourceNotFound, TooManyRequests
from paddock.model.event_invoke import EventInvokeConfig
from paddock.model.event_mode import QueuedEvent
from paddock.model.function import FunctionVersion
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.provisioned import PoolState
from paddock.model.quotas import Quotas
from tests.support.queue import NO_TX, MemoryQueue
from tests.unit.worker.world import version

SEEDS = 2_000
PARTS = 8
EVENTS_PER_SEED = 4
START = datetime(2026, 1, 1, tzinfo=UTC)
ON_FAILURE, ON_SUCCESS, DEAD = (f"arn:aws:sqs:us-east-1:000000000000:{name}" for name in ("bad", "good", "dead"))


class Clock:
    """Time passes when everybody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.seconds + seconds, next(self._order), waiter))
        await waiter

    def to_next(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if self._sleepers:
            at, _, waiter = heapq.heappop(self._sleepers)
            self.seconds = max(self.seconds, at)
            waiter.set_result(None)


class Ids:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def uuid(self) -> str:
        return f"{self._chance.getrandbits(128):032x}"

    def hex(self, digits: int) -> str:
        return f"{self._chance.getrandbits(4 * digits):0{digits}x}"


class Store:
    async def write(self, work: Any) -> Any:
        return work(NO_TX)

    async def read(self, work: Any) -> Any:
        return work(NO_TX)

    async def close(self) -> None: ...


@dataclass
class Story:
    """One function with its moods."""

    chance: random.Random
    clock: Clock
    config: EventInvokeConfig
    dead_letters: bool
    error_share: float
    throttled_until_s: float
    gone_from_s: float | None
    tries: dict[str, list[float]] = field(default_factory=dict)
    successes: dict[str, int] = field(default_factory=dict)

    def runnable_at(self, arn: str) -> FunctionVersion:
        if self.gone_from_s is not None and self.clock.seconds >= self.gone_from_s:
            raise ResourceNotFound(f"Function not found: {arn}")
        return version("f", dead_letter_arn=DEAD if self.dead_letters else "")

    def event_invoke_at(self, arn: str) -> EventInvokeConfig | None:
        return self.config

    def reserved_at(self, arn: str) -> int | None:
        return None

    def permits(self, arn: str, event: TargetEvent) -> bool:
        return True

    def reserved(self, account: str, region: str, name: str) -> int | None:
        return None

    def provisioned_of(self, account: str, region: str, name: str) -> int:
        return 0

    def reserved_by_all(self, account: str, region: str) -> int:
        return 0

    def recursion_allowed(self, account: str, region: str, name: str) -> bool:
        return False

    async def prepare(self, version: FunctionVersion) -> None: ...

    async def retire(self, function_arn: str, keep_builds: frozenset[str]) -> None: ...

    def provision(self, function_arn: str, pools: Sequence[Pool]) -> None: ...

    def provisioned(self, version: FunctionVersion) -> PoolState:
        return PoolState()

    def runtimes(self) -> tuple[str, ...]:
        return ()

    async def run(self, invocation: Invocation) -> InvocationResult:
        if self.clock.seconds < self.throttled_until_s:
            raise TooManyRequests("ConcurrentInvocationLimitExceeded")
        self.tries.setdefault(invocation.request_id, []).append(self.clock.seconds)
        await self.clock.sleep(self.chance.choice((0.01, 0.5, 3.0)))
        if self.chance.random() < self.error_share:
            return InvocationResult(payload=b'{"errorMessage":"x"}', executed_version="1", function_error="Unhandled")
        self.successes[invocation.request_id] = self.successes.get(invocation.request_id, 0) + 1
        return InvocationResult(payload=b"1", executed_version="1")


def story_of(chance: random.Random, clock: Clock) -> Story:
    return Story(
        chance=chance,
        clock=clock,
        config=EventInvokeConfig(
            retries_max=chance.choice((None, 0, 1, 2)),
            age_s_max=chance.choice((None, 60, 100, 200, 3600)),
            on_success=ON_SUCCESS,
            on_failure=ON_FAILURE,
            last_modified=START,
        ),
        dead_letters=chance.random() < 0.5,
        error_share=chance.choice((0.0, 0.3, 0.9, 1.0)),
        throttled_until_s=chance.choice((0.0, 0.0, 30.0, 1_000.0, 30_000.0)),
        gone_from_s=chance.choice((None, None, None, 50.0)),
    )


async def play(seed: int) -> tuple[Story, dict[str, float], list[TargetEvent]]:
    """Until nothing happens any more: the function, when each event was accepted, what was sent."""
    chance, clock = random.Random(seed), Clock()
    story, sent = story_of(chance, clock), list[TargetEvent]()
    queue, ids = MemoryQueue(clock), Ids(chance)

    async def deliver(event: TargetEvent) -> None:
        if chance.random() < 0.2:
            raise TooManyRequests("busy")
        sent.append(event)

    targets = TargetTable()
    targets.add("sqs", deliver)
    outbox = Outbox(queue, targets, clock, ids)
    asynchronous = Asynchronous(
        store=Store(),
        queue=queue,
        outbox=outbox,
        dispatcher=Dispatcher(story, Quotas(), story),
        functions=story,
        clock=clock,
        ids=ids,
        quotas=Quotas(),
    )
    outbox.start()
    asynchronous.start()
    accepted: dict[str, float] = {}
    for _ in range(EVENTS_PER_SEED):
        request_id = ids.uuid()
        accepted[request_id] = clock.seconds
        await asynchronous.accept(QueuedEvent(request_id=request_id, arn=version("f").function_arn, payload=b"{}"))
    while queue.has_messages():
        for _ in range(12):  # let everybody get to where they wait
            await asyncio.sleep(0)
        clock.to_next()
        assert clock.seconds < 86_400, "an event that never ends"
    await asynchronous.stop()
    await outbox.stop()
    return story, accepted, sent


@pytest.mark.parametrize("part", range(PARTS))
def test_every_event_ends_once_and_as_the_contract_says(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        check_story(seed)


def check_story(seed: int) -> None:
    story, accepted, sent = asyncio.run(play(seed))
    records = [json.loads(one.body) for one in sent if one.target_arn != DEAD]
    ended = {one["requestContext"]["requestId"]: one for one in records}
    assert len(records) == len(ended) == len(accepted)
    letters = sorted(one.attributes["RequestID"] for one in sent if one.target_arn == DEAD)
    failed = [request_id for request_id, one in ended.items() if one["requestContext"]["condition"] != "Success"]
    # A function that is gone takes its dead letter configuration with it.
    assert letters in (sorted(failed) if story.dead_letters else [], [])
    if story.dead_letters and story.gone_from_s is None:
        assert letters == sorted(failed)
    for request_id, record in ended.items():
        check(story, request_id, record)


def check(story: Story, request_id: str, record: dict[str, Any]) -> None:
    tries, condition = story.tries.get(request_id, []), record["requestContext"]["condition"]
    count = record["requestContext"]["approximateInvokeCount"]
    assert (condition == "Success") == (story.successes.get(request_id, 0) == 1)
    assert story.successes.get(request_id, 0) <= 1
    assert count <= story.config.retries + 1
    assert all(at < story.config.age_s + 1 for at in tries)
    if story.gone_from_s is None:
        assert count == len(tries)
        waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
        for wait, least in zip(waits, (60.0, 120.0), strict=False):
            assert least <= wait <= least + 10
    if condition == "RetriesExhausted":
        assert count == story.config.retries + 1
    if condition == "EventAgeExceeded":
        assert story.config.age_s <= 21_600
        assert count <= story.config.retries


def test_a_transaction_of_nothing_asks_nothing() -> None:
    tx: Tx = NO_TX
    with pytest.raises(AssertionError, match="no database"):
        tx.run("anything")
