"""What every place that images come from answers, and how what arrives is checked."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Protocol

from paddock.model.image import MANIFEST_BYTES_MAX, BadImage, Blob, Reference

PIECE_BYTES = 256 * 1024


class Interrupted(BadImage):
    """The connection ended in the middle: once more may do."""


class Source(Protocol):
    """One place. What it gives is not believed: its caller checks digests. Raises BadImage, and OSError."""

    async def manifest(self, reference: Reference, digest: str) -> tuple[bytes, str]:
        """A manifest or an index, and its media type, "" for unknown. digest: "" for what the reference names."""

    def blob(self, reference: Reference, blob: Blob) -> AsyncIterator[bytes]:
        """Its bytes, in pieces."""


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def checked(pieces: AsyncIterator[bytes], blob: Blob) -> AsyncIterator[bytes]:
    """The pieces, as long as they can be the blob. Raises BadImage once they are more, less or other bytes."""
    found, size = hashlib.sha256(), 0
    async for piece in pieces:
        size += len(piece)
        if size > blob.size_bytes:
            raise BadImage(f"sha256:{blob.digest} is longer than the {blob.size_bytes} bytes that its manifest says.")
        found.update(piece)
        yield piece
    if size != blob.size_bytes:
        raise BadImage(f"sha256:{blob.digest} ends after {size} of {blob.size_bytes} bytes.")
    if found.hexdigest() != blob.digest:
        raise BadImage(f"sha256:{blob.digest} arrived with the digest sha256:{found.hexdigest()}.")


async def whole(pieces: AsyncIterator[bytes], blob: Blob) -> bytes:
    """A small blob, checked."""
    if blob.size_bytes > MANIFEST_BYTES_MAX:
        raise BadImage(f"sha256:{blob.digest} is larger than {MANIFEST_BYTES_MAX} bytes.")
    return b"".join([piece async for piece in checked(pieces, blob)])
