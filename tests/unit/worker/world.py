"""A worker's world without a kernel: a clock one turns, a sink that keeps, sandboxes whose other end is a script."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from paddock.interfaces import ResponseSink, SandboxFailed
from paddock.model.extension import Launched
from paddock.model.function import CodeArtifact, FileSystemUse, FunctionVersion
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.log import LogEvent, LogStreamRef
from paddock.model.session import Credentials
from paddock.worker.environment import Environment, EnvironmentSettings
from paddock.worker.facts import RuntimeFacts
from paddock.worker.frames import encode
from paddock.worker.runtime_api import HttpPort
from paddock.worker.runtimes.python.bootstrap import ASSIGN, ERROR, FAILED, HEADER, INVOKE, NEXT, RESPONSE
from paddock.worker.snapshots import Image
from paddock.worker.templates import kind_of
from paddock.worker.worker import Worker
from paddock.worker.workshop import Workshop

START = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
DIGEST = "a" * 64


def version(name: str = "fn", build: str = "build-1", **changes: Any) -> FunctionVersion:
    given: dict[str, Any] = {
        "account": "000000000000",
        "region": "us-east-1",
        "name": name,
        "runtime": "python3.12",
        "handler": "app.handler",
        "role": "arn:aws:iam::000000000000:role/r",
        "code": CodeArtifact(digest=DIGEST, size_bytes=1, unzipped_bytes=1),
        "revision_id": "r",
        "build_id": build,
        "last_modified": START,
    }
    return FunctionVersion(**{**given, **changes})


def invocation(request_id: str = "r-1", of: FunctionVersion | None = None, **changes: Any) -> Invocation:
    what = of or version()
    given: dict[str, Any] = {"invoked_arn": what.function_arn, "payload": b"{}", "received_at": START}
    return Invocation(request_id=request_id, version=what, **{**given, **changes})


class FakeClock:
    """Turned by hand; sleepers wake in order."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.seconds + seconds, next(self._order), future))
        await future

    async def turn(self, seconds: float) -> None:
        until = self.seconds + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            self.seconds, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
            await settle()
        self.seconds = until
        await settle()


class FakeIds:
    def __init__(self) -> None:
        self._numbers = itertools.count()

    def uuid(self) -> str:
        return f"00000000-0000-0000-0000-{next(self._numbers):012x}"

    def hex(self, digits: int) -> str:
        return f"{next(self._numbers):0{digits}x}"


class KeepingSink:
    def __init__(self) -> None:
        self.events: list[tuple[LogStreamRef, LogEvent]] = []

    def put(self, stream: LogStreamRef, events: Sequence[LogEvent]) -> None:
        self.events += [(stream, event) for event in events]

    @property
    def lines(self) -> list[str]:
        return [event.message for _, event in self.events]


async def settle() -> None:
    """Let everything that can go on now go on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def until(what: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until it is so."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not what():
        assert loop.time() < deadline, "it never came to be"
        await asyncio.sleep(0.001)


def open_descriptors() -> set[tuple[str, str]]:
    """(number, what it is) of each descriptor of this process."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))
        except FileNotFoundError:
            continue  # the one of listing itself
    return found


class Runtime:
    """The other end of a channel: what a bootstrap would read and write, as coroutines."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self._buffer = bytearray()

    async def _fill(self, size: int) -> None:
        loop = asyncio.get_running_loop()
        while len(self._buffer) < size:
            data = await loop.sock_recv(self.socket, 65536)
            if not data:
                raise EOFError
            self._buffer += data

    async def frame(self) -> tuple[int, dict[str, Any], bytes]:
        await self._fill(HEADER.size)
        length, kind, head = HEADER.unpack_from(self._buffer)
        await self._fill(HEADER.size + length)
        frame = bytes(self._buffer[HEADER.size : HEADER.size + length])
        del self._buffer[: HEADER.size + length]
        return kind, json.loads(frame[:head] or b"{}"), frame[head:]

    async def raw(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def next(self) -> None:
        await self.raw(encode(NEXT, b"", b""))

    async def answer(self, request_id: str, body: bytes, then_next: bool = True) -> None:
        head = json.dumps({"id": request_id}).encode()
        await self.raw(encode(RESPONSE, head, body) + (encode(NEXT, b"", b"") if then_next else b""))

    async def err(self, request_id: str, body: bytes) -> None:
        await self.raw(encode(ERROR, json.dumps({"id": request_id}).encode(), body) + encode(NEXT, b"", b""))

    async def fail_init(self, error_type: str, body: bytes) -> None:
        await self.raw(encode(FAILED, json.dumps({"type": error_type}).encode(), body))

    async def assigned(self) -> dict[str, Any]:
        kind, _, body = await self.frame()
        assert kind == ASSIGN
        settings: dict[str, Any] = json.loads(body)
        return settings

    async def event(self) -> tuple[dict[str, Any], bytes]:
        kind, head, body = await self.frame()
        assert kind == INVOKE
        return head, body


Script = Callable[["FakeSandbox", Runtime], Awaitable[None]]


async def echo(sandbox: FakeSandbox, runtime: Runtime) -> None:
    """The usual runtime: boots, then answers every event with itself."""
    await runtime.assigned()
    await runtime.next()
    while True:
        head, body = await runtime.event()
        await runtime.answer(head["id"], body)


class FakeSandbox:
    """interfaces.Sandbox with real sockets and pipes. `scripts` play the runtime, one per life; the last repeats."""

    limits_memory = True
    lineage = 1

    def __init__(self, *scripts: Script, gone_at_once: bool = False) -> None:
        self._scripts = list(scripts) or [echo]
        self._gone_at_once = gone_at_once
        self.output, self.stdout = os.pipe()
        self.telemetry, self.records = os.pipe()
        self.runtime_api, self.aws_api = socket.socket(), socket.socket()
        self.on_exit: Callable[[int], None] | None = None
        self.on_gone: Callable[[], None] | None = None
        self.on_extension_exit: Callable[[str, int], None] | None = None
        self.exit_status: int | None = None
        self.calls: list[str] = []
        self.cpu: list[int] = []
        self.assign_error = self.reset_error = ""
        self.peak_bytes = 30 << 20
        self.ooms = 0
        self.is_gone = False
        self.launched = Launched()
        self.leaves_on_term = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._near: list[socket.socket] = []
        self.channel: socket.socket
        self._boot()

    def _boot(self) -> None:
        self.channel, theirs = socket.socketpair()
        self._near.append(self.channel)
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        task = asyncio.get_running_loop().create_task(self._play(script, theirs))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: theirs.close())  # also when it never began

    async def _play(self, script: Script, sock: socket.socket) -> None:
        try:
            await script(self, Runtime(sock))
        except (EOFError, ConnectionError):
            return

    def _end_runtime(self) -> None:
        for task in list(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()

    def exit(self, status: int) -> None:
        """The runtime's process ends."""
        self._end_runtime()
        assert self.on_exit is not None
        self.exit_status = status
        self.on_exit(status)

    def die(self) -> None:
        """Nothing of it is left."""
        if self.is_gone:
            return
        self.is_gone = True
        self._end_runtime()
        os.close(self.stdout)
        os.close(self.records)
        if self.on_gone is not None:
            self.on_gone()

    async def assign(
        self,
        code: str,
        memory_mb: int,
        tmp_mb: int,
        network: str = "",
        file_systems: Sequence[FileSystemUse] = (),
        layers: str = "",
    ) -> None:
        self.calls.append("assign")
        if self.assign_error:
            raise SandboxFailed(self.assign_error)
        if self.is_gone:
            raise SandboxFailed("gone")

    async def reset(self) -> None:
        self.calls.append("reset")
        if self.reset_error or self.is_gone:
            raise SandboxFailed(self.reset_error or "gone")
        self._end_runtime()
        await asyncio.sleep(0)
        self.exit_status = None
        self._boot()

    async def launch_extensions(self, environment: Mapping[str, str], data_bytes_max: int = 0) -> Launched:
        self.calls.append("launch")
        self.extensions_environment = dict(environment)
        return self.launched

    async def connect(self, port: int) -> socket.socket:
        raise ConnectionRefusedError(111, "nobody listens")

    def terminate(self) -> None:
        self.calls.append("terminate")
        if self.leaves_on_term:
            asyncio.get_running_loop().call_soon(self.exit, 15)

    def kill(self) -> None:
        self.calls.append("kill")

    def freeze(self) -> None:
        self.calls.append("freeze")

    def thaw(self) -> None:
        self.calls.append("thaw")

    def limit_cpu(self, quota_us: int) -> None:
        self.cpu.append(quota_us)

    def memory_peak_bytes(self) -> int:
        return self.peak_bytes

    def oom_kills(self) -> int:
        return self.ooms

    def stop(self) -> None:
        self.calls.append("stop")
        if self._gone_at_once:
            self.die()
        else:
            asyncio.get_running_loop().call_soon(self.die)


async def event(
    made: Environment | Worker | Workshop, invocation: Invocation, sink: ResponseSink | None = None
) -> InvocationResult:
    """One event in an environment, or in whichever one the worker finds; its result."""
    end: asyncio.Future[InvocationResult] = asyncio.get_running_loop().create_future()

    def ended(result: InvocationResult | BaseException) -> None:
        if end.done():
            return  # nobody waits for it
        if isinstance(result, BaseException):
            end.set_exception(result)
        else:
            end.set_result(result)

    made.begin(invocation, ended, sink)
    return await end


async def serve_nothing(port: HttpPort, sandbox: Any, version: FunctionVersion) -> Callable[[], None]:
    def close() -> None:
        sandbox.runtime_api.close()
        sandbox.aws_api.close()

    return close


CREDENTIALS = Credentials(access_key_id="ASIA", secret_access_key="secret", session_token="token")
SETTINGS = EnvironmentSettings(
    init_timeout_s=10.0,
    freeze_after_idle_s=3600.0,
    cpu_by_memory=True,
    endpoint_port=8321,
    credentials=lambda version: CREDENTIALS,
)
PYTHON = RuntimeFacts(name="python3.12", label="python:3.12.1", arn="arn:r", transport="frames", managed=True)
CUSTOM = RuntimeFacts(name="provided.al2023", label="provided:al2023", arn="arn:r", transport="http", managed=False)


@asynccontextmanager
async def environment(
    *scripts: Script,
    of: FunctionVersion | None = None,
    settings: EnvironmentSettings = SETTINGS,
    facts: RuntimeFacts = PYTHON,
    clock: FakeClock | None = None,
    sink: KeepingSink | None = None,
    image: Image | None = None,
) -> AsyncIterator[tuple[Environment, FakeSandbox]]:
    """An environment that has not started yet, with its sandbox; it is ended afterwards."""
    sandbox = FakeSandbox(*scripts)
    made = kind_of(image)(
        sandbox,
        of or version(),
        facts,
        settings=settings,
        clock=clock or FakeClock(),
        sink=sink or KeepingSink(),
        ids=FakeIds(),
        number=0,
        stream_id="ab" * 16,
        serve=serve_nothing,
    )
    try:
        yield made, sandbox
    finally:
        sandbox.die()
        await settle()
