"""What a worker is told by the settings."""

from __future__ import annotations

from dataclasses import dataclass

from paddock.worker.demand import CellLimits
from paddock.worker.environment import EnvironmentSettings
from paddock.worker.keepalive import KeepAliveSettings
from paddock.worker.pool import PoolLimits
from paddock.worker.snapshots import ASKED


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """cells_ready: kept waiting per runtime in use; up to cells_ready_max (where that is more) by demand.

    idle_timeout_s: after which an environment ends. adaptive: unless the use of its version says another time, of at
    most keep_s_max, and starts are to be made ahead of events that it foretells. scaling_rate_per_10_s: new ones that
    events may bring to one function; 0 for any number. snapshot_budget_bytes: for all snapshots, of limits' budget.
    snapshots: whose they are taken, as Config's.
    """

    cells_ready: int
    idle_timeout_s: float
    limits: PoolLimits
    environment: EnvironmentSettings
    cells_ready_max: int = 0
    adaptive: bool = False
    keep_s_max: float = 86_400.0
    scaling_rate_per_10_s: int = 0
    snapshot_budget_bytes: int = 0
    snapshots: str = ASKED

    @property
    def cells(self) -> CellLimits:
        return CellLimits(least=self.cells_ready, most=max(self.cells_ready, self.cells_ready_max))

    @property
    def keep_alive(self) -> KeepAliveSettings:
        return KeepAliveSettings(adaptive=self.adaptive, fixed_s=self.idle_timeout_s, keep_s_max=self.keep_s_max)
