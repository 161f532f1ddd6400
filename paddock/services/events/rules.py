"""Rules: what they match or when they fire, and whether they do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from paddock.model import schedule
from paddock.model.errors import ClientError, NotYet
from paddock.model.event_bus import DEFAULT_BUS, Rule
from paddock.model.event_pattern import InvalidPattern, compile_pattern, read_json
from paddock.model.schedule import InvalidSchedule
from paddock.services.events.desk import (
    Desk,
    bus_of,
    checked_tags,
    invalid,
    limit_exceeded,
    page,
    rule_of,
    tags_of,
)
from paddock.services.service import Call, Params

RULES_MAX = 300
_ENABLED, _DISABLED = "ENABLED", "DISABLED"


async def put_rule(desk: Desk, call: Call) -> Params:
    params, caller = call.params, call.caller
    bus = bus_of(desk, call, params.get("EventBusName")).name
    pattern, expression = params.get("EventPattern") or "", params.get("ScheduleExpression") or ""
    _check(pattern, expression, bus)
    state = params.get("State") or _ENABLED
    if state not in (_ENABLED, _DISABLED):
        raise NotYet(f"A rule's State {state} is not supported by Paddock yet.")
    now, tags = desk.clock.now(), checked_tags(tags_of(params.get("Tags")))

    def change(before: Rule | None) -> Rule:
        if before is None and len(desk.buses.rules(caller.account, caller.region, bus)) >= RULES_MAX:
            raise limit_exceeded()
        enabled = state == _ENABLED
        same = before is not None and (before.schedule, before.enabled) == (expression, enabled)
        return Rule(
            account=caller.account, region=caller.region, bus=bus, name=params["Name"],
            pattern=pattern, schedule=expression, enabled=enabled,
            description=params.get("Description") or "", role_arn=params.get("RoleArn") or "",
            anchor=before.anchor if before is not None and same else now,
            targets=before.targets if before is not None else (),
            # Tags are given to a new rule only: AWS ignores them for one that is there.
            tags=before.tags if before is not None else tags,
        )  # fmt: skip

    made = rule_of(await desk.buses.change_rule((caller.account, caller.region, bus, params["Name"]), change), "", bus)
    return {"RuleArn": made.arn}


async def describe_rule(desk: Desk, call: Call) -> Params:
    return {**view(_named(desk, call)), "CreatedBy": call.caller.account}


async def list_rules(desk: Desk, call: Call) -> Params:
    params = call.params
    bus = bus_of(desk, call, params.get("EventBusName")).name
    prefix = params.get("NamePrefix") or ""
    rules = desk.buses.rules(call.caller.account, call.caller.region, bus)
    shown, more = page([rule for rule in rules if rule.name.startswith(prefix)], params)
    return {"Rules": [view(rule) for rule in shown], **more}


async def list_rule_names_by_target(desk: Desk, call: Call) -> Params:
    params = call.params
    bus = bus_of(desk, call, params.get("EventBusName")).name
    rules = desk.buses.rules(call.caller.account, call.caller.region, bus)
    names = [rule.name for rule in rules if any(target.arn == params["TargetArn"] for target in rule.targets)]
    shown, more = page(names, params)
    return {"RuleNames": list(shown), **more}


async def enable_rule(desk: Desk, call: Call) -> None:
    await _switch(desk, call, enabled=True)


async def disable_rule(desk: Desk, call: Call) -> None:
    await _switch(desk, call, enabled=False)


async def delete_rule(desk: Desk, call: Call) -> None:
    """Force is for rules that AWS services manage: here are none, so it forces nothing."""
    bus = bus_of(desk, call, call.params.get("EventBusName")).name
    key = (call.caller.account, call.caller.region, bus, call.params["Name"])
    assert call.params.get("Force") in (None, True, False)

    def change(before: Rule | None) -> None:
        if before is not None and before.targets:
            raise invalid("Rule can't be deleted since it has targets.")

    if desk.buses.rule(*key) is not None:
        await desk.buses.change_rule(key, change)


async def test_event_pattern(desk: Desk, call: Call) -> Params:
    pattern = _pattern(call.params["EventPattern"])
    try:
        event = read_json(call.params["Event"])
    except ValueError as error:
        raise invalid(f"Parameter Event is not valid. Reason: {error}") from None
    lacking = [
        name
        for name in ("id", "account", "source", "time", "region", "resources", "detail-type")
        if not isinstance(event, dict) or name not in event
    ]
    if lacking:
        raise invalid(f"Parameter Event is not valid. Reason: The event must have {', '.join(lacking)}.")
    return {"Result": pattern.matches(event)}


async def _switch(desk: Desk, call: Call, *, enabled: bool) -> None:
    rule = _named(desk, call)

    def change(before: Rule | None) -> Rule:
        kept = rule_of(before, rule.name, rule.bus)
        return kept if kept.enabled is enabled else replace(kept, enabled=enabled, anchor=desk.clock.now())

    await desk.buses.change_rule(rule.key, change)


def _named(desk: Desk, call: Call) -> Rule:
    bus = bus_of(desk, call, call.params.get("EventBusName")).name
    name = call.params["Name"]
    return rule_of(desk.buses.rule(call.caller.account, call.caller.region, bus, name), name, bus)


def _check(pattern: str, expression: str, bus: str) -> None:
    if not pattern and not expression:
        raise invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
    if pattern:
        _pattern(pattern)
    if not expression:
        return
    if bus != DEFAULT_BUS:
        raise invalid("ScheduleExpression is supported only on the default event bus.")
    try:
        schedule.parse(expression, strict=True)
    except InvalidSchedule:
        raise invalid("Parameter ScheduleExpression is not valid.") from None


def _pattern(text: str) -> Any:
    try:
        return compile_pattern(text)
    except InvalidPattern as error:
        raise ClientError(f"Event pattern is not valid. Reason: {error}", code="InvalidEventPatternException") from None


def view(rule: Rule) -> dict[str, Any]:
    shown = {
        "Name": rule.name,
        "Arn": rule.arn,
        "EventPattern": rule.pattern,
        "State": _ENABLED if rule.enabled else _DISABLED,
        "Description": rule.description,
        "ScheduleExpression": rule.schedule,
        "RoleArn": rule.role_arn,
        "EventBusName": rule.bus,
    }
    return {name: value for name, value in shown.items() if value}
