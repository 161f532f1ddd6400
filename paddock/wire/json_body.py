"""JSON documents against shapes, both directions; shared by rest_json and json_rpc.

Reading: wrong types are refused in the words of AWS's own deserialiser ("NUMBER_VALUE can not be converted to a
String"), unknown members are dropped, null members count as absent; null elements of lists and maps stay None for
constraints.py to report. Writing: what the shape does not know raises OutputDefect.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from botocore.model import Shape

from paddock.wire import scalars
from paddock.wire.errors import Malformed, OutputDefect

DEPTH_MAX = 100
"""Levels of structures, lists and maps; DynamoDB, which nests most, stops at 32."""


def load(body: bytes) -> Any:
    """The document, {} for an empty body. Raises Malformed, also for documents nested absurdly deep."""
    if not body:
        return {}
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise Malformed("Could not parse request body into json") from None


def dump(document: Any) -> bytes:
    return msgspec.json.encode(document)


def decode(shape: Shape, value: Any, depth: int = 0) -> Any:
    """A JSON value as the shape's Python value. Raises Malformed, also beyond DEPTH_MAX levels."""
    kind = shape.type_name
    if depth > DEPTH_MAX:
        raise Malformed("The request is nested too deeply")
    if kind in scalars.INTEGER_BITS:
        return _integer(value, kind)
    if kind in scalars.FLOATS:
        return _float(value, kind)
    match kind:
        case "structure":
            return decode_structure(shape, value, depth)
        case "list":
            if not isinstance(value, list):
                raise Malformed("Expected list or null")
            member = shape.member
            return [None if item is None else decode(member, item, depth + 1) for item in value]
        case "map":
            if not isinstance(value, dict):
                raise Malformed("Expected map or null")
            inner = shape.value
            return {key: None if item is None else decode(inner, item, depth + 1) for key, item in value.items()}
        case "boolean":
            return value if isinstance(value, bool) else _refuse(value, kind)
        case "timestamp":
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                _refuse(value, kind)
            return scalars.parse_timestamp(value, scalars.timestamp_format(shape, scalars.UNIX))
        case "blob":
            return scalars.parse_blob(value) if isinstance(value, str) else _refuse(value, kind)
        case _:
            return value if isinstance(value, str) else _refuse(value, "string")


def decode_structure(shape: Shape, value: Any, depth: int = 0) -> Any:
    if getattr(shape, "is_document_type", False):
        return value
    if not isinstance(value, dict):
        is_list = isinstance(value, list)
        raise Malformed("Start of list found where not expected" if is_list else "Unexpected field type")
    found = {}
    for name, member in shape.members.items():
        item = value.get(member.serialization.get("name", name))
        if item is not None:
            found[name] = decode(member, item, depth + 1)
    return found


def _integer(value: Any, kind: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse(value, kind)
    return scalars.in_range(value, kind)


def _float(value: Any, kind: str) -> float:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(value, kind)
    try:
        return float(value)
    except OverflowError:
        raise Malformed(f"Numeric value out of range of {kind}") from None


def _refuse(value: Any, wanted: str) -> Any:
    match value:
        case True:
            token = "TRUE_VALUE"
        case False:
            token = "FALSE_VALUE"
        case int() | float():
            token = "NUMBER_VALUE"
        case str():
            token = "STRING_VALUE"
        case list():
            raise Malformed("Start of list found where not expected")
        case _:
            raise Malformed("Start of structure or map found where not expected.")
    raise Malformed(f"{token} can not be converted to {scalars.article(wanted)}")


def encode(shape: Shape, value: Any) -> Any:
    """The shape's Python value as a JSON value. Raises OutputDefect."""
    kind = shape.type_name
    if kind in scalars.INTEGER_BITS:
        if not isinstance(value, int) or isinstance(value, bool):
            raise OutputDefect(f"{shape.name}: an integer is wanted, not {type(value).__name__}")
        return int(value)
    if kind in scalars.FLOATS:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise OutputDefect(f"{shape.name}: a number is wanted, not {type(value).__name__}")
        return value if math.isfinite(value) else scalars.float_text(value)
    match kind:
        case "structure":
            return encode_structure(shape, value)
        case "list":
            if not isinstance(value, list | tuple):
                raise OutputDefect(f"{shape.name}: a list is wanted, not {type(value).__name__}")
            member = shape.member
            return [None if item is None else encode(member, item) for item in value]
        case "map":
            if not isinstance(value, Mapping):
                raise OutputDefect(f"{shape.name}: a map is wanted, not {type(value).__name__}")
            inner = shape.value
            return {scalars.plain(key): None if item is None else encode(inner, item) for key, item in value.items()}
        case "boolean":
            if not isinstance(value, bool):
                raise OutputDefect(f"{shape.name}: a boolean is wanted, not {type(value).__name__}")
            return value
        case "timestamp":
            return scalars.format_timestamp(value, scalars.timestamp_format(shape, scalars.UNIX))
        case "blob":
            return scalars.blob_text(value)
        case _:
            return scalars.plain(value)


def encode_structure(shape: Shape, value: Any) -> Any:
    if getattr(shape, "is_document_type", False):
        return value
    if not isinstance(value, Mapping):
        raise OutputDefect(f"{shape.name}: a structure is wanted, not {type(value).__name__}")
    members = shape.members
    document = {}
    for name, item in value.items():
        if name not in members:
            raise OutputDefect(f"{shape.name} has no member {name}")
        if item is not None:
            member = members[name]
            document[member.serialization.get("name", name)] = encode(member, item)
    return document
