"""Forms in pieces of every size: the fields and the file come out as they went in, and nothing is read too far."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.wire.errors import Malformed
from paddock.wire.form_data import FormData
from paddock.wire.http1_request import IncomingRequest
from paddock.wire.messages import Headers, Request

FILES = st.binary(max_size=60) | st.lists(st.sampled_from([b"\r\n", b"--", b"b", b"\r", b"\r\n--", b"x"])).map(b"".join)


def whole(fields: dict[str, str], content: bytes) -> bytes:
    parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items())
    head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a/f.txt"\r\nContent-Type: text/plain\r\n\r\n'
    return (parts + head).encode() + content + b"\r\n--b\r\nContent-Disposition: form-data\r\n\r\nafter\r\n--b--\r\n"


async def read(body: bytes, piece: int) -> tuple[dict[str, str], bytes, str]:
    headers = Headers([("content-type", "multipart/form-data; boundary=b")])
    incoming = IncomingRequest.of(Request(method="POST", path="/", headers=headers, body=body))
    form = FormData(incoming)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), piece):
            yield body[start : start + piece]

    form._pieces = pieces()
    await form._until(form._delimiter)
    while not await form._part():
        assert await form._goes_on()
    assert form.length is not None
    content = b"".join([each async for each in form])
    assert len(content) <= len(body)
    return dict(form.fields), content, form.file_name


@given(content=FILES, value=st.text(alphabet="ab\r\n-ä", max_size=10), piece=st.integers(1, 80))
def test_pieces_of_every_size(content: bytes, value: str, piece: int) -> None:
    if b"\r\n--b" in b"\r\n" + content + b"\r\n" or "\r\n--b" in f"\r\n{value}\r\n":
        return
    fields, found, name = asyncio.run(read(whole({"Key": value}, content), piece))
    assert fields == {"key": value}
    assert (found, name) == (content, "f.txt")


@given(cut=st.integers(0, 150))
def test_a_form_that_ends_early_is_malformed(cut: int) -> None:
    body = whole({"key": "v"}, b"content")
    end = body.index(b"\r\n--b\r\nContent-Disposition: form-data\r\n\r\nafter")
    with pytest.raises(Malformed):
        asyncio.run(read(body[: min(cut, end)], 7))
