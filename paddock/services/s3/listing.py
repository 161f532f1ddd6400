"""Lists of keys, with prefixes rolled up at a delimiter.

Rows come in order of the key's bytes. A common prefix stands for all keys that begin with it: after the last of a
page of rows that fell under one, the next page begins behind it, so that a folder of a million keys costs one page.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from paddock.interfaces import Row, Tx
from paddock.services.s3 import view
from paddock.services.s3.desk import Desk
from paddock.services.s3.errors import invalid_argument
from paddock.services.s3.nouns import Bucket, about_from
from paddock.services.service import Call

KEYS_MAX = 1_000
_SURROGATES_START, _SURROGATES_END, _LAST = 0xD7FF, 0xE000, 0x10FFFF


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page goes on: keys from `key` on; of that key only rows behind `within` (a seq, an upload's id)."""

    key: str
    within: Any = None


@dataclass(slots=True)
class Gathered:
    """rows and prefixes of a page, in order; last: the key or prefix that came last; more: others follow."""

    rows: list[Row] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    last: str = ""
    last_row: Row | None = None
    more: bool = False


def after_key(key: str) -> str:
    """The smallest string greater than `key`."""
    return key + "\0"


def after_prefix(prefix: str) -> str | None:
    """The smallest string greater than everything that begins with `prefix`; None when there is none."""
    while prefix:
        last = ord(prefix[-1])
        if last < _LAST:
            return prefix[:-1] + chr(_SURROGATES_END if last == _SURROGATES_START else last + 1)
        prefix = prefix[:-1]
    return None


def gather(
    fetch: Callable[[Place, int], Sequence[Row]],
    *,
    prefix: str,
    delimiter: str,
    start: Place,
    size: int,
    skip: str = "",
    within: str = "",
) -> Gathered:
    """A page of at most `size` rows and common prefixes.

    skip: a marker; the common prefix of that name is behind us. within: the column that orders rows of one key.
    """
    found = Gathered()
    place: Place | None = start if start.key >= prefix else Place(prefix)
    if size == 0:
        return found
    while place is not None:
        rows = fetch(place, size + 1)
        place = None
        for row in rows:
            key: str = row["key"]
            if not key.startswith(prefix):
                return found
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            common = key[: end + len(delimiter)] if end >= 0 else ""
            if common and (common == found.last or common == skip):
                continue
            if len(found.rows) + len(found.prefixes) == size:
                found.more = True
                return found
            found.last = common or key
            if common:
                found.prefixes.append(common)
                found.last_row = None
            else:
                found.rows.append(row)
                found.last_row = row
        if len(rows) == size + 1:
            place = _behind(rows[-1], prefix, delimiter, within)
    return found


def _behind(row: Row, prefix: str, delimiter: str, within: str) -> Place | None:
    """Where the rows after the last one of a page begin: behind its whole common prefix, if it has one."""
    key: str = row["key"]
    end = key.find(delimiter, len(prefix)) if delimiter else -1
    if end >= 0:
        behind = after_prefix(key[: end + len(delimiter)])
        return None if behind is None else Place(behind)
    return Place(key, row[within]) if within else Place(after_key(key))


async def list_objects(desk: Desk, call: Call) -> dict[str, Any]:
    params, bucket = call.params, desk.bucket_of(call)
    marker = params.get("Marker") or ""
    page = await _objects(desk, bucket, call, Place(after_key(marker)) if marker else Place(""), skip=marker)
    show = _shower(call)
    shown = _frame(call, bucket) | {
        "Marker": show(marker),
        "Contents": [_entry(bucket, row, show, owned=True) for row in page.rows],
        "CommonPrefixes": [{"Prefix": show(prefix)} for prefix in page.prefixes],
        "IsTruncated": page.more,
    }
    if page.more and params.get("Delimiter"):
        shown["NextMarker"] = show(page.last)
    return shown


async def list_objects_v2(desk: Desk, call: Call) -> dict[str, Any]:
    params, bucket = call.params, desk.bucket_of(call)
    token, after = params.get("ContinuationToken"), params.get("StartAfter") or ""
    last = _untoken(token) if token is not None else after
    page = await _objects(desk, bucket, call, Place(after_key(last)) if last else Place(""), skip=last)
    show = _shower(call)
    shown = _frame(call, bucket) | {
        "Contents": [_entry(bucket, row, show, owned=params.get("FetchOwner", False)) for row in page.rows],
        "CommonPrefixes": [{"Prefix": show(prefix)} for prefix in page.prefixes],
        "KeyCount": len(page.rows) + len(page.prefixes),
        "IsTruncated": page.more,
        "StartAfter": show(after) if after else None,
        "ContinuationToken": token,
    }
    if page.more:
        shown["NextContinuationToken"] = _token(page.last)
    return shown


async def _objects(desk: Desk, bucket: Bucket, call: Call, start: Place, skip: str) -> Gathered:
    params = call.params

    def work(tx: Tx) -> Gathered:
        return gather(
            lambda place, limit: tx.rows("s3_objects_page", bucket=bucket.name, start=place.key, limit=limit),
            prefix=params.get("Prefix") or "",
            delimiter=params.get("Delimiter") or "",
            start=start,
            size=page_size(params.get("MaxKeys"), "max-keys"),
            skip=skip,
        )

    return await desk.store.read(work)


async def list_object_versions(desk: Desk, call: Call) -> dict[str, Any]:
    params, bucket = call.params, desk.bucket_of(call)
    marker, version_marker = params.get("KeyMarker") or "", params.get("VersionIdMarker")
    if version_marker and not marker:
        raise invalid_argument("A version-id marker cannot be specified without a key marker.", "version-id-marker")

    def work(tx: Tx) -> Gathered:
        start = Place(after_key(marker)) if marker else Place("")
        if version_marker:
            row = tx.row("s3_object_version", bucket=bucket.name, key=marker, version_id=version_marker)
            start = Place(marker, row["seq"]) if row is not None else start
        return gather(
            lambda place, limit: tx.rows(
                "s3_versions_page", bucket=bucket.name, start=place.key, below=_below(place), limit=limit
            ),
            prefix=params.get("Prefix") or "",
            delimiter=params.get("Delimiter") or "",
            start=start,
            size=page_size(params.get("MaxKeys"), "max-keys"),
            skip=marker if not version_marker else "",
            within="seq",
        )

    page, show = await desk.store.read(work), _shower(call)
    shown = _frame(call, bucket) | {
        "KeyMarker": show(marker), "VersionIdMarker": version_marker or "",
        "Versions": [_version_entry(bucket, row, show) for row in page.rows if not row["marker"]],
        "DeleteMarkers": [_marker_entry(bucket, row, show) for row in page.rows if row["marker"]],
        "CommonPrefixes": [{"Prefix": show(prefix)} for prefix in page.prefixes],
        "IsTruncated": page.more,
    }  # fmt: skip
    if page.more:
        shown["NextKeyMarker"] = show(page.last)
        if page.last_row is not None:
            shown["NextVersionIdMarker"] = page.last_row["version_id"]
    return shown


def _below(place: Place) -> int:
    """All seqs of the first key, or only those below one."""
    return int(place.within) if place.within is not None else 1 << 62


def page_size(asked: Any, name: str) -> int:
    """Raises InvalidArgument for less than none; more than a page may hold is a whole page."""
    size = KEYS_MAX if asked is None else int(asked)
    if size < 0:
        raise invalid_argument(f"Argument {name} must be an integer between 0 and 2147483647", name, str(size))
    return min(size, KEYS_MAX)


def _frame(call: Call, bucket: Bucket) -> dict[str, Any]:
    params, show = call.params, _shower(call)
    framed = {
        "Name": bucket.name,
        "Prefix": show(params.get("Prefix") or ""),
        "MaxKeys": page_size(params.get("MaxKeys"), "max-keys"),
        "EncodingType": params.get("EncodingType"),
    }
    return framed | ({"Delimiter": show(params["Delimiter"])} if params.get("Delimiter") else {})


def _shower(call: Call) -> Callable[[str], str]:
    return view.url_encoded if call.params.get("EncodingType") == "url" else str


def _entry(bucket: Bucket, row: Row, show: Callable[[str], str], *, owned: bool) -> dict[str, Any]:
    about = about_from(row)
    shown = {
        "Key": show(row["key"]), "LastModified": view.instant(row["modified_ms"]), "ETag": row["etag"],
        "Size": row["size"], "StorageClass": about.storage_class,
    }  # fmt: skip
    if about.checksums:
        shown |= {"ChecksumAlgorithm": list(about.checksums), "ChecksumType": about.checksum_type}
    return shown | ({"Owner": view.owner(bucket)} if owned else {})


def _version_entry(bucket: Bucket, row: Row, show: Callable[[str], str]) -> dict[str, Any]:
    named = {"VersionId": row["version_id"], "IsLatest": bool(row["latest"])}
    return _entry(bucket, row, show, owned=True) | named


def _marker_entry(bucket: Bucket, row: Row, show: Callable[[str], str]) -> dict[str, Any]:
    return {
        "Key": show(row["key"]), "VersionId": row["version_id"], "IsLatest": bool(row["latest"]),
        "LastModified": view.instant(row["modified_ms"]), "Owner": view.owner(bucket),
    }  # fmt: skip


def _token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _untoken(token: str) -> str:
    """Raises InvalidArgument for a token that we never gave."""
    try:
        return base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise invalid_argument("The continuation token provided is incorrect", "continuation-token") from None
