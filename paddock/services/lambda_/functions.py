"""Creating, reading, configuring and deleting functions."""

from __future__ import annotations

from paddock.control.changes import Change, NewFunction
from paddock.model.errors import InvalidParameterValue, NotYet
from paddock.model.function import FunctionVersion, LayerUse
from paddock.model.image import ContainerImage
from paddock.services.lambda_ import code_signing, file_systems, images, keys, layers, markers, networks, sources, view
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.lambda_.runtimes import check_runtime
from paddock.services.lambda_.settings import refuse_architectures, refuse_others
from paddock.services.lambda_.versions import number_of
from paddock.services.service import Call, Params

_SETTINGS = frozenset(
    {
        "FunctionName",
        "Runtime",
        "Role",
        "Handler",
        "Description",
        "Timeout",
        "MemorySize",
        "Environment",
        "EphemeralStorage",
        "LoggingConfig",
        "Layers",
        "DeadLetterConfig",
        "VpcConfig",
        "FileSystemConfigs",
        "KMSKeyArn",
        "SnapStart",
        "ImageConfig",
    }
)
_AT_CREATE = _SETTINGS | {
    "Code", "Tags", "Architectures", "Publish", "CodeSigningConfigArn", "TenancyConfig", "PackageType",
}  # fmt: skip
_AT_UPDATE = _SETTINGS | {"RevisionId"}


async def create_function(desk: Desk, call: Call) -> Params:
    params = call.params
    refuse_others(params, _AT_CREATE)
    refuse_others(params["Code"], sources.HONOURED | {"ImageUri"}, within="Code.")
    refuse_architectures(params, desk.architecture)
    ref = ref_of(call)
    if ref.qualifier:
        raise InvalidParameterValue("A function is created without a qualifier: remove it from FunctionName.")
    content = await _code(desk, call)
    keys.check(desk, params.get("KMSKeyArn") or "", call.caller)
    uses, signing = layers.uses_of(desk, call), params.get("CodeSigningConfigArn") or ""
    signer = await code_signing.checked(desk, signing, content, uses or ())
    _check_dead_letters(desk, params)
    new = NewFunction(
        account=ref.account,
        region=ref.region,
        name=ref.name,
        architecture=desk.architecture,
        settings=_change_of(desk, params, uses),
        code_signing=signing,
        tenant_isolation=params.get("TenancyConfig") is not None,
        tags=params.get("Tags") or {},
    )
    created = await desk.catalogue.create_function(new, content, publish=bool(params.get("Publish")), signer=signer)
    # The version just published is shown, but under the function's own ARN: so AWS does, here alone.
    return view.configuration(created.newest or created.latest, created.latest.function_arn)


async def _code(desk: Desk, call: Call) -> bytes | ContainerImage:
    """What the new function is made of. Raises InvalidParameterValue."""
    params = call.params
    if images.is_image(params):
        return await images.found(desk.images.resolve, params["Code"]["ImageUri"], desk.architecture)
    content = await sources.content_of(desk, call, params["Code"])
    if not params.get("Runtime") or not params.get("Handler"):
        raise InvalidParameterValue(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
        )
    _check_runtime(desk, params)
    return content


async def get_function(desk: Desk, call: Call) -> Params:
    ref = ref_of(call)
    version = desk.catalogue.version(ref)
    return view.function(desk.catalogue.get(ref), version, ref.arn, desk.code_url(version.code.digest))


async def get_function_configuration(desk: Desk, call: Call) -> Params:
    ref = ref_of(call)
    return view.configuration(desk.catalogue.version(ref), ref.arn)


async def list_functions(desk: Desk, call: Call) -> Params:
    params = call.params
    if params.get("MasterRegion") not in (None, "ALL"):
        # ALL asks for functions of every region of Lambda@Edge; there are no replicas, so it is no restriction.
        raise NotYet("The setting MasterRegion is not supported by Paddock yet.")
    if params.get("FunctionVersion") == "ALL":
        return _every_version(desk, call)
    page = desk.catalogue.list(
        call.caller.account,
        call.caller.region,
        after=markers.read(params.get("Marker", "")),
        items_max=params.get("MaxItems"),
    )
    listed = [view.listed(function.latest, function.latest.function_arn) for function in page.functions]
    if not page.next_name:
        return {"Functions": listed}
    return {"Functions": listed, "NextMarker": markers.written(page.next_name)}


def _every_version(desk: Desk, call: Call) -> Params:
    page = desk.catalogue.list_all_versions(
        call.caller.account,
        call.caller.region,
        after=markers.read_version(call.params.get("Marker", "")),
        items_max=call.params.get("MaxItems"),
    )
    listed = [view.listed(version, version.version_arn) for version in page.versions]
    if not page.more:
        return {"Functions": listed}
    last = page.versions[-1]
    return {"Functions": listed, "NextMarker": markers.written(f"{last.name}:{number_of(last)}")}


async def update_function_configuration(desk: Desk, call: Call) -> Params:
    params = call.params
    refuse_others(params, _AT_UPDATE)
    _check_dead_letters(desk, params)
    if params.get("Runtime") is not None:
        _check_runtime(desk, params)
    keys.check(desk, params.get("KMSKeyArn") or "", call.caller)
    ref, uses = ref_of(call), layers.uses_of(desk, call)
    images.check_settings(params, desk.catalogue.version(ref))
    if uses:
        code_signing.check_layers(desk, ref, uses)
    updated = await desk.catalogue.update_configuration(
        ref, _change_of(desk, params, uses, desk.catalogue.version(ref)), revision_id=params.get("RevisionId", "")
    )
    return view.configuration(updated.latest, updated.latest.function_arn)


async def delete_function(desk: Desk, call: Call) -> Params:
    await desk.catalogue.delete_function(ref_of(call))
    return {"StatusCode": 204}


async def get_account_settings(desk: Desk, call: Call) -> Params:
    quotas = desk.quotas
    account, region = call.caller.account, call.caller.region
    usage = desk.catalogue.usage(account, region)
    return {
        "AccountLimit": {
            "TotalCodeSize": quotas.code_storage_bytes_max,
            "CodeSizeUnzipped": quotas.unzipped_bytes_max,
            "CodeSizeZipped": quotas.zipped_bytes_max,
            "ConcurrentExecutions": quotas.concurrency_max,
            "UnreservedConcurrentExecutions": quotas.concurrency_max - desk.catalogue.reserved_by_all(account, region),
        },
        "AccountUsage": {"TotalCodeSize": usage.code_bytes, "FunctionCount": usage.functions},
    }


def _check_dead_letters(desk: Desk, params: Params) -> None:
    """A queue or a topic, neither of them FIFO. Raises InvalidParameterValue."""
    arn = (params.get("DeadLetterConfig") or {}).get("TargetArn", "")
    if arn and (arn.split(":")[2:3] not in (["sqs"], ["sns"]) or arn.endswith(".fifo") or not desk.sends_to(arn)):
        raise InvalidParameterValue(f"The provided dead letter target {arn} is not one that events can be sent to.")


def _change_of(
    desk: Desk, params: Params, uses: tuple[LayerUse, ...] | None, current: FunctionVersion | None = None
) -> Change:
    """uses: of layers, looked up already. current: what an update changes."""
    vpc = networks.vpc_of(params, desk.networks)
    after = vpc if vpc is not None or current is None else current.vpc
    is_in_vpc = after is not None and after.network != ""
    kept = current.file_systems if current is not None else ()
    mounted = file_systems.file_systems_of(params, desk.file_systems, is_in_vpc=is_in_vpc, mounted=kept)
    return view.change_of(params, uses, vpc, mounted)


def _check_runtime(desk: Desk, params: Params) -> None:
    check_runtime(params["Runtime"], available=desk.runtimes(), modelled=desk.modelled_runtimes)
