"""The way out: what a function reaches with egress, and that it is nothing more. In namespaces of the test's own."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from paddock.worker.sandbox import netlink, nft
from tests.security.conftest import Attacker
from tests.support import networks
from tests.support.networks import MACHINE, OFFICE, OFFICE_RESOLVER, PORT, PUBLIC, RESOLVER, World
from tests.support.server import RunningServer

PRIVATE = ["10.9.9.9", "172.16.5.5", "172.31.255.1", "192.168.7.7", "100.64.3.3", "100.127.255.1", "169.254.169.254"]
PRIVATE += ["169.254.170.2", "192.0.0.8", "198.19.255.9", "203.0.113.99"]
NEVER = ["224.0.0.1", "239.1.2.3", "255.255.255.255", "240.0.0.1", "127.0.0.1", "127.1.2.3", "0.0.0.0"]
UNREACHABLE = {"ENETUNREACH", "EHOSTUNREACH", "EACCES", "EPERM", "EINVAL", "ECONNREFUSED", "TimeoutError", "ETIMEDOUT"}


NETWORKS = [
    {
        "name": "office",
        "vpc_id": "vpc-0ff1ce",
        "subnets": ["subnet-0a", "subnet-0b"],
        "security_groups": ["sg-0a"],
        "allowed": ["10.0.0.0/8"],
        "denied": ["10.200.0.0/16"],
        "dns": OFFICE_RESOLVER,
    },
    {"name": "shut", "subnets": ["subnet-0c"], "security_groups": ["sg-0c"]},
]
IN_OFFICE = {"SubnetIds": ["subnet-0b", "subnet-0a"], "SecurityGroupIds": ["sg-0a"]}
IN_SHUT = {"SubnetIds": ["subnet-0c"], "SecurityGroupIds": ["sg-0c"]}
_ARN = "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-"
BOOKS, DESK, NOBODYS = (_ARN + digit * 17 for digit in "123")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need tests that run as root")
    with World([PUBLIC, *PRIVATE, "10.200.1.1"]) as world:
        yield world


@pytest.fixture(scope="module")
def paddock(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    directory = tmp_path_factory.mktemp("egress")
    launcher = networks.with_resolver(directory, RESOLVER)
    for name in ("books", "desk"):
        (directory / name).mkdir(mode=0o777)
        (directory / name).chmod(0o777)
    (directory / "books" / "one").write_text("once")
    (directory / "desk" / "note").write_text("old")
    (directory / "desk" / "note").chmod(0o666)
    shelves = [{"arn": BOOKS, "directory": str(directory / "books")}]
    shelves += [{"arn": DESK, "directory": str(directory / "desk"), "access": "write"}]
    settings = {"networks": json.dumps(NETWORKS), "file_systems": json.dumps(shelves)}
    with RunningServer(directory, launcher=launcher, network="egress", **settings) as server:
        yield server


@pytest.fixture(scope="module")
def inside(paddock: RunningServer) -> Attacker:
    return Attacker(paddock, "attacker")


@pytest.fixture(scope="module")
def listener(world: World) -> Iterator[int]:
    with socket.create_server(("0.0.0.0", 0)) as sock:
        yield sock.getsockname()[1]


def test_the_internet_is_reached_from_the_machines_address(world: World, inside: Attacker) -> None:
    world.callers.clear()
    assert inside("connect", PUBLIC, PORT) == {"done": "connected"}
    assert world.callers == [MACHINE]


def test_names_are_resolved(inside: Attacker) -> None:
    assert inside("addresses", "any.example.com") == {"done": [PUBLIC]}


@pytest.mark.parametrize("address", PRIVATE[:-1])
def test_private_addresses_are_closed(world: World, inside: Attacker, address: str) -> None:
    socket.create_connection((address, PORT), timeout=5).close()  # the machine itself reaches it
    world.datagrams.clear()
    refused, _, sent = inside.all(
        ("connect", address, PORT), ("datagram", address, PORT), ("send_from", "0.0.0.0", PUBLIC, PORT, "last")
    )
    assert refused in UNREACHABLE
    assert sent == {"done": 4}
    _wait_for(world, b"last")
    assert [data for data, _ in world.datagrams] == [b"last"]


@pytest.mark.parametrize("address", NEVER)
def test_addresses_of_nobody_and_of_everybody_are_closed(world: World, inside: Attacker, address: str) -> None:
    assert inside("connect", address, PORT) in UNREACHABLE


def test_the_machine_itself_is_closed(paddock: RunningServer, inside: Attacker, listener: int) -> None:
    port = int(paddock.endpoint.rpartition(":")[2])
    for address in (MACHINE, "198.18.0.1"):
        socket.create_connection((address, listener), timeout=5).close()
        assert inside("connect", address, listener) in UNREACHABLE, address
        assert inside("connect", address, port) in UNREACHABLE, address
    for address in ("198.18.0.2", "198.18.16.1"):  # the gateway: names, nothing else
        assert inside("connect", address, listener) in UNREACHABLE, address
    assert inside("connect", "198.18.16.1", 53) == {"done": "connected"}


def test_environments_do_not_reach_each_other(paddock: RunningServer, inside: Attacker) -> None:
    neighbour = Attacker(paddock, "neighbour")
    assert neighbour("listen_tcp", 7000) == {"done": "listening"}
    address = neighbour("own_address")["done"]
    assert inside("own_address")["done"] != address
    assert inside("connect", address, 7000) in UNREACHABLE
    assert inside("connect", address, 9001) in UNREACHABLE  # its Runtime API


def test_nobody_comes_in(world: World, inside: Attacker) -> None:
    inside("listen_tcp", 7001)
    address = inside("own_address")["done"]
    assert world.reach_from_world(address, 7001) != 0
    assert world.reach_from_world("198.18.16.1", 53) != 0


@pytest.mark.parametrize("source", ["169.254.100.1", "198.18.32.200", "203.0.113.77"])
def test_a_source_address_is_not_made_up(world: World, inside: Attacker, source: str) -> None:
    world.datagrams.clear()
    inside.all(("send_from", source, PUBLIC, PORT, "false"), ("send_from", "0.0.0.0", PUBLIC, PORT, "true"))
    _wait_for(world, b"true")
    assert [data for data, _ in world.datagrams] == [b"true"]


@pytest.mark.parametrize("address", ["2001:db8::1", "fd00::2", "fe80::1", "::ffff:10.9.9.9", "ff02::1", "::1"])
def test_there_is_no_ipv6(inside: Attacker, address: str) -> None:
    assert inside("connect", address, PORT) in UNREACHABLE | {"EADDRNOTAVAIL", "EINVAL", "EAFNOSUPPORT"}


def test_what_it_has_is_one_interface(inside: Attacker) -> None:
    assert inside("interfaces") == {"done": ["eth0", "lo"]}
    assert inside("open_socket", 2, 3, 1) == "EPROTONOSUPPORT"
    assert inside("open_socket", 17, 3, 0x0300) == "EPERM"


def test_the_runtime_api_is_where_it_was(inside: Attacker) -> None:
    assert inside("runtime_api", "GET", "/ping")["done"] == [200, "pong"]
    assert "000000000000" in inside("paddock", "sts", "get_caller_identity", {})["done"]


def test_a_flood_of_questions_leaves_others_their_answers(paddock: RunningServer, inside: Attacker) -> None:
    flooding = Attacker(paddock, "flooding")
    assert flooding("flood_with_questions", "198.18.16.1", 5000) == {"done": 5000}
    assert inside("addresses", "other.example.com") == {"done": [PUBLIC]}


def test_a_forwarder_of_names_that_ends_is_replaced(paddock: RunningServer, inside: Attacker) -> None:
    children = Path(f"/proc/{paddock.pid}/task/{paddock.pid}/children").read_text().split()
    (names,) = (pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == "paddock-names\n")
    os.kill(int(names), signal.SIGKILL)
    assert inside("addresses", "again.example.com") == {"done": [PUBLIC]}


# -- named networks --------------------------------------------------------------------------------------------------


def test_a_named_network_opens_what_it_names_and_no_more(paddock: RunningServer) -> None:
    clerk = Attacker(paddock, "clerk", VpcConfig=IN_OFFICE)
    shown = paddock.client("lambda").get_function_configuration(FunctionName="clerk")["VpcConfig"]
    assert shown == {**IN_OFFICE, "VpcId": "vpc-0ff1ce", "Ipv6AllowedForDualStack": False}
    assert clerk("connect", OFFICE, PORT) == {"done": "connected"}
    assert clerk("addresses", "files.office") == {"done": [OFFICE]}
    for address in ("10.200.1.1", "172.16.5.5", "169.254.169.254", PUBLIC, MACHINE, "198.18.0.1"):
        assert clerk("connect", address, PORT) in UNREACHABLE, address


def test_a_network_that_names_nothing_is_shut(paddock: RunningServer) -> None:
    prisoner = Attacker(paddock, "prisoner", VpcConfig=IN_SHUT)
    assert prisoner("connect", PUBLIC, PORT) in UNREACHABLE
    assert prisoner("connect", OFFICE, PORT) in UNREACHABLE
    assert prisoner("runtime_api", "GET", "/ping")["done"] == [200, "pong"]


def test_an_update_moves_a_function_to_another_network(paddock: RunningServer) -> None:
    mover = Attacker(paddock, "mover", VpcConfig=IN_OFFICE)
    assert mover("connect", OFFICE, PORT) == {"done": "connected"}
    client = paddock.client("lambda")
    empty: dict[str, list[str]] = {"SubnetIds": [], "SecurityGroupIds": []}
    client.update_function_configuration(FunctionName="mover", VpcConfig=empty)
    client.get_waiter("function_updated_v2").wait(FunctionName="mover", WaiterConfig={"Delay": 0.05})
    assert client.get_function_configuration(FunctionName="mover")["VpcConfig"]["VpcId"] == ""
    assert mover("connect", OFFICE, PORT) in UNREACHABLE
    assert mover("connect", PUBLIC, PORT) == {"done": "connected"}


# -- file systems ----------------------------------------------------------------------------------------------------


def test_a_directory_that_the_operator_allows_is_mounted(paddock: RunningServer, inside: Attacker) -> None:
    def mounting(name: str, arn: str) -> Attacker:
        mounts = [{"Arn": arn, "LocalMountPath": "/mnt/it"}]
        return Attacker(paddock, name, VpcConfig=IN_SHUT, FileSystemConfigs=mounts)

    reader, writer = mounting("reader", BOOKS), mounting("writer", DESK)
    shown = paddock.client("lambda").get_function_configuration(FunctionName="reader")["FileSystemConfigs"]
    assert shown == [{"Arn": BOOKS, "LocalMountPath": "/mnt/it"}]
    assert reader("read", "/mnt/it/one") == {"done": "once"}
    assert reader("create", "/mnt/it") == "EROFS"
    assert reader("listing", "/mnt/it/..") == {"done": ["it"]}
    assert writer("create", "/mnt/it") == {"done": "/mnt/it/intruder"}
    assert writer("create", "/mnt") == "EROFS"
    assert writer("listing", "/mnt/it/../..")["done"] == inside("listing", "/")["done"]
    assert writer("write", "/mnt/it/note", "new") == {"done": 3}
    assert (paddock.data_dir.parent / "desk" / "note").read_text() == "new"
    assert reader("write", "/mnt/it/one", "new") in {"EROFS", "EACCES"}
    assert inside("listing", "/mnt") == {"done": []}


def test_a_killed_paddock_leaves_nothing(world: World, tmp_path: Path) -> None:
    before = {name for _, name in socket.if_nameindex()}
    server = RunningServer(tmp_path, network="egress").start()
    (link,) = {name for _, name in socket.if_nameindex()} - before
    with netlink.connect(netlink.NETFILTER) as sock, pytest.raises(OSError, match="not permitted"):
        _table(link).send(sock)
    os.kill(server.pid, signal.SIGKILL)
    assert server.stop() == -signal.SIGKILL
    while {name for _, name in socket.if_nameindex()} != before:
        pass  # the kernel takes namespaces down in the background; the test's own time limit ends this
    with netlink.connect(netlink.NETFILTER) as sock:
        _table(link).send(sock)


def _table(name: str) -> nft.Batch:
    """Makes a table that goes with its socket, if there is none of that name."""
    batch = nft.Batch(name)
    batch.table(owned=True)
    return batch


def _wait_for(world: World, last: bytes) -> None:
    while last not in [data for data, _ in world.datagrams]:
        pass  # the test's own time limit ends this
