"""ReceiveMessage, and what is done with what was received: deleted, hidden for longer, shown again.

A receipt handle names a message and the receive that gave it; only the latest receive holds the message.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import itertools
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from paddock.interfaces import Row, Tx
from paddock.model.errors import NotYet
from paddock.services.service import Call, Params
from paddock.services.sqs import nouns
from paddock.services.sqs.batches import Entry, entries_of, settled
from paddock.services.sqs.desk import Desk
from paddock.services.sqs.nouns import Message, Queue, SqsError, parameter

RECEIPT_DIGITS = 32
COUNT_MAX = 10
WAIT_S_MAX = 20
VISIBILITY_S_MAX = 43_200


async def receive_message(desk: Desk, call: Call) -> Params:
    """Up to ten messages; waits for the first one as long as the request, or the queue, says."""
    params = call.params
    if params.get("ReceiveRequestAttemptId"):
        raise NotYet("The setting ReceiveRequestAttemptId is not supported by Paddock yet.")
    queue, count = desk.queue_of(call, "ReceiveMessage"), params.get("MaxNumberOfMessages", 1)
    _check_range("MaxNumberOfMessages", count, 1, COUNT_MAX)
    wait_s = params.get("WaitTimeSeconds")
    wait_s = queue.number("ReceiveMessageWaitTimeSeconds") if wait_s is None else wait_s
    _check_range("WaitTimeSeconds", wait_s, 0, WAIT_S_MAX)
    hidden_s = params.get("VisibilityTimeout")
    hidden_s = queue.number("VisibilityTimeout") if hidden_s is None else hidden_s
    _check_range("VisibilityTimeout", hidden_s, 0, VISIBILITY_S_MAX)
    rows, receipt = await _received(desk, queue, count, hidden_s, wait_s)
    system = {*(params.get("AttributeNames") or ()), *(params.get("MessageSystemAttributeNames") or ())}
    names = params.get("MessageAttributeNames") or ()
    shown = [_shown(row, receipt, queue, call.caller.account, system, names) for row in rows]
    return {"Messages": shown} if shown else {}


async def delete_message(desk: Desk, call: Call) -> None:
    await _delete(desk, desk.queue_of(call, "DeleteMessage"), call.params["ReceiptHandle"])


async def delete_message_batch(desk: Desk, call: Call) -> Params:
    queue = desk.queue_of(call, "DeleteMessage")
    return await settled(entries_of(call), lambda entry: _delete(desk, queue, entry["ReceiptHandle"]))


async def change_message_visibility(desk: Desk, call: Call) -> None:
    await _change(desk, desk.queue_of(call, "ChangeMessageVisibility"), call.params)


async def change_message_visibility_batch(desk: Desk, call: Call) -> Params:
    queue = desk.queue_of(call, "ChangeMessageVisibility")
    return await settled(entries_of(call), lambda entry: _change(desk, queue, entry))


async def _received(
    desk: Desk, queue: Queue, count: int, hidden_s: int, wait_s: int
) -> tuple[Sequence[Row], str]:  # fmt: skip
    """What there is, or what comes within wait_s."""
    deadline = desk.clock.monotonic() + wait_s
    receipt = desk.ids.hex(RECEIPT_DIGITS)
    while True:
        bell = desk.bell(queue.arn)
        now_ms = desk.now_ms()
        letters = desk.queues.get(queue.redrive[0]) if queue.redrive else None
        rows, moved = await desk.write(partial(_take, queue, letters, count, now_ms, hidden_s, receipt))
        if moved and letters is not None:
            desk.ring(letters.arn)
        left_s = deadline - desk.clock.monotonic()
        if rows or left_s <= 0 or queue.arn not in desk.queues:
            return rows, receipt
        queue = desk.queues[queue.arn]
        await _wait(desk, queue, bell, left_s)


async def _wait(desk: Desk, queue: Queue, bell: asyncio.Event, left_s: float) -> None:
    """Until something is sent, or a message that was hidden can be received again, or the time is over."""
    query = "sqs_next_ready" if queue.is_fifo else "sqs_next_visible"
    row = await desk.store.read(lambda tx: tx.row(query, queue=queue.arn))
    if row is not None and row["visible_ms"] is not None:
        left_s = min(left_s, max(0.01, (row["visible_ms"] - desk.now_ms()) / 1000))
    waits = [asyncio.ensure_future(bell.wait()), asyncio.ensure_future(desk.clock.sleep(left_s))]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()


def _take(
    queue: Queue, letters: Queue | None, count: int, now_ms: int, hidden_s: int, receipt: str, tx: Tx
) -> tuple[list[Row], int]:
    """The messages received now, and how many went to the dead letter queue instead."""
    tx.run("sqs_expire", queue=queue.arn, oldest_ms=now_ms - queue.number("MessageRetentionPeriod") * 1000)
    taken: list[Row] = []
    moved = 0
    while len(taken) < count:
        rows = _visible(tx, queue, now_ms, count - len(taken))
        spent = [row for row in rows if letters is not None and queue.redrive and row["receives"] >= queue.redrive[1]]
        for row in spent:
            document = msgspec.msgpack.decode(row["document"], type=Message).moved_from(queue.arn)
            args = {"to_queue": letters.arn if letters else "", "now_ms": now_ms}
            tx.run("sqs_move", id=row["id"], document=msgspec.msgpack.encode(document), **args)
        moved += len(spent)
        fresh = [row for row in rows if row not in spent]
        visible_ms = now_ms + hidden_s * 1000
        held = [{"id": row["id"], "visible_ms": visible_ms, "receipt": receipt, "now_ms": now_ms} for row in fresh]
        tx.run_many("sqs_hold", held)
        taken += fresh
        if not spent or (taken and not hidden_s):  # what is not hidden would be found again
            break
    return taken, moved


def _visible(tx: Tx, queue: Queue, now_ms: int, count: int) -> list[Row]:
    """What a receive may have; of a FIFO queue, groups in turn, each in the order sent and up to what is delayed."""
    if not queue.is_fifo:
        return tx.rows("sqs_visible", queue=queue.arn, now_ms=now_ms, count=count)
    found: list[Row] = []
    for ready in tx.rows("sqs_groups_ready", queue=queue.arn, now_ms=now_ms, count=count):
        rows = tx.rows("sqs_in_group", queue=queue.arn, grp=ready["grp"], count=count - len(found))
        found += itertools.takewhile(lambda row: row["visible_ms"] <= now_ms, rows)
        if len(found) >= count:
            break
    return found


def _shown(
    row: Row, receipt: str, queue: Queue, account: str, system: Collection[str], names: Collection[str]
) -> dict[str, Any]:
    message = msgspec.msgpack.decode(row["document"], type=Message)
    shown: dict[str, Any] = {
        "MessageId": message.message_id,
        "ReceiptHandle": _handle(row["id"], receipt),
        "MD5OfBody": nouns.md5_of(message.body),
        "Body": message.body,
    }
    known = {
        "SenderId": account,
        "SentTimestamp": str(row["sent_ms"]),
        "ApproximateReceiveCount": str(row["receives"] + 1),
        "ApproximateFirstReceiveTimestamp": str(row["first_ms"] or row["sent_ms"]),
        **({"SequenceNumber": f"{row['id']:020d}"} if queue.is_fifo else {}),
        **message.system,
    }
    asked = known if "All" in system else {name: known[name] for name in system if name in known}
    if asked:
        shown["Attributes"] = asked
    attributes = {name: value for name, value in message.attributes.items() if _is_wanted(name, names)}
    if attributes:
        shown["MessageAttributes"] = attributes
        shown["MD5OfMessageAttributes"] = nouns.md5_of_attributes(attributes)
    return shown


def _is_wanted(name: str, names: Collection[str]) -> bool:
    """By name, All, or a prefix that ends in `.*`."""
    return any(one in ("All", ".*", name) or (one.endswith(".*") and name.startswith(one[:-2])) for one in names)


async def _delete(desk: Desk, queue: Queue, handle: str) -> Mapping[str, Any]:
    """A message that another receive holds by now stays: deleting it is no error."""
    number, receipt = _holder(handle)
    await desk.write(lambda tx: tx.run("sqs_delete", id=number, queue=queue.arn, receipt=receipt))
    if queue.is_fifo:
        desk.ring(queue.arn)  # the next of its group
    return {}


async def _change(desk: Desk, queue: Queue, entry: Entry) -> Mapping[str, Any]:
    seconds = entry.get("VisibilityTimeout")
    if seconds is None:
        raise SqsError("The request must contain the parameter VisibilityTimeout.", code="MissingParameter")
    _check_range("VisibilityTimeout", seconds, 0, VISIBILITY_S_MAX)
    number, receipt = _holder(entry["ReceiptHandle"])
    now_ms = desk.now_ms()

    def work(tx: Tx) -> None:
        held = tx.row("sqs_held", id=number, queue=queue.arn, receipt=receipt)
        if held is None or held["visible_ms"] <= now_ms:
            raise SqsError(
                f"Value {entry['ReceiptHandle']} for parameter ReceiptHandle is invalid. Reason: Message does not "
                "exist or is not available for visibility timeout change.",
                code="MessageNotInflight" if held is not None else "InvalidParameterValue",
            )
        visible_ms = now_ms + seconds * 1000
        tx.run("sqs_change_visibility", id=number, queue=queue.arn, receipt=receipt, visible_ms=visible_ms)

    await desk.write(work)
    if not seconds:
        desk.ring(queue.arn)
    return {}


def _handle(number: int, receipt: str) -> str:
    return base64.urlsafe_b64encode(f"{number}:{receipt}".encode()).decode()


def _holder(handle: str) -> tuple[int, str]:
    """Raises ReceiptHandleIsInvalid."""
    try:
        number, _, receipt = base64.b64decode(handle, altchars=b"-_", validate=True).decode("ascii").partition(":")
        return int(number), receipt
    except (binascii.Error, ValueError):
        message = f'The input receipt handle "{handle[:128]}" is not a valid receipt handle.'
        raise SqsError(message, code="ReceiptHandleIsInvalid", status=404) from None


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        reason = f"Must be between {least} and {most}, if provided."
        raise parameter(f"Value {value} for parameter {name} is invalid. Reason: {reason}")
