"""What a worker remembers of each function version to foresee it: bookkeeping around keepalive's pure decisions.

    began, ended    of each event
    keep            how long its environments are kept
    due             whose next event is near enough to start an environment ahead of it
    worth           of an idle environment, for the choice whom to end when memory is short

A version is its key without the build: new code of a function is used as the old was. Idle times within the first
minute, nearly all of a busy function's, are only counted and folded into its history later, so that an event costs a
few additions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from paddock.worker import keepalive
from paddock.worker.keepalive import BIN_S, History, KeepAlive, KeepAliveSettings
from paddock.worker.pool import NEW_ENVIRONMENT_BYTES, EnvironmentKey, Idle, worth

VERSIONS_MAX = 10_000
_FORGET_SHARE = 10  # one in so many goes when there are too many
_FOLD_SHARE = 16


@dataclass(slots=True)
class _Rhythm:
    """busy: events running. ended_at: when the last one ended and left none. quick: idle times not folded in yet.

    decision, survived: from the history; None when that has changed. was_tried: an environment was started ahead since
    then. start_s, memory_bytes: what its last environment cost to start, and holds.
    """

    history: History = field(default_factory=History)
    busy: int = 0
    ended_at: float | None = None
    quick: int = 0
    decision: KeepAlive | None = None
    survived: Sequence[int] | None = None
    was_tried: bool = False
    start_s: float = 0.0
    memory_bytes: int = NEW_ENVIRONMENT_BYTES

    def fold(self) -> None:
        """Quick idle times go into the history once they can change it."""
        if self.quick * _FOLD_SHARE * 16 > self.history.total:
            self.observe(0.0, self.quick)
            self.quick = 0

    def observe(self, idle_s: float, times: int = 1) -> None:
        self.history = keepalive.observe(self.history, idle_s, times)
        self.decision = self.survived = None


class Rhythms:
    """Of at most VERSIONS_MAX versions; those idle longest are forgotten first."""

    def __init__(self, settings: KeepAliveSettings) -> None:
        self._settings = settings
        self._known: dict[EnvironmentKey, _Rhythm] = {}

    def began(self, key: EnvironmentKey, now: float) -> None:
        """An event has come, whatever becomes of it."""
        rhythm = self._known.get(key[:-1])
        if rhythm is None:
            rhythm = self._new(key)
        elif not rhythm.busy and rhythm.ended_at is not None:
            idle_s = now - rhythm.ended_at
            if idle_s < BIN_S:
                rhythm.quick += 1
            else:
                rhythm.observe(idle_s)
        rhythm.busy += 1

    def ended(self, key: EnvironmentKey, now: float) -> None:
        """One that began is over."""
        rhythm = self._known[key[:-1]]  # what is busy is never forgotten
        rhythm.busy -= 1
        if not rhythm.busy:
            rhythm.ended_at = now
            rhythm.was_tried = False

    def started(self, key: EnvironmentKey, took_s: float) -> None:
        """A new environment of it was ready after so long."""
        (self._known.get(key[:-1]) or self._new(key)).start_s = took_s

    def measured(self, key: EnvironmentKey, memory_bytes: int) -> None:
        """An environment of it holds so much."""
        rhythm = self._known.get(key[:-1])
        if rhythm is not None:
            rhythm.memory_bytes = max(NEW_ENVIRONMENT_BYTES, memory_bytes)

    def memory_bytes(self, key: EnvironmentKey) -> int:
        """What a new environment of it will hold, as far as one can know."""
        rhythm = self._known.get(key[:-1])
        return rhythm.memory_bytes if rhythm is not None else NEW_ENVIRONMENT_BYTES

    def keep(self, key: EnvironmentKey) -> KeepAlive:
        rhythm = self._known.get(key[:-1])
        return keepalive.decide(History(), self._settings) if rhythm is None else self._decision(rhythm)

    def due(self, now: float) -> Iterator[EnvironmentKey]:
        """Versions, without their builds, whose next event is near: nothing of them runs, and none was named since."""
        for version, rhythm in self._known.items():
            if rhythm.busy or rhythm.was_tried or rhythm.ended_at is None:
                continue
            decision = self._decision(rhythm)
            idle_s = now - rhythm.ended_at
            if 0 < decision.prewarm_after_s <= idle_s < decision.prewarm_after_s + decision.keep_s:
                rhythm.was_tried = True
                yield version

    def worth(self, idle: Idle, now: float) -> float:
        """See pool.worth. One started ahead waits for the event that its version has been waiting for all along."""
        idle_s = now - idle.since
        rhythm = self._known.get(idle.key[:-1])
        if rhythm is None:
            return worth(keepalive.soon(keepalive.survivors(History()), idle_s), 0.0, idle.memory_bytes)
        if idle.was_started_ahead and not rhythm.busy and rhythm.ended_at is not None:
            idle_s = now - rhythm.ended_at
        rhythm.fold()
        if rhythm.survived is None:
            rhythm.survived = keepalive.survivors(rhythm.history)
        return worth(keepalive.soon(rhythm.survived, idle_s), rhythm.start_s, idle.memory_bytes)

    def busy(self) -> int:
        """Events running, of all versions."""
        return sum(rhythm.busy for rhythm in self._known.values())

    def _decision(self, rhythm: _Rhythm) -> KeepAlive:
        rhythm.fold()
        if rhythm.decision is None:
            rhythm.decision = keepalive.decide(rhythm.history, self._settings)
        return rhythm.decision

    def _new(self, key: EnvironmentKey) -> _Rhythm:
        if len(self._known) >= VERSIONS_MAX:
            self._forget_some()
        rhythm = self._known[key[:-1]] = _Rhythm()
        return rhythm

    def _forget_some(self) -> None:
        quiet = [(rhythm.ended_at or 0.0, version) for version, rhythm in self._known.items() if not rhythm.busy]
        for _, version in sorted(quiet)[: VERSIONS_MAX // _FORGET_SHARE]:
            del self._known[version]
