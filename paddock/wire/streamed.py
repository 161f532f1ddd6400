"""A payload that is read in pieces, freed of AWS's own framing inside HTTP's: aws-chunked.

Clients that do not know a body's checksum ahead send it after the body, as a trailer (boto3 does by default):

    5;chunk-signature=9a..\\r\\n hello \\r\\n 0\\r\\n x-amz-checksum-crc32:NhCmhg==\\r\\n \\r\\n

Content-Length then counts the framing too, and x-amz-decoded-content-length what it holds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from paddock.wire.errors import Malformed
from paddock.wire.http1_request import IncomingRequest

LINE_BYTES_MAX = 4_096
TRAILERS_MAX = 16
_CHUNKED = "aws-chunked"


def _incomplete(message: str) -> Malformed:
    return Malformed(message, code="IncompleteBody")


class StreamedBody:
    """Iterate once, for the content in pieces. Raises Malformed (IncompleteBody) for broken framing, as
    IncomingRequest.chunks does for the rest.

    length: bytes of content, None when the client does not say. trailers: (lower-case names) once all was read.
    encoding: Content-Encoding without aws-chunked.
    """

    def __init__(self, incoming: IncomingRequest) -> None:
        """Raises Malformed for a decoded length that is no number."""
        headers = incoming.headers
        self._incoming = incoming
        encodings = [each.strip() for each in headers.get("content-encoding").split(",") if each.strip()]
        self.encoding = ",".join(each for each in encodings if each.lower() != _CHUNKED)
        self.trailers: dict[str, str] = {}
        self.payload_hash = headers.get("x-amz-content-sha256")
        self._chunked = self.payload_hash.startswith("STREAMING-") or _CHUNKED in (each.lower() for each in encodings)
        self.length = incoming.content_length
        if self._chunked:
            decoded = headers.get("x-amz-decoded-content-length")
            if decoded and not (decoded.isascii() and decoded.isdigit() and len(decoded) < 16):
                raise Malformed("x-amz-decoded-content-length is not a number", code="InvalidArgument")
            self.length = int(decoded) if decoded else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = self._incoming.chunks()
        taken = 0
        async for piece in self._decoded(pieces) if self._chunked else pieces:
            taken += len(piece)
            yield piece
        if self.length is not None and taken != self.length:
            raise _incomplete("You did not provide the number of bytes specified by the Content-Length HTTP header")

    async def read(self) -> bytes:
        """All of it, for a body that is known to be small."""
        return b"".join([piece async for piece in self])

    async def _decoded(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        framing = _Framing(pieces)
        while True:
            line = await framing.line()
            size_text = line.partition(";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError:
                raise _incomplete("The chunk framing of the body is broken") from None
            if size < 0 or len(size_text) > 16:
                raise _incomplete("The chunk framing of the body is broken")
            if size == 0:
                break
            async for piece in framing.take(size):
                yield piece
            if await framing.line():
                raise _incomplete("A chunk of the body is longer than it says")
        await self._read_trailers(framing)

    async def _read_trailers(self, framing: _Framing) -> None:
        for _ in range(TRAILERS_MAX):
            line = await framing.line(at_end=True)
            if not line:
                break
            name, colon, value = line.partition(":")
            if not colon:
                raise Malformed("A trailer of the body is malformed", code="MalformedTrailerError")
            self.trailers[name.strip().lower()] = value.strip()
        async for _rest in framing.rest():
            raise _incomplete("The body goes on after its end")


class _Framing:
    """Lines and counted bytes out of pieces."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    async def line(self, *, at_end: bool = False) -> str:
        """A line without its CRLF. at_end: "" also where the body ends."""
        while (end := self._left.find(b"\r\n")) < 0:
            if len(self._left) > LINE_BYTES_MAX:
                raise _incomplete("The chunk framing of the body is broken")
            more = await anext(self._pieces, b"")
            if not more:
                if at_end and not self._left:
                    return ""
                raise _incomplete("The body ended in the middle of its chunk framing")
            self._left += more
        if end > LINE_BYTES_MAX:
            raise _incomplete("The chunk framing of the body is broken")
        line, self._left = self._left[:end], self._left[end + 2 :]
        return line.decode("latin-1")

    async def take(self, size: int) -> AsyncIterator[bytes]:
        """Exactly so many bytes."""
        while size:
            piece = self._left or await anext(self._pieces, b"")
            if not piece:
                raise _incomplete("The body ended in the middle of a chunk")
            self._left = piece[size:]
            piece = piece[:size]
            size -= len(piece)
            yield piece

    async def rest(self) -> AsyncIterator[bytes]:
        if self._left:
            yield self._left
        async for piece in self._pieces:
            yield piece
