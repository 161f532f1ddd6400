"""Every function, in memory: what reads and invocations look at, a copy of what the store holds durably."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from paddock.model.errors import CodeStorageExceeded
from paddock.model.function import Function

Key = tuple[str, str, str]
"""(account, region, name)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some functions in order of their names. next_name, after which the next page begins, is "" on the last page."""

    functions: tuple[Function, ...]
    next_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an account uses in a region. code_bytes counts zips, one per function."""

    code_bytes: int
    functions: int


def key_of(function: Function) -> Key:
    latest = function.latest
    return (latest.account, latest.region, latest.name)


class Book:
    """Functions by account and region, then by name. Nothing here waits."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], dict[str, Function]] = {}
        self._arriving: Counter[tuple[str, str]] = Counter()

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
        return before

    def remove(self, key: Key) -> Function | None:
        place = self._places.get(key[:2], {})
        removed = place.pop(key[2], None)
        if not place:
            self._places.pop(key[:2], None)
        return removed

    def page(self, account: str, region: str, *, after: str, items_max: int) -> Page:
        """Up to items_max functions whose names follow `after`."""
        place = self._places.get((account, region), {})
        names = sorted(name for name in place if name > after)
        shown = names[:items_max]
        more = len(names) > len(shown)
        return Page(functions=tuple(place[name] for name in shown), next_name=shown[-1] if more and shown else "")

    def usage(self, account: str, region: str) -> Usage:
        place = self._places.get((account, region), {})
        return Usage(code_bytes=sum(f.latest.code.size_bytes for f in place.values()), functions=len(place))

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
