"""Buses, rules and targets of EventBridge, and which event a target of a matching rule is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from paddock.model import event_input
from paddock.model.delivery import TargetEvent

DEFAULT_BUS = "default"
PRINCIPAL = "events.amazonaws.com"
RETRY_ATTEMPTS_DEFAULT = 185
EVENT_AGE_S_DEFAULT = 86_400
HOP = "Hop"
"""An attribute of what one bus sends to another: such an event goes to no third bus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivering:
    """How long a target is tried, and where goes what it never took. dead_letter_arn: a queue, or ""."""

    attempts_max: int = RETRY_ATTEMPTS_DEFAULT
    age_s_max: int = EVENT_AGE_S_DEFAULT
    dead_letter_arn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusTarget:
    """One target of a rule. At most one of input, input_path and template is set. group: MessageGroupId.

    role_arn: what another bus is written to with; functions, queues and topics are asked by their own policies.
    """

    id: str
    arn: str
    role_arn: str = ""
    input: str | None = None
    input_path: str | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    template: str | None = None
    group: str = ""
    delivering: Delivering = field(default_factory=Delivering)
    retry_given: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBus:
    """policy: a resource policy's JSON, or ""."""

    account: str
    region: str
    name: str
    description: str = ""
    policy: str = ""
    created: datetime
    modified: datetime
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return bus_arn(self.account, self.region, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """pattern and schedule: "" for none; one is set, or both. anchor: from when a rate counts."""

    account: str
    region: str
    bus: str
    name: str
    pattern: str = ""
    schedule: str = ""
    enabled: bool = True
    description: str = ""
    role_arn: str = ""
    anchor: datetime
    targets: tuple[BusTarget, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        within = "" if self.bus == DEFAULT_BUS else f"{self.bus}/"
        return f"arn:aws:events:{self.region}:{self.account}:rule/{within}{self.name}"

    @property
    def key(self) -> tuple[str, str, str, str]:
        return (self.account, self.region, self.bus, self.name)


def bus_arn(account: str, region: str, name: str) -> str:
    return f"arn:aws:events:{region}:{account}:event-bus/{name}"


def written(moment: datetime) -> str:
    """A moment as events spell it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def envelope(
    *,
    id: str,
    source: str,
    detail_type: str,
    account: str,
    region: str,
    time: str,
    resources: Sequence[str],
    detail: Any,
) -> dict[str, Any]:
    """An event as rules see it and targets get it."""
    return {
        "version": "0",
        "id": id,
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": time,
        "region": region,
        "resources": list(resources),
        "detail": detail,
    }


def sent(rule: Rule, target: BusTarget, event: Mapping[str, Any], ingested: str, trace: str = "") -> TargetEvent:
    """What a target of the rule is sent for an event."""
    attributes = {"AWSTraceHeader": trace} if trace else {}
    if target.group:
        attributes["MessageGroupId"] = target.group
    role_arn = ""
    if service_of(target.arn) == "events":
        body, attributes[HOP] = _entry(event), "1"
        role_arn = target.role_arn or rule.role_arn
    else:
        body = _input(rule, target, event, ingested)
    return TargetEvent(
        target_arn=target.arn,
        body=body.encode("utf-8", "replace"),
        principal=PRINCIPAL,
        source_arn=rule.arn,
        source_account=rule.account,
        role_arn=role_arn,
        attributes=attributes,
    )


def service_of(arn: str) -> str:
    """The third part of an ARN, or ""."""
    parts = arn.split(":")
    return parts[2] if len(parts) >= 6 and parts[0] == "arn" else ""


def _input(rule: Rule, target: BusTarget, event: Mapping[str, Any], ingested: str) -> str:
    if target.input is not None:
        return target.input
    if target.input_path is not None:
        return _json(event_input.value_at(event, event_input.parse_path(target.input_path)))
    if target.template is not None:
        own = {
            "aws.events.rule-arn": rule.arn,
            "aws.events.rule-name": rule.name,
            "aws.events.event.ingestion-time": ingested,
            "aws.events.event": {name: value for name, value in event.items() if name != "detail"},
            "aws.events.event.json": dict(event),
        }
        return event_input.transformed(event, target.paths, target.template, own)
    return _json(event)


def _entry(event: Mapping[str, Any]) -> str:
    """The event as an entry of PutEvents, for another bus."""
    return _json(
        {
            "Source": event["source"],
            "DetailType": event["detail-type"],
            "Detail": _json(event["detail"]),
            "Resources": event["resources"],
            "Time": event["time"],
        }
    )


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
