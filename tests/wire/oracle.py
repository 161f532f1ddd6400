"""botocore as the other end of the wire, and a small generator of values from shapes.

`request_of` is what a botocore client would send, as our Request; `read_by_botocore` is what it would make of our
Response. `Values` draws valid values for any shape from a seeded generator, so that a failure can be repeated.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.model import OperationModel, Shape
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from paddock.wire import protocol
from paddock.wire.messages import Headers, Request, Response
from paddock.wire.service import ServiceModel, load_service

SERVICES = ("lambda", "sts", "iam", "logs")
TEXT = "abcXYZ019-_.:/$%+ &=?#'\"<>[]{}\\éλ漢😀"
LINES = TEXT + "\t\r\n"
TOKEN = "abcXYZ019-_.:/$"

load = cache(load_service)


def operations(*services: str) -> list[tuple[str, str]]:
    """(service, operation) for every operation of the services, or of all that we speak."""
    return [(name, operation) for name in services or SERVICES for operation in load(name).operation_names]


def has_event_stream(shape: Shape | None) -> bool:
    return shape is not None and any(each.serialization.get("eventstream") for each in shape.members.values())


class Values:
    """Valid values for shapes. `empties`: empty lists, maps and strings may be drawn below the top."""

    def __init__(self, seed: str, *, empties: bool) -> None:
        self._rng = random.Random(seed)
        self._empties = empties

    def members(self, shape: Shape | None, *, every: bool, status: int = 200) -> dict[str, Any]:
        """A top-level structure, members placed by location; `every` member, or each with even odds."""
        found: dict[str, Any] = {}
        if shape is None:
            return found
        for name, member in shape.members.items():
            location = member.serialization.get("location")
            payload = shape.serialization.get("payload") == name
            # A response always names a content type, so a member for it is never absent on the other side.
            typed = member.serialization.get("name", "").lower() == "content-type"
            if not (every or name in shape.required_members or payload or typed or self._rng.random() < 0.5):
                continue
            if location == "statusCode":
                found[name] = status
            elif location in ("header", "headers"):
                value = self._header_json() if member.serialization.get("jsonvalue") else self._draw(member, TOKEN, 0)
                found[name] = value.replace(microsecond=0) if isinstance(value, datetime) else value
            else:
                found[name] = self._draw(member, TEXT if location else LINES, 0)
        return found

    def _draw(self, shape: Shape, alphabet: str, depth: int) -> Any:
        rng = self._rng
        # A flattened list that is empty leaves no trace in XML.
        fewest = 0 if self._empties and depth and not shape.serialization.get("flattened") else 1
        match shape.type_name:
            case "structure":
                return self._structure(shape, alphabet, depth)
            case "list":
                return [self._draw(shape.member, alphabet, depth + 1) for _ in range(rng.randint(fewest, 3))]
            case "map":
                count = rng.randint(fewest, 3)
                return {
                    f"{i}{self._text(alphabet, 0)}": self._draw(shape.value, alphabet, depth + 1) for i in range(count)
                }
            case "boolean":
                return rng.random() < 0.5
            case "integer":
                return rng.choice((0, 1, -1, rng.randint(-(2**31), 2**31 - 1)))
            case "long":
                return rng.choice((0, rng.randint(-(2**63), 2**63 - 1)))
            case "float" | "double":
                return rng.choice((0.0, -1.5, rng.uniform(-1e9, 1e9), 1e-7))
            case "timestamp":
                moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=rng.randint(-(10**9), 10**9))
                return moment.replace(microsecond=rng.choice((0, 250_000, rng.randint(0, 999_999))))
            case "blob":
                return rng.randbytes(rng.randint(fewest, 40))
            case "string":
                enum = shape.metadata.get("enum")
                return rng.choice(enum) if enum else self._text(alphabet, fewest)
        raise AssertionError(f"no value for {shape.type_name}")

    def _header_json(self) -> Any:
        return {"text": self._text(LINES, 1), "numbers": [1, 2.5, None], "flag": self._rng.random() < 0.5}

    def _structure(self, shape: Shape, alphabet: str, depth: int) -> Any:
        if shape.is_document_type:
            return {"any": [1, "thing", None, {"deep": True}]}
        names = list(shape.members)
        if shape.is_tagged_union:
            names = [self._rng.choice(names)]
        elif names:
            # Deep structures keep to what is required, so that recursive shapes come to an end.
            odds = 0.6 if depth < 3 else 0.0
            chosen = [n for n in names if n in shape.required_members or self._rng.random() < odds]
            names = chosen or ([] if self._empties else names[:1])
        return {name: self._draw(shape.members[name], alphabet, depth + 1) for name in names}

    def _text(self, alphabet: str, fewest: int) -> str:
        return "".join(self._rng.choice(alphabet) for _ in range(self._rng.randint(fewest, 12)))


def request_of(operation: OperationModel, params: dict[str, Any]) -> Request:
    """What a botocore client sends for these params, unsigned."""
    model = operation.service_model
    serializer = create_serializer(model.protocol, include_validation=False)
    request = serializer.serialize_to_request(params, operation)
    prepare_request_dict(request, endpoint_url="http://127.0.0.1:4566", context={})
    prepared = create_request_object(request).prepare()
    url = urlsplit(prepared.url)
    headers = [(name, v.decode() if isinstance(v, bytes) else str(v)) for name, v in prepared.headers.items()]
    body = prepared.body or b""
    return Request(
        method=prepared.method,
        path=url.path,
        query=url.query,
        headers=Headers([*headers, ("Host", "127.0.0.1:4566")]),
        body=body.encode() if isinstance(body, str) else bytes(body),
    )


class Stream:
    """Stands for the body of a streaming response, which botocore hands through."""

    def __init__(self, body: Any) -> None:
        self.body = body


def read_by_botocore(service: ServiceModel, response: Response, shape: Shape | None, *, streaming: bool = False) -> Any:
    """botocore's reading of our response against a shape."""
    return create_parser(service.protocol).parse(
        {
            "body": Stream(response.body) if streaming else response.body,
            "headers": HeadersDict(response.headers),
            "status_code": response.status,
        },
        shape,
    )


def check_request(service_name: str, operation_name: str) -> None:
    """What botocore sends, we route to the operation and parse to the same parameters."""
    service = load(service_name)
    operation = service.operation(operation_name)
    for round_number in range(6):
        values = Values(f"{operation_name}{round_number}", empties=service.protocol != "query")
        params = values.members(operation.input_shape, every=round_number == 0)
        request = request_of(operation, params)

        routed, labels = protocol.route(service, request)
        assert routed == operation_name
        assert protocol.parse(service, routed, request, labels) == params


def check_response(service_name: str, operation_name: str) -> None:
    """What we answer, botocore reads back equal."""
    service = load(service_name)
    operation = service.operation(operation_name)
    for round_number in range(6):
        values = Values(f"{operation_name}{round_number}", empties=True)
        output = values.members(operation.output_shape, every=round_number == 0, status=202)

        response = protocol.serialize(service, operation_name, output, "the-request-id")
        read = read_by_botocore(service, response, operation.output_shape, streaming=operation.has_streaming_output)

        assert read.pop("ResponseMetadata")["RequestId"] == "the-request-id"
        read = {name: value.body if isinstance(value, Stream) else value for name, value in read.items()}
        if response.status == 204:
            assert response.body == b""
        status_member = service.plans[operation_name].output.status
        if status_member:
            output.setdefault(status_member, response.status)
        assert read == output
