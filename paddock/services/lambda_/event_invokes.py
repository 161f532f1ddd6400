"""Event mode's settings: retries, age and destinations of a qualifier's events; loops that may go on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from paddock.control.event_invokes import qualified
from paddock.model.arn import FunctionRef
from paddock.model.errors import InvalidParameterValue
from paddock.model.event_invoke import EventInvokeConfig
from paddock.services.lambda_ import markers
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.service import Call, Params

_PAGE_ITEMS = 50
_ARN = re.compile(r"arn:aws[a-z-]*:([a-z0-9-]+):([a-z0-9-]*):(\d{12})?:(.+)")
_SUCCESS_SERVICES = frozenset({"sqs", "sns", "lambda", "events"})
_FAILURE_SERVICES = _SUCCESS_SERVICES | {"s3"}


async def put_function_event_invoke_config(desk: Desk, call: Call) -> Params:
    return await _put(desk, call, lambda current: _changed(None, call.params, desk))


async def update_function_event_invoke_config(desk: Desk, call: Call) -> Params:
    ref = ref_of(call)
    desk.event_invokes.check(ref)
    desk.event_invokes.get(ref)  # there must be one to update
    return await _put(desk, call, lambda current: _changed(current, call.params, desk))


async def get_function_event_invoke_config(desk: Desk, call: Call) -> Params:
    ref = ref_of(call)
    return _shown(ref, desk.event_invokes.get(ref))


async def delete_function_event_invoke_config(desk: Desk, call: Call) -> None:
    await desk.event_invokes.delete(ref_of(call))


async def list_function_event_invoke_configs(desk: Desk, call: Call) -> Params:
    after, items_max = markers.read(call.params.get("Marker", "")), call.params.get("MaxItems") or _PAGE_ITEMS
    found = [one for one in desk.event_invokes.all_of(ref_of(call)) if one[0].qualifier > after]
    page: dict[str, Any] = {"FunctionEventInvokeConfigs": [_shown(ref, config) for ref, config in found[:items_max]]}
    if len(found) > items_max:
        page["NextMarker"] = markers.written(found[items_max - 1][0].qualifier)
    return page


async def put_function_recursion_config(desk: Desk, call: Call) -> Params:
    wanted = call.params["RecursiveLoop"]
    await desk.event_invokes.allow_recursion(ref_of(call), wanted == "Allow")
    return {"RecursiveLoop": wanted}


async def get_function_recursion_config(desk: Desk, call: Call) -> Params:
    return {"RecursiveLoop": "Allow" if desk.event_invokes.recursion_allowed(ref_of(call)) else "Terminate"}


async def _put(
    desk: Desk, call: Call, change: Callable[[EventInvokeConfig | None], EventInvokeConfig]
) -> Params:  # fmt: skip
    ref, params = ref_of(call), call.params
    named = (
        params.get("MaximumRetryAttempts"),
        params.get("MaximumEventAgeInSeconds"),
        params.get("DestinationConfig"),
    )
    if all(one is None for one in named):
        raise InvalidParameterValue("You must specify at least one of error handling or destination setting.")
    _check_destinations(desk, ref, params.get("DestinationConfig") or {})
    return _shown(ref, await desk.event_invokes.put(ref, change))


def _changed(current: EventInvokeConfig | None, params: Mapping[str, Any], desk: Desk) -> EventInvokeConfig:
    """current: what stays where nothing was sent; None for nothing."""
    before = current or EventInvokeConfig(last_modified=desk.clock.now())
    destinations = params.get("DestinationConfig")
    on_success, on_failure = before.on_success, before.on_failure
    if destinations is not None:
        if "OnSuccess" in destinations:
            on_success = destinations["OnSuccess"].get("Destination", "")
        if "OnFailure" in destinations:
            on_failure = destinations["OnFailure"].get("Destination", "")
    return EventInvokeConfig(
        retries_max=params.get("MaximumRetryAttempts", before.retries_max),
        age_s_max=params.get("MaximumEventAgeInSeconds", before.age_s_max),
        on_success=on_success,
        on_failure=on_failure,
        last_modified=before.last_modified,
    )


def _check_destinations(desk: Desk, ref: FunctionRef, sent: Mapping[str, Any]) -> None:
    for name, services in (("OnSuccess", _SUCCESS_SERVICES), ("OnFailure", _FAILURE_SERVICES)):
        arn = (sent.get(name) or {}).get("Destination", "")
        if not arn:
            continue
        found = _ARN.fullmatch(arn)
        if found is None or found[1] not in services or not desk.sends_to(arn) or _is_fifo(found[1], arn):
            raise InvalidParameterValue(f"The provided destination config {_as_java(sent)} is invalid.")
        if found[1] == "lambda":
            if arn.split(":")[:7] == ref.function_arn.split(":"):
                raise InvalidParameterValue("You can't specify the function as a destination for itself.")
            if not desk.event_invokes.exists_at(arn):
                raise InvalidParameterValue(f"The destination ARN {arn} is invalid.")


def _is_fifo(service: str, arn: str) -> bool:
    return service in ("sqs", "sns") and arn.endswith(".fifo")


def _as_java(sent: Mapping[str, Any]) -> str:
    """As AWS's messages print it."""
    parts = []
    for member, shape in (("onSuccess", "OnSuccess"), ("onFailure", "OnFailure")):
        arn = (sent.get(shape) or {}).get("Destination")
        parts.append(f"{member}={f'{shape}(destination={arn})' if arn else 'null'}")
    return f"DestinationConfig({', '.join(parts)})"


def _shown(ref: FunctionRef, config: EventInvokeConfig) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "LastModified": config.last_modified,
        "FunctionArn": qualified(ref),
        "DestinationConfig": {
            "OnSuccess": {"Destination": config.on_success} if config.on_success else {},
            "OnFailure": {"Destination": config.on_failure} if config.on_failure else {},
        },
    }
    if config.retries_max is not None:
        shown["MaximumRetryAttempts"] = config.retries_max
    if config.age_s_max is not None:
        shown["MaximumEventAgeInSeconds"] = config.age_s_max
    return shown
