"""The network of an environment: two doors of Paddock's, and nothing else."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.security.conftest import Attacker
from tests.support.server import RunningServer

UNREACHABLE = {"ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED", "EADDRNOTAVAIL", "EAFNOSUPPORT", "EACCES"}
SIOCGIFADDR = 0x8915


def host_addresses() -> list[str]:
    """IPv4 addresses of this machine."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(sock, SIOCGIFADDR, struct.pack("256s", name.encode()))
            except OSError:
                continue  # it has none
            found.append(socket.inet_ntoa(answer[20:24]))
    return found


@pytest.fixture(scope="module")
def listener() -> Iterator[int]:
    """A port on which this machine listens, on all its addresses that a test may use."""
    with socket.create_server(("0.0.0.0", 0)) as sock:
        yield sock.getsockname()[1]


def test_loopback_is_the_only_interface(inside: Attacker) -> None:
    assert inside("interfaces") == {"done": ["lo"]}
    assert inside("routes") == {"done": []}


def test_the_hosts_services_are_out_of_reach(inside: Attacker, listener: int) -> None:
    for address in host_addresses():
        socket.create_connection((address, listener), timeout=5).close()  # from here it can be reached
        assert inside("connect", address, listener) in UNREACHABLE, address
    assert inside("connect", "::1", listener) in UNREACHABLE
    assert inside("connect", "0.0.0.0", listener) in UNREACHABLE


def test_paddocks_port_on_the_host_is_out_of_reach(paddock: RunningServer, inside: Attacker) -> None:
    port = urlsplit(paddock.endpoint).port
    for address in host_addresses():
        assert inside("connect", address, port) in UNREACHABLE


@pytest.mark.parametrize("address", ["169.254.169.254", "169.254.170.2", "10.0.0.1", "192.168.0.1", "198.51.100.1"])
def test_metadata_and_private_networks_are_out_of_reach(inside: Attacker, address: str) -> None:
    assert inside("connect", address, 80) in UNREACHABLE
    assert inside("datagram", address, 53) in UNREACHABLE
    assert inside("connect", "fd00:ec2::254", 80) in UNREACHABLE


def test_unix_sockets_of_the_host_are_out_of_reach(inside: Attacker) -> None:
    name = f"paddock-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind("\0" + name)
        sock.listen()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect("\0" + name)  # from here it can be reached
        assert inside("connect_unix", "@" + name) == "ECONNREFUSED"
    for path in ("/run/docker.sock", "/var/run/docker.sock", "/run/systemd/private", "/run/dbus/system_bus_socket"):
        assert inside("connect_unix", path) == "ENOENT"


@pytest.mark.parametrize(
    ("name", "family", "kind", "protocol"),
    [
        ("raw IPv4", 2, 3, 1),
        ("raw IPv4, any", 2, 3, 255),
        ("raw IPv6", 10, 3, 58),
        ("ping", 2, 2, 1),
        ("packet", 17, 3, 0x0300),
        ("packet, datagram", 17, 2, 0x0300),
        ("AF_ALG", 38, 5, 0),
        ("AF_VSOCK", 40, 1, 0),
        ("AF_XDP", 44, 3, 0),
        ("AF_KEY", 15, 3, 2),
        ("AF_RDS", 21, 5, 0),
        ("AF_CAN", 29, 3, 1),
        ("AF_TIPC", 30, 5, 0),
        ("AF_BLUETOOTH", 31, 3, 1),
        ("AF_NFC", 39, 5, 0),
        ("AF_QIPCRTR", 42, 2, 0),
        ("AF_SMC", 43, 1, 0),
        ("AF_PPPOX", 24, 1, 0),
        ("AF_LLC", 26, 1, 0),
        ("SCTP", 2, 1, 132),
        ("MPTCP", 2, 1, 262),
        ("DCCP", 2, 6, 33),
        ("L2TP", 2, 2, 115),
        ("netlink, socket diagnosis", 16, 3, 4),
        ("netlink, netfilter", 16, 3, 12),
        ("netlink, audit", 16, 3, 9),
        ("netlink, xfrm", 16, 3, 6),
        ("netlink, kernel events", 16, 3, 15),
        ("netlink, generic", 16, 3, 16),
        ("netlink, crypto", 16, 3, 21),
    ],
)
def test_sockets_that_talk_to_the_kernel_or_the_wire_are_refused(
    inside: Attacker, name: str, family: int, kind: int, protocol: int
) -> None:
    refused = {"EPERM", "EACCES", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT"}
    assert inside("open_socket", family, kind, protocol) in refused, name


def test_its_own_network_cannot_be_changed(inside: Attacker) -> None:
    assert inside("add_address") == "EPERM"
    assert inside("set_hostname") == "EPERM"


def test_the_runtime_api_answers_in_its_own_network_only(inside: Attacker) -> None:
    assert inside("runtime_api", "GET", "/ping")["done"] == [200, "pong"]
    for address in host_addresses():
        assert inside("connect", address, 9001) in UNREACHABLE
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        assert sock.connect_ex(("127.0.0.1", 9001)) != 0


# -- Paddock's own API, from inside ----------------------------------------------------------------------------------


def test_whatever_key_it_shows_a_function_is_its_own_account(paddock: RunningServer, inside: Attacker) -> None:
    theirs = paddock.client("sts", account="111122223333")
    assert theirs.get_caller_identity()["Account"] == "111122223333"  # outside, the key names the account
    answer = inside("paddock", "sts", "get_caller_identity", {}, "111122223333")["done"]
    assert "000000000000" in answer
    assert "111122223333" not in answer


def test_functions_of_another_account_are_out_of_reach(paddock: RunningServer, inside: Attacker) -> None:
    theirs = paddock.client("iam", account="111122223333")
    statement = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    theirs.create_role(RoleName="theirs", AssumeRolePolicyDocument=policy)
    assert inside("paddock", "iam", "get_role", {"RoleName": "theirs"}, "111122223333")["done"] == "NoSuchEntity"
    found = inside("paddock", "iam", "list_roles", {}, "111122223333")["done"]
    assert "theirs" not in found
    arn = "arn:aws:lambda:us-east-1:111122223333:function:any"
    refused = inside("paddock", "lambda", "get_function", {"FunctionName": arn}, "111122223333")["done"]
    assert refused in {"ResourceNotFoundException", "AccessDeniedException", "InvalidParameterValueException"}
