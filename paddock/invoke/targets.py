"""interfaces.Targets as a table: the service that an ARN names -> who sends there.

The room `app` fills it: `invoke` itself knows functions only, the senders of other services belong to their folders.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from paddock.interfaces import TargetRefused
from paddock.model.delivery import TargetEvent

Check = Callable[[TargetEvent], None]
"""Raises TargetRefused when the target is not there or does not let the event's source in."""

Sender = Callable[[TargetEvent], Awaitable[None]]
"""As Targets.send, for ARNs of one service."""

ARN_PARTS = 6


class TargetTable:
    """Empty at first; the room `app` adds every sender before the first event."""

    def __init__(self) -> None:
        self._senders: dict[str, Sender] = {}
        self._checks: dict[str, Check] = {}

    def add(self, service: str, sender: Sender, check: Check | None = None) -> None:
        """service: the third part of an ARN ("lambda", "sqs", ...)."""
        self._senders[service] = sender
        if check is not None:
            self._checks[service] = check

    def serves(self, target_arn: str) -> bool:
        """Whether events can be sent to such ARNs at all; the resource itself may be absent."""
        return service_of(target_arn) in self._senders

    def check(self, event: TargetEvent) -> None:
        """Whether the event would be taken, as far as can be told without sending it. Raises TargetRefused."""
        if not self.serves(event.target_arn):
            raise TargetRefused("InvalidParameterValue", f"Paddock does not send events to {event.target_arn} yet.")
        check = self._checks.get(service_of(event.target_arn))
        if check is not None:
            check(event)

    async def send(self, event: TargetEvent) -> None:
        sender = self._senders.get(service_of(event.target_arn))
        if sender is None:
            raise TargetRefused("InvalidParameterValue", f"Paddock does not send events to {event.target_arn} yet.")
        await sender(event)


def service_of(arn: str) -> str:
    """The service part of an ARN, or "" for what is none."""
    parts = arn.split(":", ARN_PARTS - 1)
    return parts[2] if len(parts) == ARN_PARTS and parts[0] == "arn" else ""
