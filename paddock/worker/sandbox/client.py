"""The server's side of the jailer and its zygotes: implements interfaces.Sandboxes on Linux.

The server has no privilege. It asks the jailer for a zygote by runtime name, asks zygotes for cells, and from then on
works with descriptors it was handed: the runtime's channel, its output, its listening sockets, and its control
group's files. Messages are JSON over SOCK_SEQPACKET, so a message is never split.

Caveat: a zygote that dies takes its environments with it; the next start asks the jailer for a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paddock.interfaces import SandboxFailed
from paddock.model.extension import Launched
from paddock.model.function import FileSystemUse
from paddock.worker.sandbox.cgroup import cpu_text

log = logging.getLogger("paddock.sandbox")

MESSAGE_BYTES_MAX = 65536
_FDS_MAX = 32
_START_TIMEOUT_S = 30.0
_END_ALL = b"\0"  # to pid 1
# A process that is being forked while its parent is stopped and continued is born with the stop but without the
# continuation, which the kernel drops where nobody handles it. So whoever continues all does it again a little later.
_CONTINUE_AGAIN_S = (0.005, 0.055, 0.555)

Message = Mapping[str, Any]


class _Packets:
    """A SEQPACKET socket read by the event loop: calls `received(message, fds)`, then `ended()` once."""

    def __init__(
        self, sock: socket.socket, received: Callable[[Message, list[int]], None], ended: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._received = received
        self._ended = ended
        self._waiting: deque[bytes] = deque()
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._readable)

    def send(self, data: bytes) -> None:
        """Queue a message; order is kept. Silently dropped after the end, which `ended` has told."""
        self._waiting.append(data)
        self._flush()

    def _flush(self) -> None:
        if self._socket.fileno() < 0:
            return
        try:
            while self._waiting:
                self._socket.send(self._waiting[0])
                self._waiting.popleft()
            self._loop.remove_writer(self._socket.fileno())
        except BlockingIOError:
            self._loop.add_writer(self._socket.fileno(), self._flush)
        except OSError:
            self._waiting.clear()  # the reader sees the end, too, and tells

    def _readable(self) -> None:
        while self._socket.fileno() >= 0:
            try:
                data, fds, _, _ = socket.recv_fds(self._socket, MESSAGE_BYTES_MAX, _FDS_MAX)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                self.close()
                self._ended()
                return
            self._received(json.loads(data), fds)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()


def _counter(text: str) -> int:
    """oom_kill out of memory.oom_control (v1) or memory.events (v2)."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return 0


def _peak(proc: int) -> int:
    """The resident peaks of a process and its children, added up, where no group counts them. proc: its directory."""
    try:
        statuses = [_text_at(proc, "status")]
        task = os.listdir(f"/proc/self/fd/{proc}/task")[0]
        statuses += [_text_at(proc, f"../{child}/status") for child in _text_at(proc, f"task/{task}/children").split()]
    except (OSError, IndexError):
        return 0  # it is on its way out
    lines = [line for status in statuses for line in status.splitlines() if line.startswith("VmHWM:")]
    return sum(int(line.split()[1]) for line in lines) << 10


def _text_at(directory: int, path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(fd) as file:
        return file.read()


class LinuxSandbox:
    """One environment, seen from the server. See interfaces.Sandbox."""

    def __init__(self, zygote: _Zygote, number: int) -> None:
        self._zygote = zygote
        self.number = number
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._assigned: asyncio.Future[None] = self._loop.create_future()
        self._reset: asyncio.Future[None] | None = None
        self._launched: asyncio.Future[Launched] | None = None
        self._connections: deque[asyncio.Future[socket.socket]] = deque()
        self._files: dict[str, int] = {}
        self._version = 0
        self._control: _Packets | None = None
        self._helper: _Packets | None = None
        self._helping: asyncio.Future[None] | None = None
        self._extensions: set[str] = set()
        self._continue_again: list[asyncio.TimerHandle] = []
        self._gone = False
        self._doors: list[socket.socket] = []
        self.channel: socket.socket
        self.output = -1
        self.telemetry = -1
        self.runtime_api: socket.socket
        self.aws_api: socket.socket
        self.on_exit: Callable[[int], None] | None = None
        self.on_gone: Callable[[], None] | None = None
        self.on_extension_exit: Callable[[str, int], None] | None = None
        self.exit_status: int | None = None

    # -- what its holder does

    async def ready(self) -> None:
        await self._ready

    async def assign(
        self,
        code: str,
        memory_mb: int,
        tmp_mb: int,
        network: str = "",
        file_systems: Sequence[FileSystemUse] = (),
        layers: str = "",
    ) -> None:
        message: dict[str, Any] = {
            "do": "assign",
            "cell": self.number,
            "code": code,
            "memory_mb": memory_mb,
            "tmp_mb": tmp_mb,
        }
        message |= {"network": network} if network else {}
        message |= {"file_systems": [[one.arn, one.mount_path] for one in file_systems]} if file_systems else {}
        message |= {"layers": layers} if layers else {}
        self._zygote.send(message)
        await self._assigned

    async def reset(self) -> None:
        if self._gone or self._control is None:
            raise SandboxFailed("the sandbox is gone")
        self.thaw()
        self._reset = self._loop.create_future()
        self._control.send(_END_ALL)
        await self._reset

    async def launch_extensions(self, environment: Mapping[str, str], data_bytes_max: int = 0) -> Launched:
        message = {"do": "extensions", "environment": environment, "data_bytes_max": data_bytes_max}
        self._launched = self._loop.create_future()
        (await self._help()).send(json.dumps(message).encode())
        return await self._launched

    async def connect(self, port: int) -> socket.socket:
        asked: asyncio.Future[socket.socket] = self._loop.create_future()
        helper = await self._help()
        self._connections.append(asked)
        helper.send(json.dumps({"do": "connect", "port": port}).encode())
        return await asked

    async def _help(self) -> _Packets:
        """The process inside that does these things, started when first wanted."""
        if self._gone:
            raise SandboxFailed("the sandbox is gone")
        if self._helper is None:
            if self._helping is None or self._helping.done():
                self._helping = self._loop.create_future()
                self._zygote.send({"do": "help", "cell": self.number})
            await asyncio.shield(self._helping)
        if self._helper is None:
            raise SandboxFailed("the sandbox has lost its helper")
        return self._helper

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if not self._gone:
            self._zygote.send({"do": "signal", "cell": self.number, "number": number})

    def freeze(self) -> None:
        self._pause(True)

    def thaw(self) -> None:
        self._pause(False)

    def _pause(self, frozen: bool) -> None:
        file = self._files.get("freeze")
        if file is None:
            self._pause_by_signals(frozen)
            return
        words = ("FROZEN", "THAWED") if self._version == 1 else ("1", "0")
        self._write(file, words[0 if frozen else 1])

    def _pause_by_signals(self, frozen: bool) -> None:
        """Where there is no group to freeze."""
        self._cease_continuing()
        self._signal_all(signal.SIGSTOP if frozen else signal.SIGCONT)
        if not frozen and not self._gone:
            again = self._loop.call_later
            self._continue_again = [again(after_s, self._signal_all, signal.SIGCONT) for after_s in _CONTINUE_AGAIN_S]

    def _cease_continuing(self) -> None:
        for timer in self._continue_again:
            timer.cancel()
        self._continue_again = []

    def _signal_all(self, number: int) -> None:
        if self._control is not None:
            self._control.send(bytes([number]))

    def limit_cpu(self, quota_us: int) -> None:
        file = self._files.get("cpu")
        if file is not None:
            self._write(file, cpu_text(self._version, quota_us))

    def _write(self, file: int, text: str) -> None:
        with contextlib.suppress(OSError):  # the group went with its processes; on_gone tells
            os.pwrite(file, text.encode(), 0)

    def _read(self, name: str) -> str:
        file = self._files.get(name)
        try:
            return os.pread(file, 4096, 0).decode() if file is not None else ""
        except OSError:
            return ""

    @property
    def lineage(self) -> int:
        return self._zygote.number

    @property
    def limits_memory(self) -> bool:
        return "oom" in self._files

    def memory_peak_bytes(self) -> int:
        if "proc" in self._files:
            return _peak(self._files["proc"])
        text = self._read("peak").strip()
        return int(text) if text.isdigit() else 0

    def oom_kills(self) -> int:
        return _counter(self._read("oom"))

    def stop(self) -> None:
        if not self._gone:
            self._zygote.send({"do": "stop", "cell": self.number})

    # -- what the zygote and pid 1 tell

    def spawned(self, message: Message, fds: list[int]) -> None:
        files = dict(zip(message["files"], fds, strict=True))
        self.channel = socket.socket(fileno=files.pop("channel"))
        self._doors.append(self.channel)
        self.output, self.telemetry = files.pop("output"), files.pop("telemetry")
        control = socket.socket(fileno=files.pop("control"))
        self._control = _Packets(control, self._told, lambda: None)
        self._version = message["groups"]
        self._files = files

    def _told(self, message: Message, fds: list[int]) -> None:
        """By pid 1, or by the runtime while it goes in."""
        event = message["event"]
        if event == "ready":
            self.runtime_api, self.aws_api = (socket.socket(fileno=fd) for fd in fds)
            self._doors += [self.runtime_api, self.aws_api]
            _settle(self._ready)
        elif event == "broken":
            self.failed(message["error"])
        elif event == "ended":
            self._lose_helper()
            self._extensions = set()
            self._zygote.send({"do": "restart", "cell": self.number})

    def exited(self, status: int) -> None:
        """The runtime's process. What a reset has ended is not told."""
        if self._reset is not None and not self._reset.done():
            return
        self.exit_status = status
        if self.on_exit is not None:
            self.on_exit(status)
        else:
            self.stop()  # nothing was put into it yet, and without a runtime nothing can be

    def restarted(self, message: Message, fds: list[int]) -> None:
        files = dict(zip(message["files"], fds, strict=True))
        self.channel = socket.socket(fileno=files.pop("channel"))
        for name, file in files.items():
            os.close(self._files[name])
            self._files[name] = file
        self.exit_status = None
        if self._reset is not None:
            _settle(self._reset)

    # -- its helper

    def helping(self, fds: list[int]) -> None:
        self._helper = _Packets(socket.socket(fileno=fds[0]), self._helper_told, self._helper_ended)
        if self._helping is not None:
            _settle(self._helping)

    def _helper_told(self, message: Message, fds: list[int]) -> None:
        event = message["event"]
        if event == "extensions":
            self._launch_told(message, fds)
        elif event == "extension":
            self._extensions.discard(message["name"])
            if self.on_extension_exit is not None:
                self.on_extension_exit(message["name"], message["status"])
        elif event == "connected":
            self._connect_told(message["error"], fds)
        elif event == "broken":
            self._helper_failed(message["error"])

    def _helper_ended(self) -> None:
        """By itself, or killed by the function: how those that it has started end, nobody can tell any more."""
        self._lose_helper()
        for name in sorted(self._extensions):
            if self.on_extension_exit is not None:
                self.on_extension_exit(name, signal.SIGKILL)
        self._extensions = set()

    def _lose_helper(self) -> None:
        if self._helper is None:
            return
        self._helper.close()
        self._helper = None
        self._helper_failed("the sandbox has lost its helper")

    def _helper_failed(self, reason: str) -> None:
        waiting, self._connections = [self._launched, *self._connections], deque()
        for future in waiting:
            if future is not None and not future.done():
                future.set_exception(SandboxFailed(reason))
                future.exception()

    def _launch_told(self, message: Message, fds: list[int]) -> None:
        failed, error_type, reason = message["failed"]
        output = fds[0] if fds else -1
        if self._launched is None or self._launched.done():
            for fd in fds:
                os.close(fd)
            return
        self._extensions = set(message["names"])
        self._launched.set_result(Launched(tuple(message["names"]), output, failed, error_type, reason))

    def _connect_told(self, error: int, fds: list[int]) -> None:
        """They are answered in the order they were asked for; whoever does not wait any more gets none."""
        asked = self._connections.popleft()
        connection = socket.socket(fileno=fds[0]) if fds else None
        if asked.done():
            if connection is not None:
                connection.close()
        elif connection is None:
            asked.set_exception(ConnectionRefusedError(error, os.strerror(error)))
        else:
            asked.set_result(connection)

    def assigned(self) -> None:
        _settle(self._assigned)

    def failed(self, reason: str) -> None:
        waiting = (self._ready, self._assigned, self._reset, self._helping, self._launched, *self._connections)
        for future in waiting:
            if future is not None and not future.done():
                future.set_exception(SandboxFailed(reason))
                future.exception()  # nobody need be waiting

    def gone(self) -> None:
        """Nothing of it is left; its descriptors that nobody else reads are closed."""
        if self._gone:
            return
        self._gone = True
        self.failed("the sandbox ended")
        for packets in (self._control, self._helper):
            if packets is not None:
                packets.close()
        self._cease_continuing()
        for file in self._files.values():
            os.close(file)
        self._files.clear()
        if self.on_gone is not None:
            self.on_gone()
        else:
            self._close_doors()

    @property
    def is_gone(self) -> bool:
        return self._gone

    def _close_doors(self) -> None:
        """What a holder would own, while there has been none."""
        for sock in self._doors:
            sock.close()
        for fd in (self.output, self.telemetry):
            if fd >= 0:
                os.close(fd)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Zygote:
    """A live zygote and its cells."""

    def __init__(self, runtime: str, number: int, sock: socket.socket, ended: Callable[[_Zygote], None]) -> None:
        self.runtime = runtime
        self.number = number
        self._cells: dict[int, LinuxSandbox] = {}
        self._next = 0
        self._end = ended
        self.up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._packets = _Packets(sock, self._told, self._ended)

    def send(self, message: Message) -> None:
        self._packets.send(json.dumps(message).encode())

    async def spawn(self, ahead: bool) -> LinuxSandbox:
        cell = LinuxSandbox(self, self._next)
        self._next += 1
        self._cells[cell.number] = cell
        self.send({"do": "spawn", "cell": cell.number, "ahead": ahead})
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await cell.ready()
        except TimeoutError as error:
            cell.stop()
            raise SandboxFailed(f"no {self.runtime} environment within {_START_TIMEOUT_S:.0f} s") from error
        except asyncio.CancelledError:
            cell.stop()
            raise
        if cell.is_gone:  # between its word and ours
            raise SandboxFailed(f"an environment of {self.runtime} ended as soon as it was ready")
        return cell

    def _told(self, message: Message, fds: list[int]) -> None:
        event = message["event"]
        if event == "up":
            if not self.up.done():
                self.up.set_result(message["version"])
            return
        cell = self._cells.get(message.get("cell", -1))
        if cell is None:
            for fd in fds:
                os.close(fd)
        elif event == "spawned":
            cell.spawned(message, fds)
        elif event == "assigned":
            cell.assigned()
        elif event == "exit":
            cell.exited(message["status"])
        elif event == "restarted":
            cell.restarted(message, fds)
        elif event == "helping":
            cell.helping(fds)
        elif event == "failed":
            log.warning("%s: %s of environment %s failed: %s", self.runtime, message["doing"], cell.number, message)
            cell.failed(message["error"])
            if message["doing"] == "spawn":
                self._cells.pop(cell.number).gone()
        elif event == "gone":
            self._cells.pop(cell.number).gone()

    def _ended(self) -> None:
        if not self.up.done():
            self.up.set_exception(SandboxFailed(f"the zygote of {self.runtime} ended while starting"))
            self.up.exception()
        cells, self._cells = self._cells, {}
        for cell in cells.values():
            cell.gone()
        self._end(self)

    def close(self) -> None:
        self._packets.close()
        self._ended()


class LinuxSandboxes:
    """interfaces.Sandboxes over the jailer's socket."""

    def __init__(self, jailer: socket.socket) -> None:
        self._asked: deque[tuple[str, asyncio.Future[_Zygote]]] = deque()
        self._zygotes: dict[str, asyncio.Future[_Zygote]] = {}
        self._started = 0
        self._is_over = False
        self._jailer = _Packets(jailer, self._answered, self._jailer_ended)

    async def start(self, runtime: str, ahead: bool = False) -> LinuxSandbox:
        """A cell of the runtime's zygote; a zygote that fails under the request is replaced once."""
        for attempt in (1, 2):
            try:
                zygote = await self._zygote(runtime)
                await asyncio.shield(zygote.up)
                return await zygote.spawn(ahead)
            except SandboxFailed:
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    async def _zygote(self, runtime: str) -> _Zygote:
        if self._is_over:
            raise SandboxFailed("the jailer ended")
        future = self._zygotes.get(runtime)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._zygotes[runtime] = future
            self._asked.append((runtime, future))
            self._jailer.send(json.dumps({"do": "zygote", "runtime": runtime}).encode())
        return await asyncio.shield(future)

    def _answered(self, message: Message, fds: list[int]) -> None:
        runtime, future = self._asked.popleft()
        if "error" in message:
            self._zygotes.pop(runtime, None)
            future.set_exception(SandboxFailed(f"{runtime}: {message['error']}"))
            future.exception()
            return
        self._started += 1
        future.set_result(_Zygote(runtime, self._started, socket.socket(fileno=fds[0]), self._forget))

    def _forget(self, zygote: _Zygote) -> None:
        current = self._zygotes.get(zygote.runtime)
        if current is not None and current.done() and not current.exception() and current.result() is zygote:
            del self._zygotes[zygote.runtime]

    def _jailer_ended(self) -> None:
        self._is_over = True
        for runtime, future in self._asked:
            self._zygotes.pop(runtime, None)
            if not future.done():
                future.set_exception(SandboxFailed("the jailer ended"))
                future.exception()
        self._asked.clear()

    async def close(self) -> None:
        for future in list(self._zygotes.values()):
            if future.done() and not future.exception():
                future.result().close()
        self._zygotes.clear()
        self._jailer.close()
        self._jailer_ended()
