"""How often a function may be invoked: at most ten times its concurrency in a second, as on Lambda (spec 03 §4).

Concurrency alone does not bound what events of a millisecond ask for: one permit passes a thousand of them in a second.
So each function has a bucket of ten tokens for each concurrent execution that it may have, full at first, which fills
up again in a second. An invocation takes one; without any it is throttled. Event mode takes none: its queue waits.

Worked example, 5 reserved: 50 invocations at once (of a millisecond each) pass, the 51st does not, and 20 ms later one
may come. When the reservation changes the bucket's size does; what is in it stays, up to that.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

WINDOW_S = 1.0
FUNCTIONS_MAX = 1024
"""So many buckets are kept before full ones, which are as good as none, are thrown away."""

RATE = "FunctionInvocationRateLimitExceeded"
RESERVED_RATE = "ReservedFunctionInvocationRateLimitExceeded"


class Bucket(msgspec.Struct, frozen=True, gc=False):
    """tokens: at the clock reading at_s."""

    tokens: float
    at_s: float


def taken(bucket: Bucket | None, size: float, now_s: float) -> Bucket | None:
    """The bucket with a token less; None when it has none. No bucket stands for a full one."""
    tokens = size if bucket is None else min(size, bucket.tokens + (now_s - bucket.at_s) * size / WINDOW_S)
    return Bucket(tokens - 1.0, now_s) if tokens >= 1.0 else None


class InvocationRates:
    """per_execution: invocations in a second for each concurrent execution; 0 sets no limit."""

    def __init__(self, per_execution: int) -> None:
        self._per_execution = per_execution
        self._buckets: dict[Hashable, Bucket] = {}

    def take(self, function: Hashable, executions: int, now_s: float) -> bool:
        """One invocation of a function that may have so many at a time. False when it comes too early."""
        if not self._per_execution:
            return True
        before = self._buckets.get(function)
        after = taken(before, float(executions * self._per_execution), now_s)
        if after is None:
            return False
        if before is None and len(self._buckets) >= FUNCTIONS_MAX:
            self._forget_full(now_s)
        self._buckets[function] = after
        return True

    def _forget_full(self, now_s: float) -> None:
        """One that nothing was taken from for as long as it takes to fill is full."""
        for name in [name for name, bucket in self._buckets.items() if now_s - bucket.at_s >= WINDOW_S]:
            del self._buckets[name]
