"""A day of retries in milliseconds: events of unreliable functions, many seeds, a clock that only the story turns.

The real Asynchronous, Outbox and Consumer run over a queue in memory. What must hold for each event, whatever happens:
it ends exactly once, in time, after the attempts that its configuration allows, with exactly the waits that the
contract gives, and what follows from its end is sent. Where the server is killed, or a lease runs out under a function
that still runs, it ends at least once, and is never begun again after its end was stored.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from paddock.interfaces import Ended, Pool, Tx
from paddock.invoke.asynchronous import TOPIC, Asynchronous
from paddock.invoke.consumer import LEASE_S
from paddock.invoke.dispatcher import Dispatcher
from paddock.invoke.outbox import Outbox
from paddock.invoke.targets import TargetTable
from paddock.model.delivery import Delivery, TargetEvent
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
SEEDS_KILLED = 2_000
PARTS = 8
SETTLED = 40  # turns of the loop until everybody is where he waits
EVENTS_PER_SEED = 4
EXACT_S = 0.01  # records tell milliseconds; a consumer looks again after five of them
START = datetime(2026, 1, 1, tzinfo=UTC)
LEASE_LOST_S = LEASE_S + 400.0
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


@dataclass
class Story:
    """One function with its moods. no_room: between these seconds it reserves zero. lives: of the server, so far.

    tries: (begun, ended) of each. ended: events whose end is stored.
    """

    chance: random.Random
    clock: Clock
    config: EventInvokeConfig
    dead_letters: bool
    error_share: float
    throttled_until_s: float
    gone_from_s: float | None
    durations_s: tuple[float, ...] = (0.01, 0.5, 3.0)
    no_room: tuple[float, float] = (0.0, 0.0)
    lives: int = 1
    tries: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    successes: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    def runnable_at(self, arn: str) -> FunctionVersion:
        if self.gone_from_s is not None and self.clock.seconds >= self.gone_from_s:
            raise ResourceNotFound(f"Function not found: {arn}")
        return version("f", dead_letter_arn=DEAD if self.dead_letters else "")

    def event_invoke_at(self, arn: str) -> EventInvokeConfig | None:
        return self.config

    def reserved_at(self, arn: str) -> int | None:
        return 0 if self.no_room[0] <= self.clock.seconds < self.no_room[1] else None

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

    def begin(self, invocation: Invocation, ended: Ended, sink: object = None) -> None:
        def over(task: asyncio.Task[InvocationResult]) -> None:
            ended(asyncio.CancelledError() if task.cancelled() else task.exception() or task.result())

        asyncio.get_running_loop().create_task(self.run(invocation)).add_done_callback(over)

    async def run(self, invocation: Invocation) -> InvocationResult:
        if self.clock.seconds < self.throttled_until_s:
            raise TooManyRequests("ConcurrentInvocationLimitExceeded")
        request_id, begun, life = invocation.request_id, self.clock.seconds, self.lives
        assert request_id not in self.ended, "begun after its end was stored"
        assert self.reserved_at("") is None, "begun while nothing may run"
        await self.clock.sleep(self.chance.choice(self.durations_s))
        if life != self.lives:
            raise asyncio.CancelledError  # it died with its server
        self.tries.setdefault(request_id, []).append((begun, self.clock.seconds))
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
        no_room=chance.choice(((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 90.0), (61.0, 100.0))),
    )


class Kept(MemoryQueue):
    """Tells the story what has ended for good."""

    story: Story

    async def ack(self, deliveries: Sequence[Delivery], also: Callable[[Tx], None] | None = None) -> None:
        for one in deliveries:
            if one.topic == TOPIC and self._is_held(one):
                self.story.ended.add(msgspec.msgpack.decode(one.body, type=QueuedEvent).request_id)
        await super().ack(deliveries, also)


@dataclass
class Life:
    """One process of the server, from its start to its end."""

    outbox: Outbox
    asynchronous: Asynchronous

    @staticmethod
    async def begin(story: Story, queue: Kept, targets: TargetTable, ids: Ids) -> Life:
        clock = story.clock
        queue.release()
        outbox = Outbox(queue, targets, clock, ids)
        asynchronous = Asynchronous(
            queue=queue,
            backlog_bytes_max=1 << 30,
            outbox=outbox,
            dispatcher=Dispatcher(story, Quotas(), story),
            functions=story,
            clock=clock,
            ids=ids,
            quotas=Quotas(),
        )
        outbox.start()
        await asynchronous.start()
        return Life(outbox, asynchronous)

    async def end(self, story: Story) -> None:
        """As kill -9 ends it: whatever it was about to do, it does not."""
        story.lives += 1
        await self.asynchronous.stop()
        await self.outbox.stop()


async def play(seed: int, kills_max: int = 0) -> tuple[Story, dict[str, float], list[TargetEvent]]:
    """Until nothing happens any more: the function, when each event was accepted, what was sent.

    kills_max: how often the server is killed, at any step.
    """
    chance, clock = random.Random(seed), Clock()
    story, sent = story_of(chance, clock), list[TargetEvent]()
    if kills_max:
        story.durations_s = (0.01, 3.0, LEASE_LOST_S) if chance.random() < 0.3 else story.durations_s
    queue, ids = Kept(clock), Ids(chance)
    queue.story = story

    async def deliver(event: TargetEvent) -> None:
        if chance.random() < 0.2:
            raise TooManyRequests("busy")
        sent.append(event)

    targets = TargetTable()
    targets.add("sqs", deliver)
    life = await Life.begin(story, queue, targets, ids)
    accepted: dict[str, float] = {}
    for _ in range(EVENTS_PER_SEED):
        request_id = ids.uuid()
        accepted[request_id] = clock.seconds
        event = QueuedEvent(request_id=request_id, arn=version("f").function_arn, payload=b"{}")
        await life.asynchronous.accept(event)
    while queue.has_messages():
        for _ in range(chance.randrange(13) if kills_max else SETTLED):
            await asyncio.sleep(0)
        if kills_max and chance.random() < 0.05:
            kills_max -= 1
            await life.end(story)
            life = await Life.begin(story, queue, targets, ids)
        else:
            clock.to_next()
        assert clock.seconds < 86_400, "an event that never ends"
    await life.end(story)
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
    assert set(letters) <= set(failed)
    if not story.dead_letters:
        assert letters == []
    elif story.gone_from_s is None:
        assert letters == sorted(failed)
    for request_id, record in ended.items():
        check(story, request_id, record, accepted[request_id])


def check(story: Story, request_id: str, record: dict[str, Any], accepted_s: float) -> None:
    tries, condition = story.tries.get(request_id, []), record["requestContext"]["condition"]
    ended_s = (datetime.fromisoformat(record["timestamp"].replace("Z", "+00:00")) - START).total_seconds()
    count = record["requestContext"]["approximateInvokeCount"]
    assert (condition == "Success") == (story.successes.get(request_id, 0) == 1)
    assert story.successes.get(request_id, 0) <= 1
    assert count <= story.config.retries + 1
    assert all(begun - accepted_s < story.config.age_s for begun, _ in tries)
    # After a throttle, or while there is no room, a function has few hands: what is due may wait for another's end.
    undisturbed = not story.throttled_until_s and story.no_room == (0.0, 0.0)
    hand_s = EXACT_S if undisturbed else EVENTS_PER_SEED * max(story.durations_s)
    if condition == "ZeroReservedConcurrency":
        assert story.no_room[0] - EXACT_S < ended_s < story.no_room[1] + EXACT_S
        return
    if story.gone_from_s is None:
        assert count == len(tries)
        waits = [later[0] - earlier[1] for earlier, later in itertools.pairwise(tries)]
        late = [wait - due for wait, due in zip(waits, (60.0, 120.0), strict=False)]
        assert all(-EXACT_S < each < hand_s for each in late), late
    if condition == "RetriesExhausted":
        assert count == story.config.retries + 1
    if condition == "EventAgeExceeded":
        # At the moment of that age when it was throttled; right after a try when the next would come too late.
        assert count <= story.config.retries
        moments = [accepted_s + story.config.age_s, *(end for _, end in tries[-1:])]
        if story.gone_from_s is None:
            assert any(-EXACT_S < ended_s - at < hand_s for at in moments)
        else:
            assert ended_s < accepted_s + story.config.age_s + hand_s


@pytest.mark.parametrize("part", range(PARTS))
def test_no_event_is_lost_or_begun_after_its_end_when_the_server_is_killed_at_any_step(part: int) -> None:
    lives = 0
    for seed in range(part, SEEDS_KILLED, PARTS):
        story, accepted, sent = asyncio.run(play(seed, kills_max=1 + seed % 4))
        lives += story.lives - 2
        records = [json.loads(one.body) for one in sent if one.target_arn != DEAD]
        ended = [one["requestContext"]["requestId"] for one in records]
        assert set(ended) == set(accepted) == story.ended
        if LEASE_LOST_S in story.durations_s:
            continue
        for request_id in accepted:
            # Its end is stored in the commit that sends what follows; only the sending itself may be repeated.
            assert ended.count(request_id) <= story.lives
            assert story.successes.get(request_id, 0) <= story.lives
    assert lives > SEEDS_KILLED / PARTS / 4  # the stories are about kills


def test_a_transaction_of_nothing_asks_nothing() -> None:
    tx: Tx = NO_TX
    with pytest.raises(AssertionError, match="no database"):
        tx.run("anything")
