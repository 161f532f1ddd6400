"""json 1.0 and 1.1: one POST, the operation in X-Amz-Target, all members in one JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.wire import json_body
from paddock.wire.errors import UnknownOperation
from paddock.wire.messages import Request, Response
from paddock.wire.rest import unknown_members
from paddock.wire.service import ErrorPlan, Plan, ServiceModel


def operation_of(service: ServiceModel, request: Request) -> str:
    """Raises UnknownOperation."""
    prefix, _, name = request.headers.get("x-amz-target").rpartition(".")
    if not name and "awsQueryCompatible" in service.model.metadata:
        message = (
            f"Paddock answers {service.name} in its JSON protocol only, which SDKs speak since 2023; the older query "
            "protocol (Action=...) is not in the service model any more (docs/decisions/0020)."
        )
        raise UnknownOperation(message, status=400)
    if name not in service.plans or prefix != service.model.metadata["targetPrefix"]:
        raise UnknownOperation(f"The operation {name[:128]} does not exist in {service.name}", status=400)
    return name


def parse(plan: Plan, request: Request) -> dict[str, Any]:
    """Input members. Raises Malformed."""
    document = json_body.load(request.body)
    shape = plan.input.shape
    if shape is None:
        return {}
    params: dict[str, Any] = json_body.decode_structure(shape, document)
    return params


def serialize(
    service: ServiceModel,
    plan: Plan,
    output: Mapping[str, Any],
    request_id: str,
    headers: tuple[tuple[str, str], ...],
) -> Response:
    """Output members as a response; an operation without output answers an empty body. Raises OutputDefect."""
    unknown_members(plan.output, output)
    shape = plan.output.shape
    body = b"" if shape is None else json_body.dump(json_body.encode_structure(shape, output))
    fields = (("x-amzn-RequestId", request_id), ("Content-Type", _content_type(service)), *headers)
    return Response(status=plan.status, headers=fields, body=body)


def serialize_error(
    service: ServiceModel,
    error: ErrorPlan | None,
    *,
    code: str,
    message: str,
    status: int,
    members: Mapping[str, Any],
    request_id: str,
) -> Response:
    """`{"__type": code, "message": ...}`, the message spelled as the shape spells it."""
    shape = error.places.shape if error is not None else None
    known = shape.members if shape is not None else {}
    name = shape.name if shape is not None else code
    document: dict[str, Any] = {"__type": name, "Message" if "Message" in known else "message": message}
    if shape is not None:
        extra = {key: value for key, value in members.items() if key in known and key not in document}
        document.update(json_body.encode_structure(shape, extra))
    fields = (("x-amzn-RequestId", request_id), ("Content-Type", _content_type(service)))
    return Response(status=status, headers=fields, body=json_body.dump(document))


def _content_type(service: ServiceModel) -> str:
    return f"application/x-amz-json-{service.model.metadata.get('jsonVersion', '1.0')}"
