"""Layers: publishing, reading, listing and deleting versions, and who else may use them."""

from __future__ import annotations

import base64
import json
from typing import Any

from paddock.control.layers import NewLayerVersion
from paddock.model.errors import AccessDenied, ResourceNotFound, ValidationError
from paddock.model.function import LayerUse
from paddock.model.layer import LayerRef, LayerVersion, parse_layer_ref
from paddock.services.lambda_ import markers, permissions, sources, view
from paddock.services.lambda_.desk import Desk
from paddock.services.lambda_.settings import refuse_others
from paddock.services.service import Call, Params


async def publish_layer_version(desk: Desk, call: Call) -> Params:
    params = call.params
    content = await _content(desk, call)
    new = NewLayerVersion(
        ref=_own_ref(call),
        description=params.get("Description", ""),
        license=params.get("LicenseInfo", ""),
        runtimes=tuple(params.get("CompatibleRuntimes") or ()),
        architectures=tuple(params.get("CompatibleArchitectures") or ()),
    )
    return _whole(desk, await desk.catalogue.layers.publish(new, content, await desk.signing.signer_of(content)))


async def get_layer_version(desk: Desk, call: Call) -> Params:
    return _whole(desk, desk.catalogue.layers.get(_version_ref(call), call.caller.account))


async def get_layer_version_by_arn(desk: Desk, call: Call) -> Params:
    ref = parse_layer_ref(call.params["Arn"], account=call.caller.account, region=call.caller.region)
    if ref is None:
        raise ResourceNotFound("The resource you requested does not exist.")
    return _whole(desk, desk.catalogue.layers.get(ref, call.caller.account))


async def list_layer_versions(desk: Desk, call: Call) -> Params:
    params = call.params
    found, more = desk.catalogue.layers.versions(
        _own_ref(call),
        before=max(0, markers.read_number(params.get("Marker", ""))),
        runtime=params.get("CompatibleRuntime", ""),
        architecture=params.get("CompatibleArchitecture", ""),
        items_max=params.get("MaxItems"),
    )
    listed = [_listed(version) for version in found]
    if not more:
        return {"LayerVersions": listed}
    return {"LayerVersions": listed, "NextMarker": markers.written(str(found[-1].ref.version))}


async def list_layers(desk: Desk, call: Call) -> Params:
    params = call.params
    found, more = desk.catalogue.layers.list(
        call.caller.account,
        call.caller.region,
        after=markers.read(params.get("Marker", "")),
        runtime=params.get("CompatibleRuntime", ""),
        architecture=params.get("CompatibleArchitecture", ""),
        items_max=params.get("MaxItems"),
    )
    listed = [
        {"LayerName": one.ref.name, "LayerArn": one.ref.layer_arn, "LatestMatchingVersion": _listed(one)}
        for one in found
    ]
    if not more:
        return {"Layers": listed}
    return {"Layers": listed, "NextMarker": markers.written(found[-1].ref.name)}


async def delete_layer_version(desk: Desk, call: Call) -> None:
    await desk.catalogue.layers.delete(_own_version(call))


async def add_layer_version_permission(desk: Desk, call: Call) -> Params:
    params, ref = call.params, _own_version(call)
    statement: dict[str, Any] = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": permissions.principal(params["Principal"]),
        "Action": params["Action"],
        "Resource": ref.arn,
    }
    if params.get("OrganizationId"):
        statement["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": params["OrganizationId"]}}
    revision_id = await desk.catalogue.layers.allow(ref, statement, revision_id=params.get("RevisionId", ""))
    return {"Statement": json.dumps(statement, separators=(",", ":")), "RevisionId": revision_id}


async def get_layer_version_policy(desk: Desk, call: Call) -> Params:
    policy, revision_id = desk.catalogue.layers.policy(_own_version(call))
    return {"Policy": policy.text, "RevisionId": revision_id}


async def remove_layer_version_permission(desk: Desk, call: Call) -> None:
    params = call.params
    await desk.catalogue.layers.forbid(
        _own_version(call), params["StatementId"], revision_id=params.get("RevisionId", "")
    )


def uses_of(desk: Desk, call: Call) -> tuple[LayerUse, ...] | None:
    """What CreateFunction and UpdateFunctionConfiguration are sent as Layers; None for not sent.

    Raises InvalidParameterValue, AccessDenied.
    """
    arns, caller = call.params.get("Layers"), call.caller
    if arns is None:
        return None
    wanted = [(arn, parse_layer_ref(arn, account=caller.account, region=caller.region)) for arn in arns]
    return desk.catalogue.layers.uses(wanted, caller.account, caller.region)


async def _content(desk: Desk, call: Call) -> bytes:
    """Raises as sources.content_of does."""
    refuse_others(call.params["Content"], sources.HONOURED, within="Content.")
    return await sources.content_of(desk, call, call.params["Content"], "layer content")


def _own_ref(call: Call, version: int = 0) -> LayerRef:
    """The layer that LayerName names, which must be the caller's. Raises AccessDenied, ResourceNotFound."""
    ref = _ref(call, version)
    if ref.account != call.caller.account:
        raise AccessDenied(f"The layer {ref.layer_arn} belongs to another account.")
    return ref


def _ref(call: Call, version: int = 0) -> LayerRef:
    """The layer that LayerName names. Raises ValidationError, and ResourceNotFound for another region's."""
    caller, text = call.caller, call.params["LayerName"]
    ref = parse_layer_ref(text, account=caller.account, region=caller.region, version=version)
    if ref is None:
        raise ValidationError(
            f"1 validation error detected: Value '{text}' at 'layerName' failed to satisfy constraint: "
            "Member must be a layer name or a layer ARN"
        )
    if ref.region != caller.region:
        raise ResourceNotFound(f"Layers from '{ref.region}' are not reachable in this region ('{caller.region}')")
    return ref


def _own_version(call: Call) -> LayerRef:
    return _own_ref(call, version=call.params["VersionNumber"])


def _version_ref(call: Call) -> LayerRef:
    return _ref(call, version=call.params["VersionNumber"])


def _listed(version: LayerVersion) -> dict[str, Any]:
    members: dict[str, Any] = {
        "LayerVersionArn": version.ref.arn,
        "Version": version.ref.version,
        "Description": version.description,
        "CreatedDate": view.timestamp(version.created_at),
    }
    if version.runtimes:
        members["CompatibleRuntimes"] = list(version.runtimes)
    if version.architectures:
        members["CompatibleArchitectures"] = list(version.architectures)
    if version.license:
        members["LicenseInfo"] = version.license
    return members


def _whole(desk: Desk, version: LayerVersion) -> dict[str, Any]:
    return {
        **_listed(version),
        "LayerArn": version.ref.layer_arn,
        "Content": {
            "Location": desk.code_url(version.code.digest),
            "CodeSha256": base64.b64encode(bytes.fromhex(version.code.digest)).decode(),
            "CodeSize": version.code.size_bytes,
        },
    }
