"""A request head on its way in: fields under limits, then the IncomingRequest they describe, or a refusal."""

from __future__ import annotations

from dataclasses import dataclass

from paddock.wire.http1_limits import HttpLimits
from paddock.wire.http1_request import BodySource, IncomingRequest
from paddock.wire.messages import Headers

# Fields that frame the message or name its host: a second one is how requests are smuggled.
_SINGLE = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})


class Refused(Exception):
    """Raised inside a parser callback to stop the parser: the message gets `status` and the connection ends."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLine:
    """What only the parser knows once a head is complete."""

    method: str
    version: str
    keep_alive: bool


class Head:
    """Fields of one message, counted. Trailers are collected in a Head of their own."""

    __slots__ = ("_bytes", "_limits", "_single", "_url", "fields")

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._bytes = 0
        self._url = b""
        self._single: dict[bytes, bytes] = {}
        self.fields: list[tuple[str, str]] = []

    def url(self, piece: bytes) -> None:
        self._url += piece
        self._count(len(piece))

    def field(self, name: bytes, value: bytes) -> None:
        """One more field. Raises Refused."""
        self._count(len(name) + len(value) + 4)
        if len(self.fields) >= self._limits.headers_max:
            raise Refused(431, "too many header fields")
        self.fields.append((name.decode("latin-1"), value.decode("latin-1")))
        lower = name.lower()
        if lower in _SINGLE:
            if lower in self._single:
                raise Refused(400, "a header field that must be single came twice")
            self._single[lower] = value.strip()

    def is_over(self, unfinished_bytes: int) -> bool:
        """Too large, with what the parser was fed and keeps to itself while a field is unfinished."""
        return max(self._bytes, unfinished_bytes) > self._limits.head_bytes_max

    def request(self, line: RequestLine, peer: str, source: BodySource) -> IncomingRequest:
        """The request that this head describes. Raises Refused."""
        single = self._single
        if line.version not in ("1.1", "1.0"):
            raise Refused(505, "this server speaks HTTP/1.1")
        if line.version == "1.1" and b"host" not in single:
            raise Refused(400, "the Host header is missing")
        path, query = self._target(line.method)
        length: int | None = int(single.get(b"content-length") or b"0")
        if b"transfer-encoding" in single:
            coding = single[b"transfer-encoding"].lower()
            if coding != b"chunked" or line.version == "1.0" or b"content-length" in single:
                raise Refused(400, "this Transfer-Encoding is not understood")
            length = None
        expects = single.get(b"expect", b"").lower()
        if expects not in (b"", b"100-continue"):
            raise Refused(417, "this expectation can not be met")
        return IncomingRequest(
            method=line.method,
            path=path,
            query=query,
            headers=Headers(self.fields),
            peer=peer,
            http_version=line.version,
            content_length=length,
            keep_alive=line.keep_alive,
            continue_pending=bool(expects) and line.version == "1.1" and length != 0,
            body_bytes_max=self._limits.body_bytes_max,
            source=source,
        )

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._limits.head_bytes_max:
            raise Refused(431, "the request head is too large")

    def _target(self, method: str) -> tuple[str, str]:
        """Path and query of the request target. An absolute target must name the same host as the Host header."""
        target = self._url
        if method == "CONNECT" or b"#" in target:
            raise Refused(400, "this request target is not understood")
        if not target.startswith(b"/") and target != b"*":
            scheme, _, rest = target.partition(b"://")
            authority, slash, tail = rest.partition(b"/")
            if scheme.lower() not in (b"http", b"https") or authority != self._single.get(b"host"):
                raise Refused(400, "this request target is not understood")
            target = slash + tail or b"/"
        path, _, query = target.partition(b"?")
        return path.decode("latin-1"), query.decode("latin-1")
