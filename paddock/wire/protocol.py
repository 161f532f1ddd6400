"""The four steps of the wire, whatever the protocol: route, parse, serialize, serialize_error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.wire import json_rpc, query, rest_json, rest_xml
from paddock.wire.errors import UnknownOperation
from paddock.wire.messages import Request, Response
from paddock.wire.service import ServiceModel

HeaderFields = tuple[tuple[str, str], ...]


def route(service: ServiceModel, request: Request) -> tuple[str, dict[str, str]]:
    """(operation name, decoded path labels). Raises UnknownOperation; Malformed when the path is not UTF-8."""
    match service.protocol:
        case "json":
            return json_rpc.operation_of(service, request), {}
        case "query":
            return query.operation_of(service, request), {}
        case _:
            found = service.router.match(request.method, request.path, request.query, request.headers)
            if found is None:
                raise UnknownOperation(f"No operation of {service.name} answers {request.method} on this path")
            return found[0].operation, found[1]


def parse(
    service: ServiceModel, operation_name: str, request: Request, path_params: Mapping[str, str]
) -> dict[str, Any]:
    """Input members by their model names: blobs as bytes, timestamps as aware datetimes. Raises Malformed.

    A payload that the model calls streaming (Plan.stream) is not among them: whoever reads the body puts it there."""
    plan = service.plans[operation_name]
    match service.protocol:
        case "json":
            return json_rpc.parse(plan, request)
        case "query":
            return query.parse(plan, request)
        case "rest-xml":
            return rest_xml.parse(plan, request, path_params)
        case _:
            return rest_json.parse(plan, request, path_params)


def serialize(
    service: ServiceModel,
    operation_name: str,
    output: Mapping[str, Any],
    request_id: str,
    headers: HeaderFields = (),
) -> Response:
    """Output members -> response. `headers` are those the model does not know. Raises OutputDefect."""
    plan = service.plans[operation_name]
    match service.protocol:
        case "json":
            return json_rpc.serialize(service, plan, output, request_id, headers)
        case "query":
            return query.serialize(service, plan, output, request_id, headers)
        case "rest-xml":
            return rest_xml.serialize(service, plan, output, request_id, headers)
        case _:
            return rest_json.serialize(plan, output, request_id, headers)


def serialize_error(
    service: ServiceModel,
    operation_name: str | None,
    *,
    code: str,
    message: str,
    status: int,
    fault: str,
    members: Mapping[str, Any],
    request_id: str,
) -> Response:
    """An error as the service would answer it.

    `code` may be the shape's name or its wire code. Where the model knows the error, its HTTP status and fault
    stand; the given ones serve the rest. `operation_name` is not needed by these protocols: an error looks the same
    whatever raised it.
    """
    error = service.errors.get(code)
    if error is not None:
        code = error.code
        status = error.status or status
        fault = "client" if error.sender_fault else fault
    details: dict[str, Any] = {
        "code": code,
        "message": message,
        "status": status,
        "members": members,
        "request_id": request_id,
    }
    match service.protocol:
        case "json":
            return json_rpc.serialize_error(service, error, **details)
        case "query":
            return query.serialize_error(service, fault=fault, **details)
        case "rest-xml":
            return rest_xml.serialize_error(service, fault=fault, **details)
        case _:
            return rest_json.serialize_error(error, fault=fault, **details)
