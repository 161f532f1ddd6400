"""What a function writes, cut into log events: framed lines of a managed runtime, and plain standard output.

A managed runtime's logging goes through a descriptor of its own (`_LAMBDA_TELEMETRY_LOG_FD`) in frames, so that a
message of many lines stays one event and carries its level and time. Everything else (print, native code, other
runtimes) is a byte stream where each newline ends one event and a carriage return does not.

Both readers are incremental: bytes in as they come, whole events out. The function controls every byte, so both are
bounded: a frame that lies about itself costs at most one message of noise, a line without end is cut.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

EVENT_BYTES_MAX = 256 * 1024
"""A longer line or frame becomes several events."""

FRAME_HEADER = struct.Struct(">IIQ")
"""Frame type, message length in bytes, timestamp in epoch microseconds; big-endian."""

FRAME_MAGIC = b"\xa5\x5a\x00"
"""The three bytes that every known frame type begins with."""

FRAME_BYTES_MAX = 16 * 1024 * 1024
"""A header that announces more is taken for noise rather than waited for."""

# The low two bits of a frame type tell text (3) from JSON (2); the bits above count the level, from "none" up.
_LEVELS: Sequence[str] = ("", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
TEXT_FRAMES: Mapping[int, str] = {0xA55A0003 + (step << 2): level for step, level in enumerate(_LEVELS)}
JSON_FRAMES: Mapping[int, str] = {0xA55A0002 + (step << 2): level for step, level in enumerate(_LEVELS)}


@dataclass(frozen=True, slots=True)
class Framed:
    """level: "" when the frame carries none. timestamp_us: epoch microseconds, the runtime's word for it."""

    level: str
    timestamp_us: int
    message: str
    is_json: bool = False


class FrameReader:
    """TelemetryFD frames out of a byte stream.

    Bytes that are not a frame (the function wrote to the descriptor itself) are dropped up to the next magic and
    counted in `noise_bytes`: they have no time and no bounds, so no event could be made of them.
    """

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._event_bytes_max = event_bytes_max
        self._frame_bytes_max = frame_bytes_max
        self.noise_bytes = 0

    def feed(self, data: bytes) -> list[Framed]:
        """The frames that `data` completes, a long one cut into several."""
        self._buffer += data
        found: list[Framed] = []
        while (frame := self._take()) is not None:
            found.extend(frame)
        return found

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)

    def _take(self) -> list[Framed] | None:
        while len(self._buffer) >= FRAME_HEADER.size:
            kind, length, timestamp_us = FRAME_HEADER.unpack_from(self._buffer)
            if (kind not in TEXT_FRAMES and kind not in JSON_FRAMES) or length > self._frame_bytes_max:
                self._skip_noise()
                continue
            whole = FRAME_HEADER.size + length
            if len(self._buffer) < whole:
                return None
            message = bytes(self._buffer[FRAME_HEADER.size : whole])
            del self._buffer[:whole]
            is_json = kind in JSON_FRAMES
            level = JSON_FRAMES[kind] if is_json else TEXT_FRAMES[kind]
            parts = split_text(message, self._event_bytes_max)
            return [Framed(level, timestamp_us, part, is_json) for part in parts]
        return None

    def _skip_noise(self) -> None:
        at = self._buffer.find(FRAME_MAGIC, 1)
        # Without a magic in sight its first bytes may still be at the very end.
        skip = at if at > 0 else len(self._buffer) - (len(FRAME_MAGIC) - 1)
        del self._buffer[:skip]
        self.noise_bytes += skip


class LineReader:
    """Lines out of a byte stream, each with its newline. `\\r` does not end a line."""

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._searched = 0  # bytes of the buffer known to hold no newline
        self._event_bytes_max = event_bytes_max

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes. A line longer than the cap comes in pieces, without waiting for its end."""
        self._buffer += data
        lines: list[str] = []
        done = 0
        while (newline := self._buffer.find(b"\n", max(done, self._searched))) >= 0:
            lines.extend(split_text(bytes(self._buffer[done : newline + 1]), self._event_bytes_max))
            done = self._searched = newline + 1
        del self._buffer[:done]
        while len(self._buffer) > self._event_bytes_max:
            cut = _cut_point(self._buffer, self._event_bytes_max)
            lines.append(self._buffer[:cut].decode("utf-8", "replace"))
            del self._buffer[:cut]
        self._searched = len(self._buffer)
        return lines

    def flush(self) -> list[str]:
        """What has come without a newline so far (the invocation ended, or the process did)."""
        if not self._buffer:
            return []
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return [rest.decode("utf-8", "replace")] if rest else []


def split_text(data: bytes, limit_bytes: int) -> list[str]:
    """UTF-8 text in pieces of at most `limit_bytes` bytes, never cut inside a character. No pieces of nothing."""
    return list(_pieces(data, limit_bytes))


def _pieces(data: bytes, limit_bytes: int) -> Iterator[str]:
    at = 0
    while len(data) - at > limit_bytes:
        cut = _cut_point(data[at : at + limit_bytes + 1], limit_bytes)
        yield data[at : at + cut].decode("utf-8", "replace")
        at += cut
    if at < len(data):
        yield data[at:].decode("utf-8", "replace")


def _cut_point(data: bytes | bytearray, limit_bytes: int) -> int:
    """The last character boundary at or before the limit; the limit itself when the bytes are not UTF-8."""
    for cut in range(limit_bytes, max(limit_bytes - 4, 0), -1):
        if data[cut] & 0xC0 != 0x80:
            return cut
    return limit_bytes
