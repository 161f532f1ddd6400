"""Targets of rules."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from paddock.model import event_input
from paddock.model.errors import NotYet, ServiceError
from paddock.model.event_bus import (
    EVENT_AGE_S_DEFAULT,
    RETRY_ATTEMPTS_DEFAULT,
    BusTarget,
    Delivering,
    Rule,
    service_of,
)
from paddock.model.event_input import InvalidInput
from paddock.services.events.desk import Desk, bus_of, invalid, limit_exceeded, page, rule_of
from paddock.services.service import Call, Params

TARGETS_MAX = 5
SUPPORTED = frozenset({"lambda", "sqs", "sns", "events"})
_HONOURED = frozenset(
    {
        "Id", "Arn", "RoleArn", "Input", "InputPath", "InputTransformer", "SqsParameters", "DeadLetterConfig",
        "RetryPolicy",
    }
)  # fmt: skip


async def put_targets(desk: Desk, call: Call) -> Params:
    rule = _rule(desk, call)
    targets = [_target(one) for one in call.params["Targets"]]
    if len({target.id for target in targets}) < len(targets):
        raise invalid("Target ids must be unique within a request.")

    def change(before: Rule | None) -> Rule:
        kept = rule_of(before, rule.name, rule.bus)
        by_id = {target.id: target for target in kept.targets} | {target.id: target for target in targets}
        if len(by_id) > TARGETS_MAX:
            raise limit_exceeded()
        return replace(kept, targets=tuple(by_id.values()))

    await desk.buses.change_rule(rule.key, change)
    return {"FailedEntryCount": 0, "FailedEntries": []}


async def remove_targets(desk: Desk, call: Call) -> Params:
    """Force is for rules that AWS services manage: here are none, so it forces nothing."""
    rule, ids = _rule(desk, call), call.params["Ids"]
    assert call.params.get("Force") in (None, True, False)
    failed: list[dict[str, str]] = []

    def change(before: Rule | None) -> Rule:
        kept = rule_of(before, rule.name, rule.bus)
        known = {target.id for target in kept.targets}
        failed.extend(
            {"TargetId": one, "ErrorCode": "ResourceNotFoundException",
             "ErrorMessage": f"Rule {rule.name} does not have target(s): {one}"}
            for one in ids if one not in known
        )  # fmt: skip
        return replace(kept, targets=tuple(target for target in kept.targets if target.id not in ids))

    await desk.buses.change_rule(rule.key, change)
    return {"FailedEntryCount": len(failed), "FailedEntries": failed}


async def list_targets_by_rule(desk: Desk, call: Call) -> Params:
    shown, more = page(_rule(desk, call).targets, call.params)
    return {"Targets": [_view(target) for target in shown], **more}


def _rule(desk: Desk, call: Call) -> Rule:
    bus = bus_of(desk, call, call.params.get("EventBusName")).name
    name = call.params["Rule"]
    return rule_of(desk.buses.rule(call.caller.account, call.caller.region, bus, name), name, bus)


def _target(one: Mapping[str, Any]) -> BusTarget:
    """Raises ValidationException, and NotYet for what nothing is sent to yet."""
    id, arn = one["Id"], one["Arn"]
    service = service_of(arn)
    if not service:
        raise invalid(f"Parameter {arn} is not valid. Reason: Provided Arn is not in correct format.")
    if service not in SUPPORTED:
        raise NotYet(f"Targets (Arn) of the service {service} are not supported by Paddock yet.")
    for name, value in one.items():
        if name not in _HONOURED and value:
            raise NotYet(f"A target's setting {name} is not supported by Paddock yet.")
    group = (one.get("SqsParameters") or {}).get("MessageGroupId") or ""
    if arn.endswith(".fifo") and service == "sqs" and not group:
        raise invalid(f"Parameter(s) SqsParameters must be specified for target: {id}.")
    transformer = one.get("InputTransformer") or {}
    target = BusTarget(
        id=id, arn=arn, role_arn=one.get("RoleArn") or "", input=one.get("Input"), input_path=one.get("InputPath"),
        paths=dict(transformer.get("InputPathsMap") or {}), template=transformer.get("InputTemplate"), group=group,
        delivering=_delivering(one), retry_given=bool(one.get("RetryPolicy")),
    )  # fmt: skip
    _check_input(target)
    return target


def _check_input(target: BusTarget) -> None:
    given = [one for one in (target.input, target.input_path, target.template) if one is not None]
    if len(given) > 1:
        raise invalid(f"Only one of Input, InputPath, or InputTransformer must be provided for target {target.id}.")
    if given and service_of(target.arn) == "events":
        raise invalid(f"Input, InputPath and InputTransformer are not supported for the event bus {target.arn}.")
    if target.input is not None:
        try:
            json.loads(target.input)
        except (ValueError, RecursionError):
            raise invalid(f"JSON syntax error in input for target {target.id}.") from None
    try:
        if target.input_path is not None:
            event_input.parse_path(target.input_path)
        if target.template is not None:
            event_input.check_template(target.paths, target.template)
    except InvalidInput as error:
        raise _bad_input(target, error) from None


def _bad_input(target: BusTarget, error: InvalidInput) -> ServiceError:
    what = "InputPath" if target.input_path is not None else "InputTransformer"
    return invalid(f"Invalid {what} for target {target.id} : [{error}].")


def _delivering(one: Mapping[str, Any]) -> Delivering:
    retry, dead = one.get("RetryPolicy") or {}, (one.get("DeadLetterConfig") or {}).get("Arn") or ""
    if dead and (service_of(dead) != "sqs" or dead.endswith(".fifo")):
        raise invalid(f"Parameter DeadLetterConfig.Arn {dead} is not valid. Reason: it must be a standard queue.")
    attempts, age_s = retry.get("MaximumRetryAttempts"), retry.get("MaximumEventAgeInSeconds")
    return Delivering(
        attempts_max=RETRY_ATTEMPTS_DEFAULT if attempts is None else attempts,
        age_s_max=EVENT_AGE_S_DEFAULT if age_s is None else age_s,
        dead_letter_arn=dead,
    )


def _view(target: BusTarget) -> dict[str, Any]:
    delivering = target.delivering
    shown: dict[str, Any] = {"Id": target.id, "Arn": target.arn}
    optional: Sequence[tuple[str, Any]] = (
        ("RoleArn", target.role_arn or None),
        ("Input", target.input),
        ("InputPath", target.input_path),
        ("InputTransformer", target.template and {"InputPathsMap": target.paths, "InputTemplate": target.template}),
        ("SqsParameters", {"MessageGroupId": target.group} if target.group else None),
        ("DeadLetterConfig", {"Arn": delivering.dead_letter_arn} if delivering.dead_letter_arn else None),
    )
    shown |= {name: value for name, value in optional if value is not None}
    if target.retry_given:
        shown["RetryPolicy"] = {
            "MaximumRetryAttempts": delivering.attempts_max,
            "MaximumEventAgeInSeconds": delivering.age_s_max,
        }
    return shown
