"""Rows about starting environments: cold starts, the rate of creating them, their memory, a thousand at once."""

from __future__ import annotations

import dataclasses
import json
import resource
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import references
from bench.bed import FULL_CPU_MB, SLEEP, Bed, bed, body_of
from bench.client import Answer, Connection, invocation, volley
from bench.figures import Figure, Row, Skipped, compared, judged, latency, rate

BATCH = 25
CELLS_READY = 2
AT_ONCE = 4
ALIVE_MAX = 48
"""Environments kept alive while creating: each start beyond ends the oldest, so teardown is in the rate."""

BUBBLEWRAP = "bubblewrap, all namespaces, true"


def batches(prefix: str, n: int) -> Iterator[list[str]]:
    """Function names, at most BATCH at a time."""
    for first in range(0, n, BATCH):
        yield [f"{prefix}-{number}" for number in range(first, min(n, first + BATCH))]


class ColdStarts:
    """First invocations of new functions, in turns with the references so that both see the same machine."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._bubblewrap: list[float] = []
        self._forks: list[float] = []

    def rows(self) -> list[Row]:
        pooled = f"cold start, pool of {CELLS_READY} cells"
        with bed(cells_ready_per_runtime=CELLS_READY, cells_ready_per_runtime_max=CELLS_READY) as place:
            full = latency(f"{pooled}, {FULL_CPU_MB} MB", self._first_invokes(place, "full", FULL_CPU_MB, CELLS_READY))
            small = latency(f"{pooled}, 128 MB", self._first_invokes(place, "small", 128, CELLS_READY))
        with bed(cells_ready_per_runtime=0) as place:
            empty = latency(
                f"cold start, pool empty, {FULL_CPU_MB} MB", self._first_invokes(place, "e", FULL_CPU_MB, 0)
            )
        reference: Row = Skipped(name=BUBBLEWRAP, why="bwrap is not installed (apt install bubblewrap)")
        if self._bubblewrap:
            reference = latency(BUBBLEWRAP, self._bubblewrap)
        fork = latency("fork and wait of a bare Python", self._forks)
        return [
            reference,
            compared(fork, reference),
            compared(full, reference, most=1.0),
            compared(small, reference),
            compared(empty, reference, most=2.0),
        ]

    def _first_invokes(self, place: Bed, prefix: str, memory_mb: int, cells: int) -> list[float]:
        took: list[float] = []
        connection = Connection(place.endpoint)
        body = body_of(1)
        self._warm_up(place, connection)
        for names in batches(prefix, self._n):
            self._measure_references(len(names))
            place.create(names, MemorySize=memory_mb)
            requests = [invocation(place.endpoint, name, body) for name in names]
            for request in requests:
                place.settle(connection, cells=cells)
                took.append(connection.timed(request, body))
            place.delete(names)
            place.settle(connection, environments=0)
        connection.close()
        return took

    @staticmethod
    def _warm_up(place: Bed, connection: Connection) -> None:
        """The zygote is up and Invoke's code has run once: a server's first request is not what is measured."""
        place.create(["warm-up"], MemorySize=FULL_CPU_MB)
        body = body_of(0)
        connection.ask(invocation(place.endpoint, "warm-up", body)).expect(body)
        place.delete(["warm-up"])
        place.settle(connection, environments=0)

    def _measure_references(self, n: int) -> None:
        program = references.bubblewrap()
        if program is not None:
            self._bubblewrap += references.runs(references.bubblewrap_command(program), n)
        self._forks += references.forks(n)


def creation_rate(n: int) -> Figure:
    """Cold starts of new functions, AT_ONCE at a time; each also ends an older environment."""
    body = body_of(2)
    with bed(cells_ready_per_runtime=AT_ONCE, environments_max=ALIVE_MAX) as place:
        names = [f"rate-{number}" for number in range(n + ALIVE_MAX)]
        place.create(names, MemorySize=FULL_CPU_MB)
        requests = [invocation(place.endpoint, name, body) for name in names]
        _all_at_once(place, requests[:ALIVE_MAX], body)
        seconds = _all_at_once(place, requests[ALIVE_MAX:], body)
    figure = rate(f"creation rate with teardown, {AT_ONCE} at a time", [n / seconds], n)
    return judged(figure, least=300)


def _all_at_once(place: Bed, requests: Sequence[bytes], body: bytes) -> float:
    """Seconds until AT_ONCE threads have made all the requests."""
    left = deque(requests)
    failures: list[BaseException] = []

    def ask() -> None:
        connection = Connection(place.endpoint)
        try:
            while left and not failures:
                connection.ask(left.popleft()).expect(body)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(AT_ONCE)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if failures:
        raise failures[0]
    return seconds


def sleepers(n: int, patience_s: float) -> list[Row]:
    """0 -> n concurrent invocations of a function that reports when it began and sleeps until they all must run."""
    with bed(concurrency_limit=max(1000, n), environments_max=max(1000, n) + AT_ONCE) as place:
        place.create(["sleeper"], SLEEP, MemorySize=128)
        connections = [Connection(place.endpoint) for _ in range(n)]
        for connection in connections:
            connection.get("/health")
        before_kb = available_kb()
        until = time.time() + patience_s
        requests = [invocation(place.endpoint, "sleeper", json.dumps({"until": until}).encode()) for _ in range(n)]
        began = time.time()
        answers = volley(connections, requests)
        place.settle(connections[0], cells=CELLS_READY)
        time.sleep(1.0)  # the last ones freeze; a reading of memory, not of time
        alive = place.alive(connections[0])  # fewer than n where some began so late that they found an idle one
        used_mb = (before_kb - available_kb()) / 1024 / alive
        for connection in connections:
            connection.close()
    return [_reported(n, began, until, answers), _memory(alive, used_mb)]


def _reported(n: int, began: float, until: float, answers: Sequence[Answer | None]) -> Figure:
    good = [answer for answer in answers if answer is not None and answer.status == 200]
    starts = sorted(float(answer.body) for answer in good)
    late = sum(start > until for start in starts)
    note = (
        f"{n - len(good)} errors; {late} began after the first had ended; median start {_median(starts, began):.2f} s"
    )
    seconds = starts[-1] - began if starts else float("inf")
    figure = Figure(name=f"0 to {n} sleepers, until all run", value=seconds, unit="s", n=n, note=note)
    if n < 1000:
        return figure
    met = seconds <= 5.0 and len(good) == n and not late
    return dataclasses.replace(figure, bar="<= 5 s, no error", met=met)


def _median(starts: Sequence[float], began: float) -> float:
    return statistics.median(starts) - began if starts else float("inf")


def _memory(n: int, used_mb: float) -> Figure:
    note = "the machine's MemAvailable before and after; frozen; server, zygote and kernel included"
    return judged(Figure(name="memory of an idle environment", value=used_mb, unit="MB", n=n, note=note), most=3.0)


def available_kb() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1])
    raise AssertionError("a kernel without MemAvailable")


def allow_many_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
