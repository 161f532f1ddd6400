"""Rows about environments that wait: so many alive and frozen at once, and whether each of them answers again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from bench.bed import Bed, bed
from bench.client import Answer, Connection, invocation, volley
from bench.cold import AT_ONCE, available_kb
from bench.figures import Figure, Row, judged

SLEEP_NAMED = """
import os, time
NAME = os.urandom(8).hex()
def handler(event, context):
    time.sleep(max(0.0, event["until"] - time.time()))
    return NAME
"""
FREEZE_S = 2.0


def rows(n: int, making_s: float, asking_s: float) -> list[Row]:
    """n environments, which must all have been made within making_s; all idle; then all asked again at once.

    asking_s: within which each must have begun again, or another might answer in its place.
    """
    with bed(concurrency_limit=n + AT_ONCE, environments_max=n + AT_ONCE, scaling_rate_per_10_s=0) as place:
        place.create(["idle"], SLEEP_NAMED, MemorySize=128, Timeout=900)
        connections = [Connection(place.endpoint) for _ in range(n)]
        for connection in connections:
            connection.get("/health")
        before_kb = available_kb()
        first = _names(place, connections, time.time() + making_s)
        time.sleep(FREEZE_S)  # the last ones freeze; a reading of memory, not of time
        used_mb = (before_kb - available_kb()) / 1024 / place.alive(connections[0])
        again = _names(place, connections, time.time() + asking_s)
        for connection in connections:
            connection.close()
    answering = len(set(first) & set(again))
    note = f"{n - len(first)} failed at first, {n - len(again)} when asked again"
    alive = Figure(
        name=f"{n} idle environments, answering again", value=float(answering), unit="of them", n=n, note=note
    )
    note = "the machine's MemAvailable before and after; frozen; server, zygote and kernel included"
    memory = Figure(name=f"memory of each of {n} idle environments", value=used_mb, unit="MB", n=n, note=note)
    return [judged(alive, least=float(n)), judged(memory, most=3.0)]


def _names(place: Bed, connections: Sequence[Connection], until: float) -> list[str]:
    """Of the environments that answer, when all sleep until the same moment."""
    request = invocation(place.endpoint, "idle", json.dumps({"until": until}).encode())
    answers: Sequence[Answer | None] = volley(connections, [request] * len(connections))
    return [json.loads(one.body) for one in answers if one is not None and one.status == 200]
