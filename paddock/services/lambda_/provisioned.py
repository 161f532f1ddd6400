"""Provisioned concurrency: environments that wait, initialised, for events of a version or an alias."""

from __future__ import annotations

from typing import Any

from paddock.model.provisioned import ProvisionedState
from paddock.services.lambda_ import markers, view
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.service import Call, Params

_PAGE_ITEMS = 50


async def put_provisioned_concurrency_config(desk: Desk, call: Call) -> Params:
    return _shown(await desk.provisioned.put(ref_of(call), call.params["ProvisionedConcurrentExecutions"]))


async def get_provisioned_concurrency_config(desk: Desk, call: Call) -> Params:
    return _shown(desk.provisioned.get(ref_of(call)))


async def delete_provisioned_concurrency_config(desk: Desk, call: Call) -> None:
    await desk.provisioned.delete(ref_of(call))


async def list_provisioned_concurrency_configs(desk: Desk, call: Call) -> Params:
    after, items_max = markers.read(call.params.get("Marker", "")), call.params.get("MaxItems") or _PAGE_ITEMS
    found = [one for one in desk.provisioned.all_of(ref_of(call)) if one[0].qualifier > after]
    listed = [{"FunctionArn": ref.arn, **_shown(state)} for ref, state in found[:items_max]]
    page: dict[str, Any] = {"ProvisionedConcurrencyConfigs": listed}
    if len(found) > items_max:
        page["NextMarker"] = markers.written(found[items_max - 1][0].qualifier)
    return page


def _shown(state: ProvisionedState) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "RequestedProvisionedConcurrentExecutions": state.config.executions,
        "AvailableProvisionedConcurrentExecutions": state.available,
        "AllocatedProvisionedConcurrentExecutions": state.allocated,
        "Status": state.status.value,
        "LastModified": view.timestamp(state.config.last_modified),
    }
    if state.reason:
        shown["StatusReason"] = state.reason
    return shown
