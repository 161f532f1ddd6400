"""A small network of namespaces that a test makes itself: a machine for Paddock, and all of the world behind one link.

    with World() as world:          # this thread is on the machine from here on
        with RunningServer(...):    # so is what it starts

        machine 192.0.2.2 --veth-- 192.0.2.1 world: every address of WORLD answers on TCP and UDP port 80

The world is threads of the test's process, with sockets that were made inside it. Needs root.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from paddock.worker.sandbox import linux, netlink

MACHINE = "192.0.2.2"
ROUTER = "192.0.2.1"
PUBLIC = "203.0.113.10"
RESOLVER = "203.0.113.53"
OFFICE = "10.9.9.9"
OFFICE_RESOLVER = "10.53.53.53"
PORT = 80
_DNS_PORT = 53


_RESOLVERS = {RESOLVER: PUBLIC, OFFICE_RESOLVER: OFFICE}
"""Where names are asked for -> the address that every name has there."""


class World:
    """addresses: what exists in the world besides the resolver. asked: names that the resolver was asked for.

    callers: address of everyone who connected. datagrams: (payload, from) of everything that came by UDP.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = [*addresses, *_RESOLVERS]
        self.callers: list[str] = []
        self.datagrams: list[tuple[bytes, str]] = []
        self._sockets: list[socket.socket] = []
        self._own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> World:
        linux.unshare(linux.CLONE_NEWNET)
        self._world = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._populate()
        linux.unshare(linux.CLONE_NEWNET)
        self.machine = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        with netlink.connect(netlink.ROUTE) as here:
            steps = [
                netlink.raise_link(1),
                netlink.new_pair("eth0", 2, "eth0", 2, self._world),
                netlink.new_address(2, MACHINE, 24),
            ]
            netlink.ask(here, steps, 3, "the machine")
        self._in_world(self._connect)
        with netlink.connect(netlink.ROUTE) as here:
            netlink.ask(here, [netlink.default_route(2, ROUTER)], 1, "the way out")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        linux.setns(self._own, linux.CLONE_NEWNET)
        for sock in self._sockets:
            sock.close()
        for fd in (self._own, self._world, self.machine):
            os.close(fd)

    def reach_from_world(self, address: str, port: int) -> int:
        """connect() out there, with the machine as the way to everything: its errno, 0 when it was answered."""
        found: list[int] = []

        def attempt() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
                sock.settimeout(1)
                found.append(sock.connect_ex((address, port)))

        self._in_world(attempt)
        return found[0]

    def _in_world(self, work: Callable[[], None]) -> None:
        linux.setns(self._world, linux.CLONE_NEWNET)
        try:
            work()
        finally:
            linux.setns(self.machine, linux.CLONE_NEWNET)

    def _populate(self) -> None:
        with netlink.connect(netlink.ROUTE) as there:
            steps = [netlink.raise_link(1), *(netlink.new_address(1, address, 32) for address in self._addresses)]
            netlink.ask(there, steps, len(steps), "the world")
        streams = socket.create_server(("0.0.0.0", PORT), backlog=64)
        self._serve(streams, self._welcome)
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("0.0.0.0", PORT))
        self._serve(datagrams, self._note)
        for resolver in _RESOLVERS:
            names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            names.bind((resolver, _DNS_PORT))  # an answer comes from where the question went
            self._serve(names, self._answer)

    def _connect(self) -> None:
        with netlink.connect(netlink.ROUTE) as there:
            steps = [netlink.raise_link(2), netlink.new_address(2, ROUTER, 24), netlink.default_route(2, MACHINE)]
            netlink.ask(there, steps, 3, "the router")

    def _serve(self, sock: socket.socket, each: Callable[[socket.socket], None]) -> None:
        def serve() -> None:
            while True:
                try:
                    each(sock)
                except OSError:
                    return

        self._sockets.append(sock)
        threading.Thread(target=serve, daemon=True).start()

    def _welcome(self, sock: socket.socket) -> None:
        connected, (address, _) = sock.accept()
        self.callers.append(address)
        connected.close()

    def _note(self, sock: socket.socket) -> None:
        data, (address, _) = sock.recvfrom(2048)
        self.datagrams.append((data, address))

    def _answer(self, sock: socket.socket) -> None:
        """Every name has one address, and no IPv6 address."""
        question, back = sock.recvfrom(2048)
        end = question.index(b"\0", 12) + 5
        is_ipv4 = question[end - 4 : end - 2] == b"\0\1"
        head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, int(is_ipv4), 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(_RESOLVERS[sock.getsockname()[0]])
        sock.sendto(head + question[12:end] + (record if is_ipv4 else b""), back)


def with_resolver(directory: Path, address: str) -> list[str]:
    """A launcher under which the machine's resolver is that address."""
    file = directory / "resolv.conf"
    file.write_text(f"nameserver {address}\n")
    return ["unshare", "--mount", "sh", "-c", f'mount --bind {file} "$(realpath /etc/resolv.conf)" && exec "$@"', "sh"]
