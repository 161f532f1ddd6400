"""Concurrency permits: how many invocations may be in flight (spec 03 §4).

One permit is one invocation from its admission to its end. Nothing waits here: without a free permit the caller is
throttled at once, as on AWS. Counting is done by the one event loop that owns the permits, so no lock is needed.

A function with reserved concurrency has a pool of its own; all others of an account in a region share what is left:

    account 1000, f reserves 100, g reserves 0      f: at most 100 at once    g: none    all others together: 900

A permit goes back to the pool it was taken from. So when a function is given a reservation while invocations of it
run, these still count against the shared pool, and against the reservation too, until they end: never too many.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from paddock.model.errors import TooManyRequests
from paddock.model.quotas import Quotas

CONCURRENT = "ConcurrentInvocationLimitExceeded"
RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"


class Reservations(Protocol):
    """What is reserved now; the catalogue knows."""

    def reserved(self, account: str, region: str, name: str) -> int | None:
        """For one function; None without a reservation."""

    def reserved_by_all(self, account: str, region: str) -> int:
        """The sum of all reservations."""

    def recursion_allowed(self, account: str, region: str, name: str) -> bool:
        """Whether loops through the function are let go on."""


@dataclass(frozen=True, slots=True)
class Permit:
    """is_shared: taken from the pool of all functions without a reservation."""

    account: str
    region: str
    name: str
    is_shared: bool


class Admission:
    """Counts what is in flight per function, and per account and region what is in flight of the shared pool."""

    def __init__(self, quotas: Quotas, reservations: Reservations) -> None:
        self._concurrency_max = quotas.concurrency_max
        self._reservations = reservations
        self._functions: Counter[tuple[str, str, str]] = Counter()
        self._shared: Counter[tuple[str, str]] = Counter()

    def in_flight(self, account: str, region: str) -> int:
        return sum(count for key, count in self._functions.items() if key[:2] == (account, region))

    def take(self, account: str, region: str, name: str) -> Permit:
        """Take a permit; every one taken is given back exactly once. Raises TooManyRequests when none is free."""
        function = (account, region, name)
        reserved = self._reservations.reserved(account, region, name)
        if reserved is None:
            shared_max = self._concurrency_max - self._reservations.reserved_by_all(account, region)
            if self._shared[account, region] >= shared_max:
                raise TooManyRequests(CONCURRENT)
            self._shared[account, region] += 1
        elif self._functions[function] >= reserved:
            raise TooManyRequests(RESERVED)
        self._functions[function] += 1
        return Permit(account, region, name, reserved is None)

    def give_back(self, permit: Permit) -> None:
        function = (permit.account, permit.region, permit.name)
        self._functions[function] -= 1
        if not self._functions[function]:
            del self._functions[function]
        if permit.is_shared:
            place = function[:2]
            self._shared[place] -= 1
            if not self._shared[place]:
                del self._shared[place]
