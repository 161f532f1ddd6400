"""SQS as a source: long polls, filters, batches, and what becomes of messages afterwards.

The queue may be Paddock's own or stand outside: both are asked through the same operations of AWS's wire, by an Api.

    read        ReceiveMessage up to 20 s; messages that no filter matches are deleted at once; until the batch is
                full, the window over, or the event as large as an event may be
    checkpoint  done: deleted. failed: left alone, so that they come again after the visibility timeout. Never given
                to the function: visible again after the back-off

The window begins with the first message. Where window and function together take longer than the queue hides its
messages, they are hidden for longer (spec 04 §10).
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from paddock.event_sources.poller import Verdict
from paddock.interfaces import Clock
from paddock.model.errors import InvalidParameterValue, NotYet, ServiceError
from paddock.model.event_pattern import read_json
from paddock.model.event_source import EventSourceMapping, Record, compiled, visibility_s, wanted

RECEIVE_MAX = 10
WAIT_S = 20
EVENT_BYTES_MAX = 6_291_456 - 1024
_NO_QUEUE = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})


class Api(Protocol):
    """An AWS service, by its operations: members in, members out, as the service model has them."""

    async def __call__(
        self, operation: str, params: Mapping[str, Any], *, account: str, region: str
    ) -> Mapping[str, Any]:
        """Raises ServiceError with the code of the service."""


class GivingBack:
    """An Api over one whose calls go on when nobody waits for them any more, as those of a client in a thread do.

    A long poll that was interrupted may still take messages: these are shown again at once, instead of after the
    visibility timeout. Their receive count has grown by one.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._orphans: set[asyncio.Task[None]] = set()

    async def __call__(
        self, operation: str, params: Mapping[str, Any], *, account: str, region: str
    ) -> Mapping[str, Any]:
        task = asyncio.ensure_future(self._api(operation, params, account=account, region=region))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if operation == "ReceiveMessage":
                orphan = asyncio.ensure_future(self._give_back(task, params["QueueUrl"], account, region))
                self._orphans.add(orphan)
                orphan.add_done_callback(self._orphans.discard)
            raise

    async def _give_back(self, task: asyncio.Future[Mapping[str, Any]], url: str, account: str, region: str) -> None:
        try:
            messages = (await task).get("Messages") or ()
            for entries in _entries([message["ReceiptHandle"] for message in messages]):
                timed = [{**entry, "VisibilityTimeout": 0} for entry in entries]
                params = {"QueueUrl": url, "Entries": timed}
                await self._api("ChangeMessageVisibilityBatch", params, account=account, region=region)
        except ServiceError:
            return  # they come again all the same, only later


class SqsSources:
    """control.mappings.Sources: looks at a queue before it is mapped."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def check(self, mapping: EventSourceMapping, function_timeout_s: int) -> None:
        try:
            visible_s = await Queue(self._api, mapping).visibility()
        except NotYet:
            raise
        except ServiceError as error:
            raise InvalidParameterValue(
                f"Error occurred while ReceiveMessage. SQS Error Code: {_code(error)}. "
                f"SQS Error Message: {error.message}"
            ) from error
        if visible_s < function_timeout_s:
            raise InvalidParameterValue(
                f"Queue visibility timeout: {visible_s} seconds is less than Function timeout: "
                f"{function_timeout_s} seconds"
            )


class Queue:
    """The operations that a poller needs of one queue. The caller is the mapping's own account."""

    def __init__(self, api: Api, mapping: EventSourceMapping) -> None:
        self._api = api
        self._account = mapping.account
        _, _, _, region, self._owner, self._name = mapping.source_arn.split(":", 5)
        self._region = region or mapping.region
        self._url = ""

    async def visibility(self) -> int:
        """The queue's visibility timeout in seconds."""
        answer = await self._call("GetQueueAttributes", {"AttributeNames": ["VisibilityTimeout"]})
        return int(answer["Attributes"]["VisibilityTimeout"])

    async def receive(self, count_max: int, wait_s: int, hidden_s: int | None) -> Sequence[Mapping[str, Any]]:
        params: dict[str, Any] = {
            "MaxNumberOfMessages": count_max,
            "WaitTimeSeconds": wait_s,
            "AttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        if hidden_s is not None:
            params["VisibilityTimeout"] = hidden_s
        messages: Sequence[Mapping[str, Any]] = (await self._call("ReceiveMessage", params)).get("Messages") or ()
        return messages

    async def delete(self, handles: Sequence[str]) -> None:
        """One that cannot be deleted any more comes again: that is what at least once means."""
        for entries in _entries(handles):
            await self._call("DeleteMessageBatch", {"Entries": entries})

    async def show_again(self, handles: Sequence[str], after_s: int) -> None:
        for entries in _entries(handles):
            timed = [{**entry, "VisibilityTimeout": after_s} for entry in entries]
            await self._call("ChangeMessageVisibilityBatch", {"Entries": timed})

    async def _call(self, operation: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        where = {"account": self._account, "region": self._region}
        if not self._url:
            named = {"QueueName": self._name, "QueueOwnerAWSAccountId": self._owner}
            self._url = (await self._api("GetQueueUrl", named, **where))["QueueUrl"]
        return await self._api(operation, {"QueueUrl": self._url, **params}, **where)


class SqsSource:
    """poller.Source over one queue."""

    def __init__(self, mapping: EventSourceMapping, api: Api, clock: Clock, timeout_s: Callable[[], int]) -> None:
        """timeout_s: the function's, asked anew when it matters."""
        self._mapping = mapping
        self._queue = Queue(api, mapping)
        self._clock = clock
        self._timeout_s = timeout_s
        self._filters = compiled(mapping.filters)
        self._visibility: int | None = None

    async def read(self) -> Sequence[Record]:
        mapping = self._mapping
        hidden_s = await self._hidden_s()
        batch: list[Record] = []
        deadline, size, last = math.inf, 0, not mapping.window_s
        try:
            while len(batch) < mapping.batch_size:
                left_s = deadline - self._clock.monotonic()
                if left_s < 1:
                    await self._clock.sleep(max(0.0, left_s))
                    last = True
                wait_s = 0 if left_s < 1 else int(min(WAIT_S, left_s))
                count = min(RECEIVE_MAX, mapping.batch_size - len(batch))
                messages = await self._queue.receive(count, wait_s, hidden_s)
                found = await self._filtered(messages)
                fitting = _fitting(found, EVENT_BYTES_MAX - size)
                size += sum(len(record.event) + 1 for record in fitting)
                batch += fitting
                if len(fitting) < len(found):
                    await self._queue.show_again([record.handle for record in found[len(fitting) :]], 0)
                    break
                if last or (not messages and not batch):
                    break
                if batch and deadline == math.inf:
                    deadline = self._clock.monotonic() + mapping.window_s
        except asyncio.CancelledError:
            if batch:
                await self._queue.show_again([record.handle for record in batch], 0)
            raise
        return batch

    def shape(self, records: Sequence[Record]) -> bytes:
        return b'{"Records":[' + b",".join(record.event for record in records) + b"]}"

    async def checkpoint(self, verdict: Verdict) -> None:
        if verdict.done:
            await self._queue.delete([record.handle for record in verdict.done])
        if verdict.failed and verdict.again_s is not None:
            await self._queue.show_again([record.handle for record in verdict.failed], math.ceil(verdict.again_s))

    async def _hidden_s(self) -> int | None:
        if not self._mapping.window_s:
            return None
        if self._visibility is None:
            self._visibility = await self._queue.visibility()
        return visibility_s(self._mapping.window_s, self._timeout_s(), self._visibility)

    async def _filtered(self, messages: Sequence[Mapping[str, Any]]) -> Sequence[Record]:
        """Records of what the filters want; the rest is deleted."""
        kept, dropped = [], []
        for message in messages:
            shown = shaped(message, self._mapping.source_arn)
            if wanted(self._filters, view(shown) if self._filters else None):
                event = json.dumps(shown, separators=(",", ":"), ensure_ascii=False).encode()
                kept.append(Record(key=shown["messageId"], event=event, handle=shown["receiptHandle"]))
            else:
                dropped.append(shown["receiptHandle"])
        if dropped:
            await self._queue.delete(dropped)
        return kept


def shaped(message: Mapping[str, Any], source_arn: str) -> dict[str, Any]:
    """A received message as it stands in the function's event (spec 04 §8)."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes") or {}),
        "messageAttributes": {
            name: _attribute(value) for name, value in (message.get("MessageAttributes") or {}).items()
        },
        "md5OfMessageAttributes": message.get("MD5OfMessageAttributes"),
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": source_arn,
        "awsRegion": source_arn.split(":")[3],
    }


def view(shown: Mapping[str, Any]) -> Mapping[str, Any]:
    """What filters look at: the record, with a body that is JSON parsed."""
    try:
        body = read_json(shown["body"])
    except ValueError:
        return shown
    return {**shown, "body": body} if isinstance(body, dict | list) else shown


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if value.get("StringValue") is not None:
        shown["stringValue"] = value["StringValue"]
    if value.get("BinaryValue") is not None:
        shown["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return {**shown, "stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}


def _fitting(records: Sequence[Record], room: int) -> Sequence[Record]:
    """The first records that together have room."""
    for number, record in enumerate(records):
        room -= len(record.event) + 1
        if room < 0:
            return records[:number]
    return records


def _entries(handles: Sequence[str]) -> Sequence[list[dict[str, Any]]]:
    """Batches of as many entries as one request takes."""
    named = [{"Id": str(number), "ReceiptHandle": handle} for number, handle in enumerate(handles)]
    return [named[at : at + RECEIVE_MAX] for at in range(0, len(named), RECEIVE_MAX)]


def _code(error: ServiceError) -> str:
    return "AWS.SimpleQueueService.NonExistentQueue" if error.code in _NO_QUEUE else error.code
