"""Concurrency permits: how many invocations may be in flight (spec 03 §4).

One permit is one invocation from its admission to its end. Nothing waits here: without a free permit the caller is
throttled at once, as on AWS. Counting is done by the one event loop that owns the permits, so no lock is needed.

A function with reserved concurrency has a pool of its own; all others of an account in a region share what is left:

    account 1000, f reserves 100, g reserves 0      f: at most 100 at once    g: none    all others together: 900

A permit goes back to the pool it was taken from. So when a function is given a reservation while invocations of it
run, these still count against the shared pool, and against the reservation too, until they end: never too many.

What is provisioned is set aside in the same way, within the function's reservation or else from the shared pool, for
events of its version or alias, whether they come or not. As many of these as environments are ready have permits of
their own; the next one is an event like any other (spill-over):

    f reserves 100 and has 60 provisioned for live      live: 60 there, and 40 on demand with all other events of f
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol, TypeVar

import msgspec

from paddock.invoke.rates import RATE, RESERVED_RATE, InvocationRates
from paddock.model.errors import TooManyRequests
from paddock.model.function import FunctionVersion
from paddock.model.quotas import Quotas

K = TypeVar("K")

CONCURRENT = "ConcurrentInvocationLimitExceeded"
RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"


class Reservations(Protocol):
    """What is reserved now; the catalogue knows."""

    def reserved(self, account: str, region: str, name: str) -> int | None:
        """For one function; None without a reservation."""

    def provisioned_of(self, account: str, region: str, name: str) -> int:
        """Of that, what is set aside for its provisioned environments."""

    def reserved_by_all(self, account: str, region: str) -> int:
        """The sum of all reservations, and of what is provisioned without one."""

    def recursion_allowed(self, account: str, region: str, name: str) -> bool:
        """Whether loops through the function are let go on."""


PoolKey = tuple[str, ...]


class Permit(msgspec.Struct, frozen=True, gc=False):
    """is_shared: taken from the pool of all functions without a reservation. provisioned: the pool of environments
    that it was taken from instead.
    """

    account: str
    region: str
    name: str
    is_shared: bool
    provisioned: PoolKey | None = None


class Admission:
    """Counts what is in flight per function, and per account and region what is in flight of the shared pool."""

    def __init__(self, quotas: Quotas, reservations: Reservations) -> None:
        self._concurrency_max = quotas.concurrency_max
        self._reservations = reservations
        self._rates = InvocationRates(quotas.invocations_per_execution_max)
        self._functions: Counter[tuple[str, str, str]] = Counter()
        self._shared: Counter[tuple[str, str]] = Counter()
        self._provisioned: Counter[PoolKey] = Counter()

    def in_flight(self, account: str, region: str) -> int:
        counted = (*self._functions.items(), *self._provisioned.items())
        return sum(count for key, count in counted if key[:2] == (account, region))

    def take_provisioned(self, version: FunctionVersion, ready: int) -> Permit | None:
        """One for the pool that the version names, in which so many environments are ready; None when all are busy."""
        pool = (version.account, version.region, version.name, version.version, version.provisioned_for)
        if self._provisioned[pool] >= ready:
            return None
        self._provisioned[pool] += 1
        return Permit(version.account, version.region, version.name, False, pool)

    def take(self, account: str, region: str, name: str, now_s: float | None = None) -> Permit:
        """Take a permit; every one taken is given back exactly once. Raises TooManyRequests when none is free.

        now_s: a reading of any clock, for how often the function may be invoked; None where that has no limit.
        """
        function = (account, region, name)
        reserved = self._reservations.reserved(account, region, name)
        if reserved is None:
            executions = self._concurrency_max - self._reservations.reserved_by_all(account, region)
            shared = (account, region)
            running = self._shared.get(shared, 0)
            if running >= executions:
                raise TooManyRequests(CONCURRENT)
        else:
            executions = reserved - self._reservations.provisioned_of(account, region, name)
            if self._functions[function] >= executions:
                raise TooManyRequests(RESERVED)
        if now_s is not None and not self._rates.take(function, executions, now_s):
            raise TooManyRequests(RATE if reserved is None else RESERVED_RATE)
        if reserved is None:
            self._shared[shared] = running + 1
        self._functions[function] = self._functions.get(function, 0) + 1
        return Permit(account, region, name, reserved is None)

    def give_back(self, permit: Permit) -> None:
        if permit.provisioned is not None:
            _count_down(self._provisioned, permit.provisioned)
            return
        function = (permit.account, permit.region, permit.name)
        _count_down(self._functions, function)
        if permit.is_shared:
            _count_down(self._shared, function[:2])


def _count_down(counter: Counter[K], key: K) -> None:
    """What is at zero is forgotten."""
    left = counter[key] - 1
    if left:
        counter[key] = left
    else:
        del counter[key]
