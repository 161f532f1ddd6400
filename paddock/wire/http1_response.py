"""The head of a response as bytes, and the answers the server gives by itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from http import HTTPStatus
from operator import itemgetter
from typing import Any

from paddock.wire.http1_request import IncomingRequest
from paddock.wire.messages import Response

Piece = bytes | memoryview

STATUS_LINES: Mapping[int, str] = {int(s): f"HTTP/1.1 {int(s)} {s.phrase}\r\n" for s in HTTPStatus}

# Framing and the connection's fate are decided by the server, never copied from a handler.
_OURS = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "date", "server"})


_FIELD = "%s: %s\r\n".__mod__
_NAME = itemgetter(0)


class BadResponseHeader(ValueError):
    """A header field of a response holds what must not reach the wire (CR, LF, NUL, not latin-1)."""


def head(status: int, headers: tuple[tuple[str, str], ...], length_lines: str, common: str) -> bytes:
    """The status line and all fields, with the empty line at the end.

    length_lines: ready-made lines for length and connection. common: lines that every response has.
    Raises BadResponseHeader.
    """
    if not _OURS.isdisjoint(map(str.lower, map(_NAME, headers))):
        headers = tuple(field for field in headers if field[0].lower() not in _OURS)
    status_line = STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown\r\n"
    text = f"{status_line}{length_lines}{common}{''.join(map(_FIELD, headers))}"
    # One count over the whole text instead of a search in each value: a CR or LF inside a value makes one too many.
    line_count = 1 + len(headers) + length_lines.count("\n") + common.count("\n")
    if text.count("\n") != line_count or text.count("\r") != line_count or "\0" in text:
        raise BadResponseHeader("a response header holds CR, LF or NUL")
    try:
        return (text + "\r\n").encode("latin-1")
    except UnicodeEncodeError as error:
        raise BadResponseHeader("a response header is not latin-1") from error


def framing(request: IncomingRequest, response: Response) -> tuple[str, bool, int | None]:
    """The lines that tell where the body ends; whether it is chunked; its length if known."""
    body, status = response.body, response.status
    if status in (204, 304):
        return "", False, None
    if isinstance(body, bytes) and (body or request.method != "HEAD"):
        return f"Content-Length: {len(body)}\r\n", False, len(body)
    # A stream, or the answer to HEAD, may declare its length itself.
    declared = next((value for name, value in response.headers if name.lower() == "content-length"), "")
    if declared.isascii() and declared.isdigit():
        return f"Content-Length: {declared}\r\n", False, int(declared)
    if isinstance(body, bytes):
        return "Content-Length: 0\r\n", False, 0
    if request.http_version == "1.1":
        return "Transfer-Encoding: chunked\r\n", True, None
    return "", False, None


def plain_error(status: int, message: str, common: str, *, with_body: bool = True) -> bytes:
    """A whole answer that ends the connection. `message` is ours: short, ASCII, without quotes."""
    body = f'{{"message":"{message}"}}'.encode()
    lines = f"Content-Length: {len(body)}\r\nConnection: close\r\n"
    answer = head(status, (("Content-Type", "application/json"),), lines, common)
    return answer + body if with_body else answer


async def framed(body: AsyncIterator[bytes], chunked: bool, length: int | None) -> AsyncGenerator[list[Piece], None]:
    """A streamed body as it is written, piece by piece. Raises ValueError where it is not of the declared length."""
    sent = 0
    try:
        async for piece in body:
            if not piece:
                continue
            sent += len(piece)
            if length is not None and sent > length:
                raise ValueError(f"a response of {length} bytes went on after them")
            yield [b"%x\r\n" % len(piece), piece, b"\r\n"] if chunked else [piece]
    finally:
        await dispose(body)
    if length is not None and sent != length:
        raise ValueError(f"a response of {length} bytes ended after {sent}")
    if chunked:
        yield [b"0\r\n\r\n"]


async def dispose(body: AsyncIterator[bytes]) -> None:
    """Let a generator that will not be read to its end clean up."""
    aclose: Any = getattr(body, "aclose", None)
    if aclose is not None:
        await aclose()
