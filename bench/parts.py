"""What is measured: one line for each part of the table, in its order. A new figure is a function and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bench import cold, idle, node, objects, queues, runtimes, schedules, snapshots, trace, warm
from bench.figures import Row

N, N_QUICK = 200, 30

PARTS: Mapping[str, Callable[[bool], Sequence[Row]]] = {
    "cold": lambda quick: cold.ColdStarts(N_QUICK if quick else N).rows(),
    "node": lambda quick: node.rows(N_QUICK if quick else N),
    "runtimes": lambda quick: runtimes.rows(10, 100) if quick else runtimes.rows(N, 1000),
    "snapshots": lambda quick: snapshots.rows(N_QUICK if quick else N),
    "rate": lambda quick: [cold.creation_rate(N_QUICK if quick else N)],
    "warm": lambda quick: warm.rows(N_QUICK, 3, 0.5) if quick else warm.rows(2000, 5, 2.0),
    "trace": lambda quick: trace.rows(60, 2.0) if quick else trace.rows(150, 3.0),
    "schedules": lambda quick: schedules.rows(1000 if quick else 10_000),
    "sleepers": lambda quick: cold.sleepers(200, 10.0) if quick else cold.sleepers(1000, 30.0),
    "objects": lambda quick: objects.rows(4, 2.0, 30) if quick else objects.rows(15, 8.0, 200),
    "queues": lambda quick: queues.rows(50, 1.0, 10_000) if quick else queues.rows(200, 5.0, 100_000),
    "idle": lambda quick: idle.rows(100, 10.0, 5.0) if quick else idle.rows(3000, 90.0, 20.0),
}
"""Name -> what measures it. quick: a minute for everything, with so few samples that only large changes show."""
