"""Tags of functions and of event source mappings."""

from __future__ import annotations

from paddock.model.arn import FunctionRef, parse_function_ref
from paddock.model.errors import InvalidParameterValue, NotYet
from paddock.services.lambda_.desk import Desk
from paddock.services.service import Call, Params


async def tag_resource(desk: Desk, call: Call) -> None:
    if uuid := _mapping(call):
        await desk.mappings.tag(call.caller.account, call.caller.region, uuid, call.params["Tags"])
        return
    await desk.catalogue.tag(_function(call), call.params["Tags"])


async def untag_resource(desk: Desk, call: Call) -> None:
    if uuid := _mapping(call):
        await desk.mappings.untag(call.caller.account, call.caller.region, uuid, call.params["TagKeys"])
        return
    await desk.catalogue.untag(_function(call), call.params["TagKeys"])


async def list_tags(desk: Desk, call: Call) -> Params:
    if uuid := _mapping(call):
        return {"Tags": dict(desk.mappings.get(call.caller.account, call.caller.region, uuid).tags)}
    return {"Tags": dict(desk.catalogue.list_tags(_function(call)))}


def _mapping(call: Call) -> str:
    """The event source mapping that Resource names, or ""."""
    kind, _, uuid = ":".join(call.params["Resource"].split(":")[5:]).partition(":")
    return uuid if kind == "event-source-mapping" else ""


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
