"""Log groups: create, describe, retain, tag, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.interfaces import Tx
from paddock.model.errors import ClientError, NotYet
from paddock.observe import log_store
from paddock.services.logs import view
from paddock.services.logs.desk import Desk, already_exists, group_in, invalid, name_in
from paddock.services.logs.tokens import page_mark, page_token
from paddock.services.service import Call

RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
)  # fmt: skip
TAGS_MAX = 50
_PAGE_MAX = 50


async def create_log_group(desk: Desk, call: Call) -> None:
    """kmsKeyId, classes other than STANDARD and deletion protection are refused, not forgotten."""
    name = call.params["logGroupName"]
    if call.params.get("kmsKeyId"):
        raise NotYet("kmsKeyId of a log group is not supported yet: log events are not encrypted")
    if call.params.get("logGroupClass", "STANDARD") != "STANDARD":
        raise NotYet(f"logGroupClass {call.params['logGroupClass']} is not supported yet: use STANDARD")
    if call.params.get("deletionProtectionEnabled"):
        raise NotYet("deletionProtectionEnabled of a log group is not supported yet")
    if name.lower().startswith("aws/"):
        raise invalid("Log groups starting with AWS/ are reserved for AWS.")

    def work(tx: Tx) -> None:
        if not log_store.create_group(tx, call.caller.account, call.caller.region, name, desk.now_ms()):
            raise already_exists("log group")
        _tag(tx, group_in(tx, call, name), call.params.get("tags", {}))

    await desk.write(work)


async def delete_log_group(desk: Desk, call: Call) -> None:
    """With everything in it. An environment that still runs makes it anew with its next line."""

    def work(tx: Tx) -> None:
        log_store.delete_group(tx, group_in(tx, call, call.params["logGroupName"]))

    await desk.write(work)


async def describe_log_groups(desk: Desk, call: Call) -> dict[str, Any]:
    """By prefix, by part of the name, or by names; in name order."""
    params = call.params
    if params.get("includeLinkedAccounts") or params.get("accountIdentifiers"):
        raise NotYet("includeLinkedAccounts and accountIdentifiers are not supported yet: every account stands alone")
    prefix, part = params.get("logGroupNamePrefix", ""), params.get("logGroupNamePattern", "")
    if prefix and part:
        raise invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
    if params.get("logGroupClass", "STANDARD") != "STANDARD":
        return {"logGroups": []}  # true: there are no groups of another class
    if params.get("logGroupIdentifiers"):
        return await _described_by_name(desk, call)
    limit = params.get("limit", _PAGE_MAX)
    after = page_mark(params["nextToken"]) if params.get("nextToken") else ""
    found = await desk.read(
        lambda tx: log_store.groups_page(
            tx, call.caller.account, call.caller.region, prefix=prefix, part=part, after=after, limit=limit + 1
        )
    )
    show = view.group_by_pattern if part else view.group
    output: dict[str, Any] = {"logGroups": [show(call.caller, group) for group in found[:limit]]}
    if len(found) > limit:
        output["nextToken"] = page_token(found[limit - 1].name)
    return output


async def _described_by_name(desk: Desk, call: Call) -> dict[str, Any]:
    if call.params.get("logGroupNamePrefix") or call.params.get("logGroupNamePattern"):
        raise invalid("logGroupIdentifiers cannot be combined with a log group name prefix or pattern.")
    names = sorted({name_in(call, each) for each in call.params["logGroupIdentifiers"]})
    caller = call.caller
    found = await desk.read(lambda tx: [log_store.group_of(tx, caller.account, caller.region, name) for name in names])
    return {"logGroups": [view.group(caller, group) for group in found if group is not None]}


async def put_retention_policy(desk: Desk, call: Call) -> None:
    days = call.params["retentionInDays"]
    if days not in RETENTION_DAYS:
        raise invalid(
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(map(str, RETENTION_DAYS))}]"
        )
    await _set_retention(desk, call, days)


async def delete_retention_policy(desk: Desk, call: Call) -> None:
    await _set_retention(desk, call, None)


async def _set_retention(desk: Desk, call: Call, days: int | None) -> None:
    def work(tx: Tx) -> None:
        group = group_in(tx, call, call.params["logGroupName"])
        tx.run("log_group_set_retention", group_id=group.id, retention_days=days)

    await desk.write(work)


# --- tags ----------------------------------------------------------------------------------------------------------


async def tag_resource(desk: Desk, call: Call) -> None:
    name = name_in(call, _arn(call))
    await desk.write(lambda tx: _tag(tx, group_in(tx, call, name), call.params["tags"]))


async def untag_resource(desk: Desk, call: Call) -> None:
    name = name_in(call, _arn(call))
    await desk.write(lambda tx: _untag(tx, group_in(tx, call, name), call.params["tagKeys"]))


async def list_tags_for_resource(desk: Desk, call: Call) -> dict[str, Any]:
    name = name_in(call, _arn(call))
    return {"tags": await desk.read(lambda tx: _tags(tx, group_in(tx, call, name)))}


async def tag_log_group(desk: Desk, call: Call) -> None:
    await desk.write(lambda tx: _tag(tx, group_in(tx, call, call.params["logGroupName"]), call.params["tags"]))


async def untag_log_group(desk: Desk, call: Call) -> None:
    await desk.write(lambda tx: _untag(tx, group_in(tx, call, call.params["logGroupName"]), call.params["tags"]))


async def list_tags_log_group(desk: Desk, call: Call) -> dict[str, Any]:
    return {"tags": await desk.read(lambda tx: _tags(tx, group_in(tx, call, call.params["logGroupName"])))}


def _arn(call: Call) -> str:
    arn = str(call.params["resourceArn"])
    if not arn.startswith("arn:"):
        raise invalid(f"Invalid resource ARN: {arn}")
    return arn


def _tags(tx: Tx, group: log_store.Group) -> dict[str, str]:
    return {row["key"]: row["value"] for row in tx.rows("log_group_tags", group_id=group.id)}


def _tag(tx: Tx, group: log_store.Group, tags: Mapping[str, str]) -> None:
    if any(key.lower().startswith("aws:") for key in tags):
        raise invalid("Tag keys starting with aws: are reserved for AWS.")
    if len({*_tags(tx, group), *tags}) > TAGS_MAX:
        raise ClientError(f"A resource can have at most {TAGS_MAX} tags.", code="TooManyTagsException")
    for key, value in tags.items():
        tx.run("log_group_tag", group_id=group.id, key=key, value=value)


def _untag(tx: Tx, group: log_store.Group, keys: list[str]) -> None:
    for key in keys:
        tx.run("log_group_untag", group_id=group.id, key=key)
