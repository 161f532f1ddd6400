"""Topics: create, look at, change, tag, delete, and who may use them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from paddock.interfaces import Tx
from paddock.model.errors import ClientError, NotYet
from paddock.services.service import Call
from paddock.services.sns import delivery_policy
from paddock.services.sns.desk import Desk, check_arn, check_policy, invalid, page
from paddock.services.sns.nouns import Topic, dump, load

TAGS_MAX = 50
SAMPLE_RATE = "SuccessFeedbackSampleRate"
"""What the attributes end with that say how many deliveries are logged: of none, as Terraform asks, nothing is."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}\Z|[A-Za-z0-9_-]{1,251}\.fifo\Z")

SETTABLE = frozenset(
    {"DisplayName", "Policy", "DeliveryPolicy", "ContentBasedDeduplication", "SignatureVersion", "FifoTopic"}
)
"""Attributes that are honoured; KmsMasterKeyId, TracingConfig and their kin are refused."""

ACTIONS = ("Publish", "Subscribe", "GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission",
           "DeleteTopic", "ListSubscriptionsByTopic")  # fmt: skip


def default_policy(arn: str, account: str) -> str:
    """What AWS gives a new topic: everything to its owner."""
    return dump(
        {
            "Version": "2008-10-17",
            "Id": "__default_policy_ID",
            "Statement": [
                {
                    "Sid": "__default_statement_ID",
                    "Effect": "Allow",
                    "Principal": {"AWS": "*"},
                    "Action": [f"SNS:{action}" for action in ACTIONS],
                    "Resource": arn,
                    "Condition": {"StringEquals": {"AWS:SourceOwner": account}},
                }
            ],
        }
    )


async def create_topic(desk: Desk, call: Call) -> dict[str, Any]:
    """One of the same name and attributes is answered as if it were made now."""
    params, caller = call.params, call.caller
    name, given = params["Name"], dict(params.get("Attributes") or {})
    if params.get("DataProtectionPolicy"):
        raise NotYet("DataProtectionPolicy is not supported yet.")
    if _NAME.match(name) is None or name.endswith(".fifo") != (given.get("FifoTopic", "").lower() == "true"):
        raise invalid("Topic Name")
    for attribute, value in given.items():
        _check(attribute, value)
    tags = _tags(params.get("Tags") or [], {})
    arn = f"arn:aws:sns:{caller.region}:{caller.account}:{name}"
    present = desk.topics.get(arn)
    if present is not None:
        if any(present.attributes.get(attribute) != value for attribute, value in given.items()):
            raise invalid("Attributes Reason: Topic already exists with different attributes")
        if tags and tags != present.tags:
            raise invalid("Tags Reason: Topic already exists with different tags")
        return {"TopicArn": arn}
    attributes = {"Policy": default_policy(arn, caller.account), **given}
    topic = Topic(arn=arn, account=caller.account, region=caller.region, name=name, attributes=attributes, tags=tags)
    await desk.keep_topic(topic)
    return {"TopicArn": arn}


def _check(name: str, value: str) -> None:
    """Raises InvalidParameter; NotYet for an attribute that is not honoured."""
    if name not in SETTABLE:
        if not value or (name.endswith(SAMPLE_RATE) and value == "0"):
            return
        raise NotYet(f"The topic attribute {name} is not supported yet.")
    if name == "Policy":
        check_policy(value)
    if name == "DeliveryPolicy" and value:
        delivery_policy.check_topic(value)
    if name == "SignatureVersion" and value not in ("1", "2"):
        raise invalid("SignatureVersion")
    if name in ("ContentBasedDeduplication", "FifoTopic") and value.lower() not in ("true", "false"):
        raise invalid(name)


async def delete_topic(desk: Desk, call: Call) -> None:
    """Its subscriptions go with it; one that is not there is no error."""
    arn = call.params["TopicArn"]
    check_arn(arn, "TopicArn")
    if arn not in desk.topics:
        return
    desk.topic_of(call, action="DeleteTopic")

    def work(tx: Tx) -> None:
        tx.run("sns_topic_delete", arn=arn)
        tx.run("sns_subscriptions_delete", topic=arn)

    await desk.store.write(work)
    desk.topics.pop(arn, None)
    for subscription in desk.of_topic(arn):
        desk.subscriptions.pop(subscription.arn, None)


async def get_topic_attributes(desk: Desk, call: Call) -> dict[str, Any]:
    topic = desk.topic_of(call)
    subscriptions = desk.of_topic(topic.arn)
    pending = sum(1 for each in subscriptions if each.token)
    shown = {
        "TopicArn": topic.arn, "Owner": topic.account, "DisplayName": "",
        "SubscriptionsConfirmed": str(len(subscriptions) - pending), "SubscriptionsPending": str(pending),
        "SubscriptionsDeleted": "0", **{name: value for name, value in topic.attributes.items() if value},
        "EffectiveDeliveryPolicy": delivery_policy.topic_view(topic.attributes.get("DeliveryPolicy", "")),
    }  # fmt: skip
    if topic.fifo:
        shown = {"ContentBasedDeduplication": "false", **shown, "FifoTopic": "true"}
    return {"Attributes": shown}


async def set_topic_attributes(desk: Desk, call: Call) -> None:
    topic, name = desk.topic_of(call, action="SetTopicAttributes"), call.params["AttributeName"]
    value = call.params.get("AttributeValue") or ""
    if name == "FifoTopic":
        raise invalid("AttributeName")
    _check(name, value)
    await desk.keep_topic(replace(topic, attributes={**topic.attributes, name: value}))


async def list_topics(desk: Desk, call: Call) -> dict[str, Any]:
    caller = call.caller
    mine = [
        {"TopicArn": topic.arn}
        for topic in desk.topics.values()
        if (topic.account, topic.region) == (caller.account, caller.region)
    ]
    return page(call, mine, "Topics", "TopicArn")


async def add_permission(desk: Desk, call: Call) -> None:
    params, topic = call.params, desk.topic_of(call, action="AddPermission")
    statements = _statements(topic)
    if any(each.get("Sid") == params["Label"] for each in statements):
        raise invalid("Statement already exists")
    if not set(params["ActionName"]) <= set(ACTIONS):
        raise invalid("Policy statement action out of service scope!")
    principals = [f"arn:aws:iam::{account}:root" for account in params["AWSAccountId"]]
    statements.append(
        {
            "Sid": params["Label"],
            "Effect": "Allow",
            "Principal": {"AWS": principals},
            "Action": [f"SNS:{action}" for action in params["ActionName"]],
            "Resource": topic.arn,
        }
    )
    await _keep_statements(desk, topic, statements)


async def remove_permission(desk: Desk, call: Call) -> None:
    topic = desk.topic_of(call, action="RemovePermission")
    left = [each for each in _statements(topic) if each.get("Sid") != call.params["Label"]]
    await _keep_statements(desk, topic, left)


def _statements(topic: Topic) -> list[dict[str, Any]]:
    found = load(topic.attributes["Policy"]).get("Statement", [])
    return found if isinstance(found, list) else [found]


async def _keep_statements(desk: Desk, topic: Topic, statements: list[dict[str, Any]]) -> None:
    policy = dump({**load(topic.attributes["Policy"]), "Statement": statements})
    check_policy(policy)
    await desk.keep_topic(replace(topic, attributes={**topic.attributes, "Policy": policy}))


async def list_tags_for_resource(desk: Desk, call: Call) -> dict[str, Any]:
    topic = _tagged(desk, call)
    return {"Tags": [{"Key": key, "Value": value} for key, value in topic.tags.items()]}


async def tag_resource(desk: Desk, call: Call) -> None:
    topic = _tagged(desk, call)
    await desk.keep_topic(replace(topic, tags=_tags(call.params["Tags"], topic.tags)))


async def untag_resource(desk: Desk, call: Call) -> None:
    topic = _tagged(desk, call)
    gone = set(call.params["TagKeys"])
    await desk.keep_topic(replace(topic, tags={key: value for key, value in topic.tags.items() if key not in gone}))


def _tagged(desk: Desk, call: Call) -> Topic:
    topic = desk.topics.get(call.params["ResourceArn"])
    if topic is None or topic.account != call.caller.account:
        raise ClientError("Resource does not exist", code="ResourceNotFoundException", status=404)
    return topic


def _tags(entries: list[Mapping[str, str]], present: Mapping[str, str]) -> dict[str, str]:
    if len({entry["Key"] for entry in entries}) < len(entries):
        raise invalid("Duplicated keys are not allowed.")
    tags = {**present, **{entry["Key"]: entry["Value"] for entry in entries}}
    if len(tags) > TAGS_MAX:
        raise ClientError(
            "Could not complete request: tag quota of per resource exceeded", code="TagLimitExceededException"
        )
    return tags
