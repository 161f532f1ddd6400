"""Notifications: which rules of a bucket an event meets, and the event as each kind of target gets it.

Nothing here waits: announcing happens within the transaction of the change, by putting TargetEvents into the outbox.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

import msgspec

from paddock.model.delivery import TargetEvent
from paddock.services.s3.nouns import Bucket, Version
from paddock.services.s3.view import canonical_id
from paddock.services.service import Call

PRINCIPAL = "s3.amazonaws.com"

KINDS: Mapping[str, str] = {
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
    "QueueConfigurations": "QueueArn",
    "TopicConfigurations": "TopicArn",
}
"""Member of a configuration -> the member of its entries that names the target."""

_VERSIONS: Mapping[str, str] = {"ObjectTagging": "2.3", "ObjectAcl": "2.3", "LifecycleExpiration": "2.3"}

_BRIDGE: Mapping[str, tuple[str, str]] = {
    "ObjectCreated:Put": ("Object Created", "PutObject"),
    "ObjectCreated:Copy": ("Object Created", "CopyObject"),
    "ObjectCreated:CompleteMultipartUpload": ("Object Created", "CompleteMultipartUpload"),
    "ObjectRemoved:Delete": ("Object Deleted", "DeleteObject"),
    "ObjectRemoved:DeleteMarkerCreated": ("Object Deleted", "DeleteObject"),
    "LifecycleExpiration:Delete": ("Object Deleted", "Lifecycle Expiration"),
    "LifecycleExpiration:DeleteMarkerCreated": ("Object Deleted", "Lifecycle Expiration"),
    "ObjectTagging:Put": ("Object Tags Added", ""),
    "ObjectTagging:Delete": ("Object Tags Deleted", ""),
}
"""Event -> EventBridge's detail-type and reason."""


def events_of(bucket: Bucket, event: str, version: Version, call: Call, now: datetime) -> Iterator[TargetEvent]:
    """What an event of the bucket sends, rule by rule. event: without `s3:` in front."""
    settings = bucket.settings.get("notification")
    if not settings:
        return
    for kind, target in KINDS.items():
        for rule in settings.get(kind, ()):
            if meets(rule, event, version.key):
                record = record_of(bucket, event, version, call, now, rule["Id"])
                yield event_for(bucket, rule[target], msgspec.json.encode({"Records": [record]}), call)
    if "EventBridgeConfiguration" in settings:
        bus = f"arn:aws:events:{bucket.region}:{bucket.account}:event-bus/default"
        yield event_for(bucket, bus, msgspec.json.encode(bridge_entry(bucket, event, version, call, now)), call)


def event_for(bucket: Bucket, target_arn: str, body: bytes, call: Call) -> TargetEvent:
    return TargetEvent(
        target_arn=target_arn,
        body=body,
        principal=PRINCIPAL,
        source_arn=bucket.arn,
        source_account=bucket.account,
        attributes={"AWSTraceHeader": call.trace_id} if call.trace_id else {},
    )


def meets(rule: Mapping[str, Any], event: str, key: str) -> bool:
    """Filters compare with the key as it is, not as the event carries it."""
    named = f"s3:{event}"
    if not any(named == each or (each.endswith(":*") and named.startswith(each[:-1])) for each in rule["Events"]):
        return False
    prefix, suffix = affixes(rule)
    return key.startswith(prefix) and key.endswith(suffix)


def affixes(rule: Mapping[str, Any]) -> tuple[str, str]:
    """(prefix, suffix) of a rule's filter, "" for none."""
    rules = ((rule.get("Filter") or {}).get("Key") or {}).get("FilterRules") or ()
    found = {each["Name"].lower(): each["Value"] for each in rules}
    return found.get("prefix", ""), found.get("suffix", "")


def record_of(bucket: Bucket, event: str, version: Version, call: Call, now: datetime, rule_id: str) -> dict[str, Any]:
    family = event.partition(":")[0]
    subject: dict[str, Any] = {"key": quote_plus(version.key, safe="/")}
    if family == "ObjectCreated":
        subject["size"] = version.size
    if family in ("ObjectCreated", "ObjectTagging") and version.etag:
        subject["eTag"] = version.etag.strip('"')
    if bucket.versioning:
        subject["versionId"] = version.version_id
    if family != "ObjectTagging":
        subject["sequencer"] = version.sequencer
    return {
        "eventVersion": _VERSIONS.get(family, "2.1"),
        "eventSource": "aws:s3",
        "awsRegion": bucket.region,
        "eventTime": stamp(now),
        "eventName": event,
        "userIdentity": {"principalId": _principal(family, call)},
        "requestParameters": {"sourceIPAddress": call.source_ip or "127.0.0.1"},
        "responseElements": {"x-amz-request-id": call.request_id, "x-amz-id-2": host_id(call.request_id)},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": rule_id,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": canonical_id(bucket.account)},
                "arn": bucket.arn,
            },
            "object": subject,
        },
    }


def _principal(family: str, call: Call) -> str:
    """Who did it: S3 itself, nobody in particular, or a key."""
    if family == "LifecycleExpiration":
        return PRINCIPAL
    return "Anonymous" if call.caller.anonymous else f"AWS:{call.caller.access_key_id or call.caller.account}"


def bridge_entry(bucket: Bucket, event: str, version: Version, call: Call, now: datetime) -> dict[str, Any]:
    """An entry of PutEvents. The key is not encoded here."""
    kind, reason = _BRIDGE[event]
    subject: dict[str, Any] = {"key": version.key}
    if event.startswith("ObjectCreated"):
        subject["size"] = version.size
    if version.etag:
        subject["etag"] = version.etag.strip('"')
    if bucket.versioning:
        subject["version-id"] = version.version_id
    subject["sequencer"] = version.sequencer
    detail: dict[str, Any] = {
        "version": "0", "bucket": {"name": bucket.name}, "object": subject, "request-id": call.request_id,
        "requester": call.caller.account, "source-ip-address": call.source_ip or "127.0.0.1",
    }  # fmt: skip
    if reason:
        detail["reason"] = reason
    if kind == "Object Deleted":
        marked = event.endswith("DeleteMarkerCreated")
        detail["deletion-type"] = "Delete Marker Created" if marked else "Permanently Deleted"
    return {
        "Source": "aws.s3", "DetailType": kind, "Detail": msgspec.json.encode(detail).decode(),
        "Resources": [bucket.arn], "Time": stamp(now),
    }  # fmt: skip


def test_message(bucket: Bucket, call: Call, now: datetime) -> bytes:
    """What queues and topics get when they are named by a configuration."""
    return msgspec.json.encode(
        {
            "Service": "Amazon S3",
            "Event": "s3:TestEvent",
            "Time": stamp(now),
            "Bucket": bucket.name,
            "RequestId": call.request_id,
            "HostId": host_id(call.request_id),
        }
    )


def stamp(now: datetime) -> str:
    """ISO 8601 with milliseconds."""
    return now.strftime("%Y-%m-%dT%H:%M:%S") + f".{now.microsecond // 1000:03d}Z"


def host_id(request_id: str) -> str:
    return base64.b64encode(hashlib.sha256(request_id.encode()).digest()).decode()
