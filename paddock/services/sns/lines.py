"""How many messages are on their way to HTTP subscribers at once: so that one that hangs holds up no other.

A subscriber has LINES_EACH of them, and one while it has not answered well the last time; all together have LINES_ALL,
fewer than the outbox has hands, so that functions and queues always have some left. Who finds no line free is told
TargetBusy: the outbox comes again later, and does not count that as an attempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from paddock.interfaces import TargetBusy

LINES_EACH = 8
LINES_ALL = 48


class Line:
    """Of one message to one subscriber."""

    def __init__(self) -> None:
        self.worked = False

    def works(self) -> None:
        """The subscriber took the message."""
        self.worked = True


class Lines:
    """By subscription."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._troubled: set[str] = set()

    @contextmanager
    def line_to(self, subscription: str) -> Iterator[Line]:
        """Raises TargetBusy."""
        most = 1 if subscription in self._troubled else LINES_EACH
        if self._taken[subscription] >= most or self._taken.total() >= LINES_ALL:
            raise TargetBusy(subscription)
        self._taken[subscription] += 1
        line = Line()
        try:
            yield line
        finally:
            self._taken[subscription] -= 1
            if not self._taken[subscription]:
                del self._taken[subscription]
            if line.worked:
                self._troubled.discard(subscription)
            else:
                self._troubled.add(subscription)
