"""Buckets, versions of objects, uploads: as they are stored, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from paddock.interfaces import Row

NULL_VERSION = "null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """versioning: "" (never), "Enabled" or "Suspended". settings: configurations by name, as their wire members."""

    name: str
    account: str
    region: str
    created_ms: int
    versioning: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"arn:aws:s3:::{self.name}"

    def row(self) -> dict[str, Any]:
        return {
            "name": self.name, "account": self.account, "region": self.region, "created_ms": self.created_ms,
            "versioning": self.versioning, "settings": dump(self.settings),
        }  # fmt: skip


def bucket_from(row: Row) -> Bucket:
    return Bucket(
        name=row["name"], account=row["account"], region=row["region"], created_ms=row["created_ms"],
        versioning=row["versioning"], settings=load(row["settings"]),
    )  # fmt: skip


class About(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of an object besides its bytes. headers: response headers by member name (ContentType, ...).

    checksums: algorithm -> base64 (with `-parts` behind it when composite). part_sizes: of a multipart upload.
    algorithm, checksum_type: asked for by a multipart upload.
    """

    headers: dict[str, str] = msgspec.field(default_factory=dict)
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    storage_class: str = "STANDARD"
    checksums: dict[str, str] = msgspec.field(default_factory=dict)
    checksum_type: str = "FULL_OBJECT"
    part_sizes: list[int] = msgspec.field(default_factory=list)
    algorithm: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of an object, or a delete marker. etag: with its quotes. content: s3_contents.id."""

    bucket: str
    key: str
    seq: int
    version_id: str = NULL_VERSION
    latest: bool = True
    marker: bool = False
    size: int = 0
    etag: str = ""
    modified_ms: int = 0
    content: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    about: About = field(default_factory=About)

    @property
    def sequencer(self) -> str:
        """Orders the events of one key."""
        return f"{self.seq:018X}"

    def row(self) -> dict[str, Any]:
        return {
            "bucket": self.bucket, "key": self.key, "seq": self.seq, "version_id": self.version_id,
            "latest": self.latest, "marker": self.marker, "size": self.size, "etag": self.etag,
            "modified_ms": self.modified_ms, "content": self.content, "tags": dump(self.tags),
            "document": dump(self.about),
        }  # fmt: skip


def version_from(row: Row) -> Version:
    return Version(
        bucket=row["bucket"], key=row["key"], seq=row["seq"], version_id=row["version_id"],
        latest=bool(row["latest"]), marker=bool(row["marker"]), size=row["size"], etag=row["etag"],
        modified_ms=row["modified_ms"], content=row["content"], tags=load(row["tags"]), about=about_from(row),
    )  # fmt: skip


def about_from(row: Row) -> About:
    return msgspec.json.decode(row["document"], type=About)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A multipart upload that is not complete."""

    bucket: str
    key: str
    id: str
    created_ms: int
    tags: Mapping[str, str]
    about: About

    def row(self) -> dict[str, Any]:
        return {
            "bucket": self.bucket, "key": self.key, "id": self.id, "created_ms": self.created_ms,
            "tags": dump(self.tags), "document": dump(self.about),
        }  # fmt: skip


def upload_from(row: Row) -> Upload:
    return Upload(
        bucket=row["bucket"], key=row["key"], id=row["id"], created_ms=row["created_ms"], tags=load(row["tags"]),
        about=about_from(row),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """etag: with its quotes. segment: the name of its bytes."""

    number: int
    size: int
    etag: str
    modified_ms: int
    segment: str
    checksums: Mapping[str, str]


def part_from(row: Row) -> Part:
    return Part(
        number=row["number"], size=row["size"], etag=row["etag"], modified_ms=row["modified_ms"],
        segment=row["segment"], checksums=load(row["checksums"]),
    )  # fmt: skip


def dump(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def load(text: str) -> Any:
    return msgspec.json.decode(text)


def segments_from(text: str | None) -> Sequence[tuple[str, int]]:
    """(name, size) of each segment of a content row."""
    return [(name, size) for name, size in load(text)] if text else []
