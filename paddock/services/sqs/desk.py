"""What the operations of SQS may ask: the queues (in memory, and in the store) and their messages (in the store).

A send is one row, acknowledged once it is durable; many sends share a commit. A receive is a write too: it gives each
message a new receipt and hides it. A long poll sleeps until something is sent to its queue, or comes back.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from paddock.interfaces import Clock, Ids, Store, TargetRefused, Tx
from paddock.model.delivery import TargetEvent
from paddock.model.errors import ClientError
from paddock.model.permission import Asker, Decision, ResourcePolicy, decide
from paddock.observe.invocation_log import epoch_ms
from paddock.services.service import Call
from paddock.services.sqs import nouns
from paddock.services.sqs.nouns import Queue, SqsError, no_queue

T = TypeVar("T")

SYSTEM_ATTRIBUTES = ("AWSTraceHeader",)
NUMBER_ATTRIBUTES = ("ErrorCode",)


class Desk:
    """Made by `await Desk.open(...)`. base_url: what queue URLs begin with."""

    def __init__(self, *, store: Store, clock: Clock, ids: Ids, base_url: str, queues: Mapping[str, Queue]) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids
        self._base_url = base_url
        self.queues = dict(queues)
        self.insert: Callable[[Mapping[str, Any]], Awaitable[None]] = store.batched(_insert)
        """One more message, by the members of sqs_insert; many share a statement."""
        self.moves_changed = asyncio.Event()
        """Set when a message move task was started."""
        self._bells: dict[str, asyncio.Event] = {}

    @classmethod
    async def open(cls, *, store: Store, clock: Clock, ids: Ids, base_url: str) -> Desk:
        rows = await store.read(lambda tx: tx.rows("sqs_queues_all"))
        queues = {row["arn"]: msgspec.json.decode(row["document"], type=Queue) for row in rows}
        return cls(store=store, clock=clock, ids=ids, base_url=base_url, queues=queues)

    def now_ms(self) -> int:
        return epoch_ms(self.clock.now())

    def url_of(self, queue: Queue) -> str:
        return f"{self._base_url}/{queue.account}/{queue.name}"

    def queue_of(self, call: Call, action: str) -> Queue:
        """The queue that QueueUrl names; its host does not matter. Raises QueueDoesNotExist, AccessDenied.

        action: the operation; another account may do what the queue's policy lets it, and nothing else.
        """
        parts = str(call.params["QueueUrl"]).rstrip("/").split("/")
        account, name = (parts[-2], parts[-1]) if len(parts) > 1 else (call.caller.account, parts[-1])
        queue = self.queues.get(f"arn:aws:sqs:{call.caller.region}:{account}:{name}")
        if queue is None:
            raise no_queue()
        if queue.account != call.caller.account:
            asker = Asker(account=call.caller.account, arn=call.caller.arn, role_arn=call.caller.role_arn)
            if self.decide(queue, asker, f"sqs:{action}") not in (Decision.ALLOWED, Decision.DELEGATED):
                raise SqsError("Access to the resource is denied.", code="AccessDenied", status=403)
        return queue

    def decide(self, queue: Queue, asker: Asker, action: str) -> Decision:
        """What the queue's policy says."""
        text = queue.attributes.get("Policy")
        return decide(ResourcePolicy.of(text) if text else None, asker, action, queue.arn)

    async def keep(self, queue: Queue) -> None:
        """Durably, then in memory."""
        document = msgspec.json.encode(queue).decode()
        await self.store.write(lambda tx: tx.run("sqs_queue_put", arn=queue.arn, document=document))
        self.queues[queue.arn] = queue

    async def forget(self, queue: Queue) -> None:
        """With its messages."""

        def work(tx: Tx) -> None:
            tx.run("sqs_purge", queue=queue.arn)
            tx.run("sqs_taken_purge", queue=queue.arn)
            tx.run("sqs_queue_delete", arn=queue.arn)

        await self.store.write(work)
        self.queues.pop(queue.arn, None)
        self.ring(queue.arn)

    async def write(self, work: Callable[[Tx], T]) -> T:
        return await self.store.write(work)

    # -- waiting

    def bell(self, arn: str) -> asyncio.Event:
        return self._bells.setdefault(arn, asyncio.Event())

    def ring(self, arn: str) -> None:
        """Wake whoever polls the queue; who polls next waits for another ring."""
        bell = self._bells.pop(arn, None)
        if bell is not None:
            bell.set()

    # -- other services

    async def send(self, event: TargetEvent, put: Callable[[Desk, Queue, Mapping[str, Any]], Any]) -> None:
        """Targets' sender: a message, if the queue is there and lets the sender in. put: what SendMessage does."""
        queue = self.queues.get(event.target_arn)
        if queue is None:
            raise TargetRefused("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
        asker = Asker(service=event.principal, source_arn=event.source_arn, source_account=event.source_account)
        if not event.role_arn and self.decide(queue, asker, "sqs:SendMessage") is not Decision.ALLOWED:
            raise TargetRefused("AccessDenied", f"The queue's policy does not let {event.principal} send to it.")
        try:
            await put(self, queue, _entry(event))
        except ClientError as error:
            raise TargetRefused(error.code, error.message) from error


def _insert(tx: Tx, messages: Sequence[Mapping[str, Any]]) -> list[None]:
    tx.run_many("sqs_insert", messages)
    return [None] * len(messages)


def _entry(event: TargetEvent) -> dict[str, Any]:
    """SendMessage's members: what SQS knows is said in its own words, the rest are attributes of the message."""
    entry: dict[str, Any] = {"MessageBody": event.body.decode("utf-8", "replace")}
    attributes: dict[str, Any] = {}
    for name, value in event.attributes.items():
        if name in ("MessageGroupId", "MessageDeduplicationId"):
            entry[name] = value
        elif name in SYSTEM_ATTRIBUTES:
            entry["MessageSystemAttributes"] = {name: {"DataType": "String", "StringValue": value}}
        elif name == "MessageAttributes":
            attributes |= {each: _as_given(one) for each, one in msgspec.json.decode(value).items()}
        elif value:
            kind = "Number" if name in NUMBER_ATTRIBUTES else "String"
            attributes[name] = {"DataType": kind, "StringValue": value}
    if attributes:
        entry["MessageAttributes"] = attributes
    return entry


def _as_given(attribute: Mapping[str, str]) -> dict[str, Any]:
    """An attribute of a message of a topic as SendMessage takes it."""
    kind, value = attribute["Type"], attribute["Value"]
    if kind.partition(".")[0] == "Binary":
        return {"DataType": kind, "BinaryValue": base64.b64decode(value)}
    return {"DataType": kind, "StringValue": value}


def changed(queue: Queue, attributes: Mapping[str, str], now_s: int) -> Queue:
    """With these attributes set; an empty policy is none. Raises InvalidAttributeName, InvalidAttributeValue."""
    nouns.check_attributes(attributes, is_fifo=queue.is_fifo)
    merged = {**queue.attributes, **attributes}
    return replace(queue, attributes={name: value for name, value in merged.items() if value}, modified_s=now_s)


def dead_letters_of(desk: Desk, arn: str) -> list[Queue]:
    """The queues whose dead letters go there."""
    return [queue for queue in desk.queues.values() if (queue.redrive or ("", 0))[0] == arn]


def as_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
