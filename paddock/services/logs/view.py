"""Groups, streams and events as the wire shows them."""

from __future__ import annotations

from typing import Any

from paddock.model.caller import Caller
from paddock.observe.log_store import Group, StoredEvent, Stream
from paddock.services.logs.tokens import event_id


def group_arn(caller: Caller, name: str) -> str:
    """Without the `:*` that IAM policies for its streams need."""
    return f"arn:aws:logs:{caller.region}:{caller.account}:log-group:{name}"


def group(caller: Caller, found: Group) -> dict[str, Any]:
    arn = group_arn(caller, found.name)
    shown: dict[str, Any] = {
        "logGroupName": found.name,
        "creationTime": found.created_ms,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "storedBytes": found.stored_bytes,
        "logGroupClass": "STANDARD",
        "logGroupArn": arn,
        "deletionProtectionEnabled": False,
    }
    if found.retention_days is not None:
        shown["retentionInDays"] = found.retention_days
    return shown


def group_by_pattern(caller: Caller, found: Group) -> dict[str, Any]:
    """What a search by logGroupNamePattern shows of a group (service model's documentation): less."""
    shown = group(caller, found)
    return {name: shown[name] for name in ("logGroupName", "creationTime", "arn")}


def stream(caller: Caller, group_name: str, found: Stream) -> dict[str, Any]:
    """storedBytes of a stream is zero since 2019 (service model's documentation); the group's is true."""
    shown: dict[str, Any] = {
        "logStreamName": found.name,
        "creationTime": found.created_ms,
        "arn": f"{group_arn(caller, group_name)}:log-stream:{found.name}",
        "storedBytes": 0,
    }
    if found.last_ingestion_ms is not None:
        shown["lastIngestionTime"] = found.last_ingestion_ms
        shown["uploadSequenceToken"] = sequence_token(found.id)
    if found.first_event_ms is not None:
        shown["firstEventTimestamp"] = found.first_event_ms
    if found.last_event_ms is not None:
        shown["lastEventTimestamp"] = found.last_event_ms
    return shown


def sequence_token(stream_id: int) -> str:
    """56 digits, as ever; nobody looks at them since 2023."""
    return f"49{stream_id:054d}"


def output_event(found: StoredEvent) -> dict[str, Any]:
    return {
        "timestamp": found.position.timestamp_ms,
        "message": found.message,
        "ingestionTime": found.ingestion_ms,
    }


def filtered_event(found: StoredEvent, stream_name: str) -> dict[str, Any]:
    return {"logStreamName": stream_name, **output_event(found), "eventId": event_id(found.position)}
