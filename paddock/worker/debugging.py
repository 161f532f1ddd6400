"""A way for a debugger into an environment: a port on this machine's loopback, and through it to the runtime inside.

An environment has a network of its own, in which nobody from outside reaches anything; pid 1 in there connects for us
(Sandbox.connect). A debugger may come before there is an environment, or while its runtime is still on its way: its
connection is held until somebody listens inside.

Whoever reaches loopback reaches Paddock (docs/decisions/0004), and so the debugger's port. A page in the user's browser
must not: the Debug Adapter Protocol is framed like HTTP, so a page could say something that a debug server understands.
What begins as a browser's request is turned away there. Node.js' inspector speaks HTTP itself, and looks at the Host.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import Awaitable, Callable

from paddock.interfaces import Clock, Sandbox, SandboxFailed
from paddock.model.development import DEBUG_TIME_S
from paddock.model.function import FunctionVersion
from paddock.worker.environment import Environment, EnvironmentSettings

LOOPBACK = "127.0.0.1"
CONNECTIONS_MAX = 16
PIECE_BYTES = 65_536
PATIENCE_S = 120.0
RETRY_S = 0.05
_DAP_BEGINS = b"Content-"

Connect = Callable[[], Awaitable[socket.socket]]


def settings_for(version: FunctionVersion, settings: EnvironmentSettings) -> EnvironmentSettings:
    """What a debugger holds is not hurried, not frozen and not short of processor time."""
    if not version.is_debugged:
        return settings
    held_s = float(DEBUG_TIME_S)
    return dataclasses.replace(settings, init_timeout_s=held_s, freeze_after_idle_s=held_s, cpu_by_memory=False)


class Held:
    """The environments that debuggers hold, and how to get at them."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Environment, Sandbox]] = {}

    def add(self, environment: Environment, sandbox: Sandbox) -> None:
        if environment.version.is_debugged:
            self._found[environment.number] = (environment, sandbox)

    def forget(self, number: int) -> None:
        self._found.pop(number, None)

    async def connect(self, function_arn: str, port: int) -> socket.socket:
        """To what listens in the newest environment of the function. Raises OSError, SandboxFailed."""
        for environment, sandbox in reversed(self._found.values()):
            if environment.version.function_arn == function_arn and not environment.is_ending:
                return await sandbox.connect(port)
        raise ConnectionRefusedError("no environment is held by a debugger")


class Relay:
    """`await Relay.open(...)` listens, close() ends it and every connection. speaks_dap: not HTTP, then."""

    def __init__(self, connect: Connect, clock: Clock, speaks_dap: bool) -> None:
        self._connect = connect
        self._clock = clock
        self._speaks_dap = speaks_dap
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    async def open(cls, port: int, connect: Connect, clock: Clock, *, speaks_dap: bool) -> Relay:
        """port: 0 takes a free one. Raises OSError when it is taken."""
        relay = cls(connect, clock, speaks_dap)
        relay._server = await asyncio.start_server(relay._accept, LOOPBACK, port)
        return relay

    @property
    def port(self) -> int:
        if self._server is None:
            raise AssertionError("not open")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= CONNECTIONS_MAX:
            writer.close()
            return
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner: asyncio.StreamWriter | None = None
        try:
            first = await reader.readexactly(len(_DAP_BEGINS)) if self._speaks_dap else b""
            if self._speaks_dap and first != _DAP_BEGINS:
                return
            inside, inner = await asyncio.open_connection(sock=await self._reached())
            inner.write(first)
            there, back = (asyncio.ensure_future(_pump(*way)) for way in ((reader, inner), (inside, writer)))
            try:
                await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
        except (OSError, SandboxFailed, asyncio.IncompleteReadError):
            pass  # either side has gone, and the other learns it
        finally:
            writer.close()
            if inner is not None:
                inner.close()

    async def _reached(self) -> socket.socket:
        """Once somebody listens inside. Raises what the last attempt raised."""
        until = self._clock.monotonic() + PATIENCE_S
        while True:
            try:
                return await self._connect()
            except (OSError, SandboxFailed):
                if self._clock.monotonic() > until:
                    raise
            await self._clock.sleep(RETRY_S)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
