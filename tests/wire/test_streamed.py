"""Streamed bodies: aws-chunked taken off, trailers kept, broken framing refused; buckets in host names."""

from __future__ import annotations

import asyncio

import pytest

from paddock.wire.errors import Malformed
from paddock.wire.http1_request import IncomingRequest
from paddock.wire.messages import Headers, Request
from paddock.wire.streamed import StreamedBody
from paddock.wire.virtual_host import VirtualHosts

SIGNED = b"5;chunk-signature=ab\r\nhello\r\n1;chunk-signature=cd\r\n!\r\n0;chunk-signature=ef\r\n\r\n"
TRAILED = b"6\r\nhello!\r\n0\r\nx-amz-checksum-crc32:zzzz\r\n\r\n"


def incoming(body: bytes, step: int, **headers: str) -> IncomingRequest:
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    request = IncomingRequest(
        method="PUT", path="/b/k", headers=Headers(fields), content_length=len(body), keep_alive=True
    )
    for at in range(0, len(body), step):
        request.feed(body[at : at + step])
    request.finish()
    return request


def read(body: bytes, step: int = 1_000, **headers: str) -> tuple[bytes, StreamedBody]:
    streamed = StreamedBody(incoming(body, step, **headers))
    return asyncio.run(streamed.read()), streamed


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1_000])
def test_framing_is_taken_off_however_it_is_cut(step: int) -> None:
    kind = {"x_amz_content_sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "x_amz_decoded_content_length": "6"}
    content, body = read(SIGNED, step, **kind)
    assert (content, body.length, body.trailers) == (b"hello!", 6, {})
    content, body = read(TRAILED, step, content_encoding="gzip,aws-chunked")
    assert (content, body.trailers, body.encoding) == (b"hello!", {"x-amz-checksum-crc32": "zzzz"}, "gzip")


def test_a_plain_body_is_itself() -> None:
    content, body = read(b"5\r\nhello", content_encoding="gzip")
    assert (content, body.length, body.encoding) == (b"5\r\nhello", 8, "gzip")


@pytest.mark.parametrize(
    "body",
    [
        TRAILED[:8],
        TRAILED[:12],
        b"6\r\nhello!!\r\n0\r\n\r\n",
        b"x\r\nhello!\r\n0\r\n\r\n",
        b"-6\r\nhello!\r\n0\r\n\r\n",
        b"6\r\nhello!\r\n0\r\n\r\nmore",
        b"6\r\nhello!\r\n0\r\nno colon\r\n\r\n",
        b"6" * 10_000,
        b"5\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_broken_framing_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        read(body, content_encoding="aws-chunked", x_amz_decoded_content_length="6")


def test_a_decoded_length_is_a_number() -> None:
    with pytest.raises(Malformed):
        StreamedBody(incoming(b"", 1, content_encoding="aws-chunked", x_amz_decoded_content_length="-1"))


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("photos.s3.amazonaws.com", "/cat.jpg", "/photos/cat.jpg"),
        ("my.dotted.bucket.s3.us-east-1.amazonaws.com:443", "/", "/my.dotted.bucket/"),
        ("photos.s3-us-west-2.amazonaws.com", "/a//b", "/photos/a//b"),
        ("photos.s3.localhost:4566", "/%2e%2e", "/photos/%2e%2e"),
        ("photos.localhost:4566", "/x", "/photos/x"),
        ("s3.localhost:4566", "/b/x", "/b/x"),
        ("s3.us-east-1.amazonaws.com", "/b/x", "/b/x"),
        ("lambda.localhost", "/x", "/x"),
        ("abc.lambda-url.us-east-1.localhost", "/x", "/x"),
        ("127.0.0.1:4566", "/b/x", "/b/x"),
        ("[::1]:4566", "/b/x", "/b/x"),
        ("", "/b/x", "/b/x"),
    ],
)
def test_a_bucket_in_the_host_moves_into_the_path(host: str, path: str, expected: str) -> None:
    hosts = VirtualHosts(frozenset({"lambda", "sts"}))
    request = Request(method="GET", path=path, headers=Headers([("host", host)] if host else []))
    assert hosts.path_style(request).path == expected
    assert hosts.path_style(request).path == expected
