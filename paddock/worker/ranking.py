"""Who goes first where room is needed: all idle environments are weighed once in a while, not for every start.

Weighing takes some 10 us for each, on the server's only thread: tens of milliseconds where thousands are idle, and a
full machine needs room at every start. So the order is kept for KEPT_S seconds. What was used since is not in it any
more, for it is worth more than it was; what became idle since is worth more than most and waits for the next weighing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from paddock.worker.pool import Idle

KEPT_S = 1.0
FEW = 32
"""So many are looked at for one start, which mostly needs one of them to go."""


class Ranking:
    """The order of one weighing, as long as it holds."""

    def __init__(self) -> None:
        self._order: deque[Idle] = deque()
        self._holds_until = 0.0

    def weighed(self, idle: Iterable[Idle], now: float) -> None:
        self._order = deque(sorted(idle, key=lambda one: (one.worth, one.since)))
        self._holds_until = now + KEPT_S

    def few(self, now: float, is_as_it_was: Callable[[Idle], bool]) -> Sequence[Idle]:
        """Those worth least, FEW at most; none where nobody has been weighed of late."""
        if now >= self._holds_until:
            return ()
        found: list[Idle] = []
        while self._order and len(found) < FEW:
            one = self._order.popleft()
            if is_as_it_was(one):
                found.append(one)
        self._order.extendleft(reversed(found))
        return found
