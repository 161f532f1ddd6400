"""Concurrency permits: how many invocations an account may have in flight in a region.

One permit is one invocation from its admission to its end. Nothing waits here: without a free permit the caller is
throttled at once, as on AWS. Counting is done by the one event loop that owns the permits, so no lock is needed.
"""

from __future__ import annotations

from collections import Counter

from paddock.model.errors import TooManyRequests
from paddock.model.quotas import Quotas

CONCURRENT = "ConcurrentInvocationLimitExceeded"


class Admission:
    """Counts what is in flight per account and region."""

    def __init__(self, quotas: Quotas) -> None:
        self._concurrency_max = quotas.concurrency_max
        self._in_flight: Counter[tuple[str, str]] = Counter()

    def in_flight(self, account: str, region: str) -> int:
        return self._in_flight[account, region]

    def take(self, account: str, region: str) -> None:
        """Take a permit; every one taken is given back exactly once. Raises TooManyRequests when none is free."""
        place = (account, region)
        if self._in_flight[place] >= self._concurrency_max:
            raise TooManyRequests(CONCURRENT)
        self._in_flight[place] += 1

    def give_back(self, account: str, region: str) -> None:
        place = (account, region)
        self._in_flight[place] -= 1
        if not self._in_flight[place]:
            del self._in_flight[place]
