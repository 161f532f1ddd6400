"""Creating, reading, configuring and deleting functions."""

from __future__ import annotations

import base64
import binascii

from paddock.control.changes import NewFunction
from paddock.model.errors import InvalidParameterValue, NotYet
from paddock.services.lambda_ import view
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.lambda_.runtimes import check_runtime
from paddock.services.lambda_.settings import refuse_architectures, refuse_others
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
    }
)
_AT_CREATE = _SETTINGS | {"Code", "Tags", "Architectures"}
_AT_UPDATE = _SETTINGS | {"RevisionId"}


async def create_function(desk: Desk, call: Call) -> Params:
    params = call.params
    refuse_others(params, _AT_CREATE)
    refuse_others(params["Code"], frozenset({"ZipFile"}), within="Code.")
    refuse_architectures(params, desk.architecture)
    ref = ref_of(call)
    if ref.qualifier:
        raise InvalidParameterValue("A function is created without a qualifier: remove it from FunctionName.")
    content = params["Code"].get("ZipFile")
    if content is None:
        raise InvalidParameterValue("Please provide a source for function code.")
    if not params.get("Runtime") or not params.get("Handler"):
        raise InvalidParameterValue(
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
        )
    _check_runtime(desk, params)
    new = NewFunction(
        account=ref.account,
        region=ref.region,
        name=ref.name,
        architecture=desk.architecture,
        settings=view.change_of(params),
        tags=params.get("Tags") or {},
    )
    created = await desk.catalogue.create_function(new, content)
    return view.configuration(created.latest, created.latest.function_arn)


async def get_function(desk: Desk, call: Call) -> Params:
    ref = ref_of(call)
    found = desk.catalogue.get(ref)
    return view.function(found, ref.arn, desk.code_url(found.latest))


async def get_function_configuration(desk: Desk, call: Call) -> Params:
    ref = ref_of(call)
    return view.configuration(desk.catalogue.get(ref).latest, ref.arn)


async def list_functions(desk: Desk, call: Call) -> Params:
    params = call.params
    if params.get("MasterRegion") not in (None, "ALL"):
        # ALL asks for functions of every region of Lambda@Edge; there are no replicas, so it is no restriction.
        raise NotYet("The setting MasterRegion is not supported by Paddock yet.")
    page = desk.catalogue.list(
        call.caller.account,
        call.caller.region,
        after=_name_after(params.get("Marker", "")),
        items_max=params.get("MaxItems"),
    )
    every_version = params.get("FunctionVersion") == "ALL"
    listed = [
        view.listed(f.latest, f.latest.version_arn if every_version else f.latest.function_arn) for f in page.functions
    ]
    if not page.next_name:
        return {"Functions": listed}
    return {"Functions": listed, "NextMarker": base64.urlsafe_b64encode(page.next_name.encode()).decode()}


async def update_function_configuration(desk: Desk, call: Call) -> Params:
    params = call.params
    refuse_others(params, _AT_UPDATE)
    if params.get("Runtime") is not None:
        _check_runtime(desk, params)
    updated = await desk.catalogue.update_configuration(
        ref_of(call), view.change_of(params), revision_id=params.get("RevisionId", "")
    )
    return view.configuration(updated.latest, updated.latest.function_arn)


async def delete_function(desk: Desk, call: Call) -> Params:
    await desk.catalogue.delete_function(ref_of(call))
    return {"StatusCode": 204}


async def get_account_settings(desk: Desk, call: Call) -> Params:
    quotas = desk.quotas
    usage = desk.catalogue.usage(call.caller.account, call.caller.region)
    return {
        "AccountLimit": {
            "TotalCodeSize": quotas.code_storage_bytes_max,
            "CodeSizeUnzipped": quotas.unzipped_bytes_max,
            "CodeSizeZipped": quotas.zipped_bytes_max,
            "ConcurrentExecutions": quotas.concurrency_max,
            "UnreservedConcurrentExecutions": quotas.concurrency_max,
        },
        "AccountUsage": {"TotalCodeSize": usage.code_bytes, "FunctionCount": usage.functions},
    }


def _check_runtime(desk: Desk, params: Params) -> None:
    check_runtime(params["Runtime"], available=desk.runtimes(), modelled=desk.modelled_runtimes)


def _name_after(marker: str) -> str:
    """The function name a Marker of ours stands for. Raises InvalidParameterValue."""
    try:
        return base64.b64decode(marker, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidParameterValue(f"Invalid Marker: {marker}") from error
