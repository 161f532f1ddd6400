"""AWS's event stream, the way out: botocore reads it, and has no writer.

A message is, all numbers big-endian:

    u32 length of all   u32 length of headers   u32 CRC of these eight bytes
    headers: u8 length, name, u8 type (7: text), u16 length, value
    payload             u32 CRC of everything before
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

CONTENT_TYPE = "application/vnd.amazon.eventstream"
MESSAGE_BYTES_MAX = 16 << 20
"""Decoders take no more."""

_PRELUDE = struct.Struct("!II")
_WORD = struct.Struct("!I")
_TEXT = struct.Struct("!BH")
_TEXT_TYPE = 7


def event(name: str, content_type: str, payload: bytes) -> bytes:
    """One event of the stream, by its member's name in the service model."""
    return message({":message-type": "event", ":event-type": name, ":content-type": content_type}, payload)


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Raises ValueError for more than MESSAGE_BYTES_MAX."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    size = _PRELUDE.size + _WORD.size + len(head) + len(payload) + _WORD.size
    if size > MESSAGE_BYTES_MAX:
        raise ValueError(f"a message of {size} bytes")
    prelude = _PRELUDE.pack(size, len(head))
    whole = b"".join((prelude, _WORD.pack(zlib.crc32(prelude)), head, payload))
    return whole + _WORD.pack(zlib.crc32(whole))


def _header(name: str, value: str) -> bytes:
    encoded, text = name.encode(), value.encode()
    return b"".join((bytes((len(encoded),)), encoded, _TEXT.pack(_TEXT_TYPE, len(text)), text))
