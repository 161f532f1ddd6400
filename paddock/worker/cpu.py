"""How much CPU time comes with a memory size."""

from __future__ import annotations

FULL_CPU_MB = 1769
"""So much memory comes with one whole vCPU (AWS developer guide)."""

CPU_PERIOD_US = 100_000
CPU_QUOTA_US_MIN = 1_000


def cpu_quota_us(memory_mb: int) -> int:
    """CPU time in every 100 ms that the memory size buys."""
    return max(CPU_QUOTA_US_MIN, memory_mb * CPU_PERIOD_US // FULL_CPU_MB)
