"""A client that costs little: requests are signed ahead, sockets are raw, every answer's status and body are checked.

boto3 tops out below what Paddock serves, and a client that shares the machine's cores with the server must not be
what is measured. The same client drives Paddock and the references, so its cost is in both.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

TIMEOUT_S = 120.0
_CHUNK = 65536
_KEPT = ("authorization", "x-amz-date", "content-type", "x-amz-log-type")


class Wrong(RuntimeError):
    """An answer that is not the right one: a figure made of it would be worth nothing."""


def invocation(endpoint: str, function: str, body: bytes) -> bytes:
    """The bytes of one signed Invoke."""
    url = f"{endpoint}/2015-03-31/functions/{function}/invocations"
    request = AWSRequest(method="POST", url=url, data=body, headers={"Content-Type": "application/json"})
    SigV4Auth(Credentials("test", "test"), "lambda", "us-east-1").add_auth(request)
    parts = urlsplit(url)
    fields = [f"{name}: {value}" for name, value in request.headers.items() if name.lower() in _KEPT]
    head = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    head: bytes
    body: bytes

    def expect(self, body: bytes) -> None:
        """Raises Wrong unless this is a 200 with exactly that body and no function error."""
        if self.status != 200 or self.body != body or b"x-amz-function-error" in self.head.lower():
            raise Wrong(f"{self.head[:400]!r} {self.body[:400]!r}")


def parsed(data: bytes) -> Answer | None:
    """The answer, once it is whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[:end]
    at = head.lower().find(b"content-length:")
    if at < 0:
        raise Wrong(f"an answer without a length: {head!r}")
    length = int(head[at + 15 :].split(b"\r\n", 1)[0])
    body = data[end + 4 :]
    if len(body) > length:
        raise Wrong(f"more than one answer: {data[:400]!r}")
    return Answer(int(head[9:12]), head, body) if len(body) == length else None


class Connection:
    """One keep-alive connection, blocking."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self.socket = socket.create_connection((parts.hostname, parts.port), TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = parts.netloc

    def ask(self, request: bytes) -> Answer:
        self.socket.sendall(request)
        data = b""
        while True:
            more = self.socket.recv(_CHUNK)
            if not more:
                raise Wrong(f"the connection ended: {data[:400]!r}")
            data = data + more if data else more
            answer = parsed(data)
            if answer is not None:
                return answer

    def get(self, path: str) -> bytes:
        """The body of a plain GET that is answered 200."""
        answer = self.ask(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        if answer.status != 200:
            raise Wrong(repr(answer))
        return answer.body

    def timed(self, request: bytes, expected: bytes) -> float:
        """Milliseconds from the request's first byte to its answer's last."""
        started = time.perf_counter()
        answer = self.ask(request)
        took_ms = (time.perf_counter() - started) * 1000
        answer.expect(expected)
        return took_ms

    def close(self) -> None:
        self.socket.close()


@dataclass(frozen=True, slots=True)
class Script:
    """What one connection asks, round and round, and the body that each answer must have."""

    requests: Sequence[bytes]
    expected: bytes

    def check(self, answer: Answer) -> None:
        """Raises Wrong for an answer that is not the right one."""
        answer.expect(self.expected)


@dataclass(frozen=True, slots=True)
class Load:
    """A window of load. latencies_ms: of every request answered in it."""

    latencies_ms: Sequence[float]
    seconds: float

    @property
    def per_s(self) -> float:
        return len(self.latencies_ms) / self.seconds


def hammer(connections: Sequence[Connection], scripts: Sequence[Script], seconds: float) -> Load:
    """Keep one request open on every connection for so long. One thread, one epoll: the client must stay cheap."""
    clock = time.perf_counter
    poll = select.epoll()
    sockets = {one.socket.fileno(): one.socket for one in connections}
    script = dict(zip(sockets, scripts, strict=True))
    buffers = dict.fromkeys(sockets, b"")
    sent_at = dict.fromkeys(sockets, 0.0)
    turn = dict.fromkeys(sockets, 0)
    latencies: list[float] = []
    started = clock()
    until, open_requests = started + seconds, len(sockets)
    for fd, sock in sockets.items():
        poll.register(fd, select.EPOLLIN)
        sent_at[fd] = clock()
        sock.sendall(script[fd].requests[0])
    while open_requests:
        events = poll.poll(TIMEOUT_S)
        if not events:
            raise Wrong("no answer in time")
        for fd, _ in events:
            more = sockets[fd].recv(_CHUNK)
            if not more:
                raise Wrong(f"the connection ended: {buffers[fd][:400]!r}")
            data = buffers[fd] + more
            answer = parsed(data)
            if answer is None:
                buffers[fd] = data
                continue
            now = clock()
            script[fd].check(answer)
            latencies.append((now - sent_at[fd]) * 1000)
            buffers[fd] = b""
            if now >= until:
                open_requests -= 1
                continue
            turn[fd] = (turn[fd] + 1) % len(script[fd].requests)
            sent_at[fd] = now
            sockets[fd].sendall(script[fd].requests[turn[fd]])
    return Load(latencies, clock() - started)


def volley(connections: Sequence[Connection], requests: Sequence[bytes]) -> list[Answer | None]:
    """Send one request on each connection at once; the answers, None where the connection ended or none came."""
    poll = select.poll()
    places = {one.socket.fileno(): place for place, one in enumerate(connections)}
    buffers = dict.fromkeys(places, b"")
    answers: list[Answer | None] = [None] * len(connections)
    for one, request in zip(connections, requests, strict=True):
        one.socket.sendall(request)
        poll.register(one.socket, select.POLLIN)
    while buffers:
        events = poll.poll(TIMEOUT_S * 1000)
        if not events:
            break
        for fd, _ in events:
            place = places[fd]
            more = connections[place].socket.recv(_CHUNK)
            buffers[fd] += more
            answer = parsed(buffers[fd])
            if answer is not None or not more:
                answers[place] = answer
                poll.unregister(fd)
                del buffers[fd]
    return answers
