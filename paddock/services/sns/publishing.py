"""Publish and PublishBatch: durable when answered, one event in the outbox for each subscriber that is meant."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from paddock.interfaces import Tx
from paddock.model.errors import ClientError, NotYet, ServiceError
from paddock.services.service import Call, Params
from paddock.services.sns.desk import Desk, invalid
from paddock.services.sns.messages import Message, attributes_of, parcel_of, selects
from paddock.services.sns.nouns import Topic

MESSAGE_BYTES_MAX = 262_144
ENTRIES_MAX = 10
SEEN_MS = 300_000
_SUBJECT = re.compile(r"[\x20-\x7e]{1,100}\Z")
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")
_TYPE = re.compile(r"(String|String\.Array|Number|Binary)(\.[A-Za-z0-9_.-]+)?\Z")


async def publish(desk: Desk, call: Call) -> dict[str, Any]:
    params = call.params
    if params.get("PhoneNumber"):
        raise NotYet("PhoneNumber (SMS) is not supported yet.")
    member = "TopicArn" if params.get("TopicArn") else "TargetArn"
    if not params.get(member):
        raise invalid("TopicArn or TargetArn Reason: no value for required parameter")
    topic = desk.topic_of(call, member, "Publish")
    message = message_of(desk, topic, params, call.trace_id)
    return await deliver(desk, topic, message)


async def publish_batch(desk: Desk, call: Call) -> dict[str, Any]:
    """Each entry on its own; what is wrong with the batch itself fails it whole."""
    topic = desk.topic_of(call, action="Publish")
    entries = call.params["PublishBatchRequestEntries"]
    _check_batch(entries)
    done, failed = [], []
    for entry in entries:
        try:
            message = message_of(desk, topic, entry, call.trace_id)
            done.append({"Id": entry["Id"], **await deliver(desk, topic, message)})
        except ClientError as error:
            code = error.code.removesuffix("Exception")
            failed.append({"Id": entry["Id"], "Code": code, "Message": error.message, "SenderFault": True})
    return {"Successful": done, "Failed": failed}


def _check_batch(entries: list[Params]) -> None:
    if not entries:
        message = "The batch request doesn't contain any entries."
        raise ClientError(message, code="EmptyBatchRequestException")
    if len(entries) > ENTRIES_MAX:
        message = "The batch request contains more entries than permissible."
        raise ClientError(message, code="TooManyEntriesInBatchRequestException")
    ids = [entry["Id"] for entry in entries]
    if len(set(ids)) < len(ids):
        message = "Two or more batch entries in the request have the same Id."
        raise ClientError(message, code="BatchEntryIdsNotDistinctException")
    if any(_ENTRY_ID.match(each) is None for each in ids):
        message = "The Id of a batch entry in a batch request doesn't abide by the specification."
        raise ClientError(message, code="InvalidBatchEntryIdException")
    if sum(len(entry["Message"].encode()) for entry in entries) > MESSAGE_BYTES_MAX:
        message = "The length of all the batch messages put together is more than the limit."
        raise ClientError(message, code="BatchRequestTooLongException")


def message_of(desk: Desk, topic: Topic, params: Params, trace_id: str = "") -> Message:
    """Raises InvalidParameter."""
    text: str = params["Message"]
    subject: str | None = params.get("Subject")
    attributes = attributes_of(params.get("MessageAttributes") or {})
    for name, attribute in attributes.items():
        if not name or _TYPE.match(attribute["Type"]) is None:
            raise invalid(f"Invalid attribute name or type: {name}")
        if not attribute["Value"]:
            raise invalid(f"The message attribute '{name}' must contain non-empty message attribute value for message "
                          f"attribute type '{attribute['Type']}'.")  # fmt: skip
    size = len(text.encode()) + sum(len(k) + len(a["Type"]) + len(a["Value"]) for k, a in attributes.items())
    if not text:
        raise invalid("Empty message")
    if size > MESSAGE_BYTES_MAX:
        raise invalid("Message too long")
    if subject is not None and _SUBJECT.match(subject) is None:
        raise invalid("Subject")
    texts = _texts(text) if params.get("MessageStructure") else {}
    if params.get("MessageStructure") not in (None, "json"):
        raise invalid("MessageStructure")
    group, deduplication = _fifo(topic, params, text)
    return Message(
        id=desk.ids.uuid(), text=texts.get("default", text), subject=subject, sent_at=desk.clock.now(),
        attributes=attributes, by_protocol=texts, group_id=group, deduplication_id=deduplication,
        sequence=desk.next_sequence() if topic.fifo else "", trace_id=trace_id,
    )  # fmt: skip


def _texts(text: str) -> dict[str, str]:
    """MessageStructure=json: a text for each protocol, and a default. Raises InvalidParameter."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise invalid("Message Structure - JSON message body failed to parse") from None
    if not isinstance(found, dict) or not isinstance(found.get("default"), str):
        raise invalid("Message Structure - No default entry in JSON message body")
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _fifo(topic: Topic, params: Params, text: str) -> tuple[str, str]:
    """(group, deduplication id). Raises InvalidParameter where they are missing, or not of use."""
    group, given = params.get("MessageGroupId") or "", params.get("MessageDeduplicationId") or ""
    if not topic.fifo:
        if given:
            raise invalid("MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that "
                          "is not valid for this topic type")  # fmt: skip
        return group, ""
    if not group:
        raise invalid("The MessageGroupId parameter is required for FIFO topics")
    if not given and topic.attributes.get("ContentBasedDeduplication", "").lower() != "true":
        raise invalid("The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId "
                      "provided explicitly")  # fmt: skip
    return group, given or hashlib.sha256(text.encode()).hexdigest()


async def deliver(desk: Desk, topic: Topic, message: Message) -> dict[str, Any]:
    """To every subscriber that is meant, in one transaction. What a FIFO topic has seen lately is answered again."""

    def work(tx: Tx) -> dict[str, Any]:
        shown: dict[str, Any] = {"MessageId": message.id}
        if topic.fifo:
            seen = _seen(tx, desk, topic, message)
            if seen is not None:
                return {"MessageId": seen["message_id"], "SequenceNumber": seen["sequence"]}
            shown["SequenceNumber"] = message.sequence
        for subscription in desk.of_topic(topic.arn):
            if not subscription.token and selects(subscription, message):
                parcel = parcel_of(desk, topic, subscription, message)
                desk.outbox(tx, parcel.event, policy=parcel.policy, dead_letter=parcel.letter, group=parcel.group)
        return shown

    try:
        return await desk.store.write(work)
    except OSError as error:
        raise ServiceError("The message could not be stored.", code="InternalErrorException") from error


def _seen(tx: Tx, desk: Desk, topic: Topic, message: Message) -> Mapping[str, Any] | None:
    """The message of this deduplication id within five minutes; else this one is remembered."""
    now, identity = desk.now_ms(), {"topic": topic.arn, "id": message.deduplication_id}
    found = tx.row("sns_seen_get", now_ms=now, **identity)
    if found is None:
        tx.run("sns_seen_clear", now_ms=now)
        tx.run("sns_seen_put", until_ms=now + SEEN_MS, message_id=message.id, sequence=message.sequence, **identity)
    return found
