"""From what a function returned to an HTTP response (spec 03 section 8).

{"statusCode": 201, "headers": {...}, "cookies": [...], "body": "...", "isBase64Encoded": false}    as it says
anything else                                                                 200, application/json, that JSON
a text                                                                        200, application/json, the text
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from paddock.wire.messages import Response
from paddock.wire.rest import header_safe

JSON = "application/json"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Ours to say, and dropped. AWS renames what a client would take for a word of the front's own.
_DROPPED = frozenset({"keep-alive", "transfer-encoding", "x-amzn-requestid", "x-amzn-trace-id"})
_REMAPPED = frozenset(
    {
        "authorization", "connection", "content-length", "content-md5", "date", "host", "max-forwards", "server",
        "trailer", "upgrade", "user-agent", "via", "www-authenticate",
    }
)  # fmt: skip


class BadAnswer(ValueError):
    """What the function returned says that it is a response, and is none."""


def buffered(payload: bytes) -> Response:
    """Raises BadAnswer."""
    try:
        value = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Response(status=200, headers=(("Content-Type", "application/octet-stream"),), body=payload)
    if isinstance(value, dict) and "statusCode" in value:
        status, fields = head_of(value, JSON)
        return Response(status=status, headers=fields, body=_body(value))
    body = value.encode() if isinstance(value, str) else msgspec.json.format(payload, indent=-1)
    return Response(status=200, headers=(("Content-Type", JSON),), body=body)


def head_of(value: Mapping[str, Any], default_type: str) -> tuple[int, tuple[tuple[str, str], ...]]:
    """Status and header fields out of statusCode, headers and cookies. Raises BadAnswer."""
    headers, cookies = value.get("headers") or {}, value.get("cookies") or []
    if not isinstance(headers, dict) or not isinstance(cookies, list):
        raise BadAnswer("headers are no object, or cookies no list")
    fields = [_field(name, field) for name, field in headers.items() if name.lower() not in _DROPPED]
    if not any(name.lower() == "content-type" for name, _ in fields):
        fields.append(("Content-Type", default_type))
    fields += [("Set-Cookie", text_of(cookie)) for cookie in cookies]
    return _status(value.get("statusCode", 200)), tuple(fields)


def _status(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch("[0-9]{3}", value):
        value = int(value)
    if type(value) is not int or not 200 <= value <= 599:
        raise BadAnswer(f"statusCode {value!r}")
    return value


def _field(name: str, value: Any) -> tuple[str, str]:
    if not _TOKEN.fullmatch(name):
        raise BadAnswer("a header's name is none")
    return (f"x-amzn-Remapped-{name}" if name.lower() in _REMAPPED else name), text_of(value)


def text_of(value: Any) -> str:
    """A header's value: texts as they are, in UTF-8; the rest as JSON."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return header_safe(text).encode().decode("latin-1")


def _body(value: Mapping[str, Any]) -> bytes:
    body = value.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        return msgspec.json.encode(body)
    if value.get("isBase64Encoded") is not True:
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadAnswer("the body is not base64") from error
