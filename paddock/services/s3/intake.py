"""Taking in a payload: to memory or to a segment, hashed on the way, and held against what the client said of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from paddock.model.errors import ClientError
from paddock.model.slice import Slice
from paddock.services.s3 import view
from paddock.services.s3.desk import Desk
from paddock.services.s3.errors import disk_full, invalid_request
from paddock.services.service import Call
from paddock.wire import checksums, integrity
from paddock.wire.checksums import Checksum, encoded
from paddock.wire.errors import WireError
from paddock.wire.streamed import StreamedBody

INLINE_BYTES_MAX = 32_768
"""Contents up to this size lie in the database: one fsync for many of them, and no file each."""

OBJECT_BYTES_MAX = 5 << 30
"""What one PUT may bring, as on AWS."""

DEFAULT_ALGORITHM = "CRC64NVME"
"""What AWS computes for an object whose client names no checksum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A payload that is stored, and belongs to nothing yet. inline: its bytes, or None when `segment` has them."""

    size: int
    md5_hex: str
    checksums: Mapping[str, str]
    inline: bytes | None = None
    segment: str = ""

    @property
    def etag(self) -> str:
        return f'"{self.md5_hex}"'


@dataclass(slots=True)
class _Sums:
    """Everything that is computed over the bytes."""

    by_algorithm: dict[str, Checksum]
    md5: Checksum = field(default_factory=hashlib.md5)
    sha256: Checksum | None = None

    def update(self, data: bytes) -> None:
        self.md5.update(data)
        if self.sha256 is not None:
            self.sha256.update(data)
        for each in self.by_algorithm.values():
            each.update(data)


async def receive(desk: Desk, call: Call, algorithm: str = "", *, inline: bool = True) -> Received:
    """The call's Body. algorithm: computed besides what the client names, e.g. by its upload.

    inline: small contents may stay in memory. Raises BadDigest and its kin when it is not what the client said, after
    which nothing is left of it.
    """
    body: StreamedBody = call.params["Body"]
    if body.length is None:
        raise ClientError("You must provide the Content-Length HTTP header.", code="MissingContentLength", status=411)
    if body.length > OBJECT_BYTES_MAX:
        members = {"ProposedSize": str(body.length), "MaxSizeAllowed": str(OBJECT_BYTES_MAX)}
        message = "Your proposed upload exceeds the maximum allowed size"
        raise ClientError(message, code="EntityTooLarge", members=members)
    expected = _announced(call)
    named = set(expected) or {call.params.get("ChecksumAlgorithm") or algorithm or DEFAULT_ALGORITHM}
    sums = _Sums({name: checksums.new(name) for name in named})
    if integrity.is_hash(body.payload_hash):
        sums.sha256 = hashlib.sha256()
    data: bytes | None = None
    stored = Slice("", 0, body.length)
    if inline and body.length <= INLINE_BYTES_MAX:
        data = await body.read()
        stored = Slice("", 0, len(data))
        sums.update(data)
    else:
        try:
            stored = await desk.segments.write(body, sums.update)
        except OSError as error:
            raise _disk_error(error) from error
    digests = {name: encoded(each.digest()) for name, each in sums.by_algorithm.items()}
    try:
        _compare(call, body, expected, digests, sums)
    except WireError:
        await desk.discard([stored.name] if stored.name else [])
        raise
    md5_hex = sums.md5.digest().hex()
    return Received(size=stored.size, md5_hex=md5_hex, checksums=digests, inline=data, segment=stored.name)


def _disk_error(error: OSError) -> Exception:
    """A client that went away is an OSError too, and not the disk's."""
    return error if isinstance(error, ConnectionError) else disk_full()


def _announced(call: Call) -> dict[str, str]:
    """Algorithm -> checksum as sent; "" for one that comes as a trailer. Raises InvalidRequest."""
    found = {name: call.params[member] for member, name in view.CHECKSUMS.items() if call.params.get(member)}
    for name, value in found.items():
        integrity.check_value(name, value)
    trailer = call.headers.get("x-amz-trailer").strip().lower()
    if trailer.startswith("x-amz-checksum-"):
        name = trailer.removeprefix("x-amz-checksum-").upper()
        if name not in checksums.ALGORITHMS:
            raise invalid_request("The value specified in the x-amz-trailer header is not supported")
        found.setdefault(name, "")
    if len(found) > 1:
        raise invalid_request("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    return found


def _compare(
    call: Call, body: StreamedBody, expected: Mapping[str, str], digests: Mapping[str, str], sums: _Sums
) -> None:
    for name, sent in expected.items():
        integrity.check_equal(
            name, sent or body.trailers.get(integrity.CHECKSUM_HEADER + name.lower(), ""), digests[name]
        )
    sent_md5 = call.params.get("ContentMD5")
    if sent_md5 is not None:
        integrity.check_md5(sent_md5, sums.md5.digest())
    if sums.sha256 is not None:
        integrity.check_payload_hash(body.payload_hash, sums.sha256.digest().hex())
