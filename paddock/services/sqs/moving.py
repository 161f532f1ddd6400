"""Message move tasks: dead letters brought back to the queues that they came from, or to another one.

    StartMessageMoveTask    the task stands in its queue's document, durably, before the answer
    Mover                   moves a portion in each transaction, together with the count of what was moved

So a restart goes on where the last one ended, and no message is moved twice or lost. What is moved is a new message
of its new queue: it keeps id, body and attributes, and begins a new retention period.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from paddock.interfaces import Row, Tx
from paddock.model.errors import ClientError
from paddock.services.service import Call, Params
from paddock.services.sqs.desk import Desk, dead_letters_of
from paddock.services.sqs.nouns import Message, MoveStatus, MoveTask, Queue, SqsError, parameter

log = logging.getLogger("paddock.sqs")

KEPT_MAX = 10
PORTION_MAX = 100
RATE_MAX = 500
DISK_PAUSE_S = 1.0
SOURCE = "DeadLetterQueueSourceArn"


class NoSuchTask(ClientError):
    code: str = "ResourceNotFoundException"
    status: int = 404


async def start_message_move_task(desk: Desk, call: Call) -> Params:
    """Raises ResourceNotFound, InvalidParameterValue, UnsupportedOperation."""
    params = call.params
    source = _queue_at(desk, call, params["SourceArn"], "StartMessageMoveTask")
    if not dead_letters_of(desk, source.arn):
        raise parameter("Source queue must be configured as a Dead Letter Queue.")
    to_arn = params.get("DestinationArn") or ""
    if to_arn:
        destination = _queue_at(desk, call, to_arn, "SendMessage")
        if destination.is_fifo != source.is_fifo:
            raise parameter("Source queue and destination queue must be of the same type.")
        if destination.arn == source.arn:
            raise parameter("Source queue and destination queue must not be the same.")
    rate = params.get("MaxNumberOfMessagesPerSecond") or 0
    if "MaxNumberOfMessagesPerSecond" in params and not 1 <= rate <= RATE_MAX:
        raise parameter(f"Value for parameter MaxNumberOfMessagesPerSecond must be between 1 and {RATE_MAX}.")
    if any(task.is_active for task in source.moves):
        message = (
            "There is already a task running. Only one active task is allowed for a source queue arn at a given time."
        )
        raise SqsError(message, code="UnsupportedOperation")
    counts = await desk.store.read(lambda tx: tx.row("sqs_counts", queue=source.arn, now_ms=desk.now_ms()))
    task = MoveTask(
        task_id=desk.ids.uuid(),
        to_arn=to_arn,
        per_s=rate,
        to_move=0 if counts is None else counts["messages"],
        started_ms=desk.now_ms(),
    )
    await desk.keep(replace(source, moves=(task, *source.moves)[:KEPT_MAX]))
    desk.moves_changed.set()
    return {"TaskHandle": _handle(source.arn, task)}


async def list_message_move_tasks(desk: Desk, call: Call) -> Params:
    source = _queue_at(desk, call, call.params["SourceArn"], "ListMessageMoveTasks")
    count = call.params.get("MaxResults", 1)
    if not 1 <= count <= KEPT_MAX:
        raise parameter(f"Value for parameter MaxResults is invalid. Reason: Must be between 1 and {KEPT_MAX}.")
    return {"Results": [_shown(source.arn, task) for task in source.moves[:count]]}


async def cancel_message_move_task(desk: Desk, call: Call) -> Params:
    """What was moved stays moved."""
    arn, task_id = _named(call.params["TaskHandle"])
    source = _queue_at(desk, call, arn, "CancelMessageMoveTask")
    task = next((task for task in source.moves if task.task_id == task_id), None)
    if task is None:
        raise NoSuchTask("Task does not exist.")
    if task.status is not MoveStatus.RUNNING:
        raise SqsError("Only active tasks can be cancelled.", code="UnsupportedOperation")
    await desk.keep(_with(source, replace(task, status=MoveStatus.CANCELLED)))
    return {"ApproximateNumberOfMessagesMoved": task.moved}


def _queue_at(desk: Desk, call: Call, arn: str, action: str) -> Queue:
    """Raises ResourceNotFoundException; AccessDenied as desk.queue_of does."""
    queue = desk.queues.get(arn)
    if queue is None:
        raise NoSuchTask("The resource that you specified for the SourceArn parameter doesn't exist.")
    return desk.queue_of(msgspec.structs.replace(call, params={"QueueUrl": desk.url_of(queue)}), action)


def _handle(source_arn: str, task: MoveTask) -> str:
    return base64.b64encode(json.dumps({"taskId": task.task_id, "sourceArn": source_arn}).encode()).decode()


def _named(handle: str) -> tuple[str, str]:
    """(source ARN, task id). Raises InvalidParameterValue."""
    try:
        document = json.loads(base64.b64decode(handle, validate=True))
        return str(document["sourceArn"]), str(document["taskId"])
    except (binascii.Error, ValueError, TypeError, KeyError):
        raise parameter("Value for parameter TaskHandle is invalid.") from None


def _shown(source_arn: str, task: MoveTask) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Status": task.status.value,
        "SourceArn": source_arn,
        "ApproximateNumberOfMessagesMoved": task.moved,
        "ApproximateNumberOfMessagesToMove": task.to_move,
        "StartedTimestamp": task.started_ms,
    }
    optional: Mapping[str, Any] = {
        "TaskHandle": _handle(source_arn, task) if task.is_active else "",
        "DestinationArn": task.to_arn,
        "MaxNumberOfMessagesPerSecond": task.per_s,
        "FailureReason": task.failure,
    }
    return {**shown, **{name: value for name, value in optional.items() if value}}


def _with(queue: Queue, task: MoveTask) -> Queue:
    """The queue with this state of one of its tasks."""
    return replace(queue, moves=tuple(task if one.task_id == task.task_id else one for one in queue.moves))


@dataclass(frozen=True, slots=True)
class _Portion:
    """What one transaction moved, and the queues that have something new."""

    count: int
    to_arns: frozenset[str]
    failure: str = ""


class Mover:
    """Works on every active task. Call start() before anything else and stop() at the end."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._loop_task: asyncio.Task[None] | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        self._loop_task = asyncio.get_running_loop().create_task(self._loop())

    async def stop(self) -> None:
        tasks = [*self._tasks.values(), *([self._loop_task] if self._loop_task is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _loop(self) -> None:
        while True:
            self._desk.moves_changed.clear()
            for queue in list(self._desk.queues.values()):
                for move in queue.moves:
                    if move.is_active and move.task_id not in self._tasks:
                        self._begin(queue.arn, move.task_id)
            await self._desk.moves_changed.wait()

    def _begin(self, arn: str, task_id: str) -> None:
        work = asyncio.get_running_loop().create_task(self._work(arn, task_id))
        self._tasks[task_id] = work
        work.add_done_callback(lambda _: self._tasks.pop(task_id, None))

    async def _work(self, arn: str, task_id: str) -> None:
        while True:
            found = _active(self._desk, arn, task_id)
            if found is None:
                return
            _, task = found
            try:
                count = await self._move(arn, task)
            except OSError as error:
                log.warning("messages of %s are not moved for now: %s", arn, error)
                await self._desk.clock.sleep(DISK_PAUSE_S)
                continue
            await self._desk.clock.sleep(count / task.per_s if task.per_s else 0.0)

    async def _move(self, arn: str, task: MoveTask) -> int:
        """One portion; how many it moved. The task is over when there was none."""
        desk, now_ms = self._desk, self._desk.now_ms()

        def work(tx: Tx) -> tuple[_Portion, Queue | None]:
            # In the writer's thread the documents in memory may be older than what was just cancelled: ask the store.
            row = tx.row("sqs_queue", arn=arn)
            queue = None if row is None else msgspec.json.decode(row["document"], type=Queue)
            now = next((one for one in queue.moves if one.task_id == task.task_id), None) if queue else None
            if queue is None or now is None or not now.is_active:
                return _Portion(0, frozenset()), queue
            portion = _moved(tx, queue, now, now_ms, frozenset(desk.queues))
            state = (
                MoveStatus.FAILED if portion.failure else MoveStatus.RUNNING if portion.count else MoveStatus.COMPLETED
            )
            after = _with(queue, replace(now, moved=now.moved + portion.count, status=state, failure=portion.failure))
            tx.run("sqs_queue_put", arn=arn, document=msgspec.json.encode(after).decode())
            return portion, after

        portion, after = await desk.write(work)
        held = desk.queues.get(arn)
        if after is not None and held is not None:
            # Only the tasks: attributes may have been set since.
            desk.queues[arn] = replace(held, moves=after.moves)
        for to_arn in portion.to_arns:
            desk.ring(to_arn)
        return portion.count


def _active(desk: Desk, arn: str, task_id: str) -> tuple[Queue, MoveTask] | None:
    queue = desk.queues.get(arn)
    task = None if queue is None else next((one for one in queue.moves if one.task_id == task_id), None)
    return None if queue is None or task is None or not task.is_active else (queue, task)


def _moved(tx: Tx, queue: Queue, task: MoveTask, now_ms: int, known: frozenset[str]) -> _Portion:
    count = min(PORTION_MAX, task.per_s or PORTION_MAX)
    rows = tx.rows("sqs_oldest_visible", queue=queue.arn, now_ms=now_ms, count=count)
    moved: list[dict[str, Any]] = []
    for row in rows:
        message = msgspec.msgpack.decode(row["document"], type=Message)
        to_arn = task.to_arn or message.system.get(SOURCE, "")
        if to_arn not in known:
            failure = "AWS.SimpleQueueService.NonExistentQueue" if to_arn else "CouldNotDetermineMessageSource"
            return _apply(tx, rows[: len(moved)], moved, failure)
        system = {name: value for name, value in message.system.items() if name != SOURCE}
        document = msgspec.msgpack.encode(replace(message, system=system))
        moved.append(
            {"queue": to_arn, "visible_ms": now_ms, "sent_ms": now_ms, "grp": row["grp"], "document": document}
        )
    return _apply(tx, rows, moved, "")


def _apply(tx: Tx, rows: list[Row], moved: list[dict[str, Any]], failure: str) -> _Portion:
    tx.run_many("sqs_remove", [{"id": row["id"]} for row in rows])
    tx.run_many("sqs_insert", moved)
    return _Portion(len(moved), frozenset(row["queue"] for row in moved), failure)
