"""GET, with the answer read in pieces: bounded in time, and never from a link-local address.

    async with fetcher(url, headers) as answer:
        answer.status, answer.headers
        async for piece in answer.pieces(): ...

No redirect is followed: where to may be decided by whoever knows what the request carries. Link-local addresses are
where clouds keep the credentials of their machines, and whoever names an image would choose the address.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from urllib.parse import SplitResult, quote, urlsplit

import httptools

CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 30.0
HEADERS_BYTES_MAX = 65_536
_READ_BYTES = 262_144


class Answer:
    """headers: by their names in lower case; of several of one name the last."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: list[bytes] = []
        self._head_bytes = 0
        self._is_head_over = False
        self._is_over = False
        self.headers: dict[str, str] = {}

    # httptools' callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._is_head_over = True

    def on_body(self, body: bytes) -> None:
        self._waiting.append(body)

    def on_message_complete(self) -> None:
        self._is_over = True

    @property
    def status(self) -> int:
        return int(self._parser.get_status_code())

    async def head(self) -> None:
        while not self._is_head_over:
            await self._more()
            if not self._is_head_over and self._head_bytes > HEADERS_BYTES_MAX:
                raise ConnectionError("the head of the answer has no end")

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises OSError when the body is cut short, or nothing comes for SILENCE_TIMEOUT_S."""
        while True:
            waiting, self._waiting = self._waiting, []
            for piece in waiting:
                yield piece
            if self._is_over and not self._waiting:
                return
            await self._more()

    async def read(self, bytes_max: int) -> bytes:
        """The whole body. Raises OSError for one that is larger."""
        found = b""
        async for piece in self.pieces():
            found += piece
            if len(found) > bytes_max:
                raise ConnectionError(f"the answer is larger than {bytes_max} bytes")
        return found

    async def _more(self) -> None:
        try:
            async with asyncio.timeout(SILENCE_TIMEOUT_S):
                data = await self._reader.read(_READ_BYTES)
        except TimeoutError:
            raise ConnectionError(f"nothing came for {SILENCE_TIMEOUT_S:.0f} s") from None
        if not data:
            framed = {"content-length", "transfer-encoding"} & set(self.headers)
            if not self._is_head_over or framed:
                raise ConnectionError("the answer is cut short" if self._head_bytes else "closed without an answer")
            self._is_over = True
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ConnectionError("the answer is not HTTP") from error


class Fetcher:
    """Call it; raises OSError when nobody answers."""

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None

    @contextlib.asynccontextmanager
    async def __call__(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
        parts = urlsplit(url)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                reader, writer = await self._connected(parts)
        except TimeoutError:
            raise ConnectionError(f"{parts.hostname} cannot be reached within {CONNECT_TIMEOUT_S:.0f} s") from None
        except ValueError as error:
            raise ConnectionError(f"{parts.hostname} cannot be reached: {error}") from error
        try:
            _check_address(writer.get_extra_info("peername")[0])  # a name may have changed what it means
            writer.write(_head(parts, headers))
            await writer.drain()
            answer = Answer(reader)
            await answer.head()
            yield answer
        finally:
            writer.close()

    async def _connected(self, parts: SplitResult) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConnectionError("only http and https can be asked")
        context = self._secured() if parts.scheme == "https" else None
        port = parts.port or (443 if context is not None else 80)
        for info in await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM):
            _check_address(str(info[4][0]))
        return await asyncio.open_connection(parts.hostname, port, ssl=context)

    def _secured(self) -> ssl.SSLContext:
        """Made once, when it is needed: it reads all certificates of the machine."""
        if self._context is None:
            self._context = ssl.create_default_context()
        return self._context


def _check_address(text: str) -> None:
    address = ipaddress.ip_address(text.partition("%")[0])
    if (getattr(address, "ipv4_mapped", None) or address).is_link_local:
        raise ConnectionError(f"{text} is a link-local address")


def _head(parts: SplitResult, headers: Mapping[str, str]) -> bytes:
    """Raises ConnectionError for what would not stay on its line."""
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    lines = {"Host": host + (f":{parts.port}" if parts.port else ""), **headers, "Connection": "close"}
    if not all(value.isascii() and value.isprintable() for value in lines.values()):
        raise ConnectionError("what should be sent does not fit a header")
    return (f"GET {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n").encode()
