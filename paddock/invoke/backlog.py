"""How much waits for each function, so that a flood is refused before it fills the disk.

Counted in memory: what is accepted is added, what has ended is taken away. A restart counts what the queue holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from paddock.model.errors import TooManyRequests

RATE = "FunctionInvocationRateLimitExceeded"


class Backlog:
    """bytes_max: of the events of one function, as stored."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes: Counter[str] = Counter()
        self._events: Counter[str] = Counter()

    @property
    def events(self) -> int:
        """Of all functions, that wait or run."""
        return self._events.total()

    @property
    def bytes(self) -> int:
        return self._bytes.total()

    def load(self, found: Mapping[str, tuple[int, int]]) -> None:
        """group -> (events, bytes), at the start."""
        for group, (events, size) in found.items():
            self._events[group] += events
            self._bytes[group] += size

    def add(self, group: str, size: int) -> None:
        """Raises TooManyRequests when so much waits that this must not come to it; one event is let in always."""
        if self._bytes[group] and self._bytes[group] + size > self._bytes_max:
            mb = self._bytes_max >> 20
            raise TooManyRequests(RATE, f"{mb} MB of events wait for this function already (event_backlog_mb_max).")
        self._bytes[group] += size
        self._events[group] += 1

    def remove(self, group: str, size: int) -> None:
        self.resize(group, -size)
        self._events[group] -= 1
        if self._events[group] <= 0:
            del self._events[group], self._bytes[group]

    def resize(self, group: str, by: int) -> None:
        """An event waits on with so many bytes more."""
        self._bytes[group] += by
