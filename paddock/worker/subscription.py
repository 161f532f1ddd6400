"""What an extension asks of the Telemetry API or the older Logs API: parsed, checked, with AWS's defaults and limits.

    PUT /2022-07-01/telemetry     {"schemaVersion", "types", "buffering", "destination": {"protocol", "URI"}}
    PUT /2020-08-15/logs          the same, with its own schemas; its TCP destinations may name a port alone

Pure: bytes in, a Subscription or Invalid out (spec 02 section 6).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TELEMETRY = "Telemetry"
LOGS = "Logs"
PATHS: Mapping[str, str] = {"/2022-07-01/telemetry": TELEMETRY, "/2020-08-15/logs": LOGS}
TYPES: Sequence[str] = ("platform", "function", "extension")
SCHEMAS: Mapping[str, Sequence[str]] = {
    TELEMETRY: ("2022-07-01", "2022-12-13"),
    LOGS: ("2020-08-15", "2021-03-18"),
}
BYTES = (262_144, 1_048_576, 262_144)  # least, most, default
ITEMS = (1_000, 10_000, 10_000)
TIMEOUT_MS = (25, 30_000, 1_000)
_HOSTS = ("sandbox.localdomain", "sandbox")
_RESERVED_PORTS = (9001,)


class Invalid(Exception):
    """The message is for the extension."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """api: TELEMETRY or LOGS. types: of TYPES, in the order asked for. protocol: HTTP or TCP; path: of HTTP."""

    api: str
    schema: str
    types: Sequence[str]
    bytes_max: int
    items_max: int
    timeout_ms: int
    protocol: str
    port: int
    path: str = "/"


def parse(api: str, body: bytes) -> Subscription:
    """Raises Invalid."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the request is no JSON: {error}") from error
    if not isinstance(asked, dict):
        raise Invalid("the request is no JSON object")
    schema = asked.get("schemaVersion", SCHEMAS[api][0])
    if schema not in SCHEMAS[api]:
        raise Invalid(f"schemaVersion must be one of {', '.join(SCHEMAS[api])}")
    protocol, port, path = _destination(api, asked.get("destination"))
    buffering = asked.get("buffering", {})
    if not isinstance(buffering, dict):
        raise Invalid("buffering must be an object")
    return Subscription(
        api=api,
        schema=schema,
        types=_types(asked.get("types")),
        bytes_max=_whole(buffering, "maxBytes", BYTES),
        items_max=_whole(buffering, "maxItems", ITEMS),
        timeout_ms=_whole(buffering, "timeoutMs", TIMEOUT_MS),
        protocol=protocol,
        port=port,
        path=path,
    )


def _types(asked: object) -> Sequence[str]:
    if not isinstance(asked, list) or not asked or any(each not in TYPES for each in asked):
        raise Invalid(f"types must be a list of {', '.join(TYPES)}")
    return tuple(dict.fromkeys(asked))


def _whole(asked: Mapping[str, Any], name: str, limits: tuple[int, int, int]) -> int:
    least, most, default = limits
    value = asked.get(name, default)
    if type(value) is not int or not least <= value <= most:
        raise Invalid(f"buffering.{name} must be a whole number from {least} to {most}")
    return value


def _destination(api: str, asked: object) -> tuple[str, int, str]:
    if not isinstance(asked, dict):
        raise Invalid("destination must be an object with protocol and URI")
    protocol = str(asked.get("protocol", "HTTP")).upper()
    if protocol not in ("HTTP", "TCP"):
        raise Invalid("destination.protocol must be HTTP or TCP")
    if protocol == "HTTP" and (asked.get("method", "POST"), asked.get("encoding", "JSON")) != ("POST", "JSON"):
        raise Invalid("destination.method must be POST and destination.encoding JSON")
    if protocol == "TCP" and api == LOGS and "port" in asked:
        return protocol, _port(asked["port"]), "/"
    try:
        uri = urlsplit(str(asked.get("URI", "")))
        host, port = uri.hostname, uri.port
    except ValueError as error:
        raise Invalid(f"destination.URI: {error}") from error
    if uri.scheme != protocol.lower() or host not in _HOSTS:
        raise Invalid(f"destination.URI must begin with {protocol.lower()}://sandbox.localdomain")
    path = (uri.path or "/") + (f"?{uri.query}" if uri.query else "")
    if not path.isascii() or not path.isprintable() or " " in path:
        raise Invalid("destination.URI has characters that must be percent-encoded")
    return protocol, _port(80 if port is None and protocol == "HTTP" else port), path


def _port(value: object) -> int:
    if type(value) is not int or not 0 < value < 65536 or value in _RESERVED_PORTS:
        raise Invalid("the destination's port must be from 1 to 65535, and not 9001")
    return value
