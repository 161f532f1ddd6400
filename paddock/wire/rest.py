"""HTTP bindings: which members of a shape travel in the path, query, headers or status, and which in the body.

Shared by the REST protocols. Places are worked out once per shape when a service is loaded.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.model import Shape

from paddock.wire import json_body, scalars
from paddock.wire.errors import Malformed, OutputDefect
from paddock.wire.messages import Headers, Request
from paddock.wire.router import query_pairs


@dataclass(frozen=True, slots=True)
class Place:
    """A member, the name it has on the wire, and its shape. is_text: in a header it stands as it is."""

    member: str
    name: str
    shape: Shape
    is_text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the members of one structure travel. `payload` is the member that is the whole body, if one is."""

    shape: Shape | None
    uri: tuple[Place, ...]
    query: tuple[Place, ...]
    header: tuple[Place, ...]
    header_maps: tuple[Place, ...]
    status: str
    payload: Place | None
    body: tuple[Place, ...]
    members: frozenset[str]

    @property
    def raw_payload(self) -> bool:
        """The body is the payload member's own bytes, text or encoded events, not a document."""
        payload = self.payload
        return payload is not None and (
            payload.shape.type_name in ("blob", "string") or bool(payload.shape.serialization.get("eventstream"))
        )


def places_of(shape: Shape | None) -> Places:
    """Sort a structure's members by location. None has no members."""
    sorted_by: dict[str, list[Place]] = {"uri": [], "querystring": [], "header": [], "headers": [], "": []}
    status, payload = "", None
    payload_name = shape.serialization.get("payload") if shape is not None else None
    for name, member in shape.members.items() if shape is not None else ():
        location = member.serialization.get("location", "")
        default = "" if location == "headers" else name
        place = Place(name, member.serialization.get("name", default), member)
        if location == "statusCode":
            status = name
        elif name == payload_name:
            payload = place
        else:
            sorted_by.get(location, sorted_by[""]).append(place)
    return Places(
        shape=shape,
        uri=tuple(sorted_by["uri"]),
        query=tuple(sorted_by["querystring"]),
        header=tuple(
            Place(each.member, each.name.lower(), each.shape, _is_text(each.shape)) for each in sorted_by["header"]
        ),
        header_maps=tuple(Place(each.member, each.name.lower(), each.shape) for each in sorted_by["headers"]),
        status=status,
        payload=payload,
        body=tuple(sorted_by[""]),
        members=frozenset(shape.members if shape is not None else ()),
    )


def _is_text(shape: Shape) -> bool:
    return shape.type_name == "string" and not shape.serialization.get("jsonvalue")


# ---- request -> members


def parse_located(
    places: Places, request: Request, path_params: Mapping[str, str], literal_query: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """The members that are not in the body. `literal_query`: names that belong to the route. Raises Malformed."""
    found: dict[str, Any] = {}
    for place in places.uri:
        text = path_params.get(place.name)
        if text is not None:
            found[place.member] = scalars.parse_text(place.shape, text, scalars.ISO8601)
    if places.query and request.query:
        _parse_query(places.query, query_pairs(request.query), found, literal_query)
    headers = request.headers
    if places.header:
        # A request of S3 has a dozen fields, and its operation may know fifty: each field is looked at once.
        first: dict[str, str] = {}
        for name, value in headers:
            first.setdefault(name, value)
        for place in places.header:
            if place.name in first:
                found[place.member] = _parse_header(place.shape, headers, place.name, first[place.name])
    for place in places.header_maps:
        prefix = place.name
        pairs = {name[len(prefix) :]: value for name, value in headers if name.startswith(prefix)}
        if pairs:
            found[place.member] = pairs
    return found


def _parse_query(
    places: tuple[Place, ...], pairs: list[tuple[str, str]], found: dict[str, Any], literal: frozenset[str]
) -> None:
    sent: dict[str, list[str]] = {}
    for name, value in pairs:
        sent.setdefault(name, []).append(value)
    named = literal | {place.name for place in places if place.shape.type_name != "map"}
    for place in places:
        shape = place.shape
        if shape.type_name == "map":
            inner = shape.value
            rest = {name: values for name, values in sent.items() if name not in named}
            if rest:
                found[place.member] = {k: v if inner.type_name == "list" else v[0] for k, v in rest.items()}
        elif place.name in sent:
            values = sent[place.name]
            if shape.type_name == "list":
                found[place.member] = [scalars.parse_text(shape.member, each, scalars.ISO8601) for each in values]
            else:
                found[place.member] = scalars.parse_text(shape, values[0], scalars.ISO8601)


def _parse_header(shape: Shape, headers: Headers, name: str, first: str) -> Any:
    if shape.type_name == "list":
        items = _split_list(",".join(headers.all(name)), dates=shape.member.type_name == "timestamp")
        return [scalars.parse_text(shape.member, item, scalars.RFC822) for item in items]
    if shape.serialization.get("jsonvalue"):
        try:
            return json_body.load(base64.b64decode(first, validate=True))
        except (binascii.Error, ValueError):
            raise Malformed(f"Header {name} is not base64-encoded JSON") from None
    return scalars.parse_text(shape, first, scalars.RFC822)


def _split_list(text: str, *, dates: bool) -> list[str]:
    """A comma-separated header value; items may be quoted, and HTTP dates hold one comma each."""
    items: list[str] = []
    current, quoted, escaped = "", False, False
    for char in text:
        if escaped:
            current, escaped = current + char, False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == "," and not quoted and not (dates and "," not in current):
            items.append(current.strip())
            current = ""
        else:
            current += char
    items.append(current.strip())
    return items


# ---- members -> response


def unknown_members(places: Places, output: Mapping[str, Any]) -> None:
    """Raises OutputDefect for a member that the shape does not have."""
    if output.keys() <= places.members:
        return
    name = min(output.keys() - places.members)
    raise OutputDefect(f"{places.shape.name if places.shape is not None else 'no output'} has no member {name}")


def format_headers(places: Places, output: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Response header fields of the located members. Raises OutputDefect."""
    fields: list[tuple[str, str]] = []
    for place in places.header:
        value = output.get(place.member)
        if value is not None:
            text = value if place.is_text and type(value) is str else _format_header(place.shape, value)
            fields.append((place.name, text if text.isprintable() else header_safe(text)))
    for place in places.header_maps:
        for name, value in (output.get(place.member) or {}).items():
            fields.append((header_safe(place.name + name), header_safe(scalars.plain(value))))
    return fields


def _format_header(shape: Shape, value: Any) -> str:
    if shape.type_name == "list":
        texts = [scalars.format_text(shape.member, item, scalars.RFC822) for item in value]
        return ",".join('"' + t.replace('"', '\\"') + '"' if '"' in t or "," in t else t for t in texts)
    if shape.serialization.get("jsonvalue"):
        return base64.b64encode(json_body.dump(value)).decode("ascii")
    return scalars.format_text(shape, value, scalars.RFC822)


def header_safe(text: str) -> str:
    """Control characters become spaces: what a function wrote must not start a header field of its own."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
