"""Rows about S3: a large object through, with the memory it takes, and many small durable ones."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench.bed import bed
from bench.client import TIMEOUT_S, Connection, Script, Wrong, hammer
from bench.figures import Figure, Row, Skipped, compared, judged, rate
from bench.references import Serving

LARGE_BYTES = 64 << 20
SMALL_BYTES = 4_096
CLIENTS = 16
KEYS = 64
PIECE = 1 << 20
SCOPE = (
    "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, "
    "Signature=00"
)


def rows(large: int, seconds: float) -> list[Row]:
    """large: rounds of PUT and GET of 64 MB. seconds: of 4 KB PUTs."""
    with bed() as place, tempfile.TemporaryDirectory() as directory:
        place.server.client("s3").create_bucket(Bucket="bench")
        server = place.server.server_pid
        before_mb = resident_mb(server)
        through, peak_mb = _through(place.endpoint, large, server)
        used = Figure(name="memory that a 64 MB object takes", value=peak_mb - before_mb, unit="MB", n=large)
        with Serving(sys.executable, "-m", "bench.file_server", "{fd}", directory) as bare:
            reference, _ = _through(bare.endpoint, large, server)
        small = _small(place.endpoint, seconds)
        found: list[Row] = [
            compared(_figure("S3: PUT and GET of 64 MB", through), _figure("a bare file server", reference), least=0.5),
            _figure("a bare file server", reference),
            judged(used, most=32.0),
        ]
        return [*found, *_against_moto(small, seconds)]


def _against_moto(small: Figure, seconds: float) -> list[Row]:
    program = shutil.which("moto_server")
    if program is None:
        return [small, Skipped(name="moto server: PUT of 4 KB", why="moto_server is not on PATH")]
    with _moto(program) as endpoint:
        moto = _small_anew(endpoint, seconds)
    return [compared(small, moto, least=10.0), moto]


def _figure(name: str, mb_per_s: Sequence[float]) -> Figure:
    return Figure(name=name, value=statistics.median(mb_per_s), unit="MB/s", n=len(mb_per_s))


def _through(endpoint: str, rounds: int, server: int) -> tuple[list[float], float]:
    """Megabytes per second of each round, both ways together; the most memory that the server was seen to have."""
    content = os.urandom(LARGE_BYTES)
    found, peak_mb = [], 0.0
    host = urlsplit(endpoint).netloc
    connection = Connection(endpoint)
    for number in range(rounds):
        target = f"/bench/large-{number % 2}"
        head = f"PUT {target} HTTP/1.1\r\nHost: {host}\r\n{SCOPE}\r\nContent-Length: {LARGE_BYTES}\r\n\r\n"
        started = time.perf_counter()
        connection.socket.sendall(head.encode())
        for at in range(0, LARGE_BYTES, PIECE):
            connection.socket.sendall(content[at : at + PIECE])
        answer = connection.socket.recv(65_536)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise Wrong(repr(answer[:400]))
        peak_mb = max(peak_mb, resident_mb(server))
        connection.socket.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{SCOPE}\r\n\r\n".encode())
        _drain(connection.socket)
        found.append(2 * (LARGE_BYTES >> 20) / (time.perf_counter() - started))
        peak_mb = max(peak_mb, resident_mb(server))
    connection.close()
    return found, peak_mb


def _drain(sock: socket.socket) -> None:
    """Read an answer with a body of LARGE_BYTES."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65_536)
    left = LARGE_BYTES - len(data.partition(b"\r\n\r\n")[2])
    buffer = bytearray(PIECE)
    while left:
        got = sock.recv_into(buffer, min(left, PIECE))
        if not got:
            raise Wrong("the answer ended early")
        left -= got


def _small_anew(endpoint: str, seconds: float) -> Figure:
    """The same of a server that ends every connection after its answer: moto's does."""
    body, host, until = os.urandom(SMALL_BYTES), urlsplit(endpoint).netloc, time.perf_counter() + seconds

    def put_until_the_end(client: int) -> int:
        count = 0
        while time.perf_counter() < until:
            head = f"PUT /bench/{client}/{count % KEYS} HTTP/1.1\r\nHost: {host}\r\n{SCOPE}\r\n"
            connection = Connection(endpoint)
            answer = connection.ask(f"{head}Content-Length: {SMALL_BYTES}\r\n\r\n".encode() + body)
            connection.close()
            if answer.status != 200:
                raise Wrong(repr(answer))
            count += 1
        return count

    with ThreadPoolExecutor(CLIENTS) as threads:
        count = sum(threads.map(put_until_the_end, range(CLIENTS)))
    note = "in memory, and a connection for each PUT, as its server wants it"
    return rate(f"moto server: PUT of 4 KB, {CLIENTS} clients", [count / seconds], count, note)


def _small(endpoint: str, seconds: float) -> Figure:
    body, host = os.urandom(SMALL_BYTES), urlsplit(endpoint).netloc

    def put(client: int, number: int) -> bytes:
        head = (
            f"PUT /bench/{client}/{number} HTTP/1.1\r\nHost: {host}\r\n{SCOPE}\r\nContent-Length: {SMALL_BYTES}\r\n\r\n"
        )
        return head.encode() + body

    connections = [Connection(endpoint) for _ in range(CLIENTS)]
    scripts = [Script([put(client, number) for number in range(KEYS)], b"") for client in range(CLIENTS)]
    load = hammer(connections, scripts, seconds)
    for connection in connections:
        connection.close()
    return rate(f"S3: PUT of 4 KB, {CLIENTS} clients", [load.per_s], len(load.latencies_ms))


@contextmanager
def _moto(program: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _make_bucket(endpoint)
        yield endpoint
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def _make_bucket(endpoint: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            connection = Connection(endpoint)
            host = urlsplit(endpoint).netloc
            connection.ask(f"PUT /bench HTTP/1.1\r\nHost: {host}\r\n{SCOPE}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def resident_mb(pid: int) -> float:
    """What the process holds of the machine's memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
