"""Queues: made, found, set, purged, deleted; their tags and permissions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from paddock.model.errors import NotYet
from paddock.services.service import Call, Params
from paddock.services.sqs import nouns
from paddock.services.sqs.desk import Desk, as_json, changed, dead_letters_of
from paddock.services.sqs.nouns import COUNTS, NUMBERS, Queue, SqsError, invalid, no_queue, parameter

LIST_MAX = 1000
PURGE_PAUSE_MS = 60_000


async def create_queue(desk: Desk, call: Call) -> Params:
    """The same again is the same queue; with other attributes it is QueueNameExists."""
    name, attributes = call.params["QueueName"], dict(call.params.get("Attributes") or {})
    nouns.check_name(name, attributes)
    now_s = desk.now_ms() // 1000
    empty = Queue(account=call.caller.account, region=call.caller.region, name=name, created_s=now_s, modified_s=now_s)
    _refuse_keys(attributes)
    wanted = changed(empty, attributes, now_s)
    _check_letters(desk, wanted)
    found = desk.queues.get(wanted.arn)
    if found is not None:
        if any(_set(found, key) != value for key, value in attributes.items()):
            raise invalid(
                "QueueNameExists",
                "A queue already exists with the same name and a different value for one or more attributes.",
            )
        return {"QueueUrl": desk.url_of(found)}
    await desk.keep(replace(wanted, tags=dict(call.params.get("tags") or {})))
    return {"QueueUrl": desk.url_of(wanted)}


async def get_queue_url(desk: Desk, call: Call) -> Params:
    owner = call.params.get("QueueOwnerAWSAccountId") or call.caller.account
    queue = desk.queues.get(f"arn:aws:sqs:{call.caller.region}:{owner}:{call.params['QueueName']}")
    if queue is None:
        raise no_queue()
    return {"QueueUrl": desk.url_of(queue)}


async def list_queues(desk: Desk, call: Call) -> Params:
    prefix, after = call.params.get("QueueNamePrefix", ""), call.params.get("NextToken", "")
    count = call.params.get("MaxResults") or LIST_MAX
    place = (call.caller.account, call.caller.region)
    found = sorted(
        queue.name
        for queue in desk.queues.values()
        if (queue.account, queue.region) == place and queue.name.startswith(prefix) and queue.name > after
    )
    page = found[:count]
    urls = [desk.url_of(desk.queues[f"arn:aws:sqs:{place[1]}:{place[0]}:{name}"]) for name in page]
    output: dict[str, object] = {"QueueUrls": urls} if urls else {}
    if len(found) > count and call.params.get("MaxResults"):
        output["NextToken"] = page[-1]
    return output


async def list_dead_letter_source_queues(desk: Desk, call: Call) -> Params:
    after, count = call.params.get("NextToken", ""), call.params.get("MaxResults") or LIST_MAX
    found = sorted(
        desk.url_of(queue) for queue in dead_letters_of(desk, desk.queue_of(call, "ListDeadLetterSourceQueues").arn)
    )
    found = [url for url in found if url > after]
    output: dict[str, object] = {"queueUrls": found[:count]}
    if len(found) > count:
        output["NextToken"] = found[count - 1]
    return output


async def get_queue_attributes(desk: Desk, call: Call) -> Params:
    queue, asked = desk.queue_of(call, "GetQueueAttributes"), list(call.params.get("AttributeNames") or ())
    nouns.check_names(asked)
    counts = await _counts(desk, queue) if {"All", *COUNTS} & set(asked) else {}
    shown = {
        **{name: str(default) for name, (default, _, _) in NUMBERS.items()},
        "SqsManagedSseEnabled": "true",
        **({"DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue", "ContentBasedDeduplication": "false"}
           if queue.is_fifo else {}),
        **queue.attributes,
        "QueueArn": queue.arn,
        "CreatedTimestamp": str(queue.created_s),
        "LastModifiedTimestamp": str(queue.modified_s),
        **counts,
    }  # fmt: skip
    if "All" not in asked:
        shown = {name: shown[name] for name in asked if name in shown}
    return {"Attributes": shown} if shown else {}


async def set_queue_attributes(desk: Desk, call: Call) -> None:
    queue, attributes = desk.queue_of(call, "SetQueueAttributes"), dict(call.params["Attributes"])
    _refuse_keys(attributes)
    if "FifoQueue" in attributes:
        raise invalid("InvalidAttributeName", "Unknown Attribute FifoQueue.")
    after = changed(queue, attributes, desk.now_ms() // 1000)
    _check_letters(desk, after)
    await desk.keep(after)
    desk.ring(queue.arn)


async def delete_queue(desk: Desk, call: Call) -> None:
    await desk.forget(desk.queue_of(call, "DeleteQueue"))


async def purge_queue(desk: Desk, call: Call) -> None:
    queue, now_ms = desk.queue_of(call, "PurgeQueue"), desk.now_ms()
    if now_ms - queue.purged_ms < PURGE_PAUSE_MS:
        raise invalid(
            "PurgeQueueInProgress", f"Only one PurgeQueue operation on {queue.name} is allowed every 60 seconds."
        )
    await desk.write(lambda tx: tx.run("sqs_purge", queue=queue.arn))
    await desk.keep(replace(queue, purged_ms=now_ms))


async def tag_queue(desk: Desk, call: Call) -> None:
    queue = desk.queue_of(call, "TagQueue")
    tags = {**queue.tags, **call.params["Tags"]}
    if len(tags) > 50:
        raise parameter(f"Too many tags added for queue {queue.name}.")
    await desk.keep(replace(queue, tags=tags))


async def untag_queue(desk: Desk, call: Call) -> None:
    queue, keys = desk.queue_of(call, "UntagQueue"), set(call.params["TagKeys"])
    await desk.keep(replace(queue, tags={key: value for key, value in queue.tags.items() if key not in keys}))


async def list_queue_tags(desk: Desk, call: Call) -> Params:
    tags = desk.queue_of(call, "ListQueueTags").tags
    return {"Tags": dict(tags)} if tags else {}


async def add_permission(desk: Desk, call: Call) -> None:
    queue, label = desk.queue_of(call, "AddPermission"), call.params["Label"]
    policy = json.loads(queue.attributes.get("Policy") or '{"Version":"2012-10-17","Statement":[]}')
    if any(one.get("Sid") == label for one in policy["Statement"]):
        raise parameter(f"Value {label} for parameter Label is invalid. Reason: Already exists.")
    statement = {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:aws:iam::{account}:root" for account in call.params["AWSAccountIds"]]},
        "Action": [f"SQS:{action}" for action in call.params["Actions"]],
        "Resource": queue.arn,
    }
    policy["Statement"].append(statement)
    await desk.keep(changed(queue, {"Policy": as_json(policy)}, desk.now_ms() // 1000))


async def remove_permission(desk: Desk, call: Call) -> None:
    queue, label = desk.queue_of(call, "RemovePermission"), call.params["Label"]
    policy = json.loads(queue.attributes.get("Policy") or '{"Statement":[]}')
    left = [one for one in policy["Statement"] if one.get("Sid") != label]
    if len(left) == len(policy["Statement"]):
        raise parameter(f"Value {label} for parameter Label is invalid. Reason: can't find label on existing policy.")
    text = as_json({**policy, "Statement": left}) if left else ""
    await desk.keep(changed(queue, {"Policy": text}, desk.now_ms() // 1000))


async def _counts(desk: Desk, queue: Queue) -> Mapping[str, str]:
    now_ms = desk.now_ms()
    row = await desk.store.read(lambda tx: tx.row("sqs_counts", queue=queue.arn, now_ms=now_ms))
    assert row is not None
    numbers = (row["visible"], row["held"], row["messages"] - row["visible"] - row["held"])
    return {name: str(number) for name, number in zip(COUNTS, numbers, strict=True)}


def _set(queue: Queue, attribute: str) -> str:
    default = str(NUMBERS[attribute][0]) if attribute in NUMBERS else ""
    return queue.attributes.get(attribute, default)


def _refuse_keys(attributes: Mapping[str, str]) -> None:
    if attributes.get("KmsMasterKeyId"):
        raise NotYet("The setting KmsMasterKeyId is not supported by Paddock yet. See docs/refused-settings.md.")
    attributes_without_key = ("KmsDataKeyReusePeriodSeconds",)
    for name in attributes_without_key:
        if name in attributes:
            raise NotYet(f"The setting {name} is not supported by Paddock yet. See docs/refused-settings.md.")


def _check_letters(desk: Desk, queue: Queue) -> None:
    """Dead letters go to a queue of the same kind that lets them in."""
    if queue.redrive is None:
        return
    target = desk.queues.get(queue.redrive[0])
    if target is None or target.is_fifo is not queue.is_fifo or not target.takes_letters_of(queue.arn):
        value = queue.attributes["RedrivePolicy"]
        raise SqsError(
            f"Value {value} for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist, is of "
            "another kind, or does not allow this source.",
            code="InvalidParameterValue",
        )
