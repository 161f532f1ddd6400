"""Replacing a function's code."""

from __future__ import annotations

from paddock.model.errors import InvalidParameterValue
from paddock.services.lambda_ import view
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.lambda_.settings import refuse_architectures, refuse_others
from paddock.services.service import Call, Params

_HONOURED = frozenset({"FunctionName", "ZipFile", "Architectures", "DryRun", "RevisionId"})


async def update_function_code(desk: Desk, call: Call) -> Params:
    params = call.params
    if params.get("ImageUri") is not None:
        raise InvalidParameterValue("Please don't provide ImageUri when updating a function with packageType Zip.")
    refuse_others(params, _HONOURED)
    refuse_architectures(params, desk.architecture)
    content = params.get("ZipFile")
    if content is None:
        raise InvalidParameterValue("Please provide a source for function code.")
    updated = await desk.catalogue.update_code(
        ref_of(call), content, revision_id=params.get("RevisionId", ""), dry_run=bool(params.get("DryRun"))
    )
    return view.configuration(updated.latest, updated.latest.function_arn)
