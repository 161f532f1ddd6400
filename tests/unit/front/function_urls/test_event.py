"""Events of function URLs, whole: payload format 2.0."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from paddock.front.function_urls.event import Circumstances, event_of
from paddock.front.function_urls.host import Hosts, UrlHost
from paddock.model.caller import Caller
from paddock.wire.messages import Headers, Request

URL_ID = "a1" * 16
NOW = datetime(2026, 3, 9, 8, 7, 6, 543210, tzinfo=UTC)


def made(request: Request, caller: Caller | None = None) -> Any:
    about = Circumstances(
        host=UrlHost(URL_ID, "us-east-1", f"{URL_ID}.lambda-url.us-east-1.localhost"),
        request_id="r-1",
        trace_id="Root=1-0-0",
        source_ip="10.0.0.9",
        http_version="1.1",
        now=NOW,
        port=4566,
        caller=caller,
    )
    return json.loads(event_of(request, about))


def test_a_whole_event() -> None:
    request = Request(
        method="POST",
        path="/pa2%Fth//1",
        query="a=1&a=2&b=x%20y+z&c=",
        headers=Headers(
            [
                ("Host", "h"),
                ("User-Agent", "me/1"),
                ("X-One", "1"),
                ("x-one", "2"),
                ("Cookie", "k=v; l=w"),
                ("Cookie", "m=x"),
                ("Connection", "keep-alive"),
                ("Content-Type", "application/json"),
            ]
        ),
        body=b'{"q": "\xc3\xbc"}',
    )
    name = f"{URL_ID}.lambda-url.us-east-1.localhost"
    assert made(request) == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/pa2%Fth//1",
        "rawQueryString": "a=1&a=2&b=x%20y+z&c=",
        "cookies": ["k=v", "l=w", "m=x"],
        "headers": {
            "host": "h",
            "user-agent": "me/1",
            "x-one": "1,2",
            "content-type": "application/json",
            "x-amzn-trace-id": "Root=1-0-0",
            "x-forwarded-for": "10.0.0.9",
            "x-forwarded-proto": "http",
            "x-forwarded-port": "4566",
        },
        "queryStringParameters": {"a": "1,2", "b": "x y+z", "c": ""},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": URL_ID,
            "domainName": name,
            "domainPrefix": URL_ID,
            "http": {
                "method": "POST",
                "path": "/pa2%Fth//1",
                "protocol": "HTTP/1.1",
                "sourceIp": "10.0.0.9",
                "userAgent": "me/1",
            },
            "requestId": "r-1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "09/Mar/2026:08:07:06 +0000",
            "timeEpoch": 1773043626543,
        },
        "body": '{"q": "ü"}',
        "isBase64Encoded": False,
    }


def test_what_is_absent_has_no_key() -> None:
    event = made(Request(method="GET", path="/", headers=Headers()))
    assert not event.keys() & {"cookies", "queryStringParameters", "body"}
    assert event["rawQueryString"] == ""
    assert event["isBase64Encoded"] is False


def test_who_signed_is_told() -> None:
    caller = Caller(account="123456789012", region="us-east-1", access_key_id="AKIA")
    context = made(Request(method="GET", path="/", headers=Headers()), caller)["requestContext"]
    assert context["accountId"] == "123456789012"
    iam = context["authorizer"]["iam"]
    assert (iam["accessKey"], iam["accountId"], iam["userArn"]) == ("AKIA", "123456789012", caller.arn)
    assert (iam["cognitoIdentity"], iam["principalOrgId"]) == (None, None)


@pytest.mark.parametrize(
    ("content_type", "body", "is_text"),
    [
        ("text/plain; charset=utf-8", b"hi", True),
        ("application/json", b"{}", True),
        ("application/problem+json", b"{}", True),
        ("application/javascript", b"x", True),
        ("application/xml", b"<x/>", True),
        ("application/x-www-form-urlencoded", b"a=b", False),
        ("multipart/form-data; boundary=x", b"--x--", False),
        ("image/png", b"\x89PNG", False),
        ("", b"hi", False),
        ("text/plain", b"\xff\xfe", False),  # it says that it is text, and is none
    ],
)
def test_bodies(content_type: str, body: bytes, is_text: bool) -> None:
    headers = Headers([("content-type", content_type)] if content_type else [])
    event = made(Request(method="POST", path="/", headers=headers, body=body))
    assert event["isBase64Encoded"] is not is_text
    assert event["body"] == (body.decode() if is_text else base64.b64encode(body).decode())


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        (f"{URL_ID}.lambda-url.us-east-1.localhost:4566", True),
        (f"{URL_ID.upper()}.LAMBDA-URL.us-east-1.localhost.", True),
        (f"{URL_ID}.lambda-url.eu-west-1.on.aws", True),
        (f"{URL_ID}.lambda-url.eu-west-1.fn.example.com", True),
        (f"{URL_ID}.lambda-url.eu-west-1.evil.example", False),
        (f"{URL_ID}.lambda-url.eu-west-1.localhost.evil.example", False),
        ("short.lambda-url.us-east-1.localhost", False),
        ("localhost:4566", False),
    ],
)
def test_whose_a_host_is(host: str, is_ours: bool) -> None:
    found = Hosts(["fn.example.com"]).read(host)
    assert (found is not None) is is_ours
    if found is not None:
        assert found.url_id == URL_ID
        assert ":" not in found.name
