"""The event of a request at a function URL: API Gateway's payload format 2.0 (spec 04 sections 2, 3 and 17)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from paddock.front.function_urls.host import UrlHost
from paddock.model.caller import Caller
from paddock.wire.messages import Request
from paddock.wire.router import query_pairs

# Of the connection to us, not of the request.
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"})
_TEXT_TYPES = frozenset({"application/json", "application/javascript", "application/xml"})
_TEXT_ENDINGS = ("+json", "+xml")
_ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known of a request besides itself. caller: None where nobody has to sign. port: that it came to."""

    host: UrlHost
    request_id: str
    trace_id: str
    source_ip: str
    http_version: str
    now: datetime
    port: int
    caller: Caller | None = None


def event_of(request: Request, about: Circumstances) -> bytes:
    """JSON. Raises Malformed for a query that is not UTF-8."""
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
    }
    cookies = [part.strip() for value in request.headers.all("cookie") for part in value.split(";") if part.strip()]
    if cookies:
        event["cookies"] = cookies
    event["headers"] = headers = _headers(request, about)
    queries = _joined(query_pairs(request.query))
    if queries:
        event["queryStringParameters"] = queries
    event["requestContext"] = _context(request, about, headers)
    if request.body:
        event["body"], event["isBase64Encoded"] = _body(request.body, headers.get("content-type", ""))
    else:
        event["isBase64Encoded"] = False
    return msgspec.json.encode(event)


def _headers(request: Request, about: Circumstances) -> dict[str, str]:
    fields = [one for one in request.headers if one[0] not in _HOP_BY_HOP and one[0] != "cookie"]
    found = _joined(fields)
    sent = found.get("x-forwarded-for")
    found["x-amzn-trace-id"] = about.trace_id
    found["x-forwarded-for"] = f"{sent},{about.source_ip}" if sent else about.source_ip
    found.setdefault("x-forwarded-proto", "http")
    found.setdefault("x-forwarded-port", str(about.port))
    return found


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Values of the same name, joined with a comma."""
    found: dict[str, str] = {}
    for name, value in pairs:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _context(request: Request, about: Circumstances, headers: Mapping[str, str]) -> dict[str, Any]:
    context: dict[str, Any] = {
        "accountId": _ANONYMOUS if about.caller is None else about.caller.account,
        "apiId": about.host.url_id,
        "domainName": about.host.name,
        "domainPrefix": about.host.url_id,
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": f"HTTP/{about.http_version}",
            "sourceIp": about.source_ip,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": about.request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": f"{about.now:%d}/{_MONTHS[about.now.month - 1]}/{about.now:%Y:%H:%M:%S} +0000",
        "timeEpoch": int(about.now.timestamp() * 1000),
    }
    if about.caller is not None:
        context["authorizer"] = {"iam": _iam(about.caller)}
    return context


# Not strftime's, which speaks the machine's language.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _iam(caller: Caller) -> dict[str, Any]:
    return {
        "accessKey": caller.access_key_id,
        "accountId": caller.account,
        "callerId": caller.account,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": caller.arn,
        "userId": caller.account,
    }


def _body(body: bytes, content_type: str) -> tuple[str, bool]:
    """(text, whether it is base64): text stays text where its type says that it is text and it really is UTF-8."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(_TEXT_ENDINGS):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True
