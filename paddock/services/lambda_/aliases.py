"""Aliases: names for versions."""

from __future__ import annotations

from paddock.control.aliases import AliasChange
from paddock.services.lambda_ import markers, view
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.service import Call, Params


async def create_alias(desk: Desk, call: Call) -> Params:
    ref, name = ref_of(call), call.params["Name"]
    alias = await desk.catalogue.create_alias(ref, name, _change(call.params))
    return view.alias(alias, ref)


async def get_alias(desk: Desk, call: Call) -> Params:
    ref = ref_of(call)
    return view.alias(desk.catalogue.alias(ref, call.params["Name"]), ref)


async def update_alias(desk: Desk, call: Call) -> Params:
    ref, params = ref_of(call), call.params
    alias = await desk.catalogue.update_alias(
        ref, params["Name"], _change(params), revision_id=params.get("RevisionId", "")
    )
    return view.alias(alias, ref)


async def delete_alias(desk: Desk, call: Call) -> None:
    await desk.catalogue.delete_alias(ref_of(call), call.params["Name"])


async def list_aliases(desk: Desk, call: Call) -> Params:
    ref, params = ref_of(call), call.params
    page = desk.catalogue.list_aliases(
        ref,
        version=params.get("FunctionVersion", ""),
        after=markers.read(params.get("Marker", "")),
        items_max=params.get("MaxItems"),
    )
    listed = [view.alias(alias, ref) for alias in page.aliases]
    if not page.more:
        return {"Aliases": listed}
    return {"Aliases": listed, "NextMarker": markers.written(page.aliases[-1].name)}


def _change(params: Params) -> AliasChange:
    """A RoutingConfig without weights clears them: so Terraform takes them away."""
    routing = params.get("RoutingConfig")
    return AliasChange(
        version=params.get("FunctionVersion"),
        description=params.get("Description"),
        weights=None if routing is None else routing.get("AdditionalVersionWeights") or {},
    )
