"""Subscriptions: made, confirmed, changed, listed, ended."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from paddock.model.errors import ClientError, NotYet
from paddock.model.event_pattern import InvalidPattern, compile_pattern
from paddock.services.service import Call
from paddock.services.sns import delivery_policy, messages
from paddock.services.sns.desk import Desk, check_json, invalid, not_found, page
from paddock.services.sns.nouns import HTTP, HTTPS, LAMBDA, PROTOCOLS, SQS, Subscription, Topic

SETTABLE = frozenset({"DeliveryPolicy", "FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy"})
"""Attributes that are honoured; ReplayPolicy and SubscriptionRoleArn are refused."""

TOKEN_DIGITS = 128
_ENDPOINTS = {
    LAMBDA: re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d{12}:function:.+\Z"),
    SQS: re.compile(r"arn:aws:sqs:[a-z0-9-]+:\d{12}:.+\Z"),
}


async def subscribe(desk: Desk, call: Call) -> dict[str, Any]:
    """At once for functions and queues; an HTTP endpoint is asked to confirm."""
    params, topic = call.params, desk.topic_of(call, action="Subscribe")
    protocol, endpoint = params["Protocol"], params.get("Endpoint") or ""
    attributes = dict(params.get("Attributes") or {})
    _check_endpoint(topic, protocol, endpoint)
    for name, value in attributes.items():
        _check(name, value)
    same = next(
        (each for each in desk.of_topic(topic.arn) if (each.protocol, each.endpoint) == (protocol, endpoint)), None
    )
    if same is not None:
        if any(same.attributes.get(name) != value for name, value in attributes.items()):
            raise invalid("Attributes Reason: Subscription already exists with different attributes")
        subscription = same
    else:
        asked = protocol in (HTTP, HTTPS)
        subscription = Subscription(
            arn=f"{topic.arn}:{desk.ids.uuid()}", topic=topic.arn, account=call.caller.account, protocol=protocol,
            endpoint=endpoint, token=desk.ids.hex(TOKEN_DIGITS) if asked else "", attributes=attributes,
        )  # fmt: skip
    if subscription.token:
        event = messages.confirmation(desk, topic, subscription, desk.clock.now())
        policy = messages.policy_of(desk, subscription).as_retry_policy()
        await desk.keep_subscription(
            subscription, lambda tx: desk.outbox(tx, event, policy=policy, group=subscription.arn)
        )
    elif same is None:
        await desk.keep_subscription(subscription)
    pending = subscription.token and not params.get("ReturnSubscriptionArn")
    return {"SubscriptionArn": "pending confirmation" if pending else subscription.arn}


def _check_endpoint(topic: Topic, protocol: str, endpoint: str) -> None:
    if protocol not in PROTOCOLS:
        if protocol in ("email", "email-json", "sms", "application", "firehose"):
            raise NotYet(f"Protocol {protocol} is not supported yet.")
        raise invalid(f"Amazon SNS does not support this protocol string: {protocol}")
    if protocol in (HTTP, HTTPS):
        parts = urlsplit(endpoint)
        if parts.scheme != protocol or not parts.hostname:
            raise invalid("Endpoint must match the specified protocol")
    elif _ENDPOINTS[protocol].match(endpoint) is None:
        raise invalid(f"{protocol.upper() if protocol == SQS else 'Lambda'} endpoint ARN")
    if endpoint.endswith(".fifo") and protocol == SQS and not topic.fifo:
        raise invalid("Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics")
    if topic.fifo and protocol != SQS:
        raise invalid(f"Invalid protocol type: {protocol}")


def _check(name: str, value: str) -> None:
    """Raises InvalidParameter; NotYet for an attribute that is not honoured."""
    if name not in SETTABLE:
        if not value:
            return
        raise NotYet(f"The subscription attribute {name} is not supported yet.")
    if name == "FilterPolicy" and value:
        if not isinstance(check_json(name, value), dict):
            raise invalid("FilterPolicy: Filter policy must be a JSON object")
        if json.loads(value):
            try:
                compile_pattern(value)
            except InvalidPattern as error:
                raise invalid(f"FilterPolicy: {error}") from error
    if name == "DeliveryPolicy" and value:
        delivery_policy.check_subscription(value)
    if name == "FilterPolicyScope" and value not in ("MessageAttributes", "MessageBody"):
        raise invalid(f"FilterPolicyScope: Invalid value [{value}]. Please use either MessageBody or MessageAttributes")
    if name == "RawMessageDelivery" and value.lower() not in ("true", "false"):
        raise invalid("RawMessageDelivery: Invalid value")
    if name == "RedrivePolicy" and value:
        policy = check_json(name, value)
        target = policy.get("deadLetterTargetArn") if isinstance(policy, dict) else None
        if not isinstance(target, str) or _ENDPOINTS[SQS].match(target) is None:
            raise invalid("RedrivePolicy: deadLetterTargetArn is an invalid arn")


async def confirm_subscription(desk: Desk, call: Call) -> dict[str, Any]:
    """Whoever has the token was asked."""
    token = call.params["Token"]
    found = next((each for each in desk.of_topic(call.params["TopicArn"]) if each.token and each.token == token), None)
    if found is None:
        if call.params["TopicArn"] not in desk.topics:
            raise not_found("Topic does not exist")
        raise invalid("Token")
    attributes = dict(found.attributes)
    if (call.params.get("AuthenticateOnUnsubscribe") or "").lower() == "true":
        attributes["AuthenticateOnUnsubscribe"] = "true"
    await desk.keep_subscription(replace(found, token="", attributes=attributes))
    return {"SubscriptionArn": found.arn}


async def unsubscribe(desk: Desk, call: Call) -> None:
    """Once is as good as twice. An unsigned caller may, unless the subscription was confirmed with a demand."""
    found = desk.subscriptions.get(call.params["SubscriptionArn"])
    if found is None:
        desk_arn = call.params["SubscriptionArn"]
        if desk_arn.count(":") != 6:
            raise invalid("SubscriptionArn Reason: An ARN must have at least 6 elements")
        return
    authenticated = found.attributes.get("AuthenticateOnUnsubscribe") == "true"
    if (call.caller.access_key_id and call.caller.account != found.account) or (
        authenticated and not call.caller.access_key_id
    ):
        raise ClientError("Not authorized to unsubscribe", code="AuthorizationErrorException", status=403)
    await desk.store.write(lambda tx: tx.run("sns_subscription_delete", arn=found.arn))
    desk.subscriptions.pop(found.arn, None)


async def get_subscription_attributes(desk: Desk, call: Call) -> dict[str, Any]:
    found = desk.subscription_of(call)
    shown = {
        "SubscriptionArn": found.arn, "TopicArn": found.topic, "Owner": found.account, "Protocol": found.protocol,
        "Endpoint": found.endpoint, "PendingConfirmation": "true" if found.token else "false",
        "ConfirmationWasAuthenticated": "false" if found.token else "true", "RawMessageDelivery": "false",
        "SubscriptionPrincipal": f"arn:aws:iam::{found.account}:root", **found.attributes,
    }  # fmt: skip
    if found.attributes.get("FilterPolicy"):
        shown.setdefault("FilterPolicyScope", "MessageAttributes")
    if found.protocol in (HTTP, HTTPS):
        topic = desk.topics.get(found.topic)
        of_topic = topic.attributes.get("DeliveryPolicy", "") if topic is not None else ""
        own = found.attributes.get("DeliveryPolicy", "")
        shown["EffectiveDeliveryPolicy"] = delivery_policy.subscription_view(of_topic, own)
    return {"Attributes": {name: value for name, value in shown.items() if value}}


async def set_subscription_attributes(desk: Desk, call: Call) -> None:
    found, name = desk.subscription_of(call), call.params["AttributeName"]
    value = call.params.get("AttributeValue") or ""
    _check(name, value)
    await desk.keep_subscription(replace(found, attributes={**found.attributes, name: value}))


async def list_subscriptions(desk: Desk, call: Call) -> dict[str, Any]:
    account, region = call.caller.account, call.caller.region
    mine = [
        each for each in desk.subscriptions.values() if each.account == account and each.arn.split(":")[3] == region
    ]
    return page(call, [_entry(each) for each in mine], "Subscriptions", "SubscriptionArn")


async def list_subscriptions_by_topic(desk: Desk, call: Call) -> dict[str, Any]:
    topic = desk.topic_of(call, action="ListSubscriptionsByTopic")
    return page(call, [_entry(each) for each in desk.of_topic(topic.arn)], "Subscriptions", "SubscriptionArn")


def _entry(found: Subscription) -> dict[str, str]:
    return {
        "SubscriptionArn": "PendingConfirmation" if found.token else found.arn, "Owner": found.account,
        "Protocol": found.protocol, "Endpoint": found.endpoint, "TopicArn": found.topic,
    }  # fmt: skip
