"""A bucket's notification configuration: checked as a whole, with its destinations, and replaced as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Any

from paddock.interfaces import TargetRefused, Tx
from paddock.model.errors import ClientError, NotYet
from paddock.services.s3 import events
from paddock.services.s3.desk import Desk
from paddock.services.s3.errors import invalid_argument
from paddock.services.s3.nouns import Bucket
from paddock.services.service import Call

HONOURED = frozenset({"ObjectCreated", "ObjectRemoved", "ObjectTagging", "LifecycleExpiration"})
"""Families of events that happen here."""

_ELEMENTS: Mapping[str, tuple[str, str]] = {
    "LambdaFunctionConfigurations": ("CloudFunction", r"arn:aws:lambda:[a-z0-9-]+:\d{12}:function:.+\Z"),
    "QueueConfigurations": ("Queue", r"arn:aws:sqs:[a-z0-9-]+:\d{12}:.+\Z"),
    "TopicConfigurations": ("Topic", r"arn:aws:sns:[a-z0-9-]+:\d{12}:.+\Z"),
}
"""Member -> the element that names its target, and the ARNs that it may be."""

_NO_PUBLISHING = "Permissions on the destination {} do not allow S3 to publish notifications from this bucket"
_NOT_AUTHORISED: Mapping[str, str] = {
    "LambdaFunctionConfigurations": "Not authorized to invoke function [{}]",
    "QueueConfigurations": _NO_PUBLISHING.format("queue"),
    "TopicConfigurations": _NO_PUBLISHING.format("topic"),
}


async def get_bucket_notification_configuration(desk: Desk, call: Call) -> dict[str, Any]:
    found: dict[str, Any] = dict(desk.bucket_of(call).settings.get("notification") or {})
    return found


async def put_bucket_notification_configuration(desk: Desk, call: Call) -> None:
    bucket, given = desk.bucket_of(call), call.params["NotificationConfiguration"]
    configuration: dict[str, Any] = {}
    for kind in events.KINDS:
        rules = [_rule(desk, kind, rule) for rule in given.get(kind) or ()]
        if rules:
            configuration[kind] = rules
    if "EventBridgeConfiguration" in given:
        configuration["EventBridgeConfiguration"] = {}
    _check_overlaps([rule for kind in events.KINDS for rule in configuration.get(kind, ())])
    if not call.params.get("SkipDestinationValidation"):
        _check_destinations(desk, bucket, call, configuration)
    told = [] if call.params.get("SkipDestinationValidation") else _told(configuration)
    test = events.test_message(bucket, call, desk.clock.now())

    def also(tx: Tx) -> None:
        for arn in told:
            desk.outbox(tx, events.event_for(bucket, arn, test, call))

    await desk.change(bucket, also=also, notification=configuration or None)


def _rule(desk: Desk, kind: str, rule: Mapping[str, Any]) -> dict[str, Any]:
    """The entry with an id, its filter names as AWS returns them. Raises InvalidArgument; NotYet for other events."""
    element, pattern = _ELEMENTS[kind]
    arn = rule[events.KINDS[kind]]
    if re.match(pattern, arn) is None:
        raise invalid_argument("The ARN could not be parsed", element, arn)
    for event in rule["Events"]:
        family = event.removeprefix("s3:").partition(":")[0]
        if family not in HONOURED:
            raise NotYet(f"Events {event} do not happen in Paddock yet.")
    shown = {"Id": rule.get("Id") or desk.ids.uuid(), events.KINDS[kind]: arn, "Events": list(rule["Events"])}
    filters = ((rule.get("Filter") or {}).get("Key") or {}).get("FilterRules")
    if filters:
        names = [str(each.get("Name", "")).lower() for each in filters]
        if not set(names) <= {"prefix", "suffix"}:
            raise invalid_argument("filter rule name must be either prefix or suffix", "FilterRule.Name")
        if len(set(names)) < len(names):
            name = next(each for each in names if names.count(each) > 1)
            raise invalid_argument(f"Cannot specify more than one {name} rule in a filter.", "FilterRule.Name", name)
        shown["Filter"] = {
            "Key": {
                "FilterRules": [
                    {"Name": name.capitalize(), "Value": each.get("Value", "")}
                    for name, each in zip(names, filters, strict=True)
                ]
            }
        }
    return shown


def _check_overlaps(rules: list[dict[str, Any]]) -> None:
    """No two rules may want the same event of the same key. Raises InvalidArgument."""
    ids = [rule["Id"] for rule in rules]
    if len(set(ids)) < len(ids):
        raise invalid_argument("Same ID used for multiple configurations. IDs must be unique", "Id")
    for one, other in combinations(rules, 2):
        if not _share_events(one["Events"], other["Events"]):
            continue
        (prefix, suffix), (other_prefix, other_suffix) = events.affixes(one), events.affixes(other)
        if _overlap(prefix, other_prefix, str.startswith) and _overlap(suffix, other_suffix, str.endswith):
            raise invalid_argument(
                "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes "
                "are overlapping for the same event type."
            )


def _overlap(one: str, other: str, test: Any) -> bool:
    return bool(test(one, other) or test(other, one))


def _share_events(ones: list[str], others: list[str]) -> bool:
    def covers(wide: str, narrow: str) -> bool:
        return wide == narrow or (wide.endswith(":*") and narrow.startswith(wide[:-1]))

    return any(covers(one, other) or covers(other, one) for one in ones for other in others)


def _check_destinations(desk: Desk, bucket: Bucket, call: Call, configuration: Mapping[str, Any]) -> None:
    """Every target must be there and let this bucket in. Raises InvalidArgument, naming those that do not."""
    members: dict[str, str] = {}
    for kind, message in _NOT_AUTHORISED.items():
        for rule in configuration.get(kind, ()):
            arn = rule[events.KINDS[kind]]
            try:
                desk.check_target(events.event_for(bucket, arn, b"{}", call))
            except TargetRefused:
                number = len(members) // 2 + 1
                members |= {f"ArgumentName{number}": f"{arn}, null", f"ArgumentValue{number}": message.format(arn)}
    if members:
        message = "Unable to validate the following destination configurations"
        raise ClientError(message, code="InvalidArgument", members=members)


def _told(configuration: Mapping[str, Any]) -> list[str]:
    """The queues and topics that get a test event."""
    return [
        rule[events.KINDS[kind]]
        for kind in ("QueueConfigurations", "TopicConfigurations")
        for rule in configuration.get(kind, ())
    ]
