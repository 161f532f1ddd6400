"""Errors as bytes: the one place where an error becomes a response."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

import msgspec

from paddock.model.errors import ServiceError
from paddock.wire.messages import Headers, Response
from paddock.wire.protocol import serialize_error
from paddock.wire.service import ServiceModel


def error_response(
    error: ServiceError, service: ServiceModel | None, operation: str | None, headers: Headers, request_id: str
) -> Response:
    """The error in the service's protocol; without a service, in the shape that most clients of such a request read."""
    if service is not None:
        response = serialize_error(
            service,
            operation,
            code=error.code,
            message=error.message,
            status=error.status,
            fault=error.fault,
            members=error.members,
            request_id=request_id,
        )
        if "awsQueryCompatible" not in service.model.metadata:
            return response
        sender = "Sender" if error.fault == "client" else "Receiver"
        former = ("x-amzn-query-error", f"{error.query_code or error.code};{sender}")
        return msgspec.structs.replace(response, headers=(*response.headers, former))
    if _wants_xml(headers):
        kind, body_type = "Sender" if error.fault == "client" else "Receiver", "text/xml"
        text = (
            f"<ErrorResponse><Error><Type>{kind}</Type><Code>{escape(error.code)}</Code>"
            f"<Message>{escape(error.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    else:
        text, body_type = json.dumps({"__type": error.code, "message": error.message}), "application/json"
    fields = (("x-amzn-RequestId", request_id), ("x-amzn-ErrorType", error.code), ("Content-Type", body_type))
    return Response(status=error.status, headers=fields, body=text.encode())


def _wants_xml(headers: Headers) -> bool:
    """Forms come from the query protocol, and S3 signs its payload's hash: both answer in XML."""
    form = headers.get("content-type").startswith("application/x-www-form-urlencoded")
    return not headers.get("x-amz-target") and (form or "x-amz-content-sha256" in headers)
