"""Replacing a function's code."""

from __future__ import annotations

from paddock.control.rules import check_package
from paddock.model.errors import InvalidParameterValue
from paddock.model.image import ContainerImage
from paddock.services.lambda_ import code_signing, images, sources, view
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.lambda_.settings import refuse_architectures, refuse_others
from paddock.services.service import Call, Params

_HONOURED = sources.HONOURED | {"FunctionName", "Architectures", "DryRun", "RevisionId", "Publish", "ImageUri"}


async def update_function_code(desk: Desk, call: Call) -> Params:
    params = call.params
    refuse_others(params, _HONOURED)
    refuse_architectures(params, desk.architecture)
    content = await _code(desk, call)
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


async def _code(desk: Desk, call: Call) -> bytes | ContainerImage:
    """Raises ResourceNotFound, and InvalidParameterValue for what is not of the function's kind."""
    params = call.params
    uri = params.get("ImageUri")
    check_package(desk.catalogue.get(ref_of(call)).latest, uri is not None)
    if uri is None:
        return await sources.content_of(desk, call, params)
    if any(params.get(name) is not None for name in sources.HONOURED):
        raise InvalidParameterValue("Please do not provide other FunctionCode parameters when providing an ImageUri.")
    return await images.found(desk.images.resolve, uri, desk.architecture)
