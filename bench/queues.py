"""Rows about event mode and queues: what accepting durably costs, how soon an event starts, SendMessage, a backlog.

The reference for accepting is SQLite alone: 64 producers that wait each for its own row, a thread that inserts all
rows which wait and commits once. Paddock's accept is measured beside it in the same process, on the same disk and with
the same settings of fsync, and once more as clients see it, over HTTP.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import queue
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.backlog import Inside, event, rows_of_backlog
from bench.bed import FULL_CPU_MB, Bed, bed, body_of
from bench.client import Answer, Connection, Script, Wrong, hammer, invocation
from bench.figures import Figure, Row, Skipped, compared, latency, rate
from bench.moto import NoMoto, moto
from paddock.backends.sql.connection import connect

PRODUCERS = 64
CLIENTS = 16
MESSAGE_BYTES = 256
BARE = f"bare SQLite group commit, {PRODUCERS} producers"
IDLE_S = 0.05
WINDOWS = 10
THROTTLED_S = 1.0  # the first wait after a throttle
KEEPER = """
import time
STARTS = {}
def handler(event, context):
    if event.get("tell"):
        return STARTS
    if "event" in event:
        STARTS[event["event"]] = time.time()
    return event
"""
SCOPE = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=00"


def rows(n: int, seconds: float, backlog: int) -> list[Row]:
    """n: events one at a time. seconds: of each load. backlog: events that wait when the draining begins."""
    bare, inside = asyncio.run(_accepting(seconds))
    found: list[Row] = [compared(inside, bare, least=0.6), bare]
    with bed() as place:
        place.create(["keeper"], KEEPER, MemorySize=FULL_CPU_MB)
        found += _starts(place, n)
        found.append(compared(_accepted_over_http(place, seconds), bare))
    with bed() as place:
        place.server.client("sqs").create_queue(QueueName="bench")
        ours = _kept_open(place.endpoint, seconds)
    return [*found, *_against_moto(ours, seconds), *rows_of_backlog(backlog)]


# -- accepting


async def _accepting(seconds: float) -> tuple[Figure, Figure]:
    """(bare SQLite, Asynchronous.accept), in turns: a slow moment of the disk is both's."""
    with tempfile.TemporaryDirectory() as directory:
        bare, body = BareCommits(Path(directory) / "bare.db"), b"x" * 200
        async with Inside.opened(Path(directory)) as inside:
            numbers, accept = itertools.count(), inside.asynchronous.accept
            theirs, ours = [], []
            for _ in range(WINDOWS):
                theirs.append(await _produced(lambda: bare.put(body), seconds / WINDOWS))
                ours.append(await _produced(lambda: accept(event(next(numbers), b"x" * 100)), seconds / WINDOWS))
        bare.close()
    found = [
        rate(name, [each for each, _ in windows], sum(n for _, n in windows), note)
        for name, windows, note in (
            (BARE, theirs, "synchronous = FULL, as Paddock's"),
            (f"durable accept of events, {PRODUCERS} producers", ours, ""),
        )
    ]
    return found[0], found[1]


async def _produced(work: Callable[[], Awaitable[object]], seconds: float) -> tuple[float, int]:
    """(a second, in all) of what PRODUCERS do again and again, each one at a time."""
    started = time.perf_counter()

    async def produce() -> int:
        count = 0
        while time.perf_counter() < started + seconds:
            await work()
            count += 1
        return count

    counts = await asyncio.gather(*(produce() for _ in range(PRODUCERS)))
    return sum(counts) / (time.perf_counter() - started), sum(counts)


class BareCommits:
    """The least that a group commit is: a thread, a queue, one statement for all rows, one wake-up for all waiters."""

    def __init__(self, path: Path) -> None:
        self._database = connect(path, read_only=False)
        self._database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, body BLOB)")
        self._waiting: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def put(self, body: bytes) -> asyncio.Future[None]:
        done: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put((body, done))
        return done

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join()
        self._database.close()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            group = [first]
            while not self._waiting.empty() and (more := self._waiting.get()) is not None:
                group.append(more)
            self._database.execute("BEGIN IMMEDIATE")
            values = [("events", body) for body, _ in group]
            self._database.executemany("INSERT INTO rows (topic, body) VALUES (?, ?)", values)
            self._database.execute("COMMIT")
            self._loop.call_soon_threadsafe(_resolve, [done for _, done in group])


def _resolve(waiting: Sequence[asyncio.Future[None]]) -> None:
    for one in waiting:
        one.set_result(None)


class Events(Script):
    """Event invokes: each is answered 202."""

    def check(self, answer: Answer) -> None:
        if answer.status != 202:
            raise Wrong(f"{answer.head[:400]!r} {answer.body[:400]!r}")


def _event(endpoint: str, body: bytes) -> bytes:
    asked = invocation(endpoint, "keeper", body)
    return asked.replace(b"\r\n", b"\r\nX-Amz-Invocation-Type: Event\r\n", 1)


def _accepted_over_http(place: Bed, seconds: float) -> Figure:
    connections = [Connection(place.endpoint) for _ in range(PRODUCERS)]
    scripts = [Events([_event(place.endpoint, body_of(number))], b"") for number in range(PRODUCERS)]
    load = hammer(connections, scripts, seconds)
    for one in connections:
        one.close()
    note = "the function runs them meanwhile, on the same cores"
    return rate(f"Event invokes over HTTP, {PRODUCERS} connections", [load.per_s], len(load.latencies_ms), note)


def _starts(place: Bed, n: int) -> list[Row]:
    """On an idle system, in turns: an event from its first byte sent to its handler's start; a warm Invoke."""
    connection, body = Connection(place.endpoint), body_of(1)
    ask = invocation(place.endpoint, "keeper", body)
    tell = invocation(place.endpoint, "keeper", b'{"tell": true}')
    warm_ms, sent = [], {}
    events = [_event(place.endpoint, b'{"event": %d}' % number) for number in range(n + 1)]
    place.lambda_.put_function_concurrency(FunctionName="keeper", ReservedConcurrentExecutions=1)  # one knows of all
    for number, asked in enumerate(events):
        took = connection.timed(ask, body)
        time.sleep(IDLE_S)
        at = time.time()
        Events([], b"").check(connection.ask(asked))
        if number:  # the first of each warms what there is to warm
            warm_ms.append(took)
            sent[str(number)] = at
        time.sleep(IDLE_S)
    begun = json.loads(connection.ask(tell).body)
    connection.close()
    place.lambda_.delete_function_concurrency(FunctionName="keeper")
    # One that met a busy environment was throttled, and tried again much later.
    took_ms = [
        (begun[number] - at) * 1000
        for number, at in sent.items()
        if number in begun and begun[number] - at < THROTTLED_S
    ]
    if len(took_ms) < 0.9 * n:
        raise Wrong(f"{len(took_ms)} of {n} events were run where they were looked for")
    warm = latency("warm Invoke, idle system", warm_ms)
    until = latency("accept to handler start, idle system", took_ms)
    return [compared(until, warm, most=3.0), warm]


# -- SendMessage


class Sends(Script):
    """SendMessage, again and again: the answer names the body's MD5."""

    def check(self, answer: Answer) -> None:
        if answer.status != 200 or self.expected not in answer.body:
            raise Wrong(f"{answer.head[:400]!r} {answer.body[:400]!r}")


def _send(endpoint: str, account: str) -> bytes:
    host = urlsplit(endpoint).netloc
    url = f"{endpoint}/{account}/bench"
    body = json.dumps({"QueueUrl": url, "MessageBody": "m" * MESSAGE_BYTES}).encode()
    head = f"POST / HTTP/1.1\r\nHost: {host}\r\nX-Amz-Target: AmazonSQS.SendMessage\r\nAuthorization: {SCOPE}\r\n"
    kind = "Content-Type: application/x-amz-json-1.0\r\n"
    return f"{head}{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _kept_open(endpoint: str, seconds: float) -> Figure:
    connections = [Connection(endpoint) for _ in range(CLIENTS)]
    scripts = [Sends([_send(endpoint, "000000000000")], b"MD5OfMessageBody") for _ in range(CLIENTS)]
    load = hammer(connections, scripts, seconds)
    for one in connections:
        one.close()
    return rate(f"SQS: SendMessage, {CLIENTS} clients", [load.per_s], len(load.latencies_ms))


def _against_moto(ours: Figure, seconds: float) -> list[Row]:
    try:
        with moto() as endpoint:
            make = {"QueueName": "bench"}
            _asked(endpoint, "CreateQueue", make)
            found = _anew(endpoint, seconds)
    except NoMoto as error:
        return [ours, Skipped(name="moto server: SendMessage", why=str(error))]
    return [compared(ours, found, least=10.0), found]


def _asked(endpoint: str, operation: str, params: dict[str, Any]) -> None:
    body = json.dumps(params).encode()
    request = _send(endpoint, "").partition(b"Content-Length")[0].replace(b"SendMessage", operation.encode())
    answer = Connection(endpoint).ask(request + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    if answer.status != 200:
        raise Wrong(repr(answer))


def _anew(endpoint: str, seconds: float) -> Figure:
    """The same of a server that ends every connection after its answer: moto's does."""
    script, until = Sends([_send(endpoint, "123456789012")], b"MD5OfMessageBody"), time.perf_counter() + seconds

    def send_until_the_end(_: int) -> int:
        count = 0
        while time.perf_counter() < until:
            connection = Connection(endpoint)
            script.check(connection.ask(script.requests[0]))
            connection.close()
            count += 1
        return count

    with ThreadPoolExecutor(CLIENTS) as threads:
        count = sum(threads.map(send_until_the_end, range(CLIENTS)))
    note = "in memory, and a connection for each message, as its server wants it"
    return rate(f"moto server: SendMessage, {CLIENTS} clients", [count / seconds], count, note)
