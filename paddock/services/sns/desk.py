"""What the operations of SNS may ask. Topics and subscriptions are held in memory whole, as copies of their rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from paddock.interfaces import Clock, Ids, Store, Tx
from paddock.invoke.outbox import DeadLetter, RetryPolicy
from paddock.model import permission
from paddock.model.delivery import TargetEvent
from paddock.model.errors import ClientError, ServiceError
from paddock.model.permission import Asker, Decision, ResourcePolicy
from paddock.model.policy import MalformedPolicy
from paddock.services.service import Call
from paddock.services.sns.nouns import Subscription, Topic, subscription_from, topic_from

PAGE = 100


class Notary(Protocol):
    """Signs messages."""

    def sign(self, text: str, version: str) -> str:
        """Base64. version: SNS's SignatureVersion, "1" or "2"."""


class Put(Protocol):
    """invoke.outbox.Outbox.put"""

    def __call__(
        self,
        tx: Tx,
        event: TargetEvent,
        *,
        policy: RetryPolicy | None = None,
        dead_letter: DeadLetter | None = None,
        group: str | None = None,
    ) -> None: ...


class Desk:
    """Made by `await Desk.open(...)`. base_url: http://host:port as clients reach it.

    certificate_url: of the notary.
    """

    def __init__(
        self, *, store: Store, clock: Clock, ids: Ids, outbox: Put, notary: Notary, base_url: str, certificate_url: str
    ) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids
        self.outbox = outbox
        self.notary = notary
        self.base_url = base_url
        self.certificate_url = certificate_url
        self.topics: dict[str, Topic] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self._sequence = 0

    @classmethod
    async def open(cls, *, store: Store, **handed: Any) -> Desk:
        desk = cls(store=store, **handed)
        topics = await store.read(lambda tx: tx.rows("sns_topics_all"))
        subscriptions = await store.read(lambda tx: tx.rows("sns_subscriptions_all"))
        desk.topics = {row["arn"]: topic_from(row) for row in topics}
        desk.subscriptions = {row["arn"]: subscription_from(row) for row in subscriptions}
        return desk

    def now_ms(self) -> int:
        return int(self.clock.now().timestamp() * 1000)

    def next_sequence(self) -> str:
        """20 digits, greater than every one before."""
        self._sequence = max(self._sequence + 1, int(self.clock.now().timestamp() * 1_000_000))
        return f"{self._sequence:020d}"

    def topic_of(self, call: Call, member: str = "TopicArn", action: str = "") -> Topic:
        """The topic that the call names, if the caller may. Raises InvalidParameter, NotFound, AuthorizationError."""
        arn = call.params[member]
        check_arn(arn, "TopicArn")
        topic = self.topics.get(arn)
        if topic is None:
            raise not_found("Topic does not exist")
        if topic.account != call.caller.account or action:
            asker = Asker(account=call.caller.account, arn=call.caller.arn, role_arn=call.caller.role_arn)
            decision = self.decide(topic, asker, f"sns:{action}" if action else "sns:GetTopicAttributes")
            allowed = decision in (Decision.ALLOWED, Decision.DELEGATED)
            if decision is Decision.DENIED or (topic.account != call.caller.account and not allowed):
                message = f"User: {call.caller.arn} is not authorized to perform: SNS:{action} on resource: {arn}"
                raise ClientError(message, code="AuthorizationErrorException", status=403)
        return topic

    def decide(self, topic: Topic, asker: Asker, action: str) -> Decision:
        text = topic.attributes.get("Policy")
        policy = ResourcePolicy.of(text) if text else None
        return permission.decide(policy, asker, action, topic.arn)

    def subscription_of(self, call: Call) -> Subscription:
        arn = call.params["SubscriptionArn"]
        check_arn(arn, "SubscriptionArn", parts=7)
        found = self.subscriptions.get(arn)
        if found is None:
            raise not_found("Subscription does not exist")
        return found

    def of_topic(self, arn: str) -> list[Subscription]:
        return [each for each in self.subscriptions.values() if each.topic == arn]

    async def keep_topic(self, topic: Topic) -> None:
        await self.store.write(lambda tx: tx.run("sns_topic_put", **topic.row()))
        self.topics[topic.arn] = topic

    async def keep_subscription(self, subscription: Subscription, also: Callable[[Tx], None] | None = None) -> None:
        def work(tx: Tx) -> None:
            tx.run("sns_subscription_put", **subscription.row())
            if also is not None:
                also(tx)

        await self.store.write(work)
        self.subscriptions[subscription.arn] = subscription


def check_arn(arn: str, name: str, parts: int = 6) -> None:
    found = arn.split(":")
    if len(found) != parts or found[0] != "arn" or found[2] != "sns":
        raise invalid(
            f"{name} Reason: An ARN must have at least 6 elements, not {len(found)}" if len(found) < 6 else name
        )


def check_policy(text: str) -> None:
    try:
        ResourcePolicy.of(text)
    except MalformedPolicy as error:
        raise invalid(f"Policy Error: {error}") from error


def check_json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise invalid(f"{name}: failed to parse JSON.") from None


def invalid(what: str) -> ServiceError:
    return ClientError(f"Invalid parameter: {what}", code="InvalidParameterException")


def not_found(message: str) -> ServiceError:
    return ClientError(message, code="NotFoundException", status=404)


def page(call: Call, entries: Sequence[Mapping[str, Any]], name: str, key: str) -> dict[str, Any]:
    """A page of entries in the order of their `key`; the token is the last one's."""
    after = call.params.get("NextToken") or ""
    left = sorted((each for each in entries if each[key] > after), key=lambda each: str(each[key]))
    shown: dict[str, Any] = {name: left[:PAGE]}
    return shown | ({"NextToken": left[PAGE - 1][key]} if len(left) > PAGE else {})
