"""What of an object a reader gets: conditions first (RFC 9110's order), then a part or a range."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from paddock.model.errors import ClientError
from paddock.model.slice import Slice
from paddock.services.s3.errors import invalid_argument, not_modified, precondition_failed
from paddock.services.s3.nouns import Version
from paddock.services.s3.shelf import same_etag
from paddock.services.s3.view import instant
from paddock.services.service import Params

_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})\Z")


@dataclass(frozen=True, slots=True)
class Span:
    """size bytes from byte `start` on. whole: the reader asked for no piece."""

    start: int
    size: int
    whole: bool = True

    def header(self, total: int) -> str:
        return f"bytes {self.start}-{self.start + self.size - 1}/{total}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None

    def check(self, version: Version, *, copying: bool = False) -> None:
        """Raises PreconditionFailed, or NotModified (which a copy's source answers as the former)."""
        modified = instant(version.modified_ms // 1000 * 1000)
        if self.if_match is not None:
            if not same_etag(self.if_match, version.etag):
                raise precondition_failed("If-Match")
        elif self.if_unmodified_since is not None and modified > self.if_unmodified_since:
            raise precondition_failed("If-Unmodified-Since")
        if self.if_none_match is not None:
            if same_etag(self.if_none_match, version.etag):
                raise precondition_failed("If-None-Match") if copying else not_modified()
        elif self.if_modified_since is not None and modified <= self.if_modified_since:
            raise precondition_failed("If-Modified-Since") if copying else not_modified()


def conditions_of(params: Params) -> Conditions:
    return Conditions(
        if_match=params.get("IfMatch"),
        if_none_match=params.get("IfNoneMatch"),
        if_modified_since=params.get("IfModifiedSince"),
        if_unmodified_since=params.get("IfUnmodifiedSince"),
    )


def source_conditions_of(params: Params) -> Conditions:
    return Conditions(
        if_match=params.get("CopySourceIfMatch"),
        if_none_match=params.get("CopySourceIfNoneMatch"),
        if_modified_since=params.get("CopySourceIfModifiedSince"),
        if_unmodified_since=params.get("CopySourceIfUnmodifiedSince"),
    )


def span_of(params: Params, version: Version) -> Span:
    """Raises InvalidRange, InvalidPart; a range that is no range counts as none."""
    number = params.get("PartNumber")
    if number is not None:
        if params.get("Range"):
            raise ClientError("Cannot specify both Range header and partNumber query parameter", code="InvalidRequest")
        return _part(int(number), version)
    found = _RANGE.match(params.get("Range") or "")
    if found is None or not (found[1] or found[2]):
        return Span(0, version.size)
    return _range(found[1], found[2], version.size, params.get("Range") or "")


def exact_range(text: str, size: int) -> Span:
    """CopySourceRange, which must be first and last byte within the source. Raises InvalidArgument."""
    found = _RANGE.match(text)
    if found is None or not (found[1] and found[2]) or int(found[1]) > int(found[2]):
        raise invalid_argument("The x-amz-copy-source-range value must be of the form bytes=first-last where first "
                               "and last are the zero-based offsets of the first and last bytes to copy",
                               "x-amz-copy-source-range", text)  # fmt: skip
    if int(found[2]) >= size:
        message = f"Range specified is not valid for source object of size: {size}"
        raise invalid_argument(message, "x-amz-copy-source-range", text)
    return Span(int(found[1]), int(found[2]) - int(found[1]) + 1, whole=False)


def _range(first: str, last: str, size: int, text: str) -> Span:
    start = int(first) if first else max(0, size - int(last))
    end = min(size - 1, int(last)) if first and last else size - 1
    if first and last and int(last) < int(first):
        return Span(0, size)
    if start > end or (not first and int(last) == 0):
        members = {"RangeRequested": text, "ActualObjectSize": str(size)}
        raise ClientError("The requested range is not satisfiable", code="InvalidRange", status=416, members=members)
    return Span(start, end - start + 1, whole=False)


def _part(number: int, version: Version) -> Span:
    sizes = version.about.part_sizes or [version.size]
    if not 1 <= number <= len(sizes):
        raise ClientError("The requested partnumber is not satisfiable", code="InvalidPartNumber", status=416)
    return Span(sum(sizes[: number - 1]), sizes[number - 1], whole=False)


def slices_of(segments: Sequence[tuple[str, int]], span: Span) -> list[Slice]:
    """The pieces of segments that a span covers."""
    found: list[Slice] = []
    at, left = span.start, span.size
    for name, size in segments:
        if at >= size:
            at -= size
            continue
        if left <= 0:
            break
        taken = min(left, size - at)
        found.append(Slice(name, at, taken))
        at, left = 0, left - taken
    return found
