"""Topics and subscriptions, as they are stored, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from paddock.interfaces import Row
from paddock.model.event_pattern import Pattern, compile_pattern

LAMBDA, SQS, HTTP, HTTPS = "lambda", "sqs", "http", "https"
PROTOCOLS = frozenset({LAMBDA, SQS, HTTP, HTTPS})
"""Those that something is delivered by. The others (email, sms, application, firehose) are refused."""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """attributes: as they were set, by their wire names."""

    arn: str
    account: str
    region: str
    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def fifo(self) -> bool:
        return self.name.endswith(".fifo")

    def row(self) -> dict[str, Any]:
        return {
            "arn": self.arn, "account": self.account, "region": self.region, "name": self.name,
            "attributes": dump(self.attributes), "tags": dump(self.tags),
        }  # fmt: skip


def topic_from(row: Row) -> Topic:
    return Topic(
        arn=row["arn"], account=row["account"], region=row["region"], name=row["name"],
        attributes=load(row["attributes"]), tags=load(row["tags"]),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """token: what confirms it, "" once it is confirmed. attributes: as they were set, by their wire names."""

    arn: str
    topic: str
    account: str
    protocol: str
    endpoint: str
    token: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def raw(self) -> bool:
        return self.attributes.get("RawMessageDelivery", "").lower() == "true"

    @property
    def dead_letter_arn(self) -> str:
        text = self.attributes.get("RedrivePolicy", "")
        found: str = load(text)["deadLetterTargetArn"] if text else ""
        return found

    @property
    def by_body(self) -> bool:
        """Whether the filter policy speaks of the message's body."""
        return self.attributes.get("FilterPolicyScope") == "MessageBody"

    @cached_property
    def pattern(self) -> Pattern | None:
        text = self.attributes.get("FilterPolicy", "")
        return compile_pattern(text) if text and load(text) else None

    def row(self) -> dict[str, Any]:
        return {
            "arn": self.arn, "topic": self.topic, "account": self.account, "protocol": self.protocol,
            "endpoint": self.endpoint, "token": self.token, "attributes": dump(self.attributes),
        }  # fmt: skip


def subscription_from(row: Row) -> Subscription:
    return Subscription(
        arn=row["arn"], topic=row["topic"], account=row["account"], protocol=row["protocol"],
        endpoint=row["endpoint"], token=row["token"], attributes=load(row["attributes"]),
    )  # fmt: skip


def dump(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def load(text: str) -> Any:
    return msgspec.json.decode(text)
