"""HTTP requests and responses as values."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec


class Headers:
    """Header fields in arrival order; names compare in lower case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = tuple((name.lower(), value) for name, value in fields)

    @classmethod
    def of_lower(cls, fields: list[tuple[str, str]]) -> Headers:
        """Of fields whose names are in lower case already."""
        made = cls.__new__(cls)
        made._fields = tuple(fields)
        return made

    def get(self, name: str, default: str = "") -> str:
        """The first value of `name` (give it in lower case), or `default`."""
        for key, value in self._fields:
            if key == name:
                return value
        return default

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._fields if key == name]

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self._fields)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A whole request. `path` and `query` are raw: still percent-encoded, as they came."""

    method: str
    path: str
    query: str = ""
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """status, header fields, and a body that is whole or comes in chunks (then sent chunked)."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | AsyncIterator[bytes] = b""
