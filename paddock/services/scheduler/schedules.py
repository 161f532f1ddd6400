"""Schedules: created, read, replaced, deleted. What an update does not name is as by default again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from paddock.model import schedule as expressions
from paddock.model.errors import NotYet
from paddock.model.event_bus import EVENT_AGE_S_DEFAULT, RETRY_ATTEMPTS_DEFAULT, Delivering, service_of
from paddock.model.schedule import InvalidSchedule
from paddock.model.scheduler import DEFAULT_GROUP, Schedule, ScheduleGroup, ScheduleTarget, in_utc
from paddock.services.scheduler.desk import (
    Desk,
    conflict,
    invalid,
    limit_of,
    missing,
    read_token,
    written_token,
)
from paddock.services.service import Call, Params

SUPPORTED = frozenset({"lambda", "sqs", "sns", "events"})
_TARGET = frozenset(
    {"Arn", "RoleArn", "DeadLetterConfig", "RetryPolicy", "Input", "SqsParameters", "EventBridgeParameters"}
)


async def create_schedule(desk: Desk, call: Call) -> Params:
    wanted = _schedule(desk, call)

    def change(before: Schedule | None, group: ScheduleGroup | None) -> Schedule:
        _there(group, wanted.group)
        if before is None:
            return wanted
        same = replace(wanted, created=before.created, modified=before.modified) == before
        if wanted.client_token and same:
            return before
        raise conflict(f"Schedule {wanted.name} already exists.")

    await desk.schedules.change(_key(call), change)
    return {"ScheduleArn": wanted.arn}


async def update_schedule(desk: Desk, call: Call) -> Params:
    wanted = _schedule(desk, call)

    def change(before: Schedule | None, group: ScheduleGroup | None) -> Schedule:
        _there(group, wanted.group)
        if before is None:
            raise missing(f"Schedule {wanted.name} does not exist.")
        return replace(wanted, created=before.created, client_token=before.client_token)

    await desk.schedules.change(_key(call), change)
    return {"ScheduleArn": wanted.arn}


async def get_schedule(desk: Desk, call: Call) -> Params:
    found = await desk.schedules.get(_key(call))
    if found is None:
        raise missing(f"Schedule {call.params['Name']} does not exist.")
    return _view(found)


async def list_schedules(desk: Desk, call: Call) -> Params:
    params, caller = call.params, call.caller
    group, state, limit = params.get("GroupName") or "", params.get("State"), limit_of(params)
    if group:
        _there(await desk.schedules.group(caller.account, caller.region, group), group)
    after_group, _, after_name = read_token(params.get("NextToken")).partition("/")
    found = await desk.schedules.page(
        caller.account, caller.region, group=group, prefix=params.get("NamePrefix") or "",
        enabled=None if state is None else state == "ENABLED", after=(after_group, after_name), limit=limit + 1,
    )  # fmt: skip
    shown = {"Schedules": [_summary(one) for one in found[:limit]]}
    if len(found) <= limit:
        return shown
    return {**shown, "NextToken": written_token(f"{found[limit - 1].group}/{found[limit - 1].name}")}


async def delete_schedule(desk: Desk, call: Call) -> Params:
    def change(before: Schedule | None, group: ScheduleGroup | None) -> None:
        if before is None:
            raise missing(f"Schedule {call.params['Name']} does not exist.")

    await desk.schedules.change(_key(call), change)
    return {}


def _key(call: Call) -> tuple[str, str, str, str]:
    return (
        call.caller.account,
        call.caller.region,
        call.params.get("GroupName") or DEFAULT_GROUP,
        call.params["Name"],
    )


def _schedule(desk: Desk, call: Call) -> Schedule:
    """What a request describes. Raises ValidationException, NotYet."""
    params, now = call.params, desk.clock.now()
    if params.get("KmsKeyArn"):
        raise NotYet("The setting KmsKeyArn of a schedule is not supported by Paddock yet.")
    account, region, group, name = _key(call)
    start, end = in_utc(params.get("StartDate")), in_utc(params.get("EndDate"))
    if end is not None and end <= max(now, start or now):
        raise invalid("The EndDate must lie in the future, and after the StartDate.")
    description = params.get("Description")
    return Schedule(
        account=account, region=region, group=group, name=name,
        expression=_expression(params["ScheduleExpression"]),
        zone=_zone(params.get("ScheduleExpressionTimezone") or "UTC"),
        start=start, end=end, enabled=params.get("State") != "DISABLED", description=description,
        window_minutes=_window(params["FlexibleTimeWindow"]), target=_target(params["Target"]),
        delete_after=params.get("ActionAfterCompletion") == "DELETE", created=now, modified=now,
        client_token=params.get("ClientToken") or "",
    )  # fmt: skip


def _expression(text: str) -> str:
    try:
        expressions.parse(text, once=True)
    except InvalidSchedule:
        raise invalid(f"Invalid Schedule Expression {text}.") from None
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise invalid(f"Invalid ScheduleExpressionTimezone {name}.") from None
    return name


def _window(given: Mapping[str, Any]) -> int:
    minutes = given.get("MaximumWindowInMinutes")
    if (given["Mode"] == "FLEXIBLE") is (minutes is None):
        raise invalid(
            "MaximumWindowInMinutes must be given when the Mode of FlexibleTimeWindow is FLEXIBLE, and only then."
        )
    return minutes or 0


def _target(given: Mapping[str, Any]) -> ScheduleTarget:
    arn = given["Arn"]
    service = service_of(arn)
    if not service:
        raise invalid("Provided Arn is not in correct format.")
    if service not in SUPPORTED:
        raise NotYet(f"Targets (Target.Arn) of the service {service} are not supported by Paddock yet.")
    for name, value in given.items():
        if name not in _TARGET and value:
            raise NotYet(f"A target's setting {name} is not supported by Paddock yet.")
    bus, retry = given.get("EventBridgeParameters") or {}, given.get("RetryPolicy") or {}
    if (service == "events") is not bool(bus):
        raise invalid("EventBridgeParameters must be specified for an event bus, and only for one.")
    group = (given.get("SqsParameters") or {}).get("MessageGroupId") or ""
    if service == "sqs" and arn.endswith(".fifo") is not bool(group):
        raise invalid("SqsParameters with a MessageGroupId must be specified for a FIFO queue, and only for one.")
    attempts, age_s = retry.get("MaximumRetryAttempts"), retry.get("MaximumEventAgeInSeconds")
    return ScheduleTarget(
        arn=arn, role_arn=given["RoleArn"], input=given.get("Input"), group=group,
        source=bus.get("Source", ""), detail_type=bus.get("DetailType", ""),
        delivering=Delivering(
            attempts_max=RETRY_ATTEMPTS_DEFAULT if attempts is None else attempts,
            age_s_max=EVENT_AGE_S_DEFAULT if age_s is None else age_s,
            dead_letter_arn=(given.get("DeadLetterConfig") or {}).get("Arn") or "",
        ),
    )  # fmt: skip


def _there(group: ScheduleGroup | None, name: str) -> None:
    if group is None:
        raise missing(f"Schedule group {name} does not exist.")


def _view(one: Schedule) -> dict[str, Any]:
    target, delivering = one.target, one.target.delivering
    shown_target: dict[str, Any] = {
        "Arn": target.arn,
        "RoleArn": target.role_arn,
        "Input": target.input,
        "RetryPolicy": {
            "MaximumEventAgeInSeconds": delivering.age_s_max,
            "MaximumRetryAttempts": delivering.attempts_max,
        },
        "DeadLetterConfig": {"Arn": delivering.dead_letter_arn} if delivering.dead_letter_arn else None,
        "SqsParameters": {"MessageGroupId": target.group} if target.group else None,
        "EventBridgeParameters": {"DetailType": target.detail_type, "Source": target.source} if target.source else None,
    }
    window: dict[str, Any] = {"Mode": "FLEXIBLE" if one.window_minutes else "OFF"}
    if one.window_minutes:
        window["MaximumWindowInMinutes"] = one.window_minutes
    shown = {
        **_summary(one),
        "ActionAfterCompletion": "DELETE" if one.delete_after else "NONE",
        "Description": one.description,
        "EndDate": one.end,
        "FlexibleTimeWindow": window,
        "ScheduleExpression": one.expression,
        "ScheduleExpressionTimezone": one.zone,
        "StartDate": one.start,
        "Target": {name: value for name, value in shown_target.items() if value is not None},
    }
    return {name: value for name, value in shown.items() if value is not None}


def _summary(one: Schedule) -> dict[str, Any]:
    return {
        "Arn": one.arn,
        "CreationDate": one.created,
        "GroupName": one.group,
        "LastModificationDate": one.modified,
        "Name": one.name,
        "State": "ENABLED" if one.enabled else "DISABLED",
        "Target": {"Arn": one.target.arn},
    }
