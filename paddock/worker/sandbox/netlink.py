"""Links, addresses and routes by rtnetlink, and the attributes that every netlink family shares.

A request is one datagram of messages that the kernel obeys in order; `ask` returns when it has answered each, and
raises OSError with the first refusal. Standard library only, Python 3.9: it runs in zygotes and their cells.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence

ACK = 0x4
CREATE = 0x400
EXCLUSIVE = 0x200
REQUEST = 0x1
ROUTE = 0
NETFILTER = 12

_NESTED = 0x8000
_ERROR = 2
_ANSWER_BYTES = 1 << 18
_PATIENCE_S = 5.0
_NEW_LINK, _DELETE_LINK, _NEW_ADDRESS, _NEW_ROUTE = 16, 17, 20, 24
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 3, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_ADDRESS, _LOCAL = 1, 2
_RTA_DESTINATION, _RTA_OUT, _RTA_GATEWAY = 1, 4, 5
_ONLINK = 4
_TABLE_MAIN, _PROTOCOL_STATIC, _UNICAST = 254, 4, 1
_SCOPE_WORLD, _SCOPE_LINK = 0, 253
_UP = 1


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def nested(kind: int, *inner: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind | _NESTED, b"".join(inner))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def message(kind: int, flags: int, body: bytes, sequence: int = 0) -> bytes:
    length = 16 + len(body)
    return struct.pack("=IHHII", length, kind, flags | REQUEST, sequence, 0) + body + b"\0" * (-length % 4)


def connect(family: int) -> socket.socket:
    """A netlink socket in the network namespace that the caller is in; it stays there."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
    sock.settimeout(_PATIENCE_S)
    sock.bind((0, 0))
    return sock


def ask(sock: socket.socket, messages: Sequence[bytes], answers: int, what: str) -> None:
    """Send, then wait for that many acknowledgements. OSError: the first that is a refusal, or no answer in time."""
    sock.sendto(b"".join(messages), (0, 0))
    refused = 0
    while answers > 0:
        data = sock.recv(_ANSWER_BYTES)
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            if kind == _ERROR:
                answers -= 1
                refused = refused or -struct.unpack_from("=i", data, 16)[0]
            data = data[(length + 3) & ~3 :]
        if refused:
            raise OSError(refused, f"{what}: {os.strerror(refused)}")


def _link_head(index: int, flags: int) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, flags)


def new_pair(name: str, index: int, peer: str, peer_index: int, peer_namespace: int) -> bytes:
    """A veth pair: `name` here, up, and `peer` in the namespace of that descriptor, which cannot be up until both are
    there. Index 0: the kernel's choice."""
    there = _link_head(peer_index, 0) + text(_IFLA_IFNAME, peer)
    there += attribute(_IFLA_NET_NS_FD, struct.pack("=I", peer_namespace))
    data = nested(_INFO_DATA, attribute(_VETH_PEER, there))
    kind = nested(_IFLA_LINKINFO, text(_INFO_KIND, "veth"), data)
    body = _link_head(index, _UP) + text(_IFLA_IFNAME, name) + kind
    return message(_NEW_LINK, ACK | CREATE | EXCLUSIVE, body)


def raise_link(index: int) -> bytes:
    return message(_NEW_LINK, ACK, _link_head(index, _UP))


def delete_link(index: int) -> bytes:
    return message(_DELETE_LINK, ACK, _link_head(index, 0))


def new_address(index: int, address: str, prefix: int) -> bytes:
    packed = socket.inet_aton(address)
    body = struct.pack("=BBBBI", socket.AF_INET, prefix, 0, _SCOPE_WORLD, index)
    return message(
        _NEW_ADDRESS, ACK | CREATE | EXCLUSIVE, body + attribute(_LOCAL, packed) + attribute(_ADDRESS, packed)
    )


def default_route(index: int, gateway: str) -> bytes:
    """Everything by that gateway, which is taken to be at the other end of the link whatever its address."""
    return _route(0, _SCOPE_WORLD, _ONLINK, [attribute(_RTA_GATEWAY, socket.inet_aton(gateway))], index)


def host_route(index: int, address: str) -> bytes:
    """One address lies at the other end of that link. EEXIST when it has a route already."""
    return _route(32, _SCOPE_LINK, 0, [attribute(_RTA_DESTINATION, socket.inet_aton(address))], index)


def _route(prefix: int, scope: int, flags: int, attributes: list[bytes], index: int) -> bytes:
    head = struct.pack(
        "=BBBBBBBBI", socket.AF_INET, prefix, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, scope, _UNICAST, flags
    )
    out = attribute(_RTA_OUT, struct.pack("=I", index))
    return message(_NEW_ROUTE, ACK | CREATE | EXCLUSIVE, head + b"".join(attributes) + out)
