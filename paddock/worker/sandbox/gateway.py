"""The gateway between environments and the network: a namespace of Paddock's own, and one link of it to the host.

    environment --veth-- gateway namespace --veth-- host --NAT-- network
                         policy, DNS, NAT           one address, closed to the host itself

All policy stands in the gateway, where nothing of the host is at stake: which addresses may be reached from which
named network, that environments never reach each other, that a source address is the sender's own (strict reverse
path), that nobody comes in. On the host there is one interface, one table of the packet filter, and forwarding
between interfaces switched on (`net.ipv4.ip_forward`), the one setting of the host that Paddock changes.

The table on the host belongs to the jailer's socket and the interface to the gateway's namespace, so both go with the
jailer, even by kill -9. IPv4 only: environments have no IPv6 address, and the gateway has IPv6 switched off.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paddock.worker.sandbox import linux, netlink, nft
from paddock.worker.sandbox.egress import NETWORKS, TABLE

DENIED = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
LINK_LOCAL = ipaddress.IPv4Network("169.254.0.0/16")
EVERYTHING = ipaddress.IPv4Network("0.0.0.0/0")
INTERNET = "internet"
DNS_PORT = 53

_UPLINK = "up0"
_UPLINK_INDEX = 2
_LOOPBACK_INDEX = 1
_LINKS = 1024  # of four addresses each, at the beginning of the pool
_PLUGS_FROM = 8192
_PLUGS_EACH = 8192
_NUMBERS = Path("/proc/sys/net")


def _write(name: str, value: str) -> None:
    (_NUMBERS / name).write_text(value)


class Gateway:
    """Lives as long as its descriptors. Making one raises OSError when this machine or its settings do not allow it.

    pool: addresses for links and environments. networks: as config.Networks gives them. is_open: whether environments
    of no named network reach the internet.
    """

    def __init__(self, pool: str, networks: Sequence[Mapping[str, Any]], is_open: bool) -> None:
        self._pool = ipaddress.IPv4Network(pool)
        self._networks = networks
        self.address = str(self._pool[_LINKS * 4 + 1])
        self._own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        number, self._lock = self._free_link()
        self._host_end, self._far_end = str(self._pool[number * 4 + 1]), str(self._pool[number * 4 + 2])
        self._name = f"paddock{number}"
        with self._in(lambda: linux.unshare(linux.CLONE_NEWNET)):
            self.namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._join_host()
        with self._inside():
            self._join_gateway()
            self._rules(is_open)
            self.listeners = self._listen()
        self._host_rules()
        self.turned_on_forwarding = _forward()

    @contextmanager
    def _in(self, enter: Callable[[], None]) -> Iterator[None]:
        enter()
        try:
            yield
        finally:
            linux.setns(self._own, linux.CLONE_NEWNET)

    def _inside(self) -> Any:
        return self._in(lambda: linux.setns(self.namespace, linux.CLONE_NEWNET))

    def _free_link(self) -> tuple[int, socket.socket]:
        """(number, lock) of four addresses that no other Paddock holds and no route of the host covers."""
        routes = host_routes()
        for number in range(_LINKS):
            link = ipaddress.IPv4Network((int(self._pool[number * 4]), 30))
            if any(route.overlaps(link) for route in routes) or Path(f"/sys/class/net/paddock{number}").exists():
                continue
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                lock.bind(f"\0paddock-link-{number}")
                return number, lock
            except OSError:
                lock.close()
        raise OSError(errno.EADDRINUSE, f"network_pool {self._pool} clashes with the routes of this machine")

    def _join_host(self) -> None:
        with netlink.connect(netlink.ROUTE) as here:
            pair = netlink.new_pair(self._name, 0, _UPLINK, _UPLINK_INDEX, self.namespace)
            netlink.ask(here, [pair], 1, "a veth pair for the gateway")
            index = socket.if_nametoindex(self._name)
            if (_NUMBERS / "ipv6").exists():
                _write(f"ipv6/conf/{self._name}/disable_ipv6", "1")
            netlink.ask(here, [netlink.new_address(index, self._host_end, 30)], 1, "the gateway's address")

    def _join_gateway(self) -> None:
        _write("ipv4/ip_forward", "1")
        _write("ipv4/conf/all/rp_filter", "1")
        _write("ipv4/conf/all/send_redirects", "0")
        if (_NUMBERS / "ipv6").exists():
            _write("ipv6/conf/all/disable_ipv6", "1")
            _write("ipv6/conf/default/disable_ipv6", "1")
        steps = [
            netlink.raise_link(_LOOPBACK_INDEX),
            netlink.raise_link(_UPLINK_INDEX),
            netlink.new_address(_LOOPBACK_INDEX, self.address, 32),
            netlink.new_address(_UPLINK_INDEX, self._far_end, 30),
            netlink.default_route(_UPLINK_INDEX, self._host_end),
        ]
        with netlink.connect(netlink.ROUTE) as here:
            netlink.ask(here, steps, len(steps), "the gateway's routes")

    def _rules(self, is_open: bool) -> None:
        batch = nft.Batch(TABLE)
        batch.table(owned=False)
        batch.map_of_marks(NETWORKS)
        batch.chain("mark", hook=nft.PREROUTING, policy=nft.ACCEPT, priority=nft.PRIORITY_MARK)
        batch.rule("mark", nft.marked_by_source(NETWORKS))
        self._rules_for_names(batch, is_open)
        self._rules_for_traffic(batch, is_open)
        batch.chain("nat", hook=nft.POSTROUTING, policy=nft.ACCEPT, kind="nat", priority=nft.PRIORITY_SOURCE)
        batch.rule("nat", nft.leaves_by(_UPLINK), [nft.MASQUERADE])
        with netlink.connect(netlink.NETFILTER) as sock:
            batch.send(sock)

    def _rules_for_names(self, batch: nft.Batch, is_open: bool) -> None:
        """Our forwarder answers at the gateway's address, or a network's own server is asked in its place."""
        here = nft.to_network(ipaddress.IPv4Network(self.address))
        batch.chain("dns", hook=nft.PREROUTING, policy=nft.ACCEPT, kind="nat", priority=nft.PRIORITY_DESTINATION)
        batch.chain("in", hook=nft.INPUT, policy=nft.DROP)
        batch.rule("in", nft.of_an_answered_flow(), [nft.ACCEPTED])
        batch.rule("in", nft.arrives_by(_UPLINK), [nft.DROPPED])
        asking = [here + nft.to_port(protocol, DNS_PORT) for protocol in (socket.IPPROTO_UDP, socket.IPPROTO_TCP)]
        for mark, network in enumerate(self._networks, 1):
            for question in asking:
                if network["dns"]:
                    batch.rule("dns", nft.is_marked(mark), question, nft.sent_on_to(network["dns"]))
                else:
                    batch.rule("in", nft.is_marked(mark), question, [nft.ACCEPTED])
        if is_open:
            for question in asking:
                batch.rule("in", nft.is_marked(0), question, [nft.ACCEPTED])
        batch.rule("in", [nft.REJECT])

    def _rules_for_traffic(self, batch: nft.Batch, is_open: bool) -> None:
        batch.chain("forward", hook=nft.FORWARD, policy=nft.DROP)
        batch.rule("forward", nft.of_an_answered_flow(), [nft.ACCEPTED])
        batch.rule("forward", nft.arrives_by(_UPLINK), [nft.DROPPED])
        batch.rule("forward", nft.leaves_not_by(_UPLINK), [nft.REJECT])
        for mark, network in enumerate(self._networks, 1):
            of_it = nft.is_marked(mark)
            if network["dns"]:
                server = nft.to_network(ipaddress.IPv4Network(network["dns"]))
                for protocol in (socket.IPPROTO_UDP, socket.IPPROTO_TCP):
                    batch.rule("forward", of_it, server, nft.to_port(protocol, DNS_PORT), [nft.ACCEPTED])
            for target, verdict in policy(network["allowed"], network["denied"]):
                batch.rule("forward", of_it, nft.to_network(target), [nft.ACCEPTED if verdict else nft.REJECT])
            batch.rule("forward", of_it, [nft.REJECT])
        for target, verdict in policy((INTERNET,) if is_open else (), ()):
            batch.rule("forward", nft.to_network(target), [nft.ACCEPTED if verdict else nft.REJECT])
        batch.rule("forward", [nft.REJECT])

    def _listen(self) -> tuple[socket.socket, socket.socket]:
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((self.address, DNS_PORT))
        streams = socket.create_server((self.address, DNS_PORT), backlog=64)
        return datagrams, streams

    def _host_rules(self) -> None:
        """Closed to the host's own addresses, before anything can rewrite where a packet goes; nobody comes in."""
        ours = nft.from_network(ipaddress.IPv4Network(self._far_end))
        batch = nft.Batch(self._name)
        batch.table(owned=True)
        batch.chain("first", hook=nft.PREROUTING, policy=nft.ACCEPT, priority=nft.PRIORITY_FIRST)
        batch.rule("first", nft.arrives_by(self._name), nft.to_this_machine(), [nft.REJECT])
        batch.chain("in", hook=nft.INPUT, policy=nft.ACCEPT, priority=nft.PRIORITY_FILTER)
        batch.rule("in", nft.arrives_by(self._name), [nft.DROPPED])
        batch.chain("forward", hook=nft.FORWARD, policy=nft.ACCEPT, priority=nft.PRIORITY_FILTER)
        batch.rule("forward", nft.leaves_by(self._name), nft.of_an_answered_flow(), [nft.ACCEPTED])
        batch.rule("forward", nft.leaves_by(self._name), [nft.DROPPED])
        batch.chain("nat", hook=nft.POSTROUTING, policy=nft.ACCEPT, kind="nat", priority=nft.PRIORITY_SOURCE)
        batch.rule("nat", ours, nft.leaves_not_by(self._name), [nft.MASQUERADE])
        self._filter = netlink.connect(netlink.NETFILTER)  # the table is its, and goes with it
        batch.send(self._filter)

    def share(self, block: int) -> dict[str, Any]:
        """What egress.Plugs of the zygote with that number is given."""
        shares = max(1, (self._pool.num_addresses - _PLUGS_FROM) // _PLUGS_EACH)
        number = _PLUGS_EACH * (block % shares)
        marks = {network["name"]: mark for mark, network in enumerate(self._networks, 1)}
        first = str(self._pool[_PLUGS_FROM + number])
        return {
            "gateway": self.address,
            "first": first,
            "number_first": number,
            "count": _PLUGS_EACH,
            "marks": marks,
        }


def policy(allowed: Sequence[str], denied: Sequence[str]) -> list[tuple[ipaddress.IPv4Network, bool]]:
    """(destination, let through) in the order of asking; what no entry covers is refused.

    `internet` stands for everything but private ranges. Metadata services live at link-local addresses: a wide range
    such as 0.0.0.0/0 does not open these, only one that lies within them does.
    """
    ranges = [ipaddress.IPv4Network(text) for text in allowed if text != INTERNET]
    entries = [(ipaddress.IPv4Network(text), False) for text in denied]
    entries += [(one, True) for one in ranges if one.subnet_of(LINK_LOCAL)]
    entries.append((LINK_LOCAL, False))
    entries += [(one, True) for one in ranges if not one.subnet_of(LINK_LOCAL)]
    if INTERNET in allowed:
        entries += [(one, False) for one in DENIED]
        entries.append((EVERYTHING, True))
    return entries


def host_routes() -> list[ipaddress.IPv4Network]:
    """Where this machine's routes lead, the default one left out."""
    found = []
    for line in Path("/proc/self/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        address, mask = (struct.pack("=I", int(fields[column], 16)) for column in (1, 7))
        network = ipaddress.IPv4Network((address, bin(int.from_bytes(mask, "big")).count("1")), strict=False)
        if network.prefixlen:
            found.append(network)
    return found


def _forward() -> bool:
    """Let this machine forward packets; whether that had to be switched on."""
    if (_NUMBERS / "ipv4/ip_forward").read_text().strip() == "1":
        return False
    _write("ipv4/ip_forward", "1")
    return True
