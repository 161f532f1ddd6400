"""Every function, in memory: what reads and invocations look at, a copy of what the store holds durably."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from paddock.model.errors import CodeStorageExceeded
from paddock.model.function import Function, FunctionVersion

Key = tuple[str, str, str]
"""(account, region, name)"""

Place = tuple[str, str]
"""(account, region)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some functions in order of their names. next_name, after which the next page begins, is "" on the last page."""

    functions: tuple[Function, ...]
    next_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPage:
    """Some versions: by name, and of one function `$LATEST` and then ascending. `more`: others follow the last one."""

    versions: tuple[FunctionVersion, ...]
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an account uses in a region. code_bytes: of zips, one per version of each function or layer."""

    code_bytes: int
    functions: int


def key_of(function: Function) -> Key:
    latest = function.latest
    return (latest.account, latest.region, latest.name)


class Book:
    """Functions by account and region, then by name. Nothing here waits."""

    def __init__(self) -> None:
        self._places: dict[Place, dict[str, Function]] = {}
        self._arriving: Counter[Place] = Counter()
        self._code_bytes: Counter[Place] = Counter()
        self._reserved: Counter[Place] = Counter()
        self._layer_bytes: Counter[Place] = Counter()

    def __iter__(self) -> Iterator[Function]:
        return (function for place in list(self._places.values()) for function in list(place.values()))

    def get(self, key: Key) -> Function | None:
        place = self._places.get(key[:2])
        return None if place is None else place.get(key[2])

    def put(self, function: Function) -> Function | None:
        """Enter it; the one it replaces."""
        account, region, name = key_of(function)
        place = self._places.setdefault((account, region), {})
        before = place.get(name)
        place[name] = function
        self._count((account, region), before, -1)
        self._count((account, region), function, 1)
        return before

    def remove(self, key: Key) -> Function | None:
        place = self._places.get(key[:2], {})
        removed = place.pop(key[2], None)
        self._count(key[:2], removed, -1)
        if not place:
            for counted in (self._places, self._code_bytes, self._reserved):
                counted.pop(key[:2], None)
        return removed

    def page(self, account: str, region: str, *, after: str, items_max: int) -> Page:
        """Up to items_max functions whose names follow `after`."""
        place = self._places.get((account, region), {})
        names = sorted(name for name in place if name > after)
        shown = names[:items_max]
        more = len(names) > len(shown)
        return Page(functions=tuple(place[name] for name in shown), next_name=shown[-1] if more and shown else "")

    def version_page(self, account: str, region: str, *, after: tuple[str, int], items_max: int) -> VersionPage:
        """Up to items_max versions of all functions after (name, number); $LATEST has the number 0."""
        place = self._places.get((account, region), {})
        # Each function has at least one version: so many suffice for a page, one to see that more follow, and `after`.
        names = heapq.nsmallest(items_max + 2, (name for name in place if name >= after[0]))
        following = (
            version for name in names for version in versions_after(place[name], after[1] if name == after[0] else -1)
        )
        return first_versions(following, items_max)

    def usage(self, account: str, region: str) -> Usage:
        place = (account, region)
        code_bytes = self._code_bytes[place] + self._layer_bytes[place]
        return Usage(code_bytes=code_bytes, functions=len(self._places.get(place, {})))

    def count_layer(self, account: str, region: str, size_bytes: int) -> None:
        """A layer version of that size more; a negative one less."""
        self._layer_bytes[account, region] += size_bytes

    def reserved(self, account: str, region: str) -> int:
        """What all functions together have reserved, or provisioned beyond that."""
        return self._reserved[account, region]

    @contextmanager
    def room_for(self, account: str, region: str, more_bytes: int, bytes_max: int) -> Iterator[None]:
        """Set code storage aside while an upload is being committed. Raises CodeStorageExceeded.

        Uploads that are on their way count too, so that many at once cannot pass the limit together.
        """
        place = (account, region)
        used = self.usage(account, region).code_bytes + self._arriving[place]
        if more_bytes > 0 and used + more_bytes > bytes_max:
            raise CodeStorageExceeded("Code storage limit exceeded.")
        self._arriving[place] += more_bytes
        try:
            yield
        finally:
            self._arriving[place] -= more_bytes

    def _count(self, place: Place, function: Function | None, sign: int) -> None:
        if function is not None:
            self._code_bytes[place] += sign * function.code_bytes
            self._reserved[place] += sign * function.claimed_executions


def versions_after(function: Function, number: int) -> Iterator[FunctionVersion]:
    """The function's versions that follow `number`, where $LATEST is 0 and stands first."""
    if number < 0:
        yield function.latest
    yield from (version for version in function.versions.values() if int(version.version) > number)


def first_versions(versions: Iterator[FunctionVersion], items_max: int) -> VersionPage:
    shown = tuple(islice(versions, items_max))
    return VersionPage(versions=shown, more=next(versions, None) is not None)
