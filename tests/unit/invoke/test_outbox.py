"""The outbox waits as its policy says, counts tries and not what a busy target turned away, and says why it gave up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest

from paddock.interfaces import TargetBusy, TargetRefused
from paddock.invoke.outbox import DeadLetter, Outbox, RetryPolicy
from paddock.model.delivery import TargetEvent
from paddock.model.errors import ServiceError
from paddock.services.sns.lines import LINES_ALL, LINES_EACH, Lines
from tests.support.queue import NO_TX, MemoryQueue
from tests.unit.worker.world import FakeClock, settle

QUEUE = "arn:aws:sqs:us-east-1:000000000000:letters"
EVENT = TargetEvent(target_arn="arn:aws:sns:us-east-1:000000000000:t:s", body=b"x", source_arn="a")


class StillIds:
    """No chance: waits have no jitter."""

    def uuid(self) -> str:
        return "0" * 32

    def hex(self, digits: int) -> str:
        return "0" * digits


class Target:
    """Raises what the test says, in turn; then takes."""

    def __init__(self, clock: FakeClock, *outcomes: Exception) -> None:
        self.clock, self.outcomes = clock, list(outcomes)
        self.letters: list[TargetEvent] = []
        self.tried: list[float] = []

    async def send(self, event: TargetEvent) -> None:
        if event.target_arn == QUEUE:
            self.letters.append(event)
            return
        self.tried.append(self.clock.monotonic())
        if self.outcomes:
            raise self.outcomes.pop(0)


def play(story: Callable[[FakeClock, Target, Outbox], Awaitable[None]], *outcomes: Exception) -> None:
    async def run() -> None:
        clock = FakeClock()
        target = Target(clock, *outcomes)
        outbox = Outbox(MemoryQueue(clock), target, clock, StillIds())
        outbox.start()
        try:
            await story(clock, target, outbox)
        finally:
            await outbox.stop()

    asyncio.run(run())


async def passing(clock: FakeClock, seconds: int) -> None:
    """In steps, so that whoever begins to wait in between waits from then on."""
    for _ in range(seconds * 2):
        await settle()
        await clock.turn(0.5)


def put(outbox: Outbox, policy: RetryPolicy, **letter: str) -> None:
    outbox.put(NO_TX, EVENT, policy=policy, dead_letter=DeadLetter(target_arn=QUEUE, attributes=letter))


BROKEN = ServiceError("out of order", code="EndpointFailed")


def test_waits_are_those_of_the_policy_and_then_grow() -> None:
    async def story(clock: FakeClock, target: Target, outbox: Outbox) -> None:
        put(outbox, RetryPolicy(attempts_max=5, delays_s=(0.0, 7.0)))
        await passing(clock, 60)
        assert [round(one) for one in target.tried] == [0, 0, 7, 11, 19]
        [letter] = target.letters
        assert letter.attributes["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"
        assert letter.attributes["RETRY_ATTEMPTS"] == "4"
        assert (letter.attributes["ERROR_CODE"], letter.body) == ("EndpointFailed", b"x")

    play(story, *[BROKEN] * 9)


def test_what_grew_too_old_is_given_up() -> None:
    async def story(clock: FakeClock, target: Target, outbox: Outbox) -> None:
        put(outbox, RetryPolicy(attempts_max=100, age_s_max=20.0, delays_s=(9.0, 9.0, 9.0)))
        await passing(clock, 60)
        assert [round(one) for one in target.tried] == [0, 9, 18]
        assert target.letters[0].attributes["EXHAUSTED_RETRY_CONDITION"] == "MaximumEventAgeInSeconds"

    play(story, *[BROKEN] * 9)


def test_a_busy_target_costs_no_attempt() -> None:
    async def story(clock: FakeClock, target: Target, outbox: Outbox) -> None:
        put(outbox, RetryPolicy(attempts_max=2, delays_s=(1.0,)))
        await passing(clock, 200)
        assert len(target.tried) == 8  # six times busy, then two attempts
        assert target.letters[0].attributes["RETRY_ATTEMPTS"] == "1"

    play(story, *[TargetBusy()] * 6, *[BROKEN] * 2)


def test_who_is_always_busy_is_given_up_by_age() -> None:
    async def story(clock: FakeClock, target: Target, outbox: Outbox) -> None:
        put(outbox, RetryPolicy(attempts_max=2, age_s_max=30.0))
        await passing(clock, 100)
        assert target.letters[0].attributes["ERROR_CODE"] == "TargetBusy"

    play(story, *[TargetBusy()] * 99)


def test_a_letter_may_say_otherwise() -> None:
    async def story(clock: FakeClock, target: Target, outbox: Outbox) -> None:
        put(outbox, RetryPolicy(), RULE_ARN="r", TARGET_ARN="")
        await passing(clock, 1)
        attributes = target.letters[0].attributes
        assert (attributes["RULE_ARN"], attributes["TARGET_ARN"], attributes["ERROR_CODE"]) == ("r", "", "Gone")
        assert attributes["EXHAUSTED_RETRY_CONDITION"] == ""

    play(story, TargetRefused("Gone", "no more"))


def test_lines_are_shared_out() -> None:
    """A few for each subscriber, one for one that does not answer, some left for everything else."""
    lines = Lines()
    with ExitStack() as stack:
        for _ in range(LINES_EACH):
            stack.enter_context(lines.line_to("slow"))
        with pytest.raises(TargetBusy), lines.line_to("slow"):
            """Never here."""
        with lines.line_to("other") as line:
            line.works()
    with lines.line_to("slow"), pytest.raises(TargetBusy), lines.line_to("slow"):
        """Once it has failed, one at a time."""
    with lines.line_to("slow") as line:
        line.works()
    with lines.line_to("slow"), lines.line_to("slow"):
        """It works again."""
    with ExitStack() as stack:
        for number in range(LINES_ALL):
            stack.enter_context(lines.line_to(str(number)))
        with pytest.raises(TargetBusy), lines.line_to("one more"):
            """Never here."""
