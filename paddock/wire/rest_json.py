"""rest-json: members in path, query and headers, the rest one JSON document (or one member is the whole body)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.wire import json_body, rest
from paddock.wire.errors import Malformed, OutputDefect
from paddock.wire.messages import Request, Response
from paddock.wire.service import ErrorPlan, Plan

JSON = "application/json"


def parse(plan: Plan, request: Request, path_params: Mapping[str, str]) -> dict[str, Any]:
    """Input members. A raw payload is request.body itself, never a copy. Raises Malformed."""
    places = plan.input
    params = rest.parse_located(places, request, path_params, plan.literal_query)
    payload = places.payload
    if payload is not None:
        if not request.body:
            return params
        if not places.raw_payload:
            params[payload.member] = json_body.decode(payload.shape, json_body.load(request.body))
        elif payload.shape.type_name == "string":
            try:
                params[payload.member] = request.body.decode("utf-8")
            except UnicodeDecodeError:
                raise Malformed("The body is not valid UTF-8") from None
        else:
            params[payload.member] = request.body
    elif places.body:
        document = json_body.load(request.body)
        if not isinstance(document, dict):
            raise Malformed("Unexpected field type")
        for place in places.body:
            value = document.get(place.name)
            if value is not None:
                params[place.member] = json_body.decode(place.shape, value)
    return params


def serialize(plan: Plan, output: Mapping[str, Any], request_id: str, headers: tuple[tuple[str, str], ...]) -> Response:
    """Output members as a response; a 204 never has a body. Raises OutputDefect."""
    places = plan.output
    rest.unknown_members(places, output)
    status = plan.status
    if places.status and output.get(places.status) is not None:
        status = int(output[places.status])
    fields = [("x-amzn-RequestId", request_id), *rest.format_headers(places, output), *headers]
    body: Any = b""
    if places.payload is not None:
        body = _payload(places, output.get(places.payload.member))
    elif places.body:
        body = json_body.dump(_document(places.body, output))
    if status == 204:
        body = b""
    if not any(name == "Content-Type" for name, _ in headers) and not any(
        name.lower() == "content-type" for name, _ in fields
    ):
        fields.append(("Content-Type", JSON))
    return Response(status=status, headers=tuple(fields), body=body)


def _payload(places: rest.Places, value: Any) -> Any:
    if value is None:
        return b""
    if places.raw_payload:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, bytes) or hasattr(value, "__aiter__"):
            return value
        raise OutputDefect(f"a payload is bytes or an async iterator of bytes, not {type(value).__name__}")
    assert places.payload is not None
    return json_body.dump(json_body.encode(places.payload.shape, value))


def _document(body: tuple[rest.Place, ...], output: Mapping[str, Any]) -> dict[str, Any]:
    document = {}
    for place in body:
        value = output.get(place.member)
        if value is not None:
            document[place.name] = json_body.encode(place.shape, value)
    return document


def serialize_error(
    error: ErrorPlan | None,
    *,
    code: str,
    message: str,
    status: int,
    fault: str,
    members: Mapping[str, Any],
    request_id: str,
) -> Response:
    """The envelope of spec 01 §1. Unknown codes carry only `message`; members the shape lacks are left out."""
    fields = [("x-amzn-RequestId", request_id), ("x-amzn-ErrorType", rest.header_safe(code)), ("Content-Type", JSON)]
    if error is None:
        return Response(status=status, headers=tuple(fields), body=json_body.dump({"message": message}))
    known = {place.member for place in error.places.body}
    document: dict[str, Any] = {}
    if "Type" in known:
        document["Type"] = "User" if fault == "client" else "Service"
    document["Message" if "Message" in known else "message"] = message
    document.update(_document(error.places.body, {k: v for k, v in members.items() if k not in document}))
    fields.extend(rest.format_headers(error.places, members))
    return Response(status=status, headers=tuple(fields), body=json_body.dump(document))
