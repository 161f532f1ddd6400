"""Which environment gets an event: a pure decision, then the doing.

The rule. An event goes to the idle environment of its very version that was used last (so that the rest may grow
cold); else a new one is started. When the machine holds as many as it may, or they use more memory than the budget,
the idle environments that were idle longest go first, whoever they belong to. When none is idle the event is refused.

Worked example, environments_max 3: A idle since 10 s, B idle since 2 s, C busy. An event for a new version D: start,
and evict A. Another event for D, with C and D busy: start, evict B. A third: refused, everything is busy.

Caveat: an event that has begun to start an environment waits for that one, even when another grows idle meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

EnvironmentKey = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """One idle environment. number: its own. since: clock reading when it became idle. memory_bytes: it holds."""

    number: int
    key: EnvironmentKey
    since: float
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """What the decision sees. live: environments of all kinds. memory_bytes: of all of them."""

    idle: Sequence[Idle]
    live: int
    memory_bytes: int


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

_NEW_ENVIRONMENT_BYTES = 16 << 20


def assign(key: EnvironmentKey, view: PoolView, limits: PoolLimits) -> Decision:
    """Where an event for `key` goes."""
    fitting = [idle for idle in view.idle if idle.key == key]
    if fitting:
        return Reuse(number=max(fitting, key=lambda idle: idle.since).number)
    live, memory = view.live, view.memory_bytes + _NEW_ENVIRONMENT_BYTES
    evicted: list[int] = []
    for idle in sorted(view.idle, key=lambda idle: idle.since):
        if live < limits.environments_max and memory <= limits.memory_budget_bytes:
            break
        evicted.append(idle.number)
        live -= 1
        memory -= idle.memory_bytes
    if live >= limits.environments_max or (live and memory > limits.memory_budget_bytes):
        return Refuse()  # but a machine with nothing on it always takes one
    return Start(evict=tuple(evicted))


def expired(idle: Sequence[Idle], now: float, idle_timeout_s: float) -> tuple[int, ...]:
    """Environments that have been idle for too long."""
    return tuple(one.number for one in idle if now - one.since >= idle_timeout_s)


def spare_cells(ready: Mapping[str, int], starting: Mapping[str, int], wanted: int) -> Mapping[str, int]:
    """How many more cells to start, per runtime in use."""
    return {
        runtime: missing for runtime in ready if (missing := wanted - ready[runtime] - starting.get(runtime, 0)) > 0
    }
