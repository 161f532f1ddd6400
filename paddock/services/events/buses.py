"""Event buses and their resource policies."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from paddock.model.errors import ClientError, NotYet
from paddock.model.event_bus import DEFAULT_BUS, EventBus
from paddock.model.permission import ResourcePolicy
from paddock.model.policy import MalformedPolicy
from paddock.services.events.desk import (
    Desk,
    bus_name,
    bus_of,
    checked_tags,
    exists,
    invalid,
    limit_exceeded,
    missing,
    page,
    tags_of,
)
from paddock.services.service import Call, Params

BUSES_MAX = 100
POLICY_BYTES_MAX = 10_240


async def create_event_bus(desk: Desk, call: Call) -> Params:
    params, caller = call.params, call.caller
    _refuse(params)
    name = params["Name"]
    if "/" in name or name.startswith("aws."):
        raise invalid(f"Event bus name {name} is not valid: it may not hold a slash, nor begin with aws.")
    now, tags = desk.clock.now(), checked_tags(tags_of(params.get("Tags")))

    def change(before: EventBus | None) -> EventBus:
        if before is not None:
            raise exists(f"Event bus {name} already exists.")
        if len(desk.buses.buses(caller.account, caller.region)) >= BUSES_MAX:
            raise limit_exceeded()
        return EventBus(
            account=caller.account, region=caller.region, name=name, description=params.get("Description") or "",
            created=now, modified=now, tags=tags,
        )  # fmt: skip

    made = await desk.buses.change_bus((caller.account, caller.region, name), change)
    assert made is not None
    return {"EventBusArn": made.arn} | ({"Description": made.description} if made.description else {})


async def update_event_bus(desk: Desk, call: Call) -> Params:
    _refuse(call.params)
    bus = bus_of(desk, call, call.params.get("Name"))
    description, now = call.params.get("Description"), desk.clock.now()

    def change(before: EventBus | None) -> EventBus:
        kept = _there(before, bus.name)
        return replace(kept, description=kept.description if description is None else description, modified=now)

    changed = _there(await desk.buses.change_bus(_key(bus), change), bus.name)
    return {"Arn": changed.arn, "Name": changed.name, "Description": changed.description}


async def describe_event_bus(desk: Desk, call: Call) -> Params:
    return _view(bus_of(desk, call, call.params.get("Name")))


async def list_event_buses(desk: Desk, call: Call) -> Params:
    prefix = call.params.get("NamePrefix") or ""
    found = [bus for bus in desk.buses.buses(call.caller.account, call.caller.region) if bus.name.startswith(prefix)]
    shown, more = page(found, call.params)
    return {"EventBuses": [_view(bus) for bus in shown], **more}


async def delete_event_bus(desk: Desk, call: Call) -> None:
    caller, name = call.caller, bus_name(call, call.params["Name"])
    if name == DEFAULT_BUS:
        raise invalid("Cannot delete event bus default.")

    def change(before: EventBus | None) -> None:
        if desk.buses.rules(caller.account, caller.region, name):
            raise invalid(f"Event bus {name} cannot be deleted while it has rules.")

    if desk.buses.bus(caller.account, caller.region, name) is not None:
        await desk.buses.change_bus((caller.account, caller.region, name), change)


async def put_permission(desk: Desk, call: Call) -> None:
    params = call.params
    bus = bus_of(desk, call, params.get("EventBusName"))
    policy = params.get("Policy")

    def change(before: EventBus | None) -> EventBus:
        kept = _there(before, bus.name)
        return replace(kept, policy=_checked(policy or _with_statement(kept, params)), modified=desk.clock.now())

    await desk.buses.change_bus(_key(bus), change)


async def remove_permission(desk: Desk, call: Call) -> None:
    params = call.params
    bus = bus_of(desk, call, params.get("EventBusName"))

    def change(before: EventBus | None) -> EventBus:
        kept = _there(before, bus.name)
        statements = json.loads(kept.policy)["Statement"] if kept.policy else []
        left = [one for one in statements if one.get("Sid") != params.get("StatementId")]
        if params.get("RemoveAllPermissions"):
            left = []
        elif len(left) == len(statements):
            raise missing("Statement with the provided id does not exist.")
        return replace(kept, policy=_document(left) if left else "", modified=desk.clock.now())

    await desk.buses.change_bus(_key(bus), change)


def _with_statement(bus: EventBus, params: Params) -> str:
    """The bus's policy with a statement that lets an account, everybody or an organization put events."""
    for name in ("Action", "Principal", "StatementId"):
        if not params.get(name):
            raise invalid(f"Parameter {name} must be specified, or Policy.")
    if params["Action"] != "events:PutEvents":
        raise invalid("Provided value in parameter 'action' is not supported.")
    principal = params["Principal"]
    statement: dict[str, Any] = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": "*" if principal == "*" else {"AWS": f"arn:aws:iam::{principal}:root"},
        "Action": "events:PutEvents",
        "Resource": bus.arn,
    }
    condition = params.get("Condition")
    if condition:
        statement["Condition"] = {condition["Type"]: {condition["Key"]: condition["Value"]}}
    statements = json.loads(bus.policy)["Statement"] if bus.policy else []
    return _document([one for one in statements if one.get("Sid") != params["StatementId"]] + [statement])


def _document(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def _checked(policy: str) -> str:
    if len(policy.encode()) > POLICY_BYTES_MAX:
        raise ClientError("The resource policy is too large.", code="PolicyLengthExceededException")
    try:
        ResourcePolicy.of(policy)
        whole = json.loads(policy)
    except (MalformedPolicy, ValueError) as error:
        raise invalid(f"This policy contains invalid Json or is malformed: {error}") from None
    statements = whole["Statement"] if isinstance(whole["Statement"], list) else [whole["Statement"]]
    return json.dumps({**whole, "Statement": statements}, separators=(",", ":"))


def _refuse(params: Params) -> None:
    for name in ("EventSourceName", "KmsKeyIdentifier", "DeadLetterConfig", "LogConfig"):
        if params.get(name):
            raise NotYet(f"The setting {name} of an event bus is not supported by Paddock yet.")


def _there(bus: EventBus | None, name: str) -> EventBus:
    if bus is None:
        raise missing(f"Event bus {name} does not exist.")
    return bus


def _key(bus: EventBus) -> tuple[str, str, str]:
    return (bus.account, bus.region, bus.name)


def _view(bus: EventBus) -> dict[str, Any]:
    shown = {"Name": bus.name, "Arn": bus.arn, "CreationTime": bus.created, "LastModifiedTime": bus.modified}
    return shown | {name: value for name, value in (("Description", bus.description), ("Policy", bus.policy)) if value}
