"""Events on their way to other resources, durable from the moment that their cause is.

    store.write(lambda tx: (change(tx), outbox.put(tx, event)))      both, or neither
    ... the loop sends it; a failure that may pass is tried again with growing waits, until attempts or age run out
    ... then, or when the target refuses it for good, it goes to the dead letter target, if there is one

Each event is sent at least once. Events of one origin (`group`, by default the source's ARN) hold up no other's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from paddock.interfaces import Clock, Ids, Queue, TargetBusy, TargetRefused, Targets, Tx
from paddock.invoke.consumer import Consumer, log
from paddock.model.delivery import Delivery, TargetEvent
from paddock.model.errors import ServiceError

TOPIC = "outbox"
HANDS_MAX = 64
BACKOFF_S_FIRST, BACKOFF_S_MAX = 1.0, 300.0
BUSY_S_MAX = 16.0
JITTER_DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """attempts_max: sends in all. age_s_max: no send begins later than that after the put. EventBridge's defaults.

    delays_s: how long to wait after the first, the second, ... failure; after those, and without any, ever longer.
    """

    attempts_max: int = 186
    age_s_max: float = 86_400.0
    delays_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Where an event goes that could not be sent, as it was unless body says what to send instead.

    target_arn: a queue or a topic. attributes: sent beside ERROR_CODE, ERROR_MESSAGE and the like, or, when they have
    their names, instead.
    """

    target_arn: str
    body: bytes | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What waits in the queue: an event with what to do about it. waited: how often its target was busy."""

    event: TargetEvent
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    dead_letter: DeadLetter | None = None
    waited: int = 0


class Outbox:
    """Call start() before anything else and stop() at the end; put() may be called before."""

    def __init__(self, queue: Queue, targets: Targets, clock: Clock, ids: Ids) -> None:
        self._queue = queue
        self._targets = targets
        self._clock = clock
        self._ids = ids
        self._consumer = Consumer(queue, TOPIC, self._handle, clock=clock, hands_max=HANDS_MAX)
        self.lost = 0
        """Events given up without a dead letter target since the start, for the health page."""

    def start(self) -> None:
        self._consumer.start()

    async def stop(self) -> None:
        await self._consumer.stop()

    def put(
        self,
        tx: Tx,
        event: TargetEvent,
        *,
        policy: RetryPolicy | None = None,
        dead_letter: DeadLetter | None = None,
        delay_s: float = 0.0,
        group: str | None = None,
    ) -> None:
        """As part of the transaction of what causes the event."""
        parcel = Parcel(event=event, policy=policy or RetryPolicy(), dead_letter=dead_letter)
        body = msgspec.msgpack.encode(parcel)
        self._queue.put(tx, TOPIC, body, delay_s=delay_s, group=event.source_arn if group is None else group)

    async def _handle(self, delivery: Delivery) -> None:
        parcel = msgspec.msgpack.decode(delivery.body, type=Parcel)
        try:
            await self._targets.send(parcel.event)
        except TargetRefused as refused:
            await self._give_up(delivery, parcel, refused.code, refused.message)
        except TargetBusy:
            await self._later(delivery, parcel)
        except (ServiceError, OSError) as error:
            await self._again(delivery, parcel, error)
        else:
            await self._queue.ack([delivery])

    async def _again(self, delivery: Delivery, parcel: Parcel, error: ServiceError | OSError) -> None:
        attempts, policy = delivery.attempts - parcel.waited, parcel.policy
        delay_s = backoff_s(attempts, self._chance())
        if attempts <= len(policy.delays_s):
            delay_s = policy.delays_s[attempts - 1]
        exhausted = ""
        if attempts >= policy.attempts_max:
            exhausted = "MaximumRetryAttempts"
        elif self._age_s(delivery) + delay_s > policy.age_s_max:
            exhausted = "MaximumEventAgeInSeconds"
        if exhausted:
            code = error.code if isinstance(error, ServiceError) else "InternalError"
            await self._give_up(delivery, parcel, code, str(error), exhausted)
        else:
            await self._queue.retry(delivery, delay_s)

    async def _later(self, delivery: Delivery, parcel: Parcel) -> None:
        """Not tried, so not counted; but it grows older."""
        delay_s = min(BUSY_S_MAX, backoff_s(parcel.waited + 1, self._chance()))
        if self._age_s(delivery) + delay_s > parcel.policy.age_s_max:
            await self._give_up(delivery, parcel, "TargetBusy", "never tried", "MaximumEventAgeInSeconds")
            return
        body = msgspec.msgpack.encode(replace(parcel, waited=parcel.waited + 1))
        await self._queue.retry(delivery, delay_s, body)

    def _age_s(self, delivery: Delivery) -> float:
        return (self._clock.now() - delivery.put_at).total_seconds()

    def _chance(self) -> float:
        digits = self._ids.hex(JITTER_DIGITS)
        return int(digits, 16) / float(16**JITTER_DIGITS)

    async def _give_up(self, delivery: Delivery, parcel: Parcel, code: str, message: str, exhausted: str = "") -> None:
        event, letter = parcel.event, parcel.dead_letter
        if letter is None:
            self.lost += 1
            log.warning("an event of %s for %s is given up: %s: %s", event.source_arn, event.target_arn, code, message)
            await self._queue.ack([delivery])
            return
        attributes = {
            "ERROR_CODE": code,
            "ERROR_MESSAGE": message,
            "EXHAUSTED_RETRY_CONDITION": exhausted,
            "RETRY_ATTEMPTS": str(max(0, delivery.attempts - parcel.waited - 1)),
            "TARGET_ARN": event.target_arn,
            **letter.attributes,
        }
        buried = replace(
            event,
            target_arn=letter.target_arn,
            body=event.body if letter.body is None else letter.body,
            attributes=attributes,
        )
        await self._queue.ack([delivery], lambda tx: self.put(tx, buried, group=delivery.group))


def backoff_s(attempts: int, chance: float) -> float:
    """How long to wait after that many attempts: doubling from one second to five minutes, plus up to a tenth.

    chance: 0 <= chance < 1, so that what failed together is not tried again together.
    """
    base = min(BACKOFF_S_MAX, BACKOFF_S_FIRST * (1 << min(attempts - 1, 30)))
    return base * (1 + chance / 10)
