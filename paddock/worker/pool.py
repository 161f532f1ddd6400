"""Which environment gets an event: a pure decision, then the doing.

The rule. An event goes to the idle environment of its very version that was used last (so that the rest may grow
cold); else a new one is started. When the machine holds as many as it may, or they use more memory than the budget,
the idle environments worth least go first, whoever they belong to. When none is idle the event is refused.

    worth = (how likely it is used again soon) x sqrt((seconds its start would cost) / (bytes it holds))

as in GreedyDual caches, with the likelihood, per second, from the version's own history in place of the cache's ageing.
Without the root the least time would be waited in all, with neither cost nor bytes the fewest would wait; the root is
between and near the best of both (docs/decisions/0010-keep-alive.md). Among equals the one idle longest goes.

Worked example, environments_max 3: A idle since 10 s, B idle since 2 s, C busy. An event for a new version D: start,
and evict A, were all else equal. But A is a timer due within a minute (0.9 / 60 s), takes 2 s to start and holds 50 MB:
0.015 x sqrt(2 / 50) = 0.003; B was invoked once (0.97 / 60 s, by its short idleness), starts in 0.1 s and holds 20 MB:
0.016 x sqrt(0.1 / 20) = 0.0011. So B goes. Another event for D, with C and D busy: start, evict A. A third: refused,
everything is busy.

Caveat: an event that has begun to start an environment waits for that one, even when another grows idle meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from paddock.worker.keepalive import KeepAlive

EnvironmentKey = tuple[str, ...]

NEW_ENVIRONMENT_BYTES = 16 << 20
"""What a new environment is reckoned with as long as none of its version has been seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """One idle environment. number: its own. since: clock reading when it became idle. memory_bytes: it holds.

    worth: see above; asked for only where one must go. was_started_ahead: of its first event, and had none yet.
    """

    number: int
    key: EnvironmentKey
    since: float
    memory_bytes: int
    worth: float = 0.0
    was_started_ahead: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """What the decision sees. live: environments of all kinds. memory_bytes: of all of them. new_bytes: of one more."""

    idle: Sequence[Idle]
    live: int
    memory_bytes: int
    new_bytes: int = NEW_ENVIRONMENT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    environments_max: int
    memory_budget_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start a new environment, after ending those in `evict`."""

    evict: Sequence[int] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Everything that could be ended is busy."""


Decision = Reuse | Start | Refuse

_START_S_MIN = 0.001
_MEMORY_BYTES_MIN = 1 << 20


def assign(key: EnvironmentKey, view: PoolView, limits: PoolLimits) -> Decision:
    """Where an event for `key` goes."""
    fitting = [idle for idle in view.idle if idle.key == key]
    if fitting:
        return Reuse(number=max(fitting, key=lambda idle: idle.since).number)
    if has_room(view, limits):
        return Start()
    live, memory = view.live, view.memory_bytes + view.new_bytes
    evicted: list[int] = []
    for idle in sorted(view.idle, key=lambda idle: (idle.worth, idle.since)):
        if live < limits.environments_max and memory <= limits.memory_budget_bytes:
            break
        evicted.append(idle.number)
        live -= 1
        memory -= idle.memory_bytes
    if live >= limits.environments_max or (live and memory > limits.memory_budget_bytes):
        return Refuse()  # but a machine with nothing on it always takes one
    return Start(evict=tuple(evicted))


def has_room(view: PoolView, limits: PoolLimits) -> bool:
    """Whether one more fits without ending any. Nothing is ever ended for an environment that is started ahead."""
    fits = view.memory_bytes + view.new_bytes <= limits.memory_budget_bytes
    return view.live < limits.environments_max and (fits or not view.live)


def worth(soon: float, start_s: float, memory_bytes: int) -> float:
    """Of keeping an idle environment. soon: how likely it is used again, per second (keepalive.soon)."""
    return soon * math.sqrt(max(start_s, _START_S_MIN) / max(memory_bytes, _MEMORY_BYTES_MIN))


def expired(idle: Sequence[Idle], now: float, keep: Callable[[EnvironmentKey], KeepAlive]) -> tuple[int, ...]:
    """Environments that have been idle for too long, each by its own version's time."""
    return tuple(one.number for one in idle if now - one.since >= _keep_s(one, keep(one.key)))


def _keep_s(idle: Idle, decision: KeepAlive) -> float:
    return decision.keep_s if idle.was_started_ahead else decision.after_event_s


def spare_cells(ready: Mapping[str, int], starting: Mapping[str, int], wanted: int) -> Mapping[str, int]:
    """How many more cells to start, per runtime in use."""
    return {
        runtime: missing for runtime in ready if (missing := wanted - ready[runtime] - starting.get(runtime, 0)) > 0
    }
