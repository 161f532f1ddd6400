"""Event mode: an event that waits for its function, and what becomes of it after each attempt (spec 03 section 3).

    accepted -> attempt -> success                               OnSuccess
                        -> function error: again after 1 and 2 minutes, then RetriesExhausted
                        -> throttled, or Paddock's own failure: again after 1 s, 2 s, ... 5 min, no attempt is counted
             -> older than it may become                         EventAgeExceeded
             -> the function reserves zero executions            ZeroReservedConcurrency

`after` decides that from values alone, so that a day of retries is a loop in a test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from paddock.model.event_invoke import EventInvokeConfig
from paddock.model.invocation import InvocationResult

RETRY_WAITS_S = (60.0, 120.0)
THROTTLE_WAIT_S_FIRST, THROTTLE_WAIT_S_MAX = 1.0, 300.0


class Condition(str, Enum):
    """`requestContext.condition` of a destination's record."""

    SUCCESS = "Success"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    EVENT_AGE_EXCEEDED = "EventAgeExceeded"
    ZERO_RESERVED = "ZeroReservedConcurrency"
    RECURSION = "RecursiveInvocation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How the last try of an event ended. status: 200 for what the function answered, errors as well; 404, 429, 5xx.

    executed_version: "" when none was. payload: what it answered, or "" (then there is nothing to show).
    """

    status: int
    executed_version: str = ""
    function_error: str = ""
    payload: bytes = b""
    message: str = ""

    @staticmethod
    def answered(result: InvocationResult) -> Attempt:
        return Attempt(
            status=200,
            executed_version=result.executed_version,
            function_error=result.function_error,
            payload=result.payload,
        )

    @property
    def counts(self) -> bool:
        """Whether it uses up one of the attempts: a function's error does, and what a later try would meet again."""
        return self.status < 500 and self.status != 429

    @property
    def succeeded(self) -> bool:
        return self.status == 200 and not self.function_error


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedEvent:
    """An event that waits. arn: of the function, qualified as it was invoked. attempts: those that count, so far.

    tenant_id: "" for none. throttles: tries in a row that do not count. last: how the last try ended.
    """

    request_id: str
    arn: str
    payload: bytes
    trace_id: str = ""
    tenant_id: str = ""
    attempts: int = 0
    throttles: int = 0
    last: Attempt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Try it again after delay_s."""

    event: QueuedEvent
    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Nothing more is tried."""

    event: QueuedEvent
    condition: Condition


def before(event: QueuedEvent, config: EventInvokeConfig, age_s: float, reserved: int | None) -> Finished | None:
    """Whether it is over without another try."""
    if reserved == 0:
        return Finished(event=replace(event, attempts=0, last=None), condition=Condition.ZERO_RESERVED)
    if age_s >= config.age_s:
        return Finished(event=event, condition=Condition.EVENT_AGE_EXCEEDED)
    return None


def after(
    event: QueuedEvent, attempt: Attempt, config: EventInvokeConfig, age_s: float, chance: float
) -> Again | Finished:
    """What follows a try that ended so. chance: in [0, 1), spreads what failed together."""
    if not attempt.counts:
        tried = replace(event, throttles=event.throttles + 1, last=attempt)
        delay_s = min(THROTTLE_WAIT_S_MAX, THROTTLE_WAIT_S_FIRST * (1 << min(event.throttles, 30))) * (1 + chance / 10)
        # Not past its age: what is over is to be known then, not minutes later.
        return Again(event=tried, delay_s=max(0.0, min(delay_s, config.age_s - age_s)))
    tried = replace(event, attempts=event.attempts + 1, throttles=0, last=attempt)
    if attempt.succeeded:
        return Finished(event=tried, condition=Condition.SUCCESS)
    if tried.attempts > config.retries:
        return Finished(event=tried, condition=Condition.RETRIES_EXHAUSTED)
    delay_s = RETRY_WAITS_S[min(tried.attempts, len(RETRY_WAITS_S)) - 1]
    if age_s + delay_s >= config.age_s:
        return Finished(event=tried, condition=Condition.EVENT_AGE_EXCEEDED)
    return Again(event=tried, delay_s=delay_s)
