"""rest-xml: members in path, query and headers, the rest one XML document (or one member is the whole body).

The root element of an answer is named as S3 names it where that is known; clients read past it. S3's errors stand
bare in `<Error>`, those of other services inside `<ErrorResponse>`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.model import Shape

from paddock.wire import rest, scalars
from paddock.wire.errors import Malformed, OutputDefect
from paddock.wire.messages import Request, Response
from paddock.wire.query import xml_text
from paddock.wire.service import Plan, ServiceModel
from paddock.wire.xml_tree import Element, malformed_xml, read

XML = "application/xml"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

ROOTS: Mapping[str, str] = {
    "ListBucketsOutput": "ListAllMyBucketsResult",
    "ListObjectsOutput": "ListBucketResult",
    "ListObjectsV2Output": "ListBucketResult",
    "ListObjectVersionsOutput": "ListVersionsResult",
    "DeleteObjectsOutput": "DeleteResult",
    "GetBucketTaggingOutput": "Tagging",
    "GetObjectTaggingOutput": "Tagging",
    "GetBucketVersioningOutput": "VersioningConfiguration",
    "GetBucketCorsOutput": "CORSConfiguration",
    "GetBucketLifecycleConfigurationOutput": "LifecycleConfiguration",
    "GetBucketAclOutput": "AccessControlPolicy",
    "GetObjectAclOutput": "AccessControlPolicy",
    "GetBucketWebsiteOutput": "WebsiteConfiguration",
    "GetBucketLoggingOutput": "BucketLoggingStatus",
    "GetBucketRequestPaymentOutput": "RequestPaymentConfiguration",
    "GetBucketAccelerateConfigurationOutput": "AccelerateConfiguration",
}
"""What AWS calls an answer's root where the model's shape has another name (botocore's copy leaves it out)."""

TEXT_ROOTS: Mapping[str, str] = {"GetBucketLocationOutput": "LocationConstraint"}
"""Answers whose root is their only member itself: `<LocationConstraint>eu-west-1</LocationConstraint>`."""


# ---- request -> members


def parse(plan: Plan, request: Request, path_params: Mapping[str, str]) -> dict[str, Any]:
    """Input members; a streamed payload is not among them. Raises Malformed."""
    places = plan.input
    params = rest.parse_located(places, request, path_params, plan.literal_query)
    payload = places.payload
    if payload is None:
        if places.body and request.body:
            root = read(request.body)
            for place in places.body:
                _read_member(place.shape, place.name, root, params, place.member)
        return params
    if payload.member == plan.stream or not request.body:
        return params
    if not places.raw_payload:
        params[payload.member] = _structure(payload.shape, read(request.body))
    elif payload.shape.type_name == "string":
        try:
            params[payload.member] = request.body.decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("The body is not valid UTF-8") from None
    else:
        params[payload.member] = request.body
    return params


def _structure(shape: Shape, element: Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, member in shape.members.items():
        wire_name = member.serialization.get("name", name)
        if member.serialization.get("xmlAttribute"):
            if wire_name in element.attributes:
                found[name] = scalars.parse_text(member, element.attributes[wire_name], scalars.ISO8601)
        else:
            _read_member(member, _member_name(name, member), element, found, name)
    return found


def _member_name(name: str, member: Shape) -> str:
    """A flattened list goes by its own name, or by its elements' when it has none."""
    own = member.serialization.get("name")
    if member.type_name == "list" and member.serialization.get("flattened"):
        return str(own or member.member.serialization.get("name", name))
    return str(own or name)


def _read_member(shape: Shape, wire_name: str, parent: Element, found: dict[str, Any], name: str) -> None:
    if shape.type_name in ("list", "map") and shape.serialization.get("flattened"):
        elements = parent.all(wire_name)
        if elements:
            found[name] = (
                [_value(shape.member, each) for each in elements]
                if shape.type_name == "list"
                else dict(_entry(shape, each) for each in elements)
            )
        return
    element = parent.first(wire_name)
    if element is not None:
        found[name] = _value(shape, element)


def _value(shape: Shape, element: Element) -> Any:
    match shape.type_name:
        case "structure":
            return _structure(shape, element)
        case "list":
            member_name = shape.member.serialization.get("name", "member")
            return [_value(shape.member, each) for each in element.all(member_name)]
        case "map":
            return dict(_entry(shape, each) for each in element.all("entry"))
        case "string":
            if element.children:
                raise malformed_xml()
            return element.text
        case _:
            try:
                return scalars.parse_text(shape, element.text.strip(), scalars.ISO8601)
            except Malformed:
                raise malformed_xml() from None


def _entry(shape: Shape, element: Element) -> tuple[str, Any]:
    key = element.first(shape.key.serialization.get("name", "key"))
    value = element.first(shape.value.serialization.get("name", "value"))
    if key is None or value is None:
        raise malformed_xml()
    return key.text, _value(shape.value, value)


# ---- members -> response


def serialize(
    service: ServiceModel,
    plan: Plan,
    output: Mapping[str, Any],
    request_id: str,
    headers: tuple[tuple[str, str], ...],
) -> Response:
    """Output members as a response; a 204 never has a body. Raises OutputDefect."""
    places = plan.output
    rest.unknown_members(places, output)
    fields = [*_identity(service, request_id), *rest.format_headers(places, output), *headers]
    body: Any = b""
    payload = places.payload
    if payload is not None:
        value = output.get(payload.member)
        body = _payload(payload, places.raw_payload, value)
    elif places.body:
        assert places.shape is not None
        text_root = TEXT_ROOTS.get(places.shape.name)
        if text_root is not None:
            body = _text_root(text_root, places.body[0], output)
        else:
            inner = "".join(_members(places.body, output))
            body = _document(ROOTS.get(places.shape.name, places.shape.name.removesuffix("Output") + "Result"), inner)
    if plan.status == 204:
        body = b""
    if body and not any(name.lower() == "content-type" for name, _ in fields):
        fields.append(("Content-Type", XML))
    return Response(status=plan.status, headers=tuple(fields), body=body)


def _payload(payload: rest.Place, raw: bool, value: Any) -> Any:
    if value is None:
        return b""
    if raw:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, bytes) or hasattr(value, "__aiter__"):
            return value
        raise OutputDefect(f"a payload is bytes or an async iterator of bytes, not {type(value).__name__}")
    name = payload.shape.serialization.get("name", payload.name)
    return _document(str(name), "".join(_structure_xml(payload.shape, value)))


def _text_root(name: str, place: rest.Place, output: Mapping[str, Any]) -> bytes:
    value = output.get(place.member)
    return _document(name, "" if value is None else xml_text(scalars.format_text(place.shape, value, scalars.ISO8601)))


def _document(root: str, inner: str) -> bytes:
    return f'{DECLARATION}<{root} xmlns="{NAMESPACE}">{inner}</{root}>'.encode()


def _members(places: tuple[rest.Place, ...], output: Mapping[str, Any]) -> Iterator[str]:
    for place in places:
        value = output.get(place.member)
        if value is not None:
            yield _xml(place.shape, _member_name(place.member, place.shape), value)


def _structure_xml(shape: Shape, value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        raise OutputDefect(f"{shape.name}: a structure is wanted, not {type(value).__name__}")
    members = shape.members
    for name in value:
        if name not in members:
            raise OutputDefect(f"{shape.name} has no member {name}")
    for name, member in members.items():
        item = value.get(name)
        if item is not None and not member.serialization.get("xmlAttribute"):
            yield _xml(member, _member_name(name, member), item)


def _attributes(shape: Shape, value: Any) -> str:
    """Attributes of a structure's element, and the namespace that their prefix needs."""
    written = []
    for name, member in shape.members.items():
        if member.serialization.get("xmlAttribute") and value.get(name) is not None:
            text = xml_text(scalars.format_text(member, value[name], scalars.ISO8601))
            written.append(f' {member.serialization.get("name", name)}="{text}"')
    space = shape.serialization.get("xmlNamespace")
    if written and space and space.get("prefix"):
        written.insert(0, f' xmlns:{space["prefix"]}="{space["uri"]}"')
    return "".join(written)


def _xml(shape: Shape, name: str, value: Any) -> str:
    flattened = shape.serialization.get("flattened")
    match shape.type_name:
        case "structure":
            inner = "".join(_structure_xml(shape, value))
            return f"<{name}{_attributes(shape, value)}>{inner}</{name}>"
        case "list":
            if not isinstance(value, list | tuple):
                raise OutputDefect(f"{shape.name}: a list is wanted, not {type(value).__name__}")
            member_name = name if flattened else shape.member.serialization.get("name", "member")
            items = "".join(_xml(shape.member, member_name, item) for item in value)
            return items if flattened else f"<{name}>{items}</{name}>"
        case "map":
            if not isinstance(value, Mapping):
                raise OutputDefect(f"{shape.name}: a map is wanted, not {type(value).__name__}")
            key_name = shape.key.serialization.get("name", "key")
            value_name = shape.value.serialization.get("name", "value")
            tag = name if flattened else "entry"
            entries = "".join(
                f"<{tag}>{_xml(shape.key, key_name, key)}{_xml(shape.value, value_name, item)}</{tag}>"
                for key, item in value.items()
            )
            return entries if flattened else f"<{name}>{entries}</{name}>"
        case _:
            return f"<{name}>{xml_text(scalars.format_text(shape, value, scalars.ISO8601))}</{name}>"


# ---- errors


def serialize_error(
    service: ServiceModel,
    *,
    code: str,
    message: str,
    status: int,
    fault: str,
    members: Mapping[str, Any],
    request_id: str,
) -> Response:
    """`<Error>` with further members as text. A 304 or 204 has no body."""
    extra = "".join(f"<{name}>{xml_text(str(value))}</{name}>" for name, value in members.items())
    shown = f"<Code>{xml_text(code)}</Code><Message>{xml_text(message)}</Message>{extra}"
    identity = _identity(service, request_id)
    if service.bare_errors:
        host = identity[1][1]
        body = (
            f"{DECLARATION}<Error>{shown}<RequestId>{xml_text(request_id)}</RequestId><HostId>{host}</HostId></Error>"
        )
    else:
        kind = "Sender" if fault == "client" else "Receiver"
        body = (
            f"{DECLARATION}<ErrorResponse><Error><Type>{kind}</Type>{shown}</Error>"
            f"<RequestId>{xml_text(request_id)}</RequestId></ErrorResponse>"
        )
    if status == 304:
        return Response(status=status, headers=identity)
    return Response(status=status, headers=(*identity, ("Content-Type", XML)), body=body.encode())


def _identity(service: ServiceModel, request_id: str) -> tuple[tuple[str, str], ...]:
    """The headers by which a request is found again: S3 has two of its own."""
    if not service.bare_errors:
        return (("x-amzn-RequestId", request_id),)
    host = base64.b64encode(hashlib.sha256(request_id.encode()).digest()).decode()
    return (("x-amz-request-id", request_id), ("x-amz-id-2", host))
