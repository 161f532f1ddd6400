"""How a batch of telemetry reaches an extension: HTTP POSTs, or lines on a TCP connection, into its own network.

The server stands outside of that network; pid 1 of the environment connects and hands the connection out. Whoever
listens there is the function's, and may do anything: an attempt has its time, and of an answer only the head is read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from paddock.interfaces import Sandbox, SandboxFailed
from paddock.worker.subscription import Subscription

ATTEMPT_TIMEOUT_S = 2.0
_HEAD_BYTES_MAX = 16_384


class Deliverer:
    """Of one subscription."""

    def __init__(self, sandbox: Sandbox, subscription: Subscription) -> None:
        self._sandbox = sandbox
        self._subscription = subscription
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, batch: Sequence[bytes]) -> bool:
        """Whether it was accepted. A batch that was not may have arrived all the same."""
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                if self._subscription.protocol == "HTTP":
                    return await self._post(batch)
                return await self._write(batch)
        except (OSError, TimeoutError, SandboxFailed, EOFError, asyncio.LimitOverrunError):
            self.close()
            return False

    async def _post(self, batch: Sequence[bytes]) -> bool:
        body = b"[" + b",".join(batch) + b"]"
        head = (
            f"POST {self._subscription.path} HTTP/1.1\r\nHost: sandbox.localdomain:{self._subscription.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        reader, self._writer = await self._connected()
        try:
            self._writer.write(head.encode() + body)
            await self._writer.drain()
            status = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1:2]
            return status != [] and status[0].startswith(b"2")
        finally:
            self.close()

    async def _write(self, batch: Sequence[bytes]) -> bool:
        if self._writer is None or self._writer.is_closing():
            _, self._writer = await self._connected()
            self._writer.transport.set_write_buffer_limits(0)  # so that what is drained is with the kernel
        self._writer.write(b"".join(data + b"\n" for data in batch))
        await self._writer.drain()
        return True

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = await self._sandbox.connect(self._subscription.port)
        sock.setblocking(False)
        return await asyncio.open_connection(sock=sock, limit=_HEAD_BYTES_MAX)

    def close(self) -> None:
        """Let the connection go. The next batch makes a new one."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.transport.abort()
            self._writer = None
