"""How fast a function may grow: at most so many new environments in ten seconds, as on Lambda (spec 03 §4).

A bucket for each function, full at first, from which every new environment takes a token, and which fills up again
continuously: with 1,000 in 10 s one token comes back every 10 ms, and what is not used does not add up beyond 1,000.
An event that finds the bucket empty is throttled; one that finds an idle environment never looks at it. All versions
of a function share its bucket, no two functions do.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

WINDOW_S = 10.0
FUNCTIONS_MAX = 1024
"""So many buckets are kept before full ones, which are as good as none, are thrown away."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """tokens: at the clock reading at_s."""

    tokens: float
    at_s: float

    def at(self, now_s: float, size: int) -> float:
        """The tokens now."""
        return min(float(size), self.tokens + (now_s - self.at_s) * size / WINDOW_S)


class ScalingRate:
    """size: environments in WINDOW_S; 0 sets no limit."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._buckets: dict[Hashable, Bucket] = {}

    def take(self, function: Hashable, now_s: float) -> bool:
        """One more environment of the function. False when it may not have one yet."""
        if not self._size:
            return True
        bucket = self._buckets.get(function) or Bucket(float(self._size), now_s)
        tokens = bucket.at(now_s, self._size)
        if tokens < 1.0:
            return False
        if function not in self._buckets and len(self._buckets) >= FUNCTIONS_MAX:
            self._forget_full(now_s)
        self._buckets[function] = Bucket(tokens - 1.0, now_s)
        return True

    def _forget_full(self, now_s: float) -> None:
        full = [name for name, bucket in self._buckets.items() if bucket.at(now_s, self._size) >= self._size]
        for name in full:
            del self._buckets[name]
