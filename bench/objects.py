"""Rows about S3: a large object through, with the memory it takes, and many small durable ones."""

from __future__ import annotations

import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from bench.bed import Bed, bed
from bench.client import TIMEOUT_S, Connection, Script, Wrong, hammer, invocation
from bench.figures import Figure, Row, Skipped, compared, judged, latency, rate
from bench.moto import NoMoto, moto
from bench.references import Serving

LARGE_BYTES = 64 << 20
SMALL_BYTES = 4_096
CLIENTS = 16
KEYS = 64
PIECE = 1 << 20
PAUSE_S = 0.05
SCOPE = (
    "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, "
    "Signature=00"
)


STARTER = """
import time
def handler(event, context):
    started = time.time_ns()
    if "Records" in event:
        print("started", event["Records"][0]["s3"]["object"]["key"], started)
    return event
"""
"""The machine's clock is the function's, too."""


def rows(large: int, seconds: float, started: int) -> list[Row]:
    """large: rounds of PUT and GET of 64 MB. seconds: of 4 KB PUTs. started: objects that start a handler."""
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
        return [*found, *_against_moto(small, seconds), *_starting(place, started)]


def _starting(place: Bed, count: int) -> list[Row]:
    """From the first byte of a PUT to the first line of the handler, one at a time on an idle server."""
    place.create(["starter"], STARTER, MemorySize=1769)
    bucket, arn = "starting", place.lambda_.get_function(FunctionName="starter")["Configuration"]["FunctionArn"]
    s3 = place.server.client("s3")
    s3.create_bucket(Bucket=bucket)
    place.lambda_.add_permission(
        FunctionName="starter", StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{bucket}",
    )  # fmt: skip
    rule = {"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [rule]}
    )
    connection, host = Connection(place.endpoint), urlsplit(place.endpoint).netloc
    request = invocation(place.endpoint, "starter", b'{"a": 1}')
    connection.ask(request)
    warm = [connection.timed(request, b'{"a": 1}') for _ in range(count)]
    sent: dict[str, int] = {}
    for number in range(count):
        sent[str(number)] = time.time_ns()
        head = f"PUT /{bucket}/{number} HTTP/1.1\r\nHost: {host}\r\n{SCOPE}\r\nContent-Length: 1\r\n\r\nx"
        answer = connection.ask(head.encode())
        if answer.status != 200:
            raise Wrong(repr(answer))
        time.sleep(PAUSE_S)
    connection.close()
    found = latency("S3: PUT to the start of the handler, idle", _until_started(place, sent))
    return [compared(found, latency("warm Invoke of the same function", warm), most=5.0)]


def _until_started(place: Bed, sent: dict[str, int]) -> list[float]:
    """Milliseconds for each key, from what the handlers logged."""
    deadline = time.monotonic() + TIMEOUT_S
    logs = place.server.client("logs")
    while True:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName="/aws/lambda/starter", filterPattern="started"
        )
        lines = [event["message"].split() for page in pages for event in page["events"]]
        found = {line[1]: (int(line[2]) - sent[line[1]]) / 1e6 for line in lines if line[:1] == ["started"]}
        if len(found) == len(sent):
            return list(found.values())
        if time.monotonic() > deadline:
            raise Wrong(f"{len(found)} of {len(sent)} handlers started")
        time.sleep(0.1)


def _against_moto(small: Figure, seconds: float) -> list[Row]:
    try:
        with moto() as endpoint:
            _make_bucket(endpoint)
            found = _small_anew(endpoint, seconds)
    except NoMoto as error:
        return [small, Skipped(name="moto server: PUT of 4 KB", why=str(error))]
    return [compared(small, found, least=10.0), found]


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


def _make_bucket(endpoint: str) -> None:
    host, connection = urlsplit(endpoint).netloc, Connection(endpoint)
    connection.ask(f"PUT /bench HTTP/1.1\r\nHost: {host}\r\n{SCOPE}\r\nContent-Length: 0\r\n\r\n".encode())
    connection.close()


def resident_mb(pid: int) -> float:
    """What the process holds of the machine's memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
