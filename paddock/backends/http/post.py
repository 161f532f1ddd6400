"""One POST to somebody's endpoint: never waiting long, no redirect followed, given up at once when cancelled."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import ssl
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, unquote, urlsplit

TIMEOUT_S = 15.0
GOODBYE_S = 1.0
_HEAD_BYTES_MAX = 65_536
_INTERIM = range(100, 200)
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r\n]")
_PLAIN = re.compile(r"[\x20-\x7e]*\Z")


class Poster:
    """`await poster(url, headers, body)` gives the status. Raises OSError when there was no answer."""

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._post(urlsplit(url), headers, body)
        except TimeoutError:
            raise TimeoutError(f"no answer within {TIMEOUT_S:.0f} s") from None
        except ValueError as error:  # a host or a port that is none, a line of the answer without an end
            raise ConnectionError(str(error)) from error

    async def _post(self, parts: SplitResult, headers: Mapping[str, str], body: bytes) -> int:
        context = self._secured() if parts.scheme == "https" else None
        port = parts.port or (443 if context is not None else 80)
        reader, writer = await asyncio.open_connection(parts.hostname or "", port, ssl=context, limit=_HEAD_BYTES_MAX)
        try:
            writer.write(_head(parts, headers, len(body)) + body)
            await writer.drain()
            status = await _status(reader)
            # Who is cut off in the middle of its answer would take that for a failure of its own.
            with contextlib.suppress(OSError):
                async with asyncio.timeout(GOODBYE_S):
                    await reader.read(_HEAD_BYTES_MAX)
            return status
        finally:
            writer.close()

    def _secured(self) -> ssl.SSLContext:
        """Made once, when it is needed: it reads all certificates of the machine."""
        if self._context is None:
            self._context = ssl.create_default_context()
        return self._context


def _head(parts: SplitResult, headers: Mapping[str, str], length: int) -> bytes:
    """Raises ValueError for what would not stay on its line."""
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    lines = {"Host": host + (f":{parts.port}" if parts.port else ""), **headers}
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    lines |= {"Content-Length": str(length), "Connection": "close"}
    for name, value in lines.items():
        if _PLAIN.match(name + value) is None:
            raise ValueError(f"{name} does not fit a header")
    return (f"POST {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n").encode()


async def _status(reader: asyncio.StreamReader) -> int:
    """Of the final answer, once its head is read. Raises ConnectionError for what is no HTTP."""
    read = 0
    while True:
        status = 0
        while (line := await reader.readline()) not in (b"\r\n", b"\n"):
            read += len(line)
            if not status:
                found = _STATUS.match(line)
                if found is None:
                    raise ConnectionError("the answer is not HTTP" if line else "closed without an answer")
                status = int(found[1])
            if not line or read > _HEAD_BYTES_MAX:
                raise ConnectionError("the head of the answer has no end")
        if status and status not in _INTERIM:
            return status
