"""A piece of a segment: where bytes of an object lie."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slice:
    """size bytes from byte `start` of the segment of that name."""

    name: str
    start: int
    size: int
