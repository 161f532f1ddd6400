"""Provisioned concurrency: environments that wait, initialised, for events of one version or alias (spec 03 §19).

Every qualifier with a configuration has pools of its own: a version one, an alias one for each version it leads to,
shared out by its weights. An event is for a pool if its qualifier has one, or else if the version has that it runs:

    live -> 3, provisioned 4        an event for live: pool (live, 3)      for 3: on demand
    3, provisioned 4; live -> 3     an event for live or for 3: pool (3, 3)
    live -> 3, and 4 with 0.25, provisioned 4       pools (live, 3) of three and (live, 4) of one

An event that finds every environment of its pool busy is run on demand, and counted so (spill-over).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

INIT_FAILED = "FUNCTION_ERROR_INIT_FAILURE"


class ProvisionedStatus(str, Enum):
    """Lambda's ProvisionedConcurrencyStatusEnum."""

    IN_PROGRESS = "IN_PROGRESS"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedConfig:
    """What a version or an alias is to have. executions: environments. last_modified: aware UTC."""

    executions: int
    last_modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """How far a pool is. ready: initialised environments, busy or idle. wanted: as the fleet was told.

    was_reached: it has had all that are wanted, since when that was changed last; those that are lost and replaced
    do not undo it. failure: why the last start went wrong, "" when it did not.
    """

    ready: int = 0
    wanted: int = 0
    was_reached: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedState:
    """A configuration and what has become of it."""

    config: ProvisionedConfig
    allocated: int
    available: int
    status: ProvisionedStatus
    reason: str = ""


def shares(executions: int, primary: str, weights: Mapping[str, float]) -> Mapping[str, int]:
    """How many environments each version gets; those that get none are left out.

    The other version gets its weight's part, rounded half up, but one at least of two or more while it has a weight.
    """
    left, found = executions, {}
    for version, weight in weights.items():
        part = min(left, int(executions * weight + 0.5))
        if weight > 0 and executions > 1:
            part = max(1, part)
        if weight < 1 and part == executions and executions > 1:
            part -= 1
        if part:
            found[version] = part
        left -= part
    return {primary: left, **found} if left else found


def state(config: ProvisionedConfig, pools: Sequence[PoolState]) -> ProvisionedState:
    """What is told of a configuration with these pools. A pool that the fleet was not told of yet stands for none."""
    ready = min(config.executions, sum(pool.ready for pool in pools))
    failures = [pool.failure for pool in pools if pool.failure and pool.ready < pool.wanted]
    if failures:
        status = ProvisionedStatus.FAILED
    elif pools and all(pool.was_reached for pool in pools):
        status = ProvisionedStatus.READY
    else:
        status = ProvisionedStatus.IN_PROGRESS
    reason = failures[0] if failures else ""
    return ProvisionedState(config=config, allocated=ready, available=ready, status=status, reason=reason)
