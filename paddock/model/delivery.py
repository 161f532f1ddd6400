"""What waits in queues, and events on their way to the resource that they are for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message of an internal queue, leased to whoever took it.

    topic, group: as it was put. attempts: how often it was taken, this time included. put_at: aware UTC.
    lease: opaque; with it the queue tells whether the message is still this holder's.
    """

    id: int
    topic: str
    group: str
    body: bytes
    attempts: int
    put_at: datetime
    lease: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetEvent:
    """An event for an AWS resource: what S3, SNS, EventBridge, a schedule or a finished invocation sends.

    target_arn: a function (with any qualifier), queue, topic, event bus, ...
    body: what the target gets, as bytes: a function's event, a queue's or topic's message, a bus's entry (PutEvents).
    principal, source_arn, source_account: the sending service ("s3.amazonaws.com") and for what it sends (a bucket, a
    rule): the target's resource policy is asked with these. role_arn: set instead when a role is assumed to send.
    attributes: what one kind of target alone understands (MessageGroupId, Subject, AWSTraceHeader, ...);
    MessageAttributes are those of a topic's message, as JSON: name -> {Type, Value}.
    """

    target_arn: str
    body: bytes
    principal: str = ""
    source_arn: str = ""
    source_account: str = ""
    role_arn: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
