"""Schedule groups, and their tags: only groups have tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from paddock.model.scheduler import DEFAULT_GROUP, ScheduleGroup
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

TAGS_MAX = 200


async def create_schedule_group(desk: Desk, call: Call) -> Params:
    params, caller = call.params, call.caller
    name, token = params["Name"], params.get("ClientToken") or ""
    now, tags = desk.clock.now(), _checked(_tags(params.get("Tags")))

    def change(before: ScheduleGroup | None) -> ScheduleGroup:
        if before is None:
            return ScheduleGroup(
                account=caller.account, region=caller.region, name=name, created=now, modified=now, tags=tags,
                client_token=token,
            )  # fmt: skip
        if token and before.client_token == token and before.tags == tags:
            return before
        raise conflict(f"Schedule group {name} already exists.")

    made = await desk.schedules.change_group(caller.account, caller.region, name, change)
    assert made is not None
    return {"ScheduleGroupArn": made.arn}


async def get_schedule_group(desk: Desk, call: Call) -> Params:
    name = call.params["Name"]
    return _view(_there(await desk.schedules.group(call.caller.account, call.caller.region, name), name))


async def list_schedule_groups(desk: Desk, call: Call) -> Params:
    params, caller = call.params, call.caller
    limit = limit_of(params)
    found = await desk.schedules.groups(
        caller.account, caller.region, params.get("NamePrefix") or "", read_token(params.get("NextToken")), limit + 1
    )
    shown = {"ScheduleGroups": [_view(group) for group in found[:limit]]}
    return shown if len(found) <= limit else {**shown, "NextToken": written_token(found[limit - 1].name)}


async def delete_schedule_group(desk: Desk, call: Call) -> Params:
    """With every schedule in it, at once. A ClientToken changes nothing: a second deletion finds nothing."""
    name, _ = call.params["Name"], call.params.get("ClientToken")
    if name == DEFAULT_GROUP:
        raise invalid("Deleting the default schedule group is not allowed.")

    def change(before: ScheduleGroup | None) -> None:
        _there(before, name)

    await desk.schedules.change_group(call.caller.account, call.caller.region, name, change)
    return {}


async def tag_resource(desk: Desk, call: Call) -> Params:
    more = _tags(call.params["Tags"])
    await _retag(desk, call, lambda now: {**now, **more})
    return {}


async def untag_resource(desk: Desk, call: Call) -> Params:
    keys = call.params["TagKeys"]
    await _retag(desk, call, lambda now: {key: value for key, value in now.items() if key not in keys})
    return {}


async def list_tags_for_resource(desk: Desk, call: Call) -> Params:
    name = _name(call)
    group = _there(await desk.schedules.group(call.caller.account, call.caller.region, name), name)
    return {"Tags": [{"Key": key, "Value": value} for key, value in group.tags.items()]}


async def _retag(desk: Desk, call: Call, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
    name = _name(call)

    def work(before: ScheduleGroup | None) -> ScheduleGroup:
        group = _there(before, name)
        return replace(group, tags=_checked(change(group.tags)))

    await desk.schedules.change_group(call.caller.account, call.caller.region, name, work)


def _name(call: Call) -> str:
    """The group that ResourceArn names."""
    arn, caller = call.params["ResourceArn"], call.caller
    prefix = f"arn:aws:scheduler:{caller.region}:{caller.account}:schedule-group/"
    if not arn.startswith(prefix):
        raise missing(f"Schedule group {arn} does not exist.")
    return str(arn.removeprefix(prefix))


def _tags(given: list[Mapping[str, str]] | None) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in given or ()}


def _checked(tags: Mapping[str, str]) -> Mapping[str, str]:
    if len(tags) > TAGS_MAX or any(key.lower().startswith("aws:") for key in tags):
        raise invalid(f"A schedule group has at most {TAGS_MAX} tags, and none whose key begins with aws:.")
    return tags


def _there(group: ScheduleGroup | None, name: str) -> ScheduleGroup:
    if group is None:
        raise missing(f"Schedule group {name} does not exist.")
    return group


def _view(group: ScheduleGroup) -> Params:
    return {
        "Arn": group.arn,
        "Name": group.name,
        "State": "ACTIVE",
        "CreationDate": group.created,
        "LastModificationDate": group.modified,
    }
