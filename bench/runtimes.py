"""Rows about every runtime of this machine: first invocations of new functions, and warm ones, of one program.

The program is tests/clients in each language; its answer is what stands in a file of its package. Cold: each time a
function that has never run, in a waiting cell, against bubblewrap running `true`. Warm: one connection, against the
same floor as other warm rows. All take turns within the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench import references
from bench.bed import FULL_CPU_MB, Bed, bed
from bench.client import Connection, invocation
from bench.cold import BUBBLEWRAP, CELLS_READY
from bench.figures import Figure, Row, Skipped, compared, latency
from bench.warm import FLOOR
from tests.support import clients
from tests.support.runtimes import here, newest
from tests.support.server import zipped

MARK = "the mark"
EVENT = json.dumps({"do": "read", "path": "/var/task/mark.txt"}).encode()
ANSWER = json.dumps(MARK).encode()
BATCH = 10


@dataclass(slots=True)
class _Contestant:
    """One runtime with the program in its language, and what was found so far."""

    name: str
    runtime: str
    handler: str
    package: bytes
    cold_ms: list[float] = field(default_factory=list)
    warm_ms: list[float] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        return "".join(one if one.isalnum() else "-" for one in self.name)


_OWN: Mapping[str, Callable[[], clients.Files]] = {"Go": clients.golang, "Rust": clients.rust}


def _found() -> tuple[list[_Contestant], list[Row]]:
    """Every runtime that can start here, and what is missing."""
    wanted = [(name, name, "app.handler", clients.python) for name in here("python")]
    wanted += [(name, name, "index.handler", clients.node) for name in here("nodejs")]
    wanted += [(name, name, "example.Functions", clients.java) for name in here("java")]
    own = newest("provided")
    wanted += [(f"{own}, {language}", own, "bootstrap", files) for language, files in _OWN.items() if own]
    contestants: list[_Contestant] = []
    skipped: list[Row] = []
    for name, runtime, handler, files in wanted:
        try:
            package = zipped({**files(), "mark.txt": MARK.encode()}, 0o755)
        except clients.Missing as why:
            skipped.append(Skipped(name=name, why=str(why)))
        else:
            contestants.append(_Contestant(name, runtime, handler, package))
    return contestants, skipped


def rows(n_cold: int, n_warm: int) -> Sequence[Row]:
    """n_cold new functions of each runtime, and n_warm events of one more of each."""
    program = references.bubblewrap()
    if program is None:
        return [Skipped(name="runtimes", why="bwrap is not installed (apt install bubblewrap)")]
    contestants, skipped = _found()
    theirs: list[float] = []
    with bed(cells_ready_per_runtime=CELLS_READY, cells_ready_per_runtime_max=CELLS_READY) as place:
        connection = Connection(place.endpoint)
        request = {one.name: invocation(place.endpoint, f"{one.prefix}-warm", EVENT) for one in contestants}
        for one in contestants:  # its zygote is up, its packages are there; and this one is asked again below
            _create(place, one, [f"{one.prefix}-warm"])
            connection.ask(request[one.name]).expect(ANSWER)
        for first in range(0, n_cold, BATCH):
            count = min(BATCH, n_cold - first)
            theirs += references.runs(references.bubblewrap_command(program), count)
            for one in contestants:
                _cold(place, connection, one, [f"{one.prefix}-{first + number}" for number in range(count)])
        with references.floor("hop") as server:
            floor = _warm(connection, contestants, request, server.endpoint, n_warm)
        connection.close()
    return [*_compared(contestants, latency(f"{BUBBLEWRAP}, beside the runtimes", theirs), floor), *skipped]


def _create(place: Bed, one: _Contestant, names: Sequence[str]) -> None:
    place.create_from(names, one.package, Runtime=one.runtime, Handler=one.handler, MemorySize=FULL_CPU_MB)


def _cold(place: Bed, connection: Connection, one: _Contestant, names: Sequence[str]) -> None:
    _create(place, one, names)
    for name in names:
        place.settle(connection, cells=CELLS_READY)
        one.cold_ms.append(connection.timed(invocation(place.endpoint, name, EVENT), ANSWER))
    place.delete(names)


def _warm(
    connection: Connection, contestants: Sequence[_Contestant], request: Mapping[str, bytes], floor: str, n: int
) -> Figure:
    """Events in turns, some of each at a time. The floor echoes, so it is asked for what it will answer."""
    echo, theirs = Connection(floor), []
    echoed = invocation(floor, "echo", ANSWER)
    for _ in range(-(-n // BATCH)):
        theirs += [echo.timed(echoed, ANSWER) for _ in range(BATCH)]
        for one in contestants:
            connection.ask(request[one.name]).expect(ANSWER)  # thawed
            one.warm_ms += [connection.timed(request[one.name], ANSWER) for _ in range(BATCH)]
    echo.close()
    return latency(f"{FLOOR}, beside the runtimes", theirs)


def _compared(contestants: Sequence[_Contestant], reference: Figure, floor: Figure) -> list[Row]:
    cold = [compared(latency(f"cold start, {one.name}", one.cold_ms), reference) for one in contestants]
    warm = [compared(latency(f"warm Invoke, {one.name}", one.warm_ms), floor) for one in contestants]
    return [reference, *cold, floor, *warm]
