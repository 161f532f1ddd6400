"""Where GetFunction's Code.Location leads: the function's zip, for ten minutes, to whoever holds the URL.

The URL carries the package's digest, an end and a signature over both by a key that is made anew at every start, so
nobody can make one up; AWS hands out presigned S3 URLs of the same kind and length of life (spec 01 section 4).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs

from paddock.interfaces import Blobs, Clock
from paddock.wire.messages import Response

PATH = "/_paddock/code/"
LIFETIME_S = 600
_CHUNK_BYTES = 262_144
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class Downloads:
    """base_url: http://host:port as clients reach it. key: secret bytes, new at every start."""

    def __init__(self, *, base_url: str, key: bytes, blobs: Blobs, clock: Clock) -> None:
        self._base_url = base_url
        self._key = key
        self._blobs = blobs
        self._clock = clock

    def url(self, digest: str) -> str:
        """A URL of the zip with that digest that works for LIFETIME_S."""
        until = int(self._clock.now().timestamp()) + LIFETIME_S
        signature = self._signature(digest, str(until))
        return f"{self._base_url}{PATH}{digest}?expires={until}&signature={signature}"

    async def answer(self, path: str, query: str) -> Response:
        """The zip, or 403 for a URL that is not ours or not any more."""
        digest = path.removeprefix(PATH)
        fields = parse_qs(query)
        until, signature = fields.get("expires", [""])[0], fields.get("signature", [""])[0]
        genuine = bool(_DIGEST.match(digest)) and until.isascii() and until.isdigit()
        if not genuine or not hmac.compare_digest(self._signature(digest, until).encode(), signature.encode()):
            return _refused("This is not a download URL of this server; ask GetFunction for one.")
        if int(until) < self._clock.now().timestamp():
            return _refused("This download URL has expired; ask GetFunction for a new one.")
        try:
            file = await self._blobs.path(digest)
        except FileNotFoundError:
            return Response(status=404, body=b"The code has been deleted since.\n")
        size = (await asyncio.to_thread(file.stat)).st_size
        headers = (("Content-Type", "application/zip"), ("Content-Length", str(size)))
        return Response(status=200, headers=headers, body=_chunks(file))

    def _signature(self, digest: str, until: str) -> str:
        return hmac.new(self._key, f"{digest}:{until}".encode(), hashlib.sha256).hexdigest()


def _refused(message: str) -> Response:
    return Response(status=403, headers=(("Content-Type", "text/plain"),), body=message.encode() + b"\n")


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while data := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield data
