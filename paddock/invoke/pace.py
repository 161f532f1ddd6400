"""How many events of one function are run at once: as many as bring it forward, and no more.

Each group of a queue (a function) begins with a few hands. While there is more to do than hands, a window of a quarter
of a second tells whether more would help:

    nothing ended in it             twice as many: each takes long, so they can only be run beside each other
    more ended than ever before     twice as many
    no more than with fewer hands   back to as many as before, and a careful try again after some seconds
    a throttle                      no more than run now, and a try again after a second

So a thousand events that sleep run all at once within two seconds; a hundred thousand short ones are drained by a few
warm environments, in the order of their age, instead of by a thousand that were started for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

HANDS_FIRST = 10
WINDOW_S = 0.25
GAIN = 1.1
HOLD_WINDOWS, HOLD_WINDOWS_THROTTLED = 20, 4
FORGET_S = 60.0


@dataclass(slots=True)
class _Group:
    """hands: how many may run at once. before: how many there were before the last growth, 0 when that is settled.

    best: the most that ended within a second so far. hold: windows until the next try. ended: in this window.
    """

    hands: int = HANDS_FIRST
    running: int = 0
    before: int = 0
    best: float = 0.0
    hold: int = 0
    ended: int = 0
    window_at: float = 0.0


class Pace:
    """bound: the most that a group may have at once, None for no bound but the consumer's; asked from any thread."""

    def __init__(self, bound: Callable[[str], int | None]) -> None:
        self._bound = bound
        self._groups: dict[str, _Group] = {}

    def room(self, group: str) -> int:
        """How many more may begin. Called from any thread."""
        found, bound = self._groups.get(group), self._bound(group)
        hands, running = (HANDS_FIRST, 0) if found is None else (found.hands, found.running)
        return (hands if bound is None else min(hands, max(1, bound))) - running

    def began(self, group: str, now_s: float) -> None:
        found = self._groups.get(group)
        if found is None:
            found = self._groups[group] = _Group(window_at=now_s)
        found.running += 1

    def ended(self, group: str) -> None:
        found = self._groups[group]
        found.running -= 1
        found.ended += 1

    def throttled(self, group: str) -> None:
        """What is running, less the one that was refused, is what there is room for."""
        found = self._groups.get(group)
        if found is not None:
            found.hands, found.before, found.best = max(1, found.running - 1), 0, 0.0
            found.hold = HOLD_WINDOWS_THROTTLED

    def look(self, now_s: float) -> frozenset[str]:
        """End the windows that are over; the groups that have every hand busy. Another look is worth it for these."""
        full: set[str] = set()
        for name, group in list(self._groups.items()):
            if not group.running and now_s - group.window_at > FORGET_S:
                del self._groups[name]
            elif self.room(name) > 0:
                # Not held up: what it does now says nothing about more hands.
                group.window_at, group.ended = (now_s, 0) if group.running else (group.window_at, 0)
            else:
                full.add(name)
                if now_s - group.window_at >= WINDOW_S:
                    _settle(group, group.ended / (now_s - group.window_at))
                    group.window_at, group.ended = now_s, 0
        return frozenset(full)


def _settle(group: _Group, per_s: float) -> None:
    """What a window in which every hand was busy says about their number."""
    if group.hold:
        group.hold -= 1
    elif not group.ended or per_s > group.best * GAIN:
        group.before, group.hands = group.hands, group.hands * 2
        group.best = max(group.best, per_s)
    elif group.before:
        group.hands, group.before, group.hold = group.before, 0, HOLD_WINDOWS
    else:
        # Times may have changed: what was best is measured anew.
        group.before, group.hands, group.best = group.hands, group.hands + max(1, group.hands // 4), per_s
