"""SNS as a target: other services' events to a topic, and a topic's messages to HTTP subscribers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from paddock.interfaces import TargetRefused
from paddock.model.delivery import TargetEvent
from paddock.model.errors import ServiceError
from paddock.model.permission import Asker, Decision
from paddock.services.sns.delivery_policy import PLAIN_TEXT
from paddock.services.sns.desk import Desk
from paddock.services.sns.lines import Lines
from paddock.services.sns.messages import URL
from paddock.services.sns.nouns import Topic
from paddock.services.sns.publishing import deliver, message_of

TOO_MANY_REQUESTS = 429

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[int]]


class SnsTarget:
    """The sender behind sns ARNs."""

    def __init__(self, desk: Desk, post: Post) -> None:
        self._desk = desk
        self._post = post
        self._lines = Lines()

    def check(self, event: TargetEvent) -> None:
        """Raises TargetRefused when the topic is not there or does not let the event's source in."""
        self._topic(event)

    async def send(self, event: TargetEvent) -> None:
        if URL in event.attributes:
            await self._by_http(event)
            return
        topic = self._topic(event)
        params = {"Message": event.body.decode("utf-8", "replace")}
        params |= {name: event.attributes[name] for name in ("Subject", "MessageGroupId", "MessageDeduplicationId")
                   if event.attributes.get(name)}  # fmt: skip
        trace_id = event.attributes.get("AWSTraceHeader", "")
        await deliver(self._desk, topic, message_of(self._desk, topic, params, trace_id))

    def _topic(self, event: TargetEvent) -> Topic:
        """Raises TargetRefused when it is not there or its policy does not let the event in.

        What a role sends (a function's destination, a schedule) is the role's affair, as on AWS.
        """
        desk = self._desk
        topic = desk.topics.get(event.target_arn)
        if topic is None:
            raise TargetRefused("NotFound", "Topic does not exist")
        if event.principal and not event.role_arn:
            asker = Asker(service=event.principal, source_arn=event.source_arn, source_account=event.source_account)
            if desk.decide(topic, asker, "sns:Publish") is not Decision.ALLOWED:
                raise TargetRefused(
                    "AuthorizationError", f"{event.principal} is not authorized to publish to {topic.arn}"
                )
        return topic

    async def _by_http(self, event: TargetEvent) -> None:
        """A subscriber that refuses will not be asked again; one that is broken or away will."""
        with self._lines.line_to(event.target_arn) as line:
            await self._posted(event)
            line.works()

    async def _posted(self, event: TargetEvent) -> None:
        url = event.attributes[URL]
        headers = {name: value for name, value in event.attributes.items() if name.startswith("x-amz-sns-")}
        headers |= {
            "Content-Type": event.attributes.get("Content-Type", PLAIN_TEXT),
            "User-Agent": "Amazon Simple Notification Service Agent",
        }
        try:
            status = await self._post(url, headers, event.body)
        except OSError as error:
            raise ServiceError(f"{url} does not answer: {error}", code="EndpointUnreachable") from error
        if 200 <= status < 300:
            return
        if 400 <= status < 500 and status != TOO_MANY_REQUESTS:
            raise TargetRefused("EndpointRefused", f"{url} answered {status}")
        raise ServiceError(f"{url} answered {status}", code="EndpointFailed")
