"""multipart/form-data, as browsers send forms: the fields that stand before the file, then the file in pieces.

    --boundary CRLF Content-Disposition: form-data; name="key" CRLF CRLF a.jpg CRLF --boundary CRLF ... --boundary--

What stands behind the file is read and means nothing. Everything is bounded: fields before the file by
FIELDS_BYTES_MAX altogether, the file by the request's own length.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

from paddock.wire.errors import Malformed
from paddock.wire.http1_request import IncomingRequest

FIELDS_BYTES_MAX = 20_000
HEAD_BYTES_MAX = 4_096
FILE = "file"
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(r'(?:^|[;\s])name="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_FILE_NAME = re.compile(r'filename="((?:[^"\\]|\\.)*)"', re.IGNORECASE)


def is_form(content_type: str) -> bool:
    return content_type.lower().startswith("multipart/form-data")


def _malformed(message: str) -> Malformed:
    return Malformed(message, code="MalformedPOSTRequest")


class FormData:
    """Made by `await FormData.read(incoming)`; then iterate once, for the file.

    fields: by name in lower case, those before the file. file_name: as the browser says, without its folders.
    length: bytes that the file has at most. encoding, trailers, payload_hash: as a StreamedBody has them.
    """

    def __init__(self, incoming: IncomingRequest) -> None:
        """Raises Malformed for a body that is no form."""
        found = _BOUNDARY.search(incoming.headers.get("content-type"))
        if found is None:
            raise _malformed("The body of your POST request is not well-formed multipart/form-data.")
        self._delimiter = b"\r\n--" + (found[1] or found[2]).encode("latin-1")
        self._pieces: AsyncIterator[bytes] = incoming.chunks()
        self._total = incoming.content_length
        # The first boundary has no line end before it; with one, it is like all others.
        self._left = b"\r\n"
        self._taken = 0
        self._found: dict[str, str] = {}
        self.file_name = ""
        self.encoding = ""
        self.trailers: dict[str, str] = {}
        self.payload_hash = ""

    @classmethod
    async def read(cls, incoming: IncomingRequest) -> FormData:
        """Up to the file. Raises Malformed."""
        form = cls(incoming)
        await form._until(form._delimiter)
        while await form._goes_on():
            if await form._part():
                return form
        raise Malformed("POST requires exactly one file upload per request.", code="InvalidArgument")

    @property
    def fields(self) -> Mapping[str, str]:
        return self._found

    @property
    def length(self) -> int | None:
        return None if self._total is None else self._total - self._taken + len(self._left)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        delimiter, kept = self._delimiter, len(self._delimiter) - 1
        while (end := self._left.find(delimiter)) < 0:
            if len(self._left) > kept:
                yield self._left[:-kept]
                self._left = self._left[-kept:]
            await self._more()
        if end:
            yield self._left[:end]
        async for _rest in self._pieces:
            pass

    # -- reading

    async def _more(self) -> None:
        piece = await anext(self._pieces, b"")
        if not piece:
            raise Malformed("The form ended before its last boundary.", code="IncompleteBody")
        self._taken += len(piece)
        self._left += piece

    async def _until(self, end: bytes) -> bytes:
        """What stands before `end`, which is taken too."""
        while (at := self._left.find(end)) < 0:
            if len(self._left) > FIELDS_BYTES_MAX:
                message = "Your POST request fields preceding the upload file were too large."
                raise Malformed(message, code="MaxPostPreDataLengthExceededError")
            await self._more()
        found, self._left = self._left[:at], self._left[at + len(end) :]
        return found

    async def _goes_on(self) -> bool:
        """Whether another part stands behind the boundary."""
        while len(self._left) < 2:
            await self._more()
        return self._left[:2] != b"--"

    async def _part(self) -> bool:
        """A field, kept, or the beginning of the file: True."""
        head = (await self._until(b"\r\n\r\n")).decode("utf-8", "replace")
        if len(head) > HEAD_BYTES_MAX:
            raise _malformed("A field of the form has too long a head.")
        name = _NAME.search(head)
        if name is None:
            raise _malformed("A field of the form has no name.")
        if name[1].lower() == FILE:
            given = _FILE_NAME.search(head)
            self.file_name = re.split(r"[/\\]", given[1])[-1] if given else ""
            return True
        value = await self._until(self._delimiter)
        self._found[name[1].lower()] = value.decode("utf-8", "replace")
        if sum(len(each) for pair in self._found.items() for each in pair) > FIELDS_BYTES_MAX:
            message = "Your POST request fields preceding the upload file were too large."
            raise Malformed(message, code="MaxPostPreDataLengthExceededError")
        return False
