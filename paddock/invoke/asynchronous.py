"""Event mode: accept durably, run later, try again, and tell somebody how it ended.

    accept(event)      one commit, then the caller gets its 202
    loop               resolve (a weighted alias draws anew) -> dispatcher.run -> model.event_mode.after -> ...
    over               destinations and dead letters go to the outbox in the commit that ends the event

An event is in the queue from the commit that accepts it until the commit that ends it, so a kill anywhere in between
runs it once more at most. Each function is a group of its own in the queue: a flood of one delays no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import msgspec

from paddock.interfaces import Clock, Ids, Queue, TargetRefused, Tx
from paddock.invoke import destinations
from paddock.invoke.backlog import Backlog
from paddock.invoke.consumer import LEASE_S, Consumer, log
from paddock.invoke.dispatcher import Dispatcher
from paddock.invoke.outbox import Outbox
from paddock.invoke.pace import Pace
from paddock.model import event_mode
from paddock.model.delivery import Delivery, TargetEvent
from paddock.model.errors import (
    InternalError,
    RecursiveInvocation,
    ResourceConflict,
    ResourceNotFound,
    ServiceError,
    TooManyRequests,
)
from paddock.model.event_invoke import EventInvokeConfig
from paddock.model.event_mode import Again, Attempt, Condition, Finished, QueuedEvent
from paddock.model.function import FunctionVersion
from paddock.model.invocation import Invocation
from paddock.model.quotas import Quotas
from paddock.model.tenancy import for_tenant

TOPIC = "events"
HANDS_MAX = 1_024
CHANCE_DIGITS = 4
FUNCTION_COLONS = 6  # in the ARN of a function without a qualifier
TRACE_HEADER = "AWSTraceHeader"


class Functions(Protocol):
    """What the catalogue knows of a function that an ARN names, with any qualifier."""

    def runnable_at(self, arn: str) -> FunctionVersion:
        """Raises ResourceNotFound, ResourceConflict."""

    def event_invoke_at(self, arn: str) -> EventInvokeConfig | None:
        """Of exactly that qualifier."""

    def reserved_at(self, arn: str) -> int | None:
        """Reserved concurrency."""

    def permits(self, arn: str, event: TargetEvent) -> bool:
        """Whether the function's policy lets the sender of the event invoke it."""


class Asynchronous:
    """Call start() before anything else and stop() at the end. backlog_bytes_max: of the events of one function."""

    def __init__(
        self,
        *,
        queue: Queue,
        outbox: Outbox,
        dispatcher: Dispatcher,
        functions: Functions,
        clock: Clock,
        ids: Ids,
        quotas: Quotas,
        backlog_bytes_max: int,
    ) -> None:
        self._event_bytes_max = quotas.async_payload_bytes_max
        self._queue = queue
        self._outbox = outbox
        self._dispatcher = dispatcher
        self._functions = functions
        self._clock = clock
        self._ids = ids
        self._backlog = Backlog(backlog_bytes_max)
        self._pace = Pace(lambda group: functions.reserved_at(group) if group else None)
        self._consumer = Consumer(queue, TOPIC, self._handle, clock=clock, hands_max=HANDS_MAX, pace=self._pace)

    async def start(self) -> None:
        self._backlog.load(await self._queue.groups(TOPIC))
        self._consumer.start()

    async def stop(self) -> None:
        await self._consumer.stop()

    @property
    def running(self) -> int:
        """Events being worked on now."""
        return self._consumer.busy

    @property
    def backlog(self) -> Backlog:
        """What waits or runs."""
        return self._backlog

    async def accept(self, event: QueuedEvent) -> None:
        """Returns once the event is durable. Raises OSError when the disk is full, TooManyRequests by the backlog."""
        group, body = _function_of(event.arn), msgspec.msgpack.encode(event)
        self._backlog.add(group, len(body))
        try:
            if self._consumer.claim(group):
                begin = partial(self._consumer.begin, group)
                await self._queue.add(TOPIC, body, group=group, begin=begin, lease_s=LEASE_S)
            else:
                self._consumer.put(group)
                await self._queue.add(TOPIC, body, group=group)
        except OSError:
            self._backlog.remove(group, len(body))
            raise

    def check(self, event: TargetEvent) -> None:
        """Raises TargetRefused when the function is not there, or its policy does not let the event in."""
        if not event.role_arn and not self._functions.permits(event.target_arn, event):
            raise TargetRefused("AccessDeniedException", f"{event.principal} may not invoke {event.target_arn}.")

    async def send(self, event: TargetEvent) -> None:
        """Targets' sender for functions: accepts what the function's policy lets in, or what a role sends."""
        self.check(event)
        if len(event.body) > self._event_bytes_max:
            message = f"The event is larger than {self._event_bytes_max} bytes."
            raise TargetRefused("RequestEntityTooLargeException", message)
        trace_id = event.attributes.get(TRACE_HEADER, "")
        await self.accept(
            QueuedEvent(request_id=self._ids.uuid(), arn=event.target_arn, payload=event.body, trace_id=trace_id)
        )

    async def _handle(self, delivery: Delivery) -> None:
        event = msgspec.msgpack.decode(delivery.body, type=QueuedEvent)
        config = self._functions.event_invoke_at(event.arn) or EventInvokeConfig(last_modified=delivery.put_at)
        over = event_mode.before(event, config, self._age_s(delivery), self._functions.reserved_at(event.arn))
        if over is not None:
            await self._end(delivery, over, config)
            return
        attempt, condition = await self._try(event)
        if condition is not None:
            await self._end(delivery, Finished(event=replace(event, last=attempt), condition=condition), config)
            return
        # Asked again: a change of the configuration while it ran counts from now on.
        config = self._functions.event_invoke_at(event.arn) or EventInvokeConfig(last_modified=delivery.put_at)
        chance = int(self._ids.hex(CHANCE_DIGITS), 16) / 16**CHANCE_DIGITS
        match event_mode.after(event, attempt, config, self._age_s(delivery), chance):
            case Again(event=tried, delay_s=delay_s):
                body = msgspec.msgpack.encode(tried)
                await self._queue.retry(delivery, delay_s, body)
                self._backlog.resize(delivery.group, len(body) - len(delivery.body))
            case Finished() as finished:
                await self._end(delivery, finished, config)

    async def _try(self, event: QueuedEvent) -> tuple[Attempt, Condition | None]:
        """One try, and the condition when it ends everything at once."""
        try:
            version = for_tenant(self._functions.runnable_at(event.arn), event.tenant_id)
            result = await self._dispatcher.run(
                Invocation(
                    request_id=event.request_id,
                    version=version,
                    invoked_arn=event.arn,
                    payload=event.payload,
                    trace_id=event.trace_id,
                    is_event=True,
                    received_at=self._clock.now(),
                )
            )
        except ResourceNotFound as error:
            return Attempt(status=404, message=error.message), None
        except ResourceConflict as error:
            return Attempt(status=429, message=error.message), None  # it is being made: that passes
        except RecursiveInvocation as error:
            return Attempt(status=error.status, message=error.message), Condition.RECURSION
        except TooManyRequests as error:
            self._pace.throttled(_function_of(event.arn))
            return Attempt(status=error.status, message=error.message), None
        except ServiceError as error:
            return Attempt(status=error.status, message=error.message), None
        return Attempt.answered(result), None

    async def _end(self, delivery: Delivery, finished: Finished, config: EventInvokeConfig) -> None:
        """What follows from its end, and the end itself, in one commit."""
        follow = self._following(finished, config)
        await self._queue.ack([delivery], (lambda tx: self._send(tx, follow)) if follow else None)
        self._backlog.remove(delivery.group, len(delivery.body))

    def _send(self, tx: Tx, events: Sequence[TargetEvent]) -> None:
        for event in events:
            self._outbox.put(tx, event, policy=destinations.POLICY)

    def _following(self, finished: Finished, config: EventInvokeConfig) -> list[TargetEvent]:
        arn, event = _qualified(finished.event.arn), finished.event
        role_arn, dead_letters = self._role_and_dead_letters(event.arn)
        succeeded = finished.condition is Condition.SUCCESS
        destination = config.on_success if succeeded else config.on_failure
        follow: list[TargetEvent] = []
        if destination:
            follow.append(destinations.to_destination(finished, destination, arn, self._clock.now(), role_arn))
        if not succeeded and dead_letters:
            follow.append(destinations.to_dead_letters(finished, dead_letters, arn, role_arn))
        if not succeeded and not follow:
            log.info("event %s for %s is dropped: %s", event.request_id, event.arn, finished.condition.value)
        return follow

    def _role_and_dead_letters(self, arn: str) -> tuple[str, str]:
        try:
            version = self._functions.runnable_at(arn)
        except (ResourceNotFound, ResourceConflict, InternalError):
            return "", ""
        return version.role, version.dead_letter_arn

    def _age_s(self, delivery: Delivery) -> float:
        return (self._clock.now() - delivery.put_at).total_seconds()


def _function_of(arn: str) -> str:
    return arn if arn.count(":") == FUNCTION_COLONS else ":".join(arn.split(":")[:7])


def _qualified(arn: str) -> str:
    """Records name the function with a qualifier, always."""
    return arn if arn.count(":") > FUNCTION_COLONS else f"{arn}:$LATEST"
