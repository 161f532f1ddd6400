"""Rows about invoking what already runs: latency at one connection, throughput at sixteen, against the floor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench import references
from bench.bed import FULL_CPU_MB, SIGNED_AHEAD, Bed, bed, body_of
from bench.client import Connection, Script, hammer, invocation
from bench.figures import Figure, Row, Skipped, compared, latency, rate

CONNECTIONS = 16
ECHO_SERVER = "bare uvloop + httptools echo"
FLOOR = "the floor (one hop to 1 of 4 Pythons)"
FASTAPI = "FastAPI on gunicorn, 2 workers"
PADDOCK = "warm Invoke"


@dataclass(slots=True)
class Contestant:
    """One server under load, and what was found so far."""

    name: str
    scripts: Sequence[Script]
    connections: Sequence[Connection]
    alone_ms: list[float] = field(default_factory=list)
    crowd_ms: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def one(self, n: int) -> None:
        script = self.scripts[0]
        for number in range(n):
            self.alone_ms.append(self.connections[0].timed(script.requests[number % SIGNED_AHEAD], script.expected))

    def sixteen(self, seconds: float) -> None:
        load = hammer(self.connections, self.scripts, seconds)
        self.rates.append(load.per_s)
        self.crowd_ms += load.latencies_ms


def _contestant(name: str, endpoint: str, expected: Sequence[bytes], function: str) -> Contestant:
    scripts = [
        Script([invocation(endpoint, function, body_of(number)) for _ in range(SIGNED_AHEAD)], expected[number])
        for number in range(CONNECTIONS)
    ]
    return Contestant(name, scripts, [Connection(endpoint) for _ in range(CONNECTIONS)])


def _contestants(stack: ExitStack, place: Bed) -> list[Contestant]:
    same = [body_of(number) for number in range(CONNECTIONS)]
    found = []
    for name, kind in ((ECHO_SERVER, "echo"), (FLOOR, "hop")):
        found.append(_contestant(name, stack.enter_context(references.floor(kind)).endpoint, same, "echo"))
    if references.has_fastapi():
        compact = [body.replace(b" ", b"") for body in same]
        found.append(_contestant(FASTAPI, stack.enter_context(references.fastapi()).endpoint, compact, "echo"))
    place.create(["echo"], MemorySize=FULL_CPU_MB)
    found.append(_contestant(PADDOCK, place.endpoint, same, "echo"))
    return found


def rows(n: int, windows: int, window_s: float) -> list[Row]:
    """All contestants take turns, so that a slow moment of the machine is everybody's."""
    with ExitStack() as stack:
        place = stack.enter_context(bed())
        contestants = _contestants(stack, place)
        for one in contestants:
            hammer(one.connections, one.scripts, 0.5)  # warm, not counted
        for _ in range(windows):
            for one in contestants:
                one.one(-(-n // windows))
            for one in contestants:
                one.sixteen(window_s)
        through_boto3 = latency(f"{PADDOCK} through boto3, 1 connection", _boto3(place, n))
    return _compared(contestants, through_boto3)


def _boto3(place: Bed, n: int) -> list[float]:
    """What a Python program sees: boto3's own work, which is most of it, included."""
    body = body_of(3)
    took = []
    for _ in range(n):
        started = time.perf_counter()
        answer = place.lambda_.invoke(FunctionName="echo", Payload=body)["Payload"].read()
        took.append((time.perf_counter() - started) * 1000)
        if answer != body:
            raise AssertionError(answer)
    return took


def _compared(contestants: Sequence[Contestant], through_boto3: Figure) -> list[Row]:
    alone = {one.name: latency(f"{one.name}, 1 connection", one.alone_ms) for one in contestants}
    crowd = {one.name: _throughput(one) for one in contestants}
    ours, load = alone[PADDOCK], crowd[PADDOCK]
    found: list[Row] = [compared(alone[ECHO_SERVER], alone[FLOOR]), alone[FLOOR]]
    found += [compared(ours, alone[FLOOR], most=2.0), compared(through_boto3, alone[FLOOR])]
    found += [compared(crowd[ECHO_SERVER], crowd[FLOOR]), crowd[FLOOR], compared(load, crowd[FLOOR], least=0.5)]
    if FASTAPI in crowd:
        found += [compared(crowd[FASTAPI], crowd[FLOOR]), compared(load, crowd[FASTAPI], least=1.0)]
    else:
        found.append(Skipped(name=FASTAPI, why="fastapi, gunicorn and uvicorn are not installed"))
    return found


def _throughput(one: Contestant) -> Figure:
    spread = latency("", one.crowd_ms)
    note = f"at {CONNECTIONS} connections p50 {spread.value:.2f} ms, p99 {spread.p99:.2f} ms"
    return rate(f"{one.name}, {CONNECTIONS} connections", one.rates, len(one.crowd_ms), note)
