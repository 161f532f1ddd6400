"""Provisioned environments: started before their first event, kept, and replaced when they are lost.

    set(arn, pools)         what a function is to have from now on; what it had beyond that ends once it is idle
    keeps(number, version)  whether one that has ended an event stays
    lost(number, version)   one is gone
    reconcile()             start what is missing; called after each of these, and now and then by the worker

`step` decides, for one pool, what is to be done; it is a pure function. A start that fails is made again, later and
later; what the pool has by then goes on serving. At most STARTS_AT_ONCE environments start at a time, so that a large
pool does not take the processors from events.

Worked example: wanted 3, nothing yet: start 3, IN_PROGRESS until the third is initialised, READY then. One is killed:
start 1, still READY. Its function now fails as it initialises: FAILED, and again in 1 s, 2 s, 4 s, ... up to 5 minutes.
Wanted 1: the two that are idle, or will be, end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from paddock.interfaces import Clock, Pool
from paddock.model.function import FunctionVersion
from paddock.model.provisioned import PoolState

STARTS_AT_ONCE = 4
RETRY_S_FIRST = 1.0
RETRY_S_MAX = 300.0

PoolKey = tuple[str, ...]


class StartFailed(Exception):
    """An environment of a pool could not be made ready; the message is what clients get as StatusReason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """One pool as `step` sees it. idle, busy: numbers of its environments. retry_at: no start before that reading."""

    wanted: int
    starting: int
    idle: Sequence[int]
    busy: int
    retry_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    start: int = 0
    end: Sequence[int] = ()


def step(pool: PoolView, now: float, starts_left: int) -> Step:
    """starts_left: how many may be started now, of all pools."""
    surplus = len(pool.idle) + pool.busy + pool.starting - pool.wanted
    if surplus > 0:
        return Step(end=tuple(pool.idle[:surplus]))  # one that is busy, or starts, is surplus when that is over
    if now < pool.retry_at:
        return Step()
    return Step(start=min(-surplus, max(0, starts_left)))


def retry_s(failures: int) -> float:
    """How long to wait after so many starts in a row that failed."""
    return min(RETRY_S_MAX, RETRY_S_FIRST * 2.0 ** min(failures - 1, 30))


@dataclass(slots=True)
class _Pool:
    version: FunctionVersion
    wanted: int
    starting: int = 0
    members: set[int] = field(default_factory=set)
    was_reached: bool = False
    failure: str = ""
    failures: int = 0
    retry_at: float = 0.0


class Provisioning:
    """start: makes an initialised environment of a version and gives its number; raises StartFailed.
    idle: the numbers of a version's environments that wait for an event. end: one of them. background: runs a task.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        start: Callable[[FunctionVersion], Awaitable[int]],
        idle: Callable[[FunctionVersion], Sequence[int]],
        end: Callable[[int], None],
        background: Callable[[Awaitable[None]], None],
    ) -> None:
        self._clock = clock
        self._start = start
        self._idle = idle
        self._end = end
        self._background = background
        self._pools: dict[PoolKey, _Pool] = {}
        self._starting = 0

    def set(self, function_arn: str, pools: Sequence[Pool]) -> None:
        """See interfaces.Fleet.provision."""
        wanted = {pool.version.environment_key: pool for pool in pools}
        for key, pool in list(self._pools.items()):
            if pool.version.function_arn == function_arn and key not in wanted:
                del self._pools[key]
                for number in tuple(self._idle(pool.version)):
                    self._end(number)
        for key, one in wanted.items():
            known = self._pools.setdefault(key, _Pool(version=one.version, wanted=0))
            if known.wanted != one.executions:
                known.wanted, known.was_reached, known.failure = one.executions, False, ""
            known.failures, known.retry_at = 0, 0.0  # who changes the function wants to see whether it helped
            self._look(known)
        self.reconcile()

    def state(self, version: FunctionVersion) -> PoolState:
        """See interfaces.Fleet.provisioned."""
        pool = self._pools.get(version.environment_key)
        if pool is None:
            return PoolState()
        return PoolState(
            ready=len(pool.members), wanted=pool.wanted, was_reached=pool.was_reached, failure=pool.failure
        )

    def keeps(self, number: int, version: FunctionVersion) -> bool:
        """Whether an environment that has ended an event is to wait for another one."""
        pool = self._pools.get(version.environment_key)
        return pool is not None and number in pool.members and len(pool.members) <= pool.wanted

    def lost(self, number: int, version: FunctionVersion) -> None:
        """It is gone, or is about to go."""
        pool = self._pools.get(version.environment_key)
        if pool is not None and number in pool.members:
            pool.members.discard(number)
            self.reconcile()

    def reconcile(self) -> None:
        """Bring every pool a step nearer to what is wanted."""
        now = self._clock.monotonic()
        for pool in list(self._pools.values()):
            idle = [number for number in self._idle(pool.version) if number in pool.members]
            view = PoolView(
                wanted=pool.wanted,
                starting=pool.starting,
                idle=idle,
                busy=len(pool.members) - len(idle),
                retry_at=pool.retry_at,
            )
            todo = step(view, now, STARTS_AT_ONCE - self._starting)
            for number in todo.end:
                pool.members.discard(number)
                self._end(number)
            for _ in range(todo.start):
                pool.starting += 1
                self._starting += 1
                self._background(self._start_one(pool))

    async def _start_one(self, pool: _Pool) -> None:
        try:
            number = await self._start(pool.version)
        except StartFailed as error:
            pool.failures += 1
            pool.failure = str(error)
            pool.retry_at = self._clock.monotonic() + retry_s(pool.failures)
        else:
            self._started(pool, number)
        finally:
            pool.starting -= 1
            self._starting -= 1
        self._look(pool)
        self.reconcile()

    def _started(self, pool: _Pool, number: int) -> None:
        if self._pools.get(pool.version.environment_key) is not pool:
            self._end(number)  # not wanted any more
            return
        pool.members.add(number)
        pool.failure, pool.failures, pool.retry_at = "", 0, 0.0

    def _look(self, pool: _Pool) -> None:
        if len(pool.members) >= pool.wanted:
            pool.was_reached = True
