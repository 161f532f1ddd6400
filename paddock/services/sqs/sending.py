"""SendMessage and its batch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from paddock.interfaces import Tx
from paddock.services.service import Call, Params
from paddock.services.sqs import nouns
from paddock.services.sqs.batches import entries_of, settled
from paddock.services.sqs.desk import Desk
from paddock.services.sqs.nouns import DEDUPLICATION_MS, MESSAGE_BYTES_MAX, Message, Queue, SqsError, parameter

ATTRIBUTES_MAX = 10
TRACE_HEADER = "AWSTraceHeader"
SEQUENCE_DIGITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    queue: Queue
    message: Message
    group: str
    deduplication: str
    delay_s: int


async def send_message(desk: Desk, call: Call) -> Params:
    return await send(desk, desk.queue_of(call, "SendMessage"), call.params, call.trace_id)


async def send_message_batch(desk: Desk, call: Call) -> Params:
    """Each entry by itself; all that are well formed in one commit."""
    queue, entries = desk.queue_of(call, "SendMessage"), entries_of(call)
    size = sum(nouns.size_of(one["MessageBody"], one.get("MessageAttributes") or {}) for one in entries)
    if size > MESSAGE_BYTES_MAX:
        message = f"Batch requests cannot be longer than {MESSAGE_BYTES_MAX} bytes. You have sent {size} bytes."
        raise SqsError(message, code="BatchRequestTooLong")
    return await settled(entries, lambda entry: send(desk, queue, entry, call.trace_id))


async def send(desk: Desk, queue: Queue, entry: Mapping[str, Any], trace_id: str = "") -> dict[str, Any]:
    """One message; the answer once it is durable. Raises what SendMessage raises.

    trace_id: of the request, handed on unless the message brings its own: so loops through queues are seen.
    """
    prepared = _prepared(desk, queue, entry, trace_id)
    sent_ms = desk.now_ms()
    message_id, number = prepared.message.message_id, 0
    if queue.is_fifo:
        message_id, number = await desk.write(lambda tx: _put(tx, prepared, sent_ms))
    else:
        await desk.insert(_row(prepared, sent_ms))
    if not prepared.delay_s:
        desk.ring(queue.arn)
    answer: dict[str, Any] = {"MessageId": message_id, "MD5OfMessageBody": nouns.md5_of(prepared.message.body)}
    if prepared.message.attributes:
        answer["MD5OfMessageAttributes"] = nouns.md5_of_attributes(prepared.message.attributes)
    if entry.get("MessageSystemAttributes"):
        answer["MD5OfMessageSystemAttributes"] = nouns.md5_of_attributes(entry["MessageSystemAttributes"])
    if queue.is_fifo:
        answer["SequenceNumber"] = f"{number:0{SEQUENCE_DIGITS}d}"
    return answer


def _prepared(desk: Desk, queue: Queue, entry: Mapping[str, Any], trace_id: str) -> _Prepared:
    body, attributes = entry["MessageBody"], entry.get("MessageAttributes") or {}
    nouns.check_body(body, attributes, queue)
    if len(attributes) > ATTRIBUTES_MAX:
        raise parameter(f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum [10].")
    group, deduplication = _fifo(queue, entry, body)
    delay_s = entry.get("DelaySeconds")
    if delay_s is not None and not 0 <= delay_s <= 900:
        reason = "DelaySeconds must be >= 0 and <= 900"
        raise parameter(f"Value {delay_s} for parameter DelaySeconds is invalid. Reason: {reason}.")
    if delay_s and queue.is_fifo:
        raise parameter("Value for parameter DelaySeconds is invalid. Reason: The request include parameter that is "
                        "not valid for this queue type.")  # fmt: skip
    system = {
        name: value.get("StringValue", "") for name, value in (entry.get("MessageSystemAttributes") or {}).items()
    }
    if set(system) - {TRACE_HEADER}:
        raise parameter("The only message system attribute that can be sent is AWSTraceHeader.")
    if trace_id and TRACE_HEADER not in system:
        system[TRACE_HEADER] = trace_id
    if group:
        system["MessageGroupId"] = group
    if queue.is_fifo:
        system["MessageDeduplicationId"] = deduplication
    message = Message(message_id=desk.ids.uuid(), body=body, attributes=attributes, system=system)
    delay = queue.number("DelaySeconds") if delay_s is None else delay_s
    return _Prepared(queue=queue, message=message, group=group, deduplication=deduplication, delay_s=delay)


def _fifo(queue: Queue, entry: Mapping[str, Any], body: str) -> tuple[str, str]:
    """Group and deduplication id. A standard queue takes a group (for fairness), and no deduplication id."""
    group, deduplication = entry.get("MessageGroupId") or "", entry.get("MessageDeduplicationId") or ""
    for name, value in (("MessageGroupId", group), ("MessageDeduplicationId", deduplication)):
        if value:
            nouns.check_id(name, value)
    if not queue.is_fifo:
        if deduplication:
            raise parameter(
                "Value for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter that "
                "is not valid for this queue type."
            )
        return group, ""
    if not group:
        raise SqsError("The request must contain the parameter MessageGroupId.", code="MissingParameter")
    if not deduplication:
        if queue.attributes.get("ContentBasedDeduplication") != "true":
            raise parameter(
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided "
                "explicitly"
            )
        deduplication = hashlib.sha256(body.encode()).hexdigest()
    return group, deduplication


def _row(prepared: _Prepared, sent_ms: int) -> dict[str, Any]:
    return {
        "queue": prepared.queue.arn,
        "visible_ms": sent_ms + prepared.delay_s * 1000,
        "sent_ms": sent_ms,
        "grp": prepared.group if prepared.queue.is_fifo else "",
        "document": msgspec.msgpack.encode(prepared.message),
    }


def _put(tx: Tx, prepared: _Prepared, sent_ms: int) -> tuple[str, int]:
    """Into a FIFO queue: (message id, sequence) of it, or of the one in whose place it came within five minutes."""
    queue, key = prepared.queue, prepared.deduplication
    if queue.attributes.get("DeduplicationScope") == "messageGroup":
        key = f"{prepared.group}\n{key}"
    tx.run("sqs_taken_expire", queue=queue.arn, now_ms=sent_ms)
    before = tx.row("sqs_taken", queue=queue.arn, deduplication=key, now_ms=sent_ms)
    if before is not None:
        return before["message_id"], before["sequence"]
    row = tx.row("sqs_send", **_row(prepared, sent_ms))
    assert row is not None
    args = {"until_ms": sent_ms + DEDUPLICATION_MS, "message_id": prepared.message.message_id, "sequence": row["id"]}
    tx.run("sqs_take", queue=queue.arn, deduplication=key, **args)
    return prepared.message.message_id, row["id"]
