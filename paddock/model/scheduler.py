"""Schedules and groups of EventBridge Scheduler, when a schedule is due, and what it sends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from paddock.model import schedule
from paddock.model.delivery import TargetEvent
from paddock.model.event_bus import Delivering, envelope, service_of, written

DEFAULT_GROUP = "default"
PRINCIPAL = "scheduler.amazonaws.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleGroup:
    account: str
    region: str
    name: str
    created: datetime
    modified: datetime
    tags: Mapping[str, str] = field(default_factory=dict)
    client_token: str = ""

    @property
    def arn(self) -> str:
        return f"arn:aws:scheduler:{self.region}:{self.account}:schedule-group/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleTarget:
    """input: text with context keywords, None for the default event. group: MessageGroupId.

    source, detail_type: of the event, when the target is a bus.
    """

    arn: str
    role_arn: str
    input: str | None = None
    group: str = ""
    source: str = ""
    detail_type: str = ""
    delivering: Delivering = field(default_factory=Delivering)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """zone: IANA's name. window_minutes: how much later than its time it may fire; 0 for a window that is OFF.

    delete_after: ActionAfterCompletion. client_token: of its creation, so that the same request again is no conflict.
    """

    account: str
    region: str
    group: str
    name: str
    expression: str
    zone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    enabled: bool = True
    description: str | None = None
    window_minutes: int = 0
    target: ScheduleTarget
    delete_after: bool = False
    created: datetime
    modified: datetime
    client_token: str = ""

    @property
    def arn(self) -> str:
        return f"arn:aws:scheduler:{self.region}:{self.account}:schedule/{self.group}/{self.name}"

    @property
    def anchor(self) -> datetime:
        """From when a rate counts: its start date, else the time that it was last changed."""
        return self.start or self.modified

    def next_tick(self, after: datetime) -> datetime | None:
        """The next moment later than `after` that lies between its start and its end."""
        if not self.enabled:
            return None
        if self.start is not None:
            after = max(after, self.start - timedelta(microseconds=1))
        expression = schedule.parse(self.expression, once=True)
        tick = schedule.next_tick(expression, after, anchor=self.anchor, zone=ZoneInfo(self.zone))
        return None if tick is None or (self.end is not None and tick > self.end) else tick

    def first_tick(self, now: datetime) -> datetime | None:
        """What comes first after a change. A rate without a start date begins with the change itself."""
        if self.start is None and isinstance(schedule.parse(self.expression, once=True), schedule.Rate):
            return self.next_tick(self.anchor - timedelta(microseconds=1))
        return self.next_tick(now)

    def due(self, tick: datetime) -> datetime:
        """When to fire a tick: within its window, at a place that is this schedule's own for this tick."""
        if not self.window_minutes:
            return tick
        lot = hashlib.sha256(f"{self.arn} {tick.timestamp()}".encode()).digest()
        return tick + timedelta(seconds=int.from_bytes(lot[:4], "big") % (self.window_minutes * 60))

    def sent(self, tick: datetime, execution_id: str) -> TargetEvent:
        """What this tick sends."""
        target = self.target
        body = self._default(tick, execution_id) if target.input is None else self._filled(tick, execution_id)
        attributes = {"MessageGroupId": target.group} if target.group else {}
        if service_of(target.arn) == "events":
            body = _entry(target, body, written(tick), [self.arn])
        return TargetEvent(
            target_arn=target.arn,
            body=body.encode("utf-8", "replace"),
            principal=PRINCIPAL,
            source_arn=self.arn,
            source_account=self.account,
            role_arn=target.role_arn,
            attributes=attributes,
        )

    def _default(self, tick: datetime, execution_id: str) -> str:
        return _json(
            envelope(
                id=execution_id,
                source="aws.scheduler",
                detail_type="Scheduled Event",
                account=self.account,
                region=self.region,
                time=written(tick),
                resources=[self.arn],
                detail="{}",
            )
        )

    def _filled(self, tick: datetime, execution_id: str) -> str:
        """The input with its context keywords. All attempts send one text, so the number is that of the first."""
        text = self.target.input or ""
        for keyword, value in (
            ("schedule-arn", self.arn),
            ("scheduled-time", written(tick)),
            ("execution-id", execution_id),
            ("attempt-number", "1"),
        ):
            text = text.replace(f"<aws.scheduler.{keyword}>", value)
        return text


def in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


def _entry(target: ScheduleTarget, detail: str, time: str, resources: list[str]) -> str:
    return _json(
        {
            "Source": target.source,
            "DetailType": target.detail_type,
            "Detail": detail,
            "Resources": resources,
            "Time": time,
        }
    )


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
