"""What a function returns becomes an HTTP response, or is refused; and what CORS adds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from paddock.front.function_urls.answer import BadAnswer, buffered
from paddock.front.function_urls.cors import preflight, with_cors
from paddock.model.function_url import Cors
from paddock.wire.messages import Headers, Response


def shown(value: Any) -> tuple[int, dict[str, str], bytes | object]:
    response = buffered(json.dumps(value, separators=(", ", ": ")).encode())
    return response.status, dict(response.headers), response.body


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ({"hello": "world"}, b'{"hello":"world"}'),
        ("plain", b"plain"),
        (3, b"3"),
        (None, b"null"),
        ([1, 2.50], b"[1,2.5]"),
        (True, b"true"),
    ],
)
def test_plain_results_are_the_body(value: Any, body: bytes) -> None:
    assert shown(value) == (200, {"Content-Type": "application/json"}, body)


def test_numbers_keep_their_digits() -> None:
    assert buffered(b'{"n" : 123456789012345678901234567890.10}').body == b'{"n":123456789012345678901234567890.10}'


def test_what_is_no_json_is_passed_on() -> None:
    response = buffered(b"\xff\x00")
    assert response.body == b"\xff\x00"
    assert response.headers == (("Content-Type", "application/octet-stream"),)


def test_a_response_as_it_says() -> None:
    value = {
        "statusCode": 201,
        "headers": {"Content-Type": "text/html", "X-N": 5, "x-b": True, "Date": "never", "Connection": "close"},
        "cookies": ["a=1; Secure", "b=2"],
        "body": "PGI+",
        "isBase64Encoded": True,
    }
    response = buffered(json.dumps(value).encode())
    assert response.status == 201
    assert response.body == b"<b>"
    assert response.headers == (
        ("Content-Type", "text/html"),
        ("X-N", "5"),
        ("x-b", "true"),
        ("x-amzn-Remapped-Date", "never"),
        ("x-amzn-Remapped-Connection", "close"),
        ("Set-Cookie", "a=1; Secure"),
        ("Set-Cookie", "b=2"),
    )


def test_what_a_response_leaves_out() -> None:
    assert shown({"statusCode": "404"}) == (404, {"Content-Type": "application/json"}, b"")
    assert shown({"statusCode": 200, "body": {"a": 1}})[2] == b'{"a":1}'
    assert shown({"statusCode": 200, "body": "é"})[2] == "é".encode()


def test_a_header_cannot_begin_another_one() -> None:
    fields = shown({"statusCode": 200, "headers": {"X-A": "1\r\nSet-Cookie: evil=1", "X-U": "€"}})[1]
    assert fields["X-A"] == "1  Set-Cookie: evil=1"
    assert fields["X-U"].encode("latin-1").decode() == "€"


@pytest.mark.parametrize(
    "value",
    [
        {"statusCode": "soon"},
        {"statusCode": 99},
        {"statusCode": 101},
        {"statusCode": 700},
        {"statusCode": True},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"bad name": "x"}},
        {"statusCode": 200, "headers": {"x\r\nset-cookie": "x"}},
        {"statusCode": 200, "cookies": "a=b"},
        {"statusCode": 200, "body": "!", "isBase64Encoded": True},
    ],
)
def test_what_is_no_response(value: Any) -> None:
    with pytest.raises(BadAnswer):
        buffered(json.dumps(value).encode())


CORS = Cors(
    allow_origins=("https://a.example",), allow_methods=("GET", "PUT"), allow_headers=("x-a", "x-b"),
    expose_headers=("x-c",), max_age_s=60, allow_credentials=True,
)  # fmt: skip


def asked(origin: str) -> Headers:
    return Headers([("Origin", origin)] if origin else [])


def test_a_preflight() -> None:
    assert dict(preflight(CORS, asked("https://a.example")).headers) == {
        "Access-Control-Allow-Origin": "https://a.example",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Allow-Methods": "GET,PUT",
        "Access-Control-Allow-Headers": "x-a,x-b",
        "Access-Control-Max-Age": "60",
        "Vary": "Origin",
    }
    for origin in ("https://b.example", "https://a.example.evil", ""):
        assert preflight(CORS, asked(origin)).headers == ()


def test_the_settings_replace_what_the_function_says() -> None:
    said = Response(status=200, headers=(("access-control-allow-origin", "*"), ("X-C", "1")))
    found = dict(with_cors(CORS, asked("https://a.example"), said).headers)
    assert found["Access-Control-Allow-Origin"] == "https://a.example"
    assert found["Access-Control-Expose-Headers"] == "x-c"
    assert "access-control-allow-origin" not in found
    assert dict(with_cors(CORS, asked("https://b.example"), said).headers) == {"X-C": "1"}


def test_everybody_with_and_without_credentials() -> None:
    everybody = dict(with_cors(Cors(allow_origins=("*",)), asked("https://x.example"), Response(status=200)).headers)
    assert everybody == {"Access-Control-Allow-Origin": "*"}
    known = Cors(allow_origins=("*",), allow_credentials=True)
    found = dict(with_cors(known, asked("https://x.example"), Response(status=200)).headers)
    assert found["Access-Control-Allow-Origin"] == "https://x.example"
