"""Function URLs: their settings. What answers at them is front/function_urls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from paddock.model.arn import FunctionRef
from paddock.model.function import LATEST
from paddock.model.function_url import Cors, FunctionUrl, InvokeMode, UrlAuth
from paddock.services.lambda_ import markers
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.service import Call, Params

_PAGE_ITEMS = 50


async def create_function_url_config(desk: Desk, call: Call) -> Params:
    ref, params = ref_of(call), call.params
    url = await desk.urls.create(ref, UrlAuth(params["AuthType"]), lambda url: _changed(url, params))
    return _shown(desk, ref, url, with_mode="InvokeMode" in params)


async def get_function_url_config(desk: Desk, call: Call) -> Params:
    ref = ref_of(call)
    url = desk.urls.get(ref)
    return _with_change(_shown(desk, ref, url), url)


async def update_function_url_config(desk: Desk, call: Call) -> Params:
    ref, params = ref_of(call), call.params
    url = await desk.urls.update(ref, lambda url: _changed(url, params))
    return _with_change(_shown(desk, ref, url, with_mode="InvokeMode" in params), url)


async def delete_function_url_config(desk: Desk, call: Call) -> None:
    await desk.urls.delete(ref_of(call))


async def list_function_url_configs(desk: Desk, call: Call) -> Params:
    after, items_max = markers.read(call.params.get("Marker", "")), call.params.get("MaxItems") or _PAGE_ITEMS
    # The function's own URL comes first, and $LATEST before every name of an alias.
    found = [one for one in desk.urls.all_of(ref_of(call)) if (one[0].qualifier or LATEST) > after]
    shown = [_with_change(_shown(desk, ref, url), url) for ref, url in found[:items_max]]
    page: dict[str, Any] = {"FunctionUrlConfigs": shown}
    if len(found) > items_max:
        page["NextMarker"] = markers.written(found[items_max - 1][0].qualifier or LATEST)
    return page


def _changed(url: FunctionUrl, params: Mapping[str, Any]) -> FunctionUrl:
    """What was sent replaces what is there; an empty Cors takes it away."""
    return replace(
        url,
        auth=UrlAuth(params.get("AuthType", url.auth)),
        mode=InvokeMode(params.get("InvokeMode", url.mode)),
        cors=_cors(params["Cors"]) if params.get("Cors") is not None else url.cors,
    )


def _cors(sent: Mapping[str, Any]) -> Cors | None:
    if not sent:
        return None
    return Cors(
        allow_credentials=sent.get("AllowCredentials"),
        allow_headers=tuple(sent.get("AllowHeaders", ())),
        allow_methods=tuple(sent.get("AllowMethods", ())),
        allow_origins=tuple(sent.get("AllowOrigins", ())),
        expose_headers=tuple(sent.get("ExposeHeaders", ())),
        max_age_s=sent.get("MaxAge"),
    )


def _shown(desk: Desk, ref: FunctionRef, url: FunctionUrl, *, with_mode: bool = True) -> dict[str, Any]:
    """with_mode: what makes or changes a URL tells its mode only when it was sent, as AWS does."""
    shown: dict[str, Any] = {
        "FunctionUrl": desk.url_address(url.url_id, ref.region),
        "FunctionArn": ref.arn,
        "AuthType": url.auth.value,
        "CreationTime": _time(url.created),
    }
    if url.cors is not None:
        shown["Cors"] = _shown_cors(url.cors)
    if with_mode:
        shown["InvokeMode"] = url.mode.value
    return shown


def _with_change(shown: dict[str, Any], url: FunctionUrl) -> dict[str, Any]:
    return {**shown, "LastModifiedTime": _time(url.last_modified)}


def _shown_cors(cors: Cors) -> dict[str, Any]:
    members = {
        "AllowCredentials": cors.allow_credentials,
        "AllowHeaders": list(cors.allow_headers) or None,
        "AllowMethods": list(cors.allow_methods) or None,
        "AllowOrigins": list(cors.allow_origins) or None,
        "ExposeHeaders": list(cors.expose_headers) or None,
        "MaxAge": cors.max_age_s,
    }
    return {name: value for name, value in members.items() if value is not None}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
