"""A message as each kind of subscriber gets it, and which subscribers get it (spec 04 §9)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from paddock.invoke.outbox import DeadLetter, RetryPolicy
from paddock.model.delivery import TargetEvent
from paddock.model.event_pattern import read_json
from paddock.services.sns import delivery_policy
from paddock.services.sns.delivery_policy import DeliveryPolicy
from paddock.services.sns.desk import Desk
from paddock.services.sns.nouns import HTTP, HTTPS, LAMBDA, Subscription, Topic

PRINCIPAL = "sns.amazonaws.com"
VERSION = "2010-03-31"
URL = "url"
"""The attribute that marks an event for an HTTP subscriber: where it goes."""

INSIDE = RetryPolicy(attempts_max=100_015, age_s_max=23 * 86_400.0)
"""For functions and queues, as AWS tries those: so long, and so often at most."""

LETTER_ATTRIBUTES_MAX = 10
WHY_GIVEN_UP = ("ERROR_CODE", "ERROR_MESSAGE", "EXHAUSTED_RETRY_CONDITION", "RETRY_ATTEMPTS", "TARGET_ARN")


@dataclass(frozen=True, kw_only=True)
class Message:
    """attributes: name -> {Type, Value}. by_protocol: other texts for some protocols (MessageStructure=json)."""

    id: str
    text: str
    subject: str | None
    sent_at: datetime
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    by_protocol: Mapping[str, str] = field(default_factory=dict)
    group_id: str = ""
    deduplication_id: str = ""
    sequence: str = ""
    trace_id: str = ""

    def for_protocol(self, protocol: str) -> str:
        return self.by_protocol.get(protocol, self.text)


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{moment.microsecond // 1000:03d}Z"


def selects(subscription: Subscription, message: Message) -> bool:
    """Whether the subscription's filter policy lets the message through."""
    pattern = subscription.pattern
    if pattern is None:
        return True
    if subscription.by_body:
        try:
            body = read_json(message.text)
        except ValueError:
            return False
        return isinstance(body, dict) and pattern.matches(body)
    return pattern.matches(_filterable(message.attributes))


def _filterable(attributes: Mapping[str, Mapping[str, str]]) -> Any:
    """Attributes as an event: numbers and arrays as themselves, binary ones left out."""
    document: dict[str, Any] = {}
    for name, attribute in attributes.items():
        kind, value = attribute["Type"], attribute["Value"]
        if kind == "String.Array" or kind.startswith("Number"):
            try:
                document[name] = read_json(value)
            except ValueError:
                document[name] = value
        elif kind.startswith("String"):
            document[name] = value
    return document


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """The message on its way to a subscriber. group: what it may hold up, None for all of its topic."""

    event: TargetEvent
    policy: RetryPolicy = INSIDE
    letter: DeadLetter | None = None
    group: str | None = None


def policy_of(desk: Desk, subscription: Subscription) -> DeliveryPolicy:
    topic = desk.topics.get(subscription.topic)
    given = topic.attributes.get("DeliveryPolicy", "") if topic is not None else ""
    return delivery_policy.effective(given, subscription.attributes.get("DeliveryPolicy", ""))


def parcel_of(desk: Desk, topic: Topic, subscription: Subscription, message: Message) -> Parcel:
    text = message.for_protocol(subscription.protocol)
    attributes = {"AWSTraceHeader": message.trace_id} if message.trace_id else {}
    target, policy, group = subscription.endpoint, INSIDE, None
    if subscription.protocol == LAMBDA:
        body = _record(desk, topic, subscription, message, text)
    elif subscription.raw:
        body = text.encode()
        if message.attributes:
            attributes |= {"MessageAttributes": msgspec.json.encode(message.attributes).decode()}
    else:
        body = msgspec.json.encode(_notification(desk, topic, subscription, message, text))
    if subscription.protocol in (HTTP, HTTPS):
        target = subscription.arn
        attributes |= {URL: subscription.endpoint, "x-amz-sns-message-type": "Notification",
                       "x-amz-sns-message-id": message.id, "x-amz-sns-topic-arn": topic.arn,
                       "x-amz-sns-subscription-arn": subscription.arn}  # fmt: skip
        if subscription.raw:
            attributes["x-amz-sns-rawdelivery"] = "true"
        delivering = policy_of(desk, subscription)
        attributes["Content-Type"] = delivering.content_type
        policy, group = delivering.as_retry_policy(), subscription.arn
    elif topic.fifo or message.group_id:
        attributes["MessageGroupId"] = message.group_id
        if target.endswith(".fifo"):
            attributes["MessageDeduplicationId"] = message.deduplication_id
    event = TargetEvent(
        target_arn=target, body=body, principal=PRINCIPAL, source_arn=topic.arn, source_account=topic.account,
        attributes=attributes,
    )  # fmt: skip
    return Parcel(event=event, policy=policy, letter=_letter_of(subscription, message), group=group)


def _record(desk: Desk, topic: Topic, subscription: Subscription, message: Message, text: str) -> bytes:
    """A function's event: here it is SigningCertUrl and UnsubscribeUrl."""
    signed = _notification(desk, topic, subscription, message, text)
    sns = {
        "Type": "Notification", "MessageId": message.id, "TopicArn": topic.arn, "Subject": message.subject,
        "Message": text, "Timestamp": signed["Timestamp"], "SignatureVersion": signed["SignatureVersion"],
        "Signature": signed["Signature"], "SigningCertUrl": signed["SigningCertURL"],
        "UnsubscribeUrl": signed["UnsubscribeURL"], "MessageAttributes": message.attributes,
    }  # fmt: skip
    return msgspec.json.encode(
        {
            "Records": [
                {"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": subscription.arn, "Sns": sns}
            ]
        }
    )


def _notification(desk: Desk, topic: Topic, subscription: Subscription, message: Message, text: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"Type": "Notification", "MessageId": message.id}
    if topic.fifo:
        shown["SequenceNumber"] = message.sequence
    shown["TopicArn"] = topic.arn
    if message.subject is not None:
        shown["Subject"] = message.subject
    shown |= {"Message": text, "Timestamp": stamp(message.sent_at)}
    shown |= _signature(desk, topic, shown)
    query = urlencode({"Action": "Unsubscribe", "Version": VERSION, "SubscriptionArn": subscription.arn})
    shown["UnsubscribeURL"] = f"{desk.base_url}/?{query}"
    return shown | ({"MessageAttributes": message.attributes} if message.attributes else {})


def confirmation(desk: Desk, topic: Topic, subscription: Subscription, now: datetime) -> TargetEvent:
    """What an HTTP subscriber gets first: a token to answer with."""
    query = urlencode(
        {"Action": "ConfirmSubscription", "Version": VERSION, "TopicArn": topic.arn, "Token": subscription.token}
    )
    message_id = desk.ids.uuid()
    shown = {
        "Type": "SubscriptionConfirmation", "MessageId": message_id, "Token": subscription.token,
        "TopicArn": topic.arn,
        "Message": f"You have chosen to subscribe to the topic {topic.arn}.\n"
        "To confirm the subscription, visit the SubscribeURL included in this message.",
        "SubscribeURL": f"{desk.base_url}/?{query}", "Timestamp": stamp(now),
    }  # fmt: skip
    shown |= _signature(desk, topic, shown)
    attributes = {
        URL: subscription.endpoint, "x-amz-sns-message-type": "SubscriptionConfirmation",
        "x-amz-sns-message-id": message_id, "x-amz-sns-topic-arn": topic.arn,
    }  # fmt: skip
    return TargetEvent(
        target_arn=subscription.arn, body=msgspec.json.encode(shown), principal=PRINCIPAL, source_arn=topic.arn,
        source_account=topic.account, attributes=attributes,
    )  # fmt: skip


_SIGNED = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
"""What is signed of a message, in this order, each name and value on a line."""


def _signature(desk: Desk, topic: Topic, shown: Mapping[str, Any]) -> dict[str, str]:
    version = topic.attributes.get("SignatureVersion", "1")
    text = "".join(f"{name}\n{shown[name]}\n" for name in _SIGNED if name in shown)
    return {
        "SignatureVersion": version,
        "Signature": desk.notary.sign(text, version),
        "SigningCertURL": desk.certificate_url,
    }


def attributes_of(given: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Message attributes of a request as messages show them."""
    shown = {}
    for name, attribute in given.items():
        value = attribute.get("StringValue")
        if value is None:
            value = base64.b64encode(attribute.get("BinaryValue") or b"").decode()
        shown[name] = {"Type": attribute["DataType"], "Value": value}
    return shown


def _letter_of(subscription: Subscription, message: Message) -> DeadLetter | None:
    """Where what could not be delivered goes (RedrivePolicy): the text as the subscriber would have got it.

    A raw message keeps its attributes, if a queue takes so many, even where no room is left for why it was given up.
    """
    arn = subscription.dead_letter_arn
    if not arn:
        return None
    attributes: dict[str, str] = {}
    if arn.endswith(".fifo"):
        attributes |= {
            "MessageGroupId": message.group_id or subscription.arn.rpartition(":")[2],
            "MessageDeduplicationId": message.deduplication_id or message.id,
        }
    if subscription.raw and 0 < len(message.attributes) <= LETTER_ATTRIBUTES_MAX:
        attributes["MessageAttributes"] = msgspec.json.encode(message.attributes).decode()
        if len(message.attributes) + len(WHY_GIVEN_UP) > LETTER_ATTRIBUTES_MAX:
            attributes |= dict.fromkeys(WHY_GIVEN_UP, "")
    return DeadLetter(target_arn=arn, attributes=attributes)
