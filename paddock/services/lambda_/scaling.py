"""Scaling configurations: how many environments of a version managed instances keep.

They belong to functions on a capacity provider, and no function here is on one: CreateFunction refuses that. So these
operations find the function, or do not, and then say what AWS says of every ordinary function: that it is the wrong
kind (docs/decisions/0019-provisioned-concurrency.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

from paddock.model.errors import InvalidParameterValue
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.service import Call

_NEWEST = "$LATEST.PUBLISHED"


async def put_function_scaling_config(desk: Desk, call: Call) -> NoReturn:
    sent = call.params.get("FunctionScalingConfig") or {}
    least, most = sent.get("MinExecutionEnvironments"), sent.get("MaxExecutionEnvironments")
    if least is not None and most is not None and least > most:
        raise InvalidParameterValue("MinExecutionEnvironments should not be greater than MaxExecutionEnvironments.")
    _refuse(desk, call)


async def get_function_scaling_config(desk: Desk, call: Call) -> NoReturn:
    _refuse(desk, call)


def _refuse(desk: Desk, call: Call) -> NoReturn:
    """Raises ResourceNotFound for what is not there, else InvalidParameterValue."""
    ref = ref_of(call)
    desk.catalogue.version(replace(ref, qualifier="") if ref.qualifier == _NEWEST else ref)
    raise InvalidParameterValue(
        f"The function {ref.function_arn} does not have a capacity provider. "
        "Scaling configurations are supported for Lambda Managed Instances functions only."
    )
