"""DNS for environments: a small forwarder that listens in the gateway and asks the host's own resolvers.

The host's resolver is often at an address that no environment may reach (127.0.0.53, a router at 192.168.1.1), so
questions are passed on from the host's network: each from a socket and a port of its own, answers by the resolver's
connected socket only. It runs without privilege, in a process of its own that the jailer starts and replaces.

Nothing is cached or looked into: bytes in, bytes out, the number of open questions bounded in all and for each
environment, so that one that floods does not silence the others.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from pathlib import Path

from paddock.worker.sandbox import linux

RESOLVERS = Path("/etc/resolv.conf")
DNS_PORT = 53

_OPEN_MAX = 1024
_OPEN_EACH_MAX = 64
_STREAMS_MAX = 128
_PATIENCE_S = 5.0
_LONGEST = 65535


def resolvers(text: str) -> list[str]:
    """Addresses of the name servers in a resolv.conf, in order."""
    words = [line.split() for line in text.splitlines()]
    return [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]


class _Question(asyncio.DatagramProtocol):
    """One question on its way: the first answer that bears its number goes back to who asked."""

    def __init__(self, question: bytes, answered: asyncio.Future[bytes]) -> None:
        self._question = question
        self._answered = answered

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override] # it is one
        transport.sendto(self._question)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data[:2] == self._question[:2] and not self._answered.done():
            self._answered.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answered.done():
            self._answered.set_exception(exc)


class Forwarder(asyncio.DatagramProtocol):
    """port: of the resolvers, for tests."""

    def __init__(self, file: Path = RESOLVERS, port: int = DNS_PORT) -> None:
        self._file = file
        self._port = port
        self._open: Counter[str] = Counter()
        self._streams = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override] # it is one
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) < 12 or self._open.total() >= _OPEN_MAX or self._open[addr[0]] >= _OPEN_EACH_MAX:
            return
        self._open[addr[0]] += 1
        task = asyncio.get_running_loop().create_task(self._pass_on(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, question: bytes, addr: tuple[str, int]) -> None:
        try:
            for server in self._servers():
                answer = await self._ask(server, question)
                if answer:
                    self._transport.sendto(answer, addr)
                    return
        finally:
            self._open[addr[0]] -= 1
            if not self._open[addr[0]]:
                del self._open[addr[0]]

    def _servers(self) -> list[str]:
        """Read anew for each question: the host may have moved to another network."""
        try:
            return resolvers(self._file.read_text())[:3]
        except OSError:
            return []

    async def _ask(self, server: str, question: bytes) -> bytes:
        """The answer, or b"" when there is none in time."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[bytes] = loop.create_future()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Question(question, answered), remote_addr=(server, self._port)
            )
        except OSError:
            return b""
        try:
            return await asyncio.wait_for(answered, _PATIENCE_S)
        except (OSError, TimeoutError):
            return b""
        finally:
            transport.close()

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A question by TCP, with its two bytes of length. One for each connection."""
        if self._streams >= _STREAMS_MAX:
            writer.close()
            return
        self._streams += 1
        try:
            async with asyncio.timeout(_PATIENCE_S):
                question = await _framed(reader)
                for server in self._servers()[:1]:
                    near, far = await asyncio.open_connection(server, self._port)
                    try:
                        far.write(question)
                        writer.write(await _framed(near))
                        await writer.drain()
                    finally:
                        far.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # who asked sees the end, and asks again
        finally:
            self._streams -= 1
            writer.close()


async def _framed(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(2)
    return head + await reader.readexactly(int.from_bytes(head, "big"))


async def forward(forwarder: Forwarder, datagrams: socket.socket, streams: socket.socket) -> None:
    """Answer on these two sockets until cancelled."""
    datagrams.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: forwarder, sock=datagrams)
    try:
        server = await asyncio.start_server(forwarder.stream, sock=streams, limit=_LONGEST)
        await server.serve_forever()
    finally:
        transport.close()


def become(datagrams: socket.socket, streams: socket.socket, uid: int) -> None:
    """Turn this freshly forked process into the forwarder. Never returns."""
    linux.die_with_parent()
    keep = {datagrams.fileno(), streams.fileno()}
    for fd in range(3, max(keep)):
        if fd not in keep:
            try:
                os.close(fd)
            except OSError:
                continue  # it was not open
    linux.close_range(max(keep) + 1)
    linux.set_process_name("paddock-names")
    linux.drop_bounding_set()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    linux.drop_capabilities()
    linux.die_with_parent()  # the change of credentials has cleared it
    asyncio.run(forward(Forwarder(), datagrams, streams))
