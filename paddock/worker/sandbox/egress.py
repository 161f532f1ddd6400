"""The way out of an environment: one end of a veth pair in its own network, the other in Paddock's gateway.

The gateway (gateway.py) is a network namespace that all environments of a Paddock share as their only neighbour. It
forwards what the policy lets out and nothing between two environments. A cell plugs itself in while it is made, ahead
of any event; which named network it belongs to is decided when it is given to a function, by one entry in the
gateway's map from address to mark, set before any of the function's code runs.

The pair goes with the cell's namespace: the kernel removes it in the background. Standard library only, Python 3.9.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any, NamedTuple

from paddock.worker.sandbox import linux, netlink, nft

TABLE = "paddock"
NETWORKS = "networks"
INTERFACE = "eth0"

_OWN_INDEX = 2
_PEER_INDEX_FIRST = 1000
_NO_IPV6 = "/proc/sys/net/ipv6/conf/default/disable_ipv6"


class Plug(NamedTuple):
    """Where a cell plugs in. address: its own, unique among the living. namespace: the gateway's descriptor."""

    address: str
    number: int
    gateway: str
    namespace: int


def reach(plug: Plug) -> socket.socket:
    """A hand on the gateway, whose network the caller is in afterwards. Raises OSError."""
    linux.setns(plug.namespace, linux.CLONE_NEWNET)
    return netlink.connect(netlink.ROUTE)


def plug_in(plug: Plug, there: socket.socket) -> None:
    """Give the network that the caller is in a way to the gateway. there: from `reach`; closed. Raises OSError."""
    with there:
        if os.path.exists(_NO_IPV6):  # the policy is one of IPv4: nothing else may leave
            with open(_NO_IPV6, "w") as file:
                file.write("1")
        peer_index = _PEER_INDEX_FIRST + plug.number
        pair = netlink.new_pair(INTERFACE, _OWN_INDEX, f"cell{plug.number}", peer_index, plug.namespace)
        address = netlink.new_address(_OWN_INDEX, plug.address, 32)
        out = netlink.default_route(_OWN_INDEX, plug.gateway)
        with netlink.connect(netlink.ROUTE) as here:
            netlink.ask(here, [pair, address, out], 3, "a way out of the environment")
        back = [netlink.raise_link(peer_index), netlink.host_route(peer_index, plug.address)]
        netlink.ask(there, back, 2, "the way back to the environment")


class Plugs:
    """A zygote's share of the addresses, and its hand on the gateway's map.

    settings: gateway (its address), first (ours), number_first, count, marks (name of a network -> mark).
    """

    def __init__(self, namespace: int, settings: dict[str, Any]) -> None:
        self._namespace = namespace
        self._gateway: str = settings["gateway"]
        self._first = struct.unpack(">I", socket.inet_aton(settings["first"]))[0]
        self._number_first: int = settings["number_first"]
        self._count: int = settings["count"]
        self._marks: dict[str, int] = settings["marks"]
        self._next = 0
        self._taken: set[int] = set()
        own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        linux.setns(namespace, linux.CLONE_NEWNET)
        try:
            self._filter = netlink.connect(netlink.NETFILTER)
        finally:
            linux.setns(own, linux.CLONE_NEWNET)
            os.close(own)

    def take(self) -> Plug:
        """The address that was free the longest: what is still under way to its last holder finds nobody."""
        for _ in range(self._count):
            offset = self._next
            self._next = (self._next + 1) % self._count
            if offset not in self._taken:
                self._taken.add(offset)
                address = socket.inet_ntoa(struct.pack(">I", self._first + offset))
                return Plug(address, self._number_first + offset, self._gateway, self._namespace)
        raise OSError("every address of network_pool is taken")

    def give_back(self, plug: Plug) -> None:
        self._taken.discard(plug.number - self._number_first)

    def join(self, plug: Plug, network: str) -> None:
        """The cell belongs to that named network. ValueError: there is none of that name."""
        if network not in self._marks:
            raise ValueError("no such network")
        batch = nft.Batch(TABLE)
        batch.put(NETWORKS, plug.address, self._marks[network])
        batch.send(self._filter)

    def leave(self, plug: Plug) -> None:
        batch = nft.Batch(TABLE)
        batch.remove(NETWORKS, plug.address)
        batch.send(self._filter)
