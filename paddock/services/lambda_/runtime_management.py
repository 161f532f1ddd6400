"""Which version of its runtime a function runs on.

A machine has one version of each runtime at a time: the interpreter that is installed. Auto takes what is there. Manual
pins the version that is there now; when another one takes its place the function does not run until it is unpinned.
"""

from __future__ import annotations

from dataclasses import replace

from paddock.model.errors import InvalidParameterValue, NotYet
from paddock.model.function import Function, FunctionVersion
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.service import Call, Params

AUTO, MANUAL = "Auto", "Manual"


async def put_runtime_management_config(desk: Desk, call: Call) -> Params:
    params, ref = call.params, ref_of(call)
    mode, arn = params["UpdateRuntimeOn"], params.get("RuntimeVersionArn") or ""
    if mode not in (AUTO, MANUAL):
        raise NotYet("UpdateRuntimeOn FunctionUpdate is not supported by Paddock yet. See docs/refused-settings.md.")
    if (mode == MANUAL) != bool(arn):
        need = "is required when" if mode == MANUAL else "can only be given if"
        raise InvalidParameterValue(f"RuntimeVersionArn {need} UpdateRuntimeOn is {MANUAL}.")
    number = _version(desk, call).version

    def changed(function: Function) -> Function:
        return function.with_version(number, lambda version: _pinned(desk, version, arn))

    await desk.catalogue.change(replace(ref, qualifier=""), changed)
    return _shown(_version(desk, call))


async def get_runtime_management_config(desk: Desk, call: Call) -> Params:
    return _shown(_version(desk, call))


def _version(desk: Desk, call: Call) -> FunctionVersion:
    """Raises ResourceNotFound, and InvalidParameterValue for an alias or an image."""
    ref = ref_of(call)
    if ref.qualifier in desk.catalogue.get(ref).aliases:
        raise InvalidParameterValue("Runtime management is of $LATEST or of a published version, not of an alias.")
    version = desk.catalogue.version(ref)
    if version.image is not None:
        raise InvalidParameterValue("Runtime management is not supported for functions with packageType Image.")
    return version


def _pinned(desk: Desk, version: FunctionVersion, arn: str) -> FunctionVersion:
    current = desk.runtime_version_arn(version.runtime, version.region)
    if arn and arn != current:
        raise InvalidParameterValue(
            f"The runtime version {arn} is not on this machine. Its {version.runtime} is {current or 'absent'}."
        )
    return replace(version, runtime_version_arn=arn)


def _shown(version: FunctionVersion) -> Params:
    members = {"UpdateRuntimeOn": MANUAL if version.runtime_version_arn else AUTO, "FunctionArn": version.version_arn}
    return {**members, "RuntimeVersionArn": version.runtime_version_arn} if version.runtime_version_arn else members
