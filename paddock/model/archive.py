"""Archives of event buses, and replays of what they keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

REPLAY_NAME = "replay-name"
"""A member that replayed events have and others do not: an archive does not keep them once more."""

STARTING, RUNNING, CANCELLING = "STARTING", "RUNNING", "CANCELLING"
COMPLETED, CANCELLED, FAILED = "COMPLETED", "CANCELLED", "FAILED"
UNFINISHED = frozenset({STARTING, RUNNING, CANCELLING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """pattern: "" keeps every event. retention_days: 0 keeps them for ever."""

    account: str
    region: str
    name: str
    bus: str
    pattern: str = ""
    description: str = ""
    retention_days: int = 0
    created: datetime

    @property
    def arn(self) -> str:
        return archive_arn(self.account, self.region, self.name)

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.account, self.region, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """start, end: which events, by their own time. rules: ARNs of those that get them, none for all of the bus.

    at_us, at_id: the last event that was sent; from there a restarted server goes on.
    """

    account: str
    region: str
    name: str
    archive: str
    bus: str
    start: datetime
    end: datetime
    rules: tuple[str, ...] = ()
    description: str = ""
    state: str = STARTING
    reason: str = ""
    began: datetime
    ended: datetime | None = None
    at_us: int = -1
    at_id: int = 0

    @property
    def arn(self) -> str:
        return f"arn:aws:events:{self.region}:{self.account}:replay/{self.name}"

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.account, self.region, self.name)


def archive_arn(account: str, region: str, name: str) -> str:
    return f"arn:aws:events:{region}:{account}:archive/{name}"


def moment_of(event: Mapping[str, Any], otherwise: datetime) -> datetime:
    """When an event says that it happened."""
    try:
        return datetime.fromisoformat(str(event["time"])).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return otherwise
