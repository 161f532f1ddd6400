"""Reserved concurrency: kept for one function, taken from all others."""

from __future__ import annotations

from paddock.model.errors import ResourceNotFound
from paddock.model.function import LATEST
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.service import Call, Params


async def put_function_concurrency(desk: Desk, call: Call) -> Params:
    ref, executions = ref_of(call), call.params["ReservedConcurrentExecutions"]
    try:
        await desk.catalogue.reserve(ref, executions)
    except ResourceNotFound as error:
        # This operation alone names what it did not find by its version, as Invoke does.
        raise ResourceNotFound(f"{error.message}:{LATEST}") from error
    return {"ReservedConcurrentExecutions": executions}


async def get_function_concurrency(desk: Desk, call: Call) -> Params:
    reserved = desk.catalogue.reservation(ref_of(call))
    return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}


async def delete_function_concurrency(desk: Desk, call: Call) -> None:
    await desk.catalogue.reserve(ref_of(call), None)
