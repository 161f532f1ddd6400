"""The checksums that S3's clients send and read, by the names of the service model (CRC32, SHA256, ...)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from awscrt import checksums as crt


class Checksum(Protocol):
    """What hashlib's hashes are."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc:
    def __init__(self, step: Callable[[bytes, int], int], size: int) -> None:
        self._step = step
        self._size = size
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


class _XxHash:
    def __init__(self, hasher: crt.XXHash) -> None:
        self._hasher = hasher

    def update(self, data: bytes, /) -> None:
        self._hasher.update(data)

    def digest(self) -> bytes:
        return bytes(self._hasher.finalize())


_MAKERS: Mapping[str, Callable[[], Checksum]] = {
    "CRC32": partial(_Crc, zlib.crc32, 4),
    "CRC32C": partial(_Crc, crt.crc32c, 4),
    "CRC64NVME": partial(_Crc, crt.crc64nvme, 8),
    "SHA1": hashlib.sha1,
    "SHA256": hashlib.sha256,
    "SHA512": hashlib.sha512,
    "MD5": hashlib.md5,
    "XXHASH64": lambda: _XxHash(crt.XXHash.new_xxhash64()),
    "XXHASH3": lambda: _XxHash(crt.XXHash.new_xxhash3_64()),
    "XXHASH128": lambda: _XxHash(crt.XXHash.new_xxhash3_128()),
}
_COMBINERS: Mapping[str, tuple[Callable[[int, int, int], int], int]] = {
    "CRC32": (crt.combine_crc32, 4),
    "CRC32C": (crt.combine_crc32c, 4),
    "CRC64NVME": (crt.combine_crc64nvme, 8),
}

ALGORITHMS = frozenset(_MAKERS)
COMBINABLE = frozenset(_COMBINERS)
"""Those of a whole that follow from those of its parts."""


def new(algorithm: str) -> Checksum:
    """Raises KeyError for a name that is none of ALGORITHMS."""
    return _MAKERS[algorithm]()


def size_of(algorithm: str) -> int:
    """Bytes of its digest."""
    return len(new(algorithm).digest())


def combine(algorithm: str, parts: Sequence[tuple[bytes, int]]) -> bytes:
    """The checksum of parts laid end to end, from (digest, size) of each."""
    step, size = _COMBINERS[algorithm]
    value = 0
    for digest, length in parts:
        value = step(value, int.from_bytes(digest, "big"), length)
    return value.to_bytes(size, "big")


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def decoded(text: str) -> bytes | None:
    """The bytes of a checksum as it travels, None when it is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
