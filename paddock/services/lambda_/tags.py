"""Tags of functions, of event source mappings and of code signing configurations."""

from __future__ import annotations

from paddock.control.rules import merged_tags, nonempty_tags
from paddock.model.arn import FunctionRef, parse_function_ref
from paddock.model.errors import AccessDenied, InvalidParameterValue, NotYet
from paddock.services.lambda_.desk import Desk
from paddock.services.service import Call, Params


async def tag_resource(desk: Desk, call: Call) -> None:
    tags = call.params["Tags"]
    if uuid := _mapping(call):
        await desk.mappings.tag(call.caller.account, call.caller.region, uuid, tags)
    elif arn := _signing(call):
        more = nonempty_tags(tags)
        await desk.signing.retag(arn, lambda now: merged_tags(now, more, desk.quotas))
    else:
        await desk.catalogue.tag(_function(call), tags)


async def untag_resource(desk: Desk, call: Call) -> None:
    keys = call.params["TagKeys"]
    if uuid := _mapping(call):
        await desk.mappings.untag(call.caller.account, call.caller.region, uuid, keys)
    elif arn := _signing(call):
        await desk.signing.retag(arn, lambda now: {k: v for k, v in now.items() if k not in keys})
    else:
        await desk.catalogue.untag(_function(call), keys)


async def list_tags(desk: Desk, call: Call) -> Params:
    if uuid := _mapping(call):
        return {"Tags": dict(desk.mappings.get(call.caller.account, call.caller.region, uuid).tags)}
    if arn := _signing(call):
        return {"Tags": dict(desk.signing.get(arn).tags)}
    return {"Tags": dict(desk.catalogue.list_tags(_function(call)))}


def _mapping(call: Call) -> str:
    """The event source mapping that Resource names, or ""."""
    kind, _, uuid = ":".join(call.params["Resource"].split(":")[5:]).partition(":")
    return uuid if kind == "event-source-mapping" else ""


def _signing(call: Call) -> str:
    """The code signing configuration that Resource names, or "". Raises AccessDenied for another account's."""
    arn: str = call.params["Resource"]
    if arn.split(":")[5] != "code-signing-config":
        return ""
    if arn.split(":")[4] != call.caller.account:
        raise AccessDenied(f"{arn} belongs to another account.")
    return arn


def _function(call: Call) -> FunctionRef:
    """The function that Resource names. Raises InvalidParameterValue for a version, NotYet for anything else."""
    arn = call.params["Resource"]
    kind = arn.split(":")[5]
    if kind != "function":
        raise NotYet(f"Tags of a Resource of the kind {kind} are not supported by Paddock yet.")
    ref = parse_function_ref(arn, account=call.caller.account, region=call.caller.region)
    if ref.qualifier:
        raise InvalidParameterValue(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )
    return ref
