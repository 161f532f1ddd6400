"""A machine of environments in simulated time, which asks the pool's own functions what to do.

It does what worker.py does with sandboxes, with numbers: events start and end, idle environments are kept, started
ahead and evicted, cells are taken and replaced. Nothing is decided here. Differences from the worker: an environment
holds all its memory from its start, and how much is known beforehand; ending one takes no time.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from paddock.worker import demand, pool
from paddock.worker.demand import CellLimits, Demand
from paddock.worker.keepalive import KeepAliveSettings
from paddock.worker.pool import EnvironmentKey, Idle, PoolLimits, PoolView
from paddock.worker.rhythms import Rhythms
from tests.simulation.trace import Arrival, TracedFunction

CELL_READY_S = 0.02
RUNTIME = "python"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """by_cost: eviction by worth, else of whoever is idle longest. tick_s: between two looks of the reaper."""

    keep_alive: KeepAliveSettings
    limits: PoolLimits
    by_cost: bool = True
    tick_s: float = 5.0
    cells: CellLimits = CellLimits(least=2, most=16)


@dataclass(slots=True)
class Outcome:
    """events: answered. cold: of those, with a start before them. cold_s: time all of them waited for starts.

    ahead: environments started before their event; wasted: of those, ended without one. evicted: for memory.
    cell_misses: starts that found no cell. memory_byte_s: memory over time; seconds: simulated.
    """

    events: int = 0
    cold: int = 0
    cold_s: float = 0.0
    refused: int = 0
    ahead: int = 0
    wasted: int = 0
    evicted: int = 0
    cell_misses: int = 0
    memory_byte_s: float = 0.0
    memory_bytes_max: int = 0
    seconds: float = 0.0

    @property
    def memory_bytes_mean(self) -> float:
        return self.memory_byte_s / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class _Environment:
    function: TracedFunction
    inside: int = 0
    """Events in it now: 1 at most."""
    idle: Idle | None = None


@dataclass(slots=True)
class Machine:
    """play() once. `broken` collects what must never be so; checking every step costs time, hence `checks`."""

    policy: Policy
    checks: bool = False
    outcome: Outcome = field(default_factory=Outcome)
    broken: list[str] = field(default_factory=list)
    now: float = 0.0
    memory_bytes: int = 0
    _environments: dict[int, _Environment] = field(default_factory=dict)
    _idle: dict[EnvironmentKey, list[Idle]] = field(default_factory=lambda: defaultdict(list))
    _coming: list[tuple[float, int, str, int]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _functions: dict[EnvironmentKey, TracedFunction] = field(default_factory=dict)
    _demand: Demand = field(default_factory=Demand)
    _cells: int = 0
    _cells_starting: int = 0
    _cells_wanted: int = 0
    _rhythms: Rhythms = field(init=False)

    def __post_init__(self) -> None:
        self._rhythms = Rhythms(self.policy.keep_alive)
        self._cells = self._cells_wanted = self.policy.cells.least

    def play(self, arrivals: Sequence[Arrival]) -> Outcome:
        self._later(self.policy.tick_s, "tick", 0)
        for arrival in arrivals:
            self._until(arrival.at)
            self._arrive(arrival)
            self._check()
        return self.outcome

    # -- time ---------------------------------------------------------------------------------------------------

    def _later(self, seconds: float, what: str, number: int) -> None:
        heapq.heappush(self._coming, (self.now + seconds, next(self._numbers), what, number))

    def _until(self, at: float) -> None:
        while self._coming and self._coming[0][0] <= at:
            then, _, what, number = heapq.heappop(self._coming)
            self._pass(then)
            if what == "tick":
                self._tick()
                self._later(self.policy.tick_s, "tick", 0)
            elif what == "cell":
                self._cells_starting -= 1
                self._cells += 1
                self._demand = demand.became_ready(self._demand, CELL_READY_S)
            elif what == "started ahead":
                self._become_idle(number, was_started_ahead=True)
            else:
                self._finish(number)
            self._check()
        self._pass(at)

    def _pass(self, at: float) -> None:
        self.outcome.memory_byte_s += self.memory_bytes * (at - self.now)
        self.outcome.seconds = self.now = at

    # -- events -------------------------------------------------------------------------------------------------

    def _arrive(self, arrival: Arrival) -> None:
        function = arrival.function
        self._functions[function.key[:-1]] = function
        self._rhythms.began(function.key, self.now)
        decision = pool.assign(function.key, self._view(function), self.policy.limits)
        if isinstance(decision, pool.Refuse):
            self.outcome.refused += 1
            self._rhythms.ended(function.key, self.now)
            return
        self.outcome.events += 1
        wait_s = 0.0
        if isinstance(decision, pool.Reuse):
            number = decision.number
            idle = self._environments[number].idle
            if idle is None:
                self.broken.append(f"{self.now}: {number} is busy and was handed out")
            else:
                self._idle[function.key].remove(idle)
                self._environments[number].idle = None
        else:
            for evicted in decision.evict:
                self._end(evicted)
                self.outcome.evicted += 1
            number = self._start(function)
            wait_s = function.init_s
            self.outcome.cold += 1
            self.outcome.cold_s += wait_s
        self._environments[number].inside += 1
        self._later(wait_s + arrival.run_s, "end", number)

    def _finish(self, number: int) -> None:
        self._environments[number].inside -= 1
        self._rhythms.ended(self._environments[number].function.key, self.now)
        self._become_idle(number)

    def _become_idle(self, number: int, was_started_ahead: bool = False) -> None:
        environment = self._environments[number]
        function = environment.function
        self._rhythms.measured(function.key, function.memory_bytes)
        environment.idle = Idle(
            number=number,
            key=function.key,
            since=self.now,
            memory_bytes=function.memory_bytes,
            was_started_ahead=was_started_ahead,
        )
        self._idle[function.key].append(environment.idle)

    # -- environments -------------------------------------------------------------------------------------------

    def _view(self, function: TracedFunction) -> PoolView:
        own = self._idle[function.key]
        if own:
            return PoolView(idle=own[-1:], live=0, memory_bytes=0)
        sums = self._sums(function)
        if pool.has_room(sums, self.policy.limits):
            return sums
        idle = [one for ones in self._idle.values() for one in ones]
        if self.policy.by_cost:
            idle = [dataclasses.replace(one, worth=self._rhythms.worth(one, self.now)) for one in idle]
        return dataclasses.replace(sums, idle=idle)

    def _sums(self, function: TracedFunction) -> PoolView:
        live = len(self._environments)
        return PoolView(idle=(), live=live, memory_bytes=self.memory_bytes, new_bytes=function.memory_bytes)

    def _start(self, function: TracedFunction) -> int:
        self._demand = demand.taken(self._demand, self.now)
        if self._cells:
            self._cells -= 1
        else:
            self.outcome.cell_misses += 1
        self._refill()
        number = next(self._numbers)
        self._environments[number] = _Environment(function)
        self._rhythms.started(function.key, function.init_s)
        self.memory_bytes += function.memory_bytes
        self.outcome.memory_bytes_max = max(self.outcome.memory_bytes_max, self.memory_bytes)
        return number

    def _end(self, number: int) -> None:
        environment = self._environments.pop(number)
        if environment.inside or environment.idle is None:
            self.broken.append(f"{self.now}: {number} was ended with an event inside")
            return
        self._idle[environment.function.key].remove(environment.idle)
        self.memory_bytes -= environment.function.memory_bytes
        self.outcome.wasted += environment.idle.was_started_ahead

    def _tick(self) -> None:
        idle = [one for ones in self._idle.values() for one in ones]
        for number in pool.expired(idle, self.now, self._rhythms.keep):
            self._end(number)
        living = {environment.function.key[:-1] for environment in self._environments.values()}
        for version in self._rhythms.due(self.now):
            function = self._functions[version]
            if version in living or not pool.has_room(self._sums(function), self.policy.limits):
                continue
            self.outcome.ahead += 1
            self._later(function.init_s, "started ahead", self._start(function))
        free = self.policy.limits.memory_budget_bytes - self.memory_bytes
        self._cells_wanted = demand.wanted(self._demand, self.now, self._cells_wanted, self.policy.cells, free)
        self._cells = min(self._cells, max(self._cells - 1, self._cells_wanted))
        self._refill()

    def _refill(self) -> None:
        more = pool.spare_cells({RUNTIME: self._cells}, {RUNTIME: self._cells_starting}, self._cells_wanted)
        for _ in range(more.get(RUNTIME, 0)):
            self._cells_starting += 1
            self._later(CELL_READY_S, "cell", 0)

    # -- what must always be so -----------------------------------------------------------------------------------

    def _check(self) -> None:
        if not self.checks:
            return
        held = sum(environment.function.memory_bytes for environment in self._environments.values())
        busy = [environment for environment in self._environments.values() if environment.inside]
        limits = self.policy.limits
        wrongs = {
            "an environment holds two events": any(environment.inside > 1 for environment in busy),
            "an environment with an event inside is idle": any(environment.idle for environment in busy),
            "memory does not add up": held != self.memory_bytes,
            "more memory than the budget": held > limits.memory_budget_bytes and len(self._environments) > 1,
            "more environments than allowed": len(self._environments) > limits.environments_max,
            "events that nobody runs": self._rhythms.busy() != len(busy),
            "a count below zero": min(self._cells, self._cells_starting, self.memory_bytes) < 0,
            "more cells than allowed": self._cells + self._cells_starting > self.policy.cells.most,
        }
        self.broken += [f"{self.now}: {wrong}" for wrong, is_so in wrongs.items() if is_so]
