"""Recursion: who has been called already in one chain of invocations, carried by the trace header (spec 03 section 6).

    X-Amzn-Trace-Id: Root=1-...;Parent=...;Sampled=0;Lineage=3:1f2e3d4c:1,0a0b0c0d:0

3 executions in this chain, of function 1f2e3d4c the second time (counted from zero), of 0a0b0c0d the first. SDKs that
know Lambda hand it on from a function's environment to what the function calls; queues and topics carry it as
AWSTraceHeader. What cannot be read counts as no lineage: the header comes from outside.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

EXECUTIONS_MAX = 16
"""Executions of one function in a chain; the one after these is stopped."""

FUNCTIONS_MAX = 64
_FIELD = re.compile(r"Lineage=(\d{1,6}):((?:[0-9a-f]{8}:\d{1,6})(?:,[0-9a-f]{8}:\d{1,6})*)\Z")


@dataclass(frozen=True, slots=True)
class Lineage:
    """executions: in the whole chain. counts: by function, from zero."""

    executions: int
    counts: tuple[tuple[str, int], ...]

    @staticmethod
    def of(trace_id: str) -> Lineage:
        if "Lineage=" not in trace_id:
            return Lineage(0, ())
        for part in trace_id.split(";"):
            found = _FIELD.match(part.strip())
            if found:
                pairs = (pair.split(":") for pair in found[2].split(",")[:FUNCTIONS_MAX])
                return Lineage(int(found[1]), tuple((name, int(count)) for name, count in pairs))
        return Lineage(0, ())

    def stops(self, function_arn: str) -> bool:
        """Whether one more execution of that function would be one too many."""
        return dict(self.counts).get(mark_of(function_arn), -1) + 1 >= EXECUTIONS_MAX

    def with_execution(self, function_arn: str) -> Lineage:
        mark = mark_of(function_arn)
        counts = dict(self.counts)
        counts[mark] = counts.get(mark, -1) + 1
        return Lineage(self.executions + 1, tuple(counts.items()))

    def __str__(self) -> str:
        return f"Lineage={self.executions}:" + ",".join(f"{mark}:{count}" for mark, count in self.counts)


def mark_of(function_arn: str) -> str:
    return hashlib.sha256(function_arn.encode()).hexdigest()[:8]


@lru_cache(maxsize=1024)
def first_of(function_arn: str) -> str:
    """The field of a chain that begins with the function."""
    return str(Lineage(0, ()).with_execution(function_arn))


def with_lineage(trace_id: str, lineage: Lineage | str) -> str:
    """The header with this lineage instead of the one it had."""
    if trace_id and "Lineage=" not in trace_id:
        return f"{trace_id};{lineage}"
    kept = [part for part in trace_id.split(";") if part and not part.strip().startswith("Lineage=")]
    return ";".join([*kept, str(lineage)])
