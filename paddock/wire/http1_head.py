"""A request head on its way in: fields under limits, then the IncomingRequest they describe, or a refusal."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain

from paddock.wire.http1_limits import HttpLimits
from paddock.wire.http1_request import BodySource, IncomingRequest
from paddock.wire.messages import Headers

# Fields that frame the message or name its host: a second one is how requests are smuggled.
_SINGLE = frozenset({"host", "content-length", "transfer-encoding", "expect"})


_NAME_BYTES_REMEMBERED = 64


@lru_cache(maxsize=1024)
def _lower(name: bytes) -> str:
    """A field's name as Headers keep it. Clients send the same few."""
    return name.decode("latin-1").lower()


class Refused(Exception):
    """Raised inside a parser callback to stop the parser: the message gets `status` and the connection ends."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Head:
    """The target and fields of one message as the parser gives them. Trailers are collected in a Head of their own."""

    __slots__ = ("_limits", "raw", "target")

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self.target = b""
        self.raw: list[tuple[bytes, bytes]] = []

    def add(self, name: bytes, value: bytes) -> None:
        """One more field. Raises Refused."""
        if len(self.raw) >= self._limits.headers_max:
            raise Refused(431, "too many header fields")
        self.raw.append((name, value))

    def headers(self, single: dict[str, str]) -> Headers:
        """All fields, within their limits; into `single` go those that may come only once. Raises Refused."""
        raw = self.raw
        if len(self.target) + 4 * len(raw) + sum(map(len, chain.from_iterable(raw))) > self._limits.head_bytes_max:
            raise Refused(431, "the request head is too large")
        fields: list[tuple[str, str]] = []
        for name, value in raw:
            known = _lower(name) if len(name) <= _NAME_BYTES_REMEMBERED else name.decode("latin-1").lower()
            text = value.decode("latin-1")
            fields.append((known, text))
            if known in _SINGLE:
                if known in single:
                    raise Refused(400, "a header field that must be single came twice")
                single[known] = text.strip()
        return Headers.of_lower(fields)

    def request(self, method: str, version: str, keep_alive: bool, peer: str, source: BodySource) -> IncomingRequest:
        """The request that this head describes. Raises Refused."""
        single: dict[str, str] = {}
        headers = self.headers(single)
        if version not in ("1.1", "1.0"):
            raise Refused(505, "this server speaks HTTP/1.1")
        if version == "1.1" and "host" not in single:
            raise Refused(400, "the Host header is missing")
        path, query = self._target(method, single.get("host"))
        length: int | None = int(single.get("content-length") or "0")
        if "transfer-encoding" in single:
            chunked = single["transfer-encoding"].lower() == "chunked"
            if not chunked or version == "1.0" or "content-length" in single:
                raise Refused(400, "this Transfer-Encoding is not understood")
            length = None
        expects = single.get("expect", "").lower()
        if expects not in ("", "100-continue"):
            raise Refused(417, "this expectation can not be met")
        return IncomingRequest(
            method=method,
            path=path,
            query=query,
            headers=headers,
            peer=peer,
            http_version=version,
            content_length=length,
            keep_alive=keep_alive,
            continue_pending=bool(expects) and version == "1.1" and length != 0,
            body_bytes_max=self._limits.body_bytes_max,
            source=source,
        )

    def _target(self, method: str, host: str | None) -> tuple[str, str]:
        """Path and query of the request target. An absolute target must name the same host as the Host header."""
        target = self.target.decode("latin-1")
        if method == "CONNECT" or "#" in target:
            raise Refused(400, "this request target is not understood")
        if not target.startswith("/") and target != "*":
            scheme, _, rest = target.partition("://")
            authority, slash, tail = rest.partition("/")
            if scheme.lower() not in ("http", "https") or authority != host:
                raise Refused(400, "this request target is not understood")
            target = slash + tail or "/"
        path, _, query = target.partition("?")
        return path, query


def head_again(request: IncomingRequest) -> bytes:
    """A head that tells a fresh parser how the rest of the request is framed."""
    length = request.content_length
    framing_line = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    connection = "" if request.keep_alive else "Connection: close\r\n"
    return f"POST / HTTP/1.1\r\n{connection}{framing_line}\r\n\r\n".encode()
