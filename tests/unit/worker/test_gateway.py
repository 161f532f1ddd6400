"""What a network's ranges come to, and who answers questions for names."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from pathlib import Path

import pytest

from paddock.worker.sandbox.gateway import policy
from paddock.worker.sandbox.names import Forwarder, forward, resolvers

QUESTION = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\4name\0\0\1\0\1"
TIMEOUT_S = 20


def let_through(address: str, allowed: list[str], denied: list[str]) -> bool:
    for network, verdict in policy(allowed, denied):
        if ipaddress.IPv4Address(address) in network:
            return verdict
    return False


@pytest.mark.parametrize("address", ["1.1.1.1", "192.0.2.1", "172.32.0.1", "100.63.255.255", "223.255.255.255"])
def test_the_internet_is_what_is_not_private(address: str) -> None:
    assert let_through(address, ["internet"], [])
    assert not let_through(address, ["internet"], [f"{address}/32"])
    assert not let_through(address, [], [])


@pytest.mark.parametrize(
    "address",
    "0.0.0.0 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 "
    "192.168.255.255 198.18.0.1 198.19.255.255 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255".split(),
)
def test_private_ranges_are_not_the_internet(address: str) -> None:
    assert not let_through(address, ["internet"], [])
    is_link_local = address.startswith("169.254.")
    assert let_through(address, ["0.0.0.0/0"], []) is not is_link_local


def test_metadata_services_are_opened_by_name_alone() -> None:
    assert let_through("169.254.169.254", ["169.254.169.254/32"], [])
    assert not let_through("169.254.169.253", ["169.254.169.254/32", "0.0.0.0/0"], [])


def test_what_is_denied_goes_before_what_is_allowed() -> None:
    assert let_through("10.1.0.1", ["10.0.0.0/8"], ["10.2.0.0/16"])
    assert not let_through("10.2.0.1", ["10.0.0.0/8"], ["10.2.0.0/16"])
    assert not let_through("1.1.1.1", ["10.0.0.0/8"], [])


def test_the_resolvers_of_a_machine() -> None:
    text = "# made by hand\nnameserver 127.0.0.53\nsearch office\nnameserver  ::1\nnameserver\noptions x\n"
    assert resolvers(text) == ["127.0.0.53", "::1"]


def _answering(sock: socket.socket, lie: bool) -> None:
    """One question; with `lie`, an answer to another question comes first."""
    question, back = sock.recvfrom(512)
    if lie:
        sock.sendto(b"\xff\xff" + question[2:] + b"lie", back)
    sock.sendto(question + b"answer", back)


def test_a_question_is_passed_on_and_only_its_answer_comes_back(tmp_path: Path) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        file = tmp_path / "resolv.conf"
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        ):
            resolver.bind(("127.0.0.1", 0))
            resolver.settimeout(TIMEOUT_S)
            client.settimeout(TIMEOUT_S)
            file.write_text("nameserver 127.0.0.1\n")
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            datagrams.bind(("127.0.0.1", 0))
            place = datagrams.getsockname()
            streams = socket.create_server(("127.0.0.1", 0))
            forwarder = Forwarder(file, resolver.getsockname()[1])
            running = asyncio.ensure_future(forward(forwarder, datagrams, streams))
            client.sendto(b"too short", place)
            client.sendto(QUESTION, place)
            await loop.run_in_executor(None, _answering, resolver, True)
            answer = await loop.run_in_executor(None, client.recv, 512)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert answer == QUESTION + b"answer"

    asyncio.run(story())


def test_a_question_by_tcp_is_passed_on(tmp_path: Path) -> None:
    async def story() -> None:
        async def resolve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            question = await reader.readexactly(2 + len(QUESTION))
            writer.write((len(QUESTION) + 6).to_bytes(2, "big") + question[2:] + b"answer")
            writer.close()

        file = tmp_path / "resolv.conf"
        file.write_text("nameserver 127.0.0.1\n")
        resolver = await asyncio.start_server(resolve, "127.0.0.1", 0)
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("127.0.0.1", 0))
        streams = socket.create_server(("127.0.0.1", 0))
        port = streams.getsockname()[1]
        forwarder = Forwarder(file, resolver.sockets[0].getsockname()[1])
        running = asyncio.ensure_future(forward(forwarder, datagrams, streams))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(len(QUESTION).to_bytes(2, "big") + QUESTION)
        answer = await reader.read()
        writer.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        resolver.close()
        await resolver.wait_closed()
        assert answer[2:] == QUESTION + b"answer"

    asyncio.run(story())
