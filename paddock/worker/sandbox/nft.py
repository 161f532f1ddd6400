"""Packet filter rules for the kernel's nf_tables, as netlink messages: no `nft` program and no library is needed.

A rule is a list of expressions: load something into register 1, compare, decide. What is built here is for IPv4
alone. A ruleset is one batch, which the kernel takes whole or not at all.

    batch = Batch("paddock")
    batch.table(owned=True)
    batch.chain("forward", hook=FORWARD, policy=DROP)
    batch.rule("forward", arrives_by("eth0"), to_network(ip_network("10.0.0.0/8")), [REJECT])
    batch.send(netlink.connect(netlink.NETFILTER))

An `owned` table belongs to the socket that made it: the kernel removes it when that socket is closed, however its
process ends. Standard library only, Python 3.9.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

from paddock.worker.sandbox import netlink
from paddock.worker.sandbox.netlink import attribute, nested, text

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = range(5)
DROP, ACCEPT = 0, 1
PRIORITY_FIRST, PRIORITY_MARK, PRIORITY_DESTINATION, PRIORITY_FILTER, PRIORITY_SOURCE = -300, -150, -100, -10, 100

_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE, _NEW_SET, _NEW_ELEMENT, _DELETE_ELEMENT = 0, 3, 6, 9, 12, 14
_OWNER = 2
_MAP = 8
_APPEND = 0x800
_TYPE_ADDRESS, _TYPE_MARK = 7, 19
_META_MARK, _META_IN, _META_OUT, _META_L4 = 3, 6, 7, 16
_EQUAL, _UNEQUAL = 0, 1
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_ESTABLISHED_OR_RELATED = 2 | 4
_ADMIN_PROHIBITED = 13

Expressions = list[bytes]


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">i", value))


def _expression(name: str, *members: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *members))


def _data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(1, value))


def _meta(key: int) -> bytes:
    return _expression("meta", _number(1, 1), _number(2, key))


def _compare(value: bytes, how: int = _EQUAL) -> bytes:
    return _expression("cmp", _number(1, 1), _number(2, how), _data(3, value))


def _payload(base: int, offset: int, length: int) -> bytes:
    return _expression("payload", _number(1, 1), _number(2, base), _number(3, offset), _number(4, length))


def _masked(mask: bytes) -> bytes:
    zero = b"\0" * len(mask)
    return _expression("bitwise", _number(1, 1), _number(2, 1), _number(3, len(mask)), _data(4, mask), _data(5, zero))


def _verdict(code: int) -> bytes:
    return _expression("immediate", _number(1, 0), nested(2, nested(2, _number(1, code))))


def _interface(name: str) -> bytes:
    return name.encode().ljust(16, b"\0")


ACCEPTED = _verdict(ACCEPT)
DROPPED = _verdict(DROP)
REJECT = _expression("reject", _number(1, 0), attribute(2, bytes([_ADMIN_PROHIBITED])))
MASQUERADE = _expression("masq")


def arrives_by(name: str) -> Expressions:
    return [_meta(_META_IN), _compare(_interface(name))]


def leaves_by(name: str) -> Expressions:
    return [_meta(_META_OUT), _compare(_interface(name))]


def leaves_not_by(name: str) -> Expressions:
    return [_meta(_META_OUT), _compare(_interface(name), _UNEQUAL)]


def of_an_answered_flow() -> Expressions:
    """Belongs to a connection that was let through before, or is an error message about one."""
    state = _expression("ct", _number(1, 1), _number(2, 0))
    mask = struct.pack("=I", _ESTABLISHED_OR_RELATED)
    return [state, _masked(mask), _compare(b"\0\0\0\0", _UNEQUAL)]


def to_network(network: ipaddress.IPv4Network) -> Expressions:
    return _within(16, network)


def from_network(network: ipaddress.IPv4Network) -> Expressions:
    return _within(12, network)


def _within(offset: int, network: ipaddress.IPv4Network) -> Expressions:
    address = _payload(_NETWORK_HEADER, offset, 4)
    return [address, _masked(network.netmask.packed), _compare(network.network_address.packed)]


def to_this_machine() -> Expressions:
    """One of the addresses of the namespace that the rule is in, broadcast ones left out."""
    kind = _expression("fib", _number(1, 1), _number(2, 3), _number(3, 2))
    return [kind, _compare(struct.pack("=I", 2))]


def to_port(protocol: int, port: int) -> Expressions:
    """protocol: socket.IPPROTO_TCP or IPPROTO_UDP."""
    number = _payload(_TRANSPORT_HEADER, 2, 2)
    return [_meta(_META_L4), _compare(bytes([protocol])), number, _compare(struct.pack(">H", port))]


def is_marked(mark: int) -> Expressions:
    return [_meta(_META_MARK), _compare(struct.pack("=I", mark))]


def marked_by_source(name: str) -> Expressions:
    """The packet's mark is what the map `name` holds for its source address; a source it does not hold stays as is."""
    found = _expression("lookup", text(1, name), _number(2, 1), _number(3, 1))
    return [_payload(_NETWORK_HEADER, 12, 4), found, _expression("meta", _number(2, _META_MARK), _number(3, 1))]


def sent_on_to(address: str) -> Expressions:
    """Goes to that address instead, at the same port."""
    load = _expression("immediate", _number(1, 1), _data(2, socket.inet_aton(address)))
    nat = _expression("nat", _number(1, 1), _number(2, socket.AF_INET), _number(3, 1))
    return [load, nat]


class Batch:
    """Messages that take effect together, in one table for IPv4."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._messages: list[bytes] = []

    def _add(self, kind: int, flags: int, *members: bytes) -> None:
        head = struct.pack(">BBH", socket.AF_INET, 0, 0)
        body = head + b"".join(members)
        number = _SUBSYSTEM << 8 | kind
        self._messages.append(netlink.message(number, flags | netlink.ACK, body, len(self._messages) + 1))

    def table(self, owned: bool) -> None:
        """Make the table. OSError(EEXIST) on sending when it is there."""
        flags = netlink.CREATE | netlink.EXCLUSIVE
        self._add(_NEW_TABLE, flags, text(1, self._table), _number(2, _OWNER if owned else 0))

    def chain(self, name: str, *, hook: int, policy: int, kind: str = "filter", priority: int = 0) -> None:
        where = nested(4, _number(1, hook), _number(2, priority))
        members = (text(1, self._table), text(3, name), where, _number(5, policy), text(7, kind))
        self._add(_NEW_CHAIN, netlink.CREATE, *members)

    def rule(self, chain: str, *parts: Expressions) -> None:
        expressions = nested(4, *[one for part in parts for one in part])
        self._add(_NEW_RULE, netlink.CREATE | _APPEND, text(1, self._table), text(2, chain), expressions)

    def map_of_marks(self, name: str) -> None:
        """An empty map from source address to mark."""
        kinds = (_number(4, _TYPE_ADDRESS), _number(5, 4), _number(6, _TYPE_MARK), _number(7, 4))
        self._add(
            _NEW_SET, netlink.CREATE, text(1, self._table), text(2, name), _number(3, _MAP), *kinds, _number(10, 1)
        )

    def put(self, name: str, address: str, mark: int) -> None:
        value = _data(2, struct.pack("=I", mark))
        self._element(_NEW_ELEMENT, netlink.CREATE, name, _data(1, socket.inet_aton(address)), value)

    def remove(self, name: str, address: str) -> None:
        self._element(_DELETE_ELEMENT, 0, name, _data(1, socket.inet_aton(address)))

    def _element(self, kind: int, flags: int, name: str, *members: bytes) -> None:
        self._add(kind, flags, text(1, self._table), text(2, name), nested(3, nested(1, *members)))

    def send(self, sock: socket.socket) -> None:
        """All or nothing. Raises OSError; the kernel says no more than its errno."""
        edge = struct.pack(">BBH", socket.AF_UNSPEC, 0, _SUBSYSTEM)
        begin = netlink.message(_BATCH_BEGIN, 0, edge)
        end = netlink.message(_BATCH_END, 0, edge, len(self._messages) + 1)
        netlink.ask(
            sock, [begin, *self._messages, end], len(self._messages), f"the packet filter's table {self._table}"
        )
