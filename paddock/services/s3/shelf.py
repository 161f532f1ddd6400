"""Putting versions on their keys and taking them off, within a transaction. Nothing here waits.

What a change leaves over is returned as garbage: segments to be deleted once the transaction is durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from paddock.interfaces import Tx
from paddock.services.s3.errors import no_such_bucket, no_such_key, no_such_version, precondition_failed
from paddock.services.s3.nouns import NULL_VERSION, Bucket, Version, dump, segments_from, version_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What must hold for the latest version. if_match, if_none_match: as sent, None when they were not."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, latest: Version | None, key: str) -> None:
        """Raises PreconditionFailed; NoSuchKey for If-Match on nothing."""
        if self.if_none_match is not None and latest is not None and same_etag(self.if_none_match, latest.etag):
            raise precondition_failed("If-None-Match")
        if self.if_match is not None:
            if latest is None:
                raise no_such_key(key)
            if not same_etag(self.if_match, latest.etag):
                raise precondition_failed("If-Match")


def same_etag(wanted: str, etag: str) -> bool:
    """Whether a list of ETags (or `*`) names this one; quotes may be missing."""
    return any(each.strip() == "*" or each.strip().removeprefix("W/").strip('"') == etag.strip('"')
               for each in wanted.split(","))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a version's bytes are: in memory, or segments with their sizes."""

    inline: bytes | None = None
    segments: Sequence[tuple[str, int]] = ()


@dataclass(slots=True)
class Change:
    """What a change did. version: the version (or delete marker) made or removed, None when there was none."""

    version: Version | None = None
    made_marker: bool = False
    garbage: list[str] = field(default_factory=list)


def latest_of(tx: Tx, bucket: str, key: str) -> Version | None:
    """The latest version, a delete marker too."""
    row = tx.row("s3_object_latest", bucket=bucket, key=key)
    return version_from(row) if row is not None else None


def version_of(tx: Tx, bucket: str, key: str, version_id: str) -> Version | None:
    row = tx.row("s3_object_version", bucket=bucket, key=key, version_id=version_id)
    return version_from(row) if row is not None else None


def find(tx: Tx, bucket: str, key: str, version_id: str | None) -> Version:
    """The version that is asked for, maybe a delete marker. Raises NoSuchKey, NoSuchVersion."""
    found = latest_of(tx, bucket, key) if version_id is None else version_of(tx, bucket, key, version_id)
    if found is None:
        raise no_such_key(key) if version_id is None else no_such_version(key, version_id)
    return found


def add(tx: Tx, bucket: Bucket, version: Version, content: Content, condition: Condition, new_id: str) -> Change:
    """Make `version` the latest of its key. new_id: its id where versions are kept. Raises as Condition.check."""
    if tx.row("s3_bucket_exists", name=bucket.name) is None:
        raise no_such_bucket(bucket.name)
    latest = latest_of(tx, bucket.name, version.key)
    condition.check(None if latest is None or latest.marker else latest, version.key)
    change = Change()
    _make_room(tx, bucket, version.key, latest, change)
    kept = replace(version, version_id=new_id if bucket.versioning == "Enabled" else NULL_VERSION, content=version.seq)
    segments = dump(content.segments) if content.inline is None else None
    tx.run("s3_content_add", id=version.seq, bytes=content.inline, segments=segments)
    tx.run("s3_object_add", **kept.row())
    change.version = kept
    return change


def remove(tx: Tx, bucket: Bucket, key: str, version_id: str | None, marker: Version, new_id: str) -> Change:
    """Delete as AWS does: a named version for good; the bare key for good, or under a delete marker."""
    change = Change()
    if version_id is not None:
        found = version_of(tx, bucket.name, key, version_id)
        if found is not None:
            drop(tx, found, change)
            if found.latest:
                tx.run("s3_object_promote", bucket=bucket.name, key=key)
            change.version = found
        return change
    latest = latest_of(tx, bucket.name, key)
    if not bucket.versioning:
        if latest is not None:
            drop(tx, latest, change)
            change.version = latest
        return change
    _make_room(tx, bucket, key, latest, change)
    made = replace(marker, version_id=new_id if bucket.versioning == "Enabled" else NULL_VERSION, marker=True)
    tx.run("s3_object_add", **made.row())
    change.version, change.made_marker = made, True
    return change


def _make_room(tx: Tx, bucket: Bucket, key: str, latest: Version | None, change: Change) -> None:
    """The key's `null` version gives way where versions are not kept; the latest is not it any more."""
    if latest is None:
        return
    if bucket.versioning != "Enabled":
        old = latest if latest.version_id == NULL_VERSION else version_of(tx, bucket.name, key, NULL_VERSION)
        if old is not None:
            drop(tx, old, change)
            if old.seq == latest.seq:
                return
    tx.run("s3_object_old", bucket=bucket.name, key=key)


def drop(tx: Tx, version: Version, change: Change) -> None:
    """Forget one version and its content."""
    if version.content is not None:
        row = tx.row("s3_content_segments", id=version.content)
        change.garbage += [name for name, _ in segments_from(row["segments"] if row else None)]
        tx.run("s3_content_delete", id=version.content)
    tx.run("s3_object_delete", bucket=version.bucket, key=version.key, seq=version.seq)
