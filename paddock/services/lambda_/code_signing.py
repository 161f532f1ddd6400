"""Code signing configurations, and which functions have one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from paddock.control.code_signing import checked_publishers
from paddock.control.lookup import check_unqualified
from paddock.control.rules import merged_tags
from paddock.model.arn import FunctionRef
from paddock.model.errors import AccessDenied
from paddock.model.function import LayerUse, Signer
from paddock.model.image import ContainerImage
from paddock.model.signing import CodeSigningConfig
from paddock.services.lambda_ import images, markers, view
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.service import Call, Params


async def create_code_signing_config(desk: Desk, call: Call) -> Params:
    params = call.params
    config = await desk.signing.create(
        call.caller.account,
        call.caller.region,
        publishers=checked_publishers(params["AllowedPublishers"]["SigningProfileVersionArns"]),
        policy=_policy(params),
        description=params.get("Description", ""),
        tags=merged_tags({}, params.get("Tags") or {}, desk.quotas),
    )
    return {"CodeSigningConfig": _shown(config)}


async def get_code_signing_config(desk: Desk, call: Call) -> Params:
    return {"CodeSigningConfig": _shown(desk.signing.get(_arn(call)))}


async def update_code_signing_config(desk: Desk, call: Call) -> Params:
    params = call.params
    publishers = params.get("AllowedPublishers")
    config = await desk.signing.update(
        _arn(call),
        publishers=None if publishers is None else checked_publishers(publishers["SigningProfileVersionArns"]),
        policy=_policy(params),
        description=params.get("Description"),
    )
    return {"CodeSigningConfig": _shown(config)}


async def delete_code_signing_config(desk: Desk, call: Call) -> None:
    arn = _arn(call)
    await desk.signing.delete(arn, lambda: any(f.code_signing == arn for f in desk.catalogue.functions()))


async def list_code_signing_configs(desk: Desk, call: Call) -> Params:
    params = call.params
    found, more = desk.signing.list(
        call.caller.account,
        call.caller.region,
        after=markers.read(params.get("Marker", "")),
        items_max=params.get("MaxItems"),
    )
    listed = [_shown(config) for config in found]
    if not more:
        return {"CodeSigningConfigs": listed}
    return {"CodeSigningConfigs": listed, "NextMarker": markers.written(found[-1].id)}


async def put_function_code_signing_config(desk: Desk, call: Call) -> Params:
    ref, arn = ref_of(call), _arn(call)
    desk.signing.for_function(arn)
    images.check_settings(call.params, desk.catalogue.version(ref))
    await desk.catalogue.change(ref, lambda function: replace(function, code_signing=arn))
    return {"CodeSigningConfigArn": arn, "FunctionName": ref.name}


async def get_function_code_signing_config(desk: Desk, call: Call) -> Params:
    """A function without one has empty values: AWS was recorded answering so."""
    ref = ref_of(call)
    check_unqualified(ref)
    return {"CodeSigningConfigArn": desk.catalogue.get(ref).code_signing, "FunctionName": ref.name}


async def delete_function_code_signing_config(desk: Desk, call: Call) -> None:
    await desk.catalogue.change(ref_of(call), lambda function: replace(function, code_signing=""))


async def list_functions_by_code_signing_config(desk: Desk, call: Call) -> Params:
    params = call.params
    arn, after = _arn(call), markers.read(params.get("Marker", ""))
    desk.signing.get(arn)
    limit = min(params.get("MaxItems") or desk.quotas.page_items_max, desk.quotas.page_items_max)
    using = sorted(f.latest.function_arn for f in desk.catalogue.functions() if f.code_signing == arn)
    found = [function_arn for function_arn in using if function_arn > after]
    if len(found) <= limit:
        return {"FunctionArns": found}
    return {"FunctionArns": found[:limit], "NextMarker": markers.written(found[limit - 1])}


async def checked(
    desk: Desk, arn: str, package: bytes | ContainerImage, layers: Sequence[LayerUse] = ()
) -> Signer | None:
    """Who signed a package that is deployed under a configuration ("" for none). Images have none.

    Raises CodeSigningConfigNotFoundException, InvalidCodeSignatureException, CodeVerificationFailedException.
    """
    if not arn or isinstance(package, ContainerImage):
        return None
    desk.signing.check_layers(arn, layers)
    return await desk.signing.check(arn, package)


def check_layers(desk: Desk, ref: FunctionRef, layers: Sequence[LayerUse]) -> None:
    """Raises CodeVerificationFailedException when the function's configuration wants layers signed by others."""
    arn = desk.catalogue.get(ref).code_signing
    if arn:
        desk.signing.check_layers(arn, layers)


def _arn(call: Call) -> str:
    """The caller's own. Raises AccessDenied."""
    arn: str = call.params["CodeSigningConfigArn"]
    if arn.split(":")[4] != call.caller.account:
        raise AccessDenied(f"The code signing configuration {arn} belongs to another account.")
    return arn


def _policy(params: Params) -> str:
    """ "" for not sent."""
    policies = params.get("CodeSigningPolicies") or {}
    return str(policies.get("UntrustedArtifactOnDeployment") or "")


def _shown(config: CodeSigningConfig) -> dict[str, Any]:
    return {
        "CodeSigningConfigId": config.id,
        "CodeSigningConfigArn": config.arn,
        "Description": config.description,
        "AllowedPublishers": {"SigningProfileVersionArns": list(config.publishers)},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": config.policy},
        "LastModified": view.timestamp(config.last_modified),
    }
