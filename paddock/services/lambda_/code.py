"""Replacing a function's code."""

from __future__ import annotations

from paddock.model.errors import InvalidParameterValue
from paddock.services.lambda_ import code_signing, sources, view
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.lambda_.settings import refuse_architectures, refuse_others
from paddock.services.service import Call, Params

_HONOURED = sources.HONOURED | {"FunctionName", "Architectures", "DryRun", "RevisionId", "Publish"}


async def update_function_code(desk: Desk, call: Call) -> Params:
    params = call.params
    if params.get("ImageUri") is not None:
        raise InvalidParameterValue("Please don't provide ImageUri when updating a function with packageType Zip.")
    refuse_others(params, _HONOURED)
    refuse_architectures(params, desk.architecture)
    content = await sources.content_of(desk, call, params)
    dry_run = bool(params.get("DryRun"))
    publish = bool(params.get("Publish")) and not dry_run
    ref = ref_of(call)
    signer = await code_signing.checked(desk, desk.catalogue.get(ref).code_signing, content)
    updated = await desk.catalogue.update_code(
        ref, content, revision_id=params.get("RevisionId", ""), publish=publish, dry_run=dry_run, signer=signer
    )
    published = updated.newest if publish else None
    if published is not None:
        return view.configuration(published, published.version_arn)
    return view.configuration(updated.latest, updated.latest.function_arn)
