"""Holding a body against what its headers say of it: Content-MD5, X-Amz-Content-Sha256 and the checksum headers.

Bodies that are streamed are checked by whoever reads them; this is for those that are whole (`check_whole`).
"""

from __future__ import annotations

import hashlib

from paddock.wire import checksums
from paddock.wire.errors import Malformed
from paddock.wire.messages import Request

CHECKSUM_HEADER = "x-amz-checksum-"
_HEX_DIGITS = 64


def check_whole(request: Request) -> None:
    """Raises Malformed: BadDigest, InvalidDigest, InvalidRequest, XAmzContentSHA256Mismatch."""
    headers, body = request.headers, request.body
    sent_md5 = headers.get("content-md5")
    if sent_md5:
        check_md5(sent_md5, hashlib.md5(body).digest())
    for algorithm in checksums.ALGORITHMS:
        sent = headers.get(CHECKSUM_HEADER + algorithm.lower())
        if sent:
            whole = checksums.new(algorithm)
            whole.update(body)
            check_value(algorithm, sent)
            check_equal(algorithm, sent, checksums.encoded(whole.digest()))
    payload_hash = headers.get("x-amz-content-sha256")
    if is_hash(payload_hash):
        check_payload_hash(payload_hash, hashlib.sha256(body).hexdigest())


def is_hash(payload_hash: str) -> bool:
    """Whether X-Amz-Content-Sha256 is a hash, and no word such as UNSIGNED-PAYLOAD."""
    return len(payload_hash) == _HEX_DIGITS


def check_md5(sent: str, digest: bytes) -> None:
    wanted = checksums.decoded(sent)
    if wanted is None or len(wanted) != len(digest):
        raise Malformed("The Content-MD5 you specified was invalid.", code="InvalidDigest")
    if wanted != digest:
        raise Malformed("The Content-MD5 you specified did not match what we received.", code="BadDigest")


def check_value(algorithm: str, sent: str) -> None:
    """Whether it can be a checksum of that kind at all."""
    digest = checksums.decoded(sent)
    if digest is None or len(digest) != checksums.size_of(algorithm):
        message = f"Value for {CHECKSUM_HEADER}{algorithm.lower()} header is invalid."
        raise Malformed(message, code="InvalidRequest")


def check_equal(algorithm: str, sent: str, computed: str) -> None:
    if sent != computed:
        message = f"The {algorithm} you specified did not match the calculated checksum."
        raise Malformed(message, code="BadDigest")


def check_payload_hash(sent: str, computed: str) -> None:
    if sent != computed:
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise Malformed(message, code="XAmzContentSHA256Mismatch")
