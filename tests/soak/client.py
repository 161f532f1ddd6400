"""One kept HTTP/1.1 connection, no more than the soak needs: what a client library would hide is what it is to see."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

ANSWER_S = 60.0


class NoAnswer(Exception):
    """The connection ended before the answer was there, which the client has seen."""


class Silence(NoAnswer):
    """It stayed open, and no answer came."""


class Connection:
    """Opens when first used, and again after it was lost. endpoint: asked each time, for a new server has a new one."""

    def __init__(self, endpoint: Callable[[], str]) -> None:
        self._endpoint = endpoint
        self._opened = ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """(status, headers by lower-case name, body). Raises NoAnswer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            async with asyncio.timeout(ANSWER_S):
                if self._opened != self._endpoint():
                    self.close()
                if self._streams is None:
                    self._opened = self._endpoint()
                    host, _, port = self._opened.removeprefix("http://").rpartition(":")
                    self._streams = await asyncio.open_connection(host, int(port))
                reader, writer = self._streams
                writer.write(head.encode() + body)
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                content = await reader.readexactly(int(headers.get("content-length", "0")))
        except TimeoutError as error:
            self.close()
            raise Silence(f"{method} {path}: nothing for {ANSWER_S:.0f} s") from error
        except (OSError, EOFError) as error:
            self.close()
            raise NoAnswer(f"{method} {path}: {error!r}") from error
        return int(first.split()[1]), headers, content

    async def json(self, method: str, path: str, content: object = None) -> tuple[int, Any]:
        """(status, the answer's JSON, None when it is empty)."""
        status, _, body = await self.ask(method, path, b"" if content is None else json.dumps(content).encode())
        return status, json.loads(body) if body else None

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
