"""The poller over a simulated queue, in simulated time: batches, filters, failures, throttles, lanes, stops."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.event_sources.poller import Runner
from paddock.event_sources.sqs import GivingBack, Queue, SqsSource, SqsSources, shaped
from paddock.model.errors import InvalidParameterValue, ServiceError, TooManyRequests
from paddock.model.event_source import EventSourceMapping
from tests.unit.event_sources.simulation import ARN, FakeInvoker, FakeSqs, SimulatedClock, mapping, settle


class World:
    def __init__(self, given: EventSourceMapping, timeout_s: int = 3) -> None:
        self.clock = SimulatedClock()
        self.sqs = FakeSqs(self.clock)
        self.invoker = FakeInvoker(self.clock)
        self.mapping = given
        self.timeout_s = timeout_s

    def run(self) -> None:
        source = SqsSource(self.mapping, self.sqs, self.clock, lambda: self.timeout_s)
        self.runner = Runner(self.mapping, source, self.invoker, self.clock)

    @property
    def bodies(self) -> list[list[str]]:
        return [[record["body"] for record in batch] for batch in self.invoker.batches]

    def waits(self) -> list[int]:
        return [params["WaitTimeSeconds"] for name, params in self.sqs.calls if name == "ReceiveMessage"]


def play(story: Callable[[World], Awaitable[None]], **given: Any) -> World:
    world = World(mapping(**given))

    async def told() -> None:
        world.run()
        await story(world)
        await stopped(world)

    asyncio.run(told())
    return world


async def stopped(world: World) -> None:
    stopping = asyncio.ensure_future(world.runner.stop())
    while not stopping.done():
        await world.clock.pass_time(10)
    await stopping


def test_success_deletes_and_an_idle_queue_costs_one_long_poll() -> None:
    async def story(world: World) -> None:
        world.sqs.send("a", "b", "c")
        await world.clock.pass_time(1)
        assert world.bodies == [["a", "b", "c"]]
        assert not world.sqs.messages
        await world.clock.pass_time(100)
        assert world.runner.lanes == 1

    world = play(story)
    assert set(world.waits()) == {20}
    assert len(world.waits()) <= 9


def test_a_failure_leaves_the_batch_to_the_visibility_timeout() -> None:
    async def story(world: World) -> None:
        world.invoker.function_error = "Unhandled"
        world.sqs.send("a")
        await world.clock.pass_time(95)

    world = play(story)
    assert world.invoker.times == [pytest.approx(30 * n, abs=1) for n in range(4)]
    counts = [batch[0]["attributes"]["ApproximateReceiveCount"] for batch in world.invoker.batches]
    assert counts == ["1", "2", "3", "4"]
    assert not world.sqs.deleted


def test_partial_failures_delete_the_rest() -> None:
    def answer(records: list[dict[str, Any]]) -> bytes:
        failed = [{"itemIdentifier": r["messageId"]} for r in records if r["body"] == "bad"]
        return json.dumps({"batchItemFailures": failed}).encode()

    async def story(world: World) -> None:
        world.invoker.answer = answer
        world.sqs.send("a", "bad", "c")
        await world.clock.pass_time(1)

    assert [m.body for m in play(story, partial=True).sqs.messages] == ["bad"]
    assert not play(story).sqs.messages  # without ReportBatchItemFailures the answer means nothing


def test_an_answer_that_is_none_fails_the_whole_batch() -> None:
    async def story(world: World) -> None:
        world.invoker.answer = lambda records: b'{"batchItemFailures":[{"foo":"x"}]}'
        world.sqs.send("a", "b")
        await world.clock.pass_time(1)

    assert len(play(story, partial=True).sqs.messages) == 2


def test_what_no_filter_wants_is_deleted() -> None:
    async def story(world: World) -> None:
        world.sqs.send('{"k":"yes"}', '{"k":"no"}', "plain", '{"k":["yes"]}')
        await world.clock.pass_time(1)
        assert world.bodies == [['{"k":"yes"}', '{"k":["yes"]}']]
        assert not world.sqs.messages

    play(story, filters=('{"body":{"k":["yes"]}}',))


def test_a_window_fills_a_large_batch() -> None:
    async def story(world: World) -> None:
        for number in range(25):
            world.sqs.send(str(number))
        await world.clock.pass_time(4.9)
        assert not world.bodies
        await world.clock.pass_time(0.2)
        assert [len(batch) for batch in world.bodies] == [25]

    play(story, batch_size=100, window_s=5)


def test_a_full_batch_does_not_wait_for_the_window() -> None:
    async def story(world: World) -> None:
        world.sqs.send(*[str(number) for number in range(30)])
        await world.clock.pass_time(0.1)
        assert [len(batch) for batch in world.bodies] == [30]

    play(story, batch_size=30, window_s=300)


def test_a_long_window_hides_messages_for_longer() -> None:
    async def story(world: World) -> None:
        world.sqs.send("a")
        await world.clock.pass_time(61)
        assert world.bodies == [["a"]]
        hidden = {params.get("VisibilityTimeout") for name, params in world.sqs.calls if name == "ReceiveMessage"}
        assert hidden == {60 + 3 + 30}

    play(story, batch_size=100, window_s=60)


def test_an_event_is_no_larger_than_events_may_be() -> None:
    async def story(world: World) -> None:
        world.sqs.send(*["x" * 1_000_000] * 8)
        await world.clock.pass_time(20)
        assert sorted(map(len, world.bodies)) == [2, 6]
        assert not world.sqs.messages

    play(story, batch_size=10, window_s=5)


def test_a_throttled_batch_comes_again_later_and_later() -> None:
    async def story(world: World) -> None:
        world.invoker.answer = lambda records: TooManyRequests("ReservedFunctionConcurrentInvocationLimitExceeded")
        world.sqs.send("a")
        await world.clock.pass_time(40)
        gaps = [later - earlier for earlier, later in zip(world.invoker.times, world.invoker.times[1:], strict=False)]
        assert gaps == [pytest.approx(2**n, abs=1) for n in range(5)]
        world.invoker.answer = lambda records: b"null"
        await world.clock.pass_time(40)
        assert world.sqs.deleted

    play(story)


def test_lanes_grow_with_a_backlog_up_to_the_maximum() -> None:
    async def story(world: World) -> None:
        world.invoker.lasts_s = 2
        world.sqs.visibility_s = 1000
        world.sqs.send(*[str(number) for number in range(500)])
        for _ in range(5):
            await world.clock.pass_time(0.1)
        assert world.invoker.running == 5
        await world.clock.pass_time(8)
        assert world.invoker.running_max > 20
        await world.clock.pass_time(60)
        assert not world.sqs.messages
        assert world.runner.lanes == 1

    play(story, batch_size=1)
    assert play(story_of_two, batch_size=1, maximum_concurrency=2).invoker.running_max == 2


async def story_of_two(world: World) -> None:
    world.invoker.lasts_s = 2
    world.sqs.send(*[str(number) for number in range(20)])
    await world.clock.pass_time(30)
    assert not world.sqs.messages


def test_a_group_of_a_fifo_queue_keeps_its_order() -> None:
    async def story(world: World) -> None:
        world.invoker.lasts_s = 1
        for number in range(12):
            world.sqs.send(str(number), group="ab"[number % 2])
        await world.clock.pass_time(60)
        for group in (0, 1):
            seen = [int(body) for batch in world.bodies for body in batch if int(body) % 2 == group]
            assert seen == sorted(seen)
        assert len(world.sqs.deleted) == 12

    play(story, source_arn=ARN + ".fifo", batch_size=3)


def test_nothing_is_read_while_the_function_is_not_there() -> None:
    async def story(world: World) -> None:
        world.invoker.is_ready = False
        world.sqs.send("a")
        await world.clock.pass_time(30)
        assert not world.waits()
        world.invoker.is_ready = True
        await world.clock.pass_time(2)
        assert world.bodies == [["a"]]

    play(story)


def test_a_queue_that_is_gone_is_asked_ever_less_often() -> None:
    async def story(world: World) -> None:
        world.sqs.error = ServiceError("gone", code="QueueDoesNotExist", status=400)
        await world.clock.pass_time(300)
        assert 5 < len(world.sqs.calls) < 15
        world.sqs.error = None
        world.sqs.send("a")
        await world.clock.pass_time(61)
        assert world.bodies == [["a"]]

    play(story)


def test_stopping_waits_for_the_batch_in_flight_and_reads_no_more() -> None:
    async def story(world: World) -> None:
        world.invoker.lasts_s = 100
        world.sqs.visibility_s = 1000
        world.sqs.send("a")
        await world.clock.pass_time(1)
        stopping = asyncio.ensure_future(world.runner.stop())
        world.sqs.send("b")
        await world.clock.pass_time(90)
        assert not stopping.done()
        await world.clock.pass_time(10)
        assert stopping.done()
        assert world.bodies == [["a"]]
        assert [m.body for m in world.sqs.messages] == ["b"]

    play(story)


def test_stopping_gives_back_what_waited_for_its_window() -> None:
    async def story(world: World) -> None:
        world.sqs.send("a")
        await world.clock.pass_time(5)
        await world.runner.stop()
        assert world.sqs.messages[0].visible_at == world.clock.seconds
        assert not world.bodies

    play(story, batch_size=50, window_s=60)


def test_the_event_is_as_aws_writes_it() -> None:
    message = {
        "MessageId": "id",
        "ReceiptHandle": "h",
        "Body": "text",
        "MD5OfBody": "md5",
        "Attributes": {"ApproximateReceiveCount": "1"},
        "MessageAttributes": {
            "N": {"StringValue": "6", "DataType": "Number"},
            "B": {"BinaryValue": b"\x00\x01", "DataType": "Binary"},
        },
        "MD5OfMessageAttributes": "m",
    }
    assert shaped(message, ARN) == {
        "messageId": "id",
        "receiptHandle": "h",
        "body": "text",
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {
            "N": {"stringValue": "6", "stringListValues": [], "binaryListValues": [], "dataType": "Number"},
            "B": {"binaryValue": "AAE=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
        },
        "md5OfMessageAttributes": "m",
        "md5OfBody": "md5",
        "eventSource": "aws:sqs",
        "eventSourceARN": ARN,
        "awsRegion": "us-east-1",
    }


def test_what_an_interrupted_poll_takes_is_given_back() -> None:
    async def story() -> None:
        clock = SimulatedClock()
        sqs = FakeSqs(clock)
        queue = Queue(GivingBack(sqs), mapping())
        reading = asyncio.ensure_future(queue.receive(10, 20, None))
        await clock.pass_time(1)
        reading.cancel()
        await settle()
        assert reading.cancelled()
        sqs.send("a")
        await clock.pass_time(1)
        assert [(m.received, m.visible_at <= clock.seconds) for m in sqs.messages] == [(1, True)]

    asyncio.run(story())


def test_a_queue_is_looked_at_before_it_is_mapped() -> None:
    async def story() -> None:
        sqs = FakeSqs(SimulatedClock())
        await SqsSources(sqs).check(mapping(), 30)
        with pytest.raises(InvalidParameterValue, match="30 seconds is less than Function timeout: 31 seconds"):
            await SqsSources(sqs).check(mapping(), 31)
        sqs.error = ServiceError("The specified queue does not exist.", code="QueueDoesNotExist", status=400)
        with pytest.raises(InvalidParameterValue) as caught:
            await SqsSources(sqs).check(mapping(), 3)
        assert caught.value.message == (
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
            "SQS Error Message: The specified queue does not exist."
        )

    asyncio.run(story())


@settings(max_examples=100, deadline=None)
@given(seed=st.randoms(use_true_random=False), partial=st.booleans(), window=st.sampled_from([0, 3]))
def test_no_message_is_lost_and_none_comes_after_its_success(seed: Any, partial: bool, window: int) -> None:
    """Functions that fail, partly fail, answer nonsense and are throttled by chance; a runner that restarts."""
    succeeded: set[str] = set()
    trouble = True

    def answer(records: list[dict[str, Any]]) -> bytes | ServiceError:
        ids = [record["messageId"] for record in records]
        assert not succeeded & set(ids)
        lot = seed.random() if trouble else 1.0
        if lot < 0.2:
            return TooManyRequests("ConcurrentInvocationLimitExceeded")
        if lot < 0.4 and partial:
            return b'{"batchItemFailures":[{"itemIdentifier":"unknown"}]}'
        failed = {i for i in ids if partial and lot < 0.8 and seed.random() < 0.5}
        succeeded.update(set(ids) - failed)
        return json.dumps({"batchItemFailures": [{"itemIdentifier": i} for i in failed]}).encode()

    async def story(world: World) -> None:
        nonlocal trouble
        world.invoker.answer = answer
        world.invoker.lasts_s = 1
        world.sqs.look_every_s = 5
        for number in range(20):
            world.sqs.send(str(number))
            if seed.random() < 0.2:
                await world.clock.pass_time(seed.random() * 10)
            if seed.random() < 0.1:
                await stopped(world)
                world.run()
        trouble = False
        await world.clock.pass_time(300)
        await settle()
        assert len(succeeded) == 20
        assert len(world.sqs.deleted) == 20

    play(story, partial=partial, window_s=window, batch_size=20 if window else 4)
