"""Time that the test moves, and a queue as SQS describes it: visibility, receive counts, groups, long polls."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from paddock.model.errors import ServiceError
from paddock.model.event_source import EventSourceMapping, MappingState
from paddock.model.invocation import InvocationResult

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ARN = "arn:aws:sqs:us-east-1:000000000000:q"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:f"


class SimulatedClock:
    """Stands still until `pass_time` lets the sleepers wake, each at its own moment."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.seconds + seconds, next(self._numbers), future))
        await future

    @property
    def sleepers(self) -> int:
        """How many sleep now."""
        return sum(1 for _, _, future in self._sleepers if not future.done())

    async def pass_time(self, seconds: float) -> None:
        end = self.seconds + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                self.seconds = max(self.seconds, at)
                future.set_result(None)
                await settle()
        self.seconds = end


async def settle() -> None:
    """Let everything run that needs no time."""
    for _ in range(30):
        await asyncio.sleep(0)


@dataclass(slots=True)
class Message:
    id: str
    body: str
    group: str = ""
    visible_at: float = 0.0
    received: int = 0
    handle: str = ""


@dataclass
class FakeSqs:
    """sqs.Api over one queue."""

    clock: SimulatedClock
    visibility_s: int = 30
    look_every_s: float = 0.25
    messages: list[Message] = field(default_factory=list)
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    error: ServiceError | None = None

    def send(self, *bodies: str, group: str = "") -> None:
        for body in bodies:
            self.messages.append(
                Message(id=f"m{len(self.messages) + len(self.deleted)}-{body[:20]}", body=body, group=group)
            )

    async def __call__(
        self, operation: str, params: Mapping[str, Any], *, account: str, region: str
    ) -> Mapping[str, Any]:
        self.calls.append((operation, params))
        if self.error is not None:
            raise self.error
        match operation:
            case "GetQueueUrl":
                return {"QueueUrl": "http://q"}
            case "GetQueueAttributes":
                return {"Attributes": {"VisibilityTimeout": str(self.visibility_s)}}
            case "ReceiveMessage":
                return {"Messages": await self._receive(params)}
            case "DeleteMessageBatch":
                gone = {entry["ReceiptHandle"] for entry in params["Entries"]}
                self.deleted += [m.id for m in self.messages if m.handle in gone]
                self.messages = [m for m in self.messages if m.handle not in gone]
                return {}
            case "ChangeMessageVisibilityBatch":
                for entry in params["Entries"]:
                    for message in self.messages:
                        if message.handle == entry["ReceiptHandle"]:
                            message.visible_at = self.clock.seconds + entry["VisibilityTimeout"]
                return {}
        raise AssertionError(operation)

    async def _receive(self, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        give_up = self.clock.seconds + params["WaitTimeSeconds"]
        while True:
            found = self._take(params["MaxNumberOfMessages"], params.get("VisibilityTimeout", self.visibility_s))
            if found or self.clock.seconds >= give_up:
                return found
            await self.clock.sleep(self.look_every_s)

    def _take(self, count: int, hidden_s: int) -> list[dict[str, Any]]:
        now = self.clock.seconds
        busy = {m.group for m in self.messages if m.group and m.visible_at > now}
        found = [m for m in self.messages if m.visible_at <= now and m.group not in busy][:count]
        for message in found:
            message.received += 1
            message.visible_at = now + hidden_s
            message.handle = f"{message.id}/{message.received}"
        return [
            {
                "MessageId": m.id,
                "ReceiptHandle": m.handle,
                "Body": m.body,
                "MD5OfBody": "x",
                "Attributes": {"ApproximateReceiveCount": str(m.received)},
            }
            for m in found
        ]


class FakeInvoker:
    """Takes `lasts_s` for each event, and answers what `answer` makes of its bodies."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.lasts_s = 0.0
        self.answer: Callable[[list[dict[str, Any]]], bytes | ServiceError] = lambda records: b"null"
        self.function_error = ""
        self.is_ready = True
        self.batches: list[list[dict[str, Any]]] = []
        self.times: list[float] = []
        self.running = 0
        self.running_max = 0

    def ready(self, mapping: EventSourceMapping) -> bool:
        return self.is_ready

    async def invoke(self, mapping: EventSourceMapping, event: bytes) -> InvocationResult:
        records: list[dict[str, Any]] = json.loads(event)["Records"]
        self.batches.append(records)
        self.times.append(self.clock.seconds)
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        try:
            if self.lasts_s:
                await self.clock.sleep(self.lasts_s)
            answer = self.answer(records)
            if isinstance(answer, ServiceError):
                raise answer
            return InvocationResult(payload=answer, executed_version="$LATEST", function_error=self.function_error)
        finally:
            self.running -= 1


def mapping(**settings: Any) -> EventSourceMapping:
    return EventSourceMapping(
        **{
            "uuid": "u",
            "account": "000000000000",
            "region": "us-east-1",
            "function_arn": FUNCTION,
            "source_arn": ARN,
            "state": MappingState.ENABLED,
            "last_modified": START,
            **settings,
        }
    )
