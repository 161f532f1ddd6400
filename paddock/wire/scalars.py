"""Single values as text, and timestamps in their three spellings, both directions.

Text is what headers, paths, query strings, forms and XML carry; JSON has types of its own (json_body.py).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from botocore.model import Shape

from paddock.wire.errors import Malformed, OutputDefect

UNIX = "unixtimestamp"
ISO8601 = "iso8601"
RFC822 = "rfc822"

INTEGER_BITS = {"byte": 8, "short": 16, "integer": 32, "long": 64}
FLOATS = frozenset({"float", "double"})

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_FLOAT = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?|NaN|-?Infinity")


def timestamp_format(shape: Shape, default: str) -> str:
    """The shape's own timestampFormat, else the default of the place it travels in."""
    return str(shape.serialization.get("timestampFormat", default)).lower()


def parse_timestamp(value: str | int | float, spelling: str) -> datetime:
    """An aware UTC datetime. Raises Malformed."""
    try:
        if spelling == UNIX:
            if isinstance(value, str):
                value = parse_float(value)
            return datetime.fromtimestamp(value, tz=UTC)
        if not isinstance(value, str):
            raise Malformed("NUMBER_VALUE can not be converted to a Timestamp")
        parsed = parsedate_to_datetime(value) if spelling == RFC822 else datetime.fromisoformat(value)
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=UTC)
        return parsed.astimezone(UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        raise Malformed("Unable to parse the timestamp") from None


def format_timestamp(value: Any, spelling: str) -> str | int | float:
    """Seconds as a number for UNIX (an integer when whole), text otherwise. Naive datetimes are defects."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise OutputDefect(f"an aware datetime is wanted, not {value!r}")
    moment: datetime = value.astimezone(UTC)
    if spelling == UNIX:
        # One rounding only: micros as an integer, divided once.
        whole = int(moment.replace(microsecond=0).timestamp())
        return (whole * 10**6 + moment.microsecond) / 10**6 if moment.microsecond else whole
    if spelling == RFC822:
        return format_datetime(moment.replace(microsecond=0), usegmt=True)
    if not moment.microsecond:
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    if moment.microsecond % 1000:
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{moment.microsecond // 1000:03d}Z"


def parse_integer(text: str, type_name: str) -> int:
    """Raises Malformed when it is no integer or does not fit the type."""
    if _INTEGER.fullmatch(text) is None:
        raise Malformed(f"STRING_VALUE can not be converted to {article(type_name)}")
    return in_range(int(text), type_name)


def in_range(value: int, type_name: str) -> int:
    limit = 1 << (INTEGER_BITS[type_name] - 1)
    if not -limit <= value < limit:
        raise Malformed(f"Numeric value out of range of {type_name}")
    return value


def parse_float(text: str) -> float:
    """Decimal or exponent notation, NaN, Infinity and -Infinity. Raises Malformed."""
    if _FLOAT.fullmatch(text) is None:
        raise Malformed("STRING_VALUE can not be converted to a Double")
    return float(text)


def float_text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(float(value))


def parse_blob(text: str) -> bytes:
    """Base64 as AWS takes it: padded, standard alphabet. Raises Malformed."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("Unable to decode the blob: it is not valid base64") from None


def blob_text(value: Any) -> str:
    if not isinstance(value, bytes):
        raise OutputDefect(f"bytes are wanted, not {type(value).__name__}")
    return base64.b64encode(value).decode("ascii")


def plain(value: Any) -> str:
    """The exact str of a str (members of string enums included: their format is not their value)."""
    if not isinstance(value, str):
        raise OutputDefect(f"a string is wanted, not {type(value).__name__}")
    return str.__str__(value)


def parse_text(shape: Shape, text: str, timestamps: str) -> Any:
    """One scalar from header, path, query or form text. Raises Malformed."""
    kind = shape.type_name
    if kind in INTEGER_BITS:
        return parse_integer(text, kind)
    if kind in FLOATS:
        return parse_float(text)
    match kind:
        case "boolean":
            lowered = text.lower()
            if lowered not in ("true", "false"):
                raise Malformed("STRING_VALUE can not be converted to a Boolean")
            return lowered == "true"
        case "timestamp":
            return parse_timestamp(text, timestamp_format(shape, timestamps))
        case "blob":
            return parse_blob(text)
        case "string" | "character":
            return text
        case _:
            raise Malformed(f"Unexpected text where {article(kind)} is wanted")


def format_text(shape: Shape, value: Any, timestamps: str) -> str:
    """One scalar as text. Raises OutputDefect."""
    kind = shape.type_name
    if kind in INTEGER_BITS:
        if not isinstance(value, int) or isinstance(value, bool):
            raise OutputDefect(f"{shape.name}: an integer is wanted, not {type(value).__name__}")
        return str(int(value))
    if kind in FLOATS:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise OutputDefect(f"{shape.name}: a number is wanted, not {type(value).__name__}")
        return float_text(value)
    match kind:
        case "boolean":
            if not isinstance(value, bool):
                raise OutputDefect(f"{shape.name}: a boolean is wanted, not {type(value).__name__}")
            return "true" if value else "false"
        case "timestamp":
            return str(format_timestamp(value, timestamp_format(shape, timestamps)))
        case "blob":
            return blob_text(value)
        case _:
            return plain(value)


def article(type_name: str) -> str:
    """How AWS's serialisation errors name a type: 'an Integer', 'a String'."""
    name = type_name.capitalize()
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"
