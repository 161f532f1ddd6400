"""The worker's settings, from Paddock's."""

from __future__ import annotations

import os
from collections.abc import Callable

from paddock.config import Config
from paddock.model.function import FunctionVersion
from paddock.model.quotas import PROFILES
from paddock.model.session import Credentials
from paddock.worker.environment import EnvironmentSettings
from paddock.worker.pool import PoolLimits
from paddock.worker.settings import WorkerSettings

MEMORY_SHARE = 0.8
CELLS_GROWTH = 8
SNAPSHOT_SHARE = 0.25
"""Of the memory budget: so much of it may be snapshots."""


def settings_of(
    config: Config, endpoint_port: int, credentials: Callable[[FunctionVersion], Credentials]
) -> WorkerSettings:
    """endpoint_port: of Paddock's own API, as functions reach it. credentials: what a function signs with."""
    machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    budget_mb = config.memory_budget_mb
    cells_max = config.cells_ready_per_runtime_max
    budget_bytes = int(machine_bytes * MEMORY_SHARE) if budget_mb is None else budget_mb << 20
    return WorkerSettings(
        cells_ready=config.cells_ready_per_runtime,
        cells_ready_max=CELLS_GROWTH * config.cells_ready_per_runtime if cells_max is None else cells_max,
        idle_timeout_s=float(config.environment_idle_timeout_s),
        adaptive=config.keep_alive == "adaptive",
        keep_s_max=float(config.keep_alive_s_max),
        scaling_rate_per_10_s=config.scaling_rate_per_10_s,
        snapshots=config.snapshots,
        snapshot_budget_bytes=int(budget_bytes * SNAPSHOT_SHARE),
        limits=PoolLimits(environments_max=config.environments_max, memory_budget_bytes=budget_bytes),
        environment=EnvironmentSettings(
            init_timeout_s=float(config.init_timeout_s),
            freeze_after_idle_s=config.freeze_after_idle_ms / 1000,
            cpu_by_memory=config.cpu_share == "memory",
            endpoint_port=endpoint_port,
            credentials=credentials,
            billing_granularity_ms=PROFILES[config.quotas].billing_granularity_ms,
            init_is_billed=PROFILES[config.quotas].init_is_billed,
        ),
    )
