"""Objects: put, get, head, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from paddock.interfaces import Reading, Tx
from paddock.model.errors import ClientError, ServiceError
from paddock.services.s3 import access, lifecycle, shelf, view
from paddock.services.s3.desk import Desk
from paddock.services.s3.errors import access_denied, malformed_xml, no_such_key, precondition_failed
from paddock.services.s3.intake import receive
from paddock.services.s3.nouns import Bucket, Version, segments_from
from paddock.services.s3.reading import Span, conditions_of, slices_of, span_of
from paddock.services.s3.shelf import Condition, Content
from paddock.services.service import Call, Params, Reply

DELETED_MAX = 1_000
_OPENED_AGAIN = 5
_OVERRIDES = (
    "ResponseCacheControl", "ResponseContentDisposition", "ResponseContentEncoding", "ResponseContentLanguage",
    "ResponseContentType", "ResponseExpires",
)  # fmt: skip


async def put_object(desk: Desk, call: Call) -> dict[str, Any]:
    """Durable once answered: the bytes are fsynced before the row that names them is committed."""
    params, bucket, key = call.params, desk.bucket_of(call), view.key_of(call.params)
    view.check_acl(params)
    condition = Condition(if_match=params.get("IfMatch"), if_none_match=params.get("IfNoneMatch"))
    if condition.if_none_match not in (None, "*"):
        raise ClientError("If-None-Match takes only * here.", code="NotImplemented", status=501)
    tags = view.tags_of_header(params.get("Tagging"))
    about = view.about_of(params, params["Body"].encoding)
    received = await receive(desk, call)
    version = Version(
        bucket=bucket.name, key=key, seq=desk.next_seq(), size=received.size, etag=received.etag,
        modified_ms=desk.now_ms(), tags=tags, about=msgspec.structs.replace(about, checksums=dict(received.checksums)),
    )  # fmt: skip
    content = Content(
        inline=received.inline, segments=() if received.inline is not None else ((received.segment, received.size),)
    )
    kept = await keep(desk, call, version, content, condition, "ObjectCreated:Put")
    shown = {"ETag": kept.etag, "ServerSideEncryption": "AES256", **view.checksums(kept)}
    return view.with_version(bucket, kept, shown | lifecycle.expiration_of(bucket, kept))


async def keep(desk: Desk, call: Call, version: Version, content: Content, condition: Condition, event: str) -> Version:
    """Commit a version and the event of it. When that fails, its segments are deleted."""
    bucket, new_id = desk.bucket_named(version.bucket), desk.ids.hex(32)

    def work(tx: Tx) -> shelf.Change:
        change = shelf.add(tx, bucket, version, content, condition, new_id)
        assert change.version is not None
        desk.announce(tx, bucket, event, change.version, call)
        return change

    try:
        change = await desk.write(work)
    except (ServiceError, RuntimeError):
        await desk.discard(name for name, _ in content.segments)
        raise
    await desk.discard(change.garbage)
    assert change.version is not None
    return change.version


async def get_object(desk: Desk, call: Call) -> Reply:
    opened = await _open(desk, call, with_content=True)
    assert opened.body is not None
    return _answer(call, opened, {"Body": opened.body})


async def head_object(desk: Desk, call: Call) -> Reply:
    return _answer(call, await _open(desk, call, with_content=False), {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A version, the piece of it that is asked for, and its bytes."""

    bucket: Bucket
    version: Version
    span: Span
    body: bytes | Reading | None = None


async def _open(desk: Desk, call: Call, *, with_content: bool) -> Opened:
    """Raises NoSuchKey and its kin, and what conditions and ranges raise."""
    params, bucket, key = call.params, desk.bucket_of(call), view.key_of(call.params)
    version_id, conditions = params.get("VersionId"), conditions_of(params)

    def look(tx: Tx) -> tuple[Version, Mapping[str, Any] | None]:
        version = _found(desk, call, bucket, tx, key, version_id)
        content = tx.row("s3_content_get", id=version.content) if with_content and not version.marker else None
        return version, content

    for _ in range(_OPENED_AGAIN):
        version, content = await desk.store.read(look)
        if version.marker:
            raise _is_marker(version, version_id)
        conditions.check(version)
        span = span_of(params, version)
        if content is None:
            return Opened(bucket=bucket, version=version, span=span)
        if content["bytes"] is not None:
            data: bytes = content["bytes"]
            body: bytes | Reading = data if span.whole else data[span.start : span.start + span.size]
            return Opened(bucket=bucket, version=version, span=span, body=body)
        try:
            body = await desk.segments.read(slices_of(segments_from(content["segments"]), span))
        except FileNotFoundError:
            continue  # replaced since it was looked up: look again
        return Opened(bucket=bucket, version=version, span=span, body=body)
    raise ServiceError("We encountered an internal error. Please try again.", code="InternalError", status=500)


def _found(desk: Desk, call: Call, bucket: Bucket, tx: Tx, key: str, version_id: str | None) -> Version:
    """As shelf.find; who may not list the bucket is not told what is missing there."""
    try:
        return shelf.find(tx, bucket.name, key, version_id)
    except ClientError:
        if not desk.allows(bucket, call, "s3:ListBucket", None):
            raise access_denied() from None
        raise


def _is_marker(version: Version, version_id: str | None) -> ServiceError:
    """A delete marker has no bytes: as the latest it hides the key, by its own id it can only be deleted."""
    if version_id is None:
        return no_such_key(version.key)
    message = "The specified method is not allowed against this resource."
    return ClientError(message, code="MethodNotAllowed", status=405, members={"ResourceType": "DeleteMarker"})


def _answer(call: Call, opened: Opened, body: dict[str, Any]) -> Reply:
    version, span, params = opened.version, opened.span, call.params
    shown = view.with_version(opened.bucket, version, view.described(version)) | body
    shown |= lifecycle.expiration_of(opened.bucket, version)
    shown["ContentLength"] = span.size
    for name in _OVERRIDES:
        if params.get(name) is not None:
            shown[name.removeprefix("Response")] = params[name]
    if params.get("ChecksumMode") == "ENABLED" and span.whole:
        shown |= view.checksums(version)
    if params.get("PartNumber") is not None and version.about.part_sizes:
        shown["PartsCount"] = len(version.about.part_sizes)
    if span.whole:
        return Reply(shown)
    if span.size:
        shown["ContentRange"] = span.header(version.size)
    return Reply(shown, status=206)


async def delete_object(desk: Desk, call: Call) -> dict[str, Any]:
    params, bucket, key = call.params, desk.bucket_of(call), view.key_of(call.params)
    conditions = {name: params.get(name) for name in ("IfMatch", "IfMatchLastModifiedTime", "IfMatchSize")}
    change = await take_off(desk, call, bucket, key, params.get("VersionId"), conditions)
    return _deleted(bucket, change, params.get("VersionId"))


async def take_off(
    desk: Desk, call: Call, bucket: Bucket, key: str, version_id: str | None, conditions: Params
) -> shelf.Change:
    """Delete a version, or hide the key; with the event of it."""
    marker = Version(bucket=bucket.name, key=key, seq=desk.next_seq(), modified_ms=desk.now_ms())
    new_id = desk.ids.hex(32)

    def work(tx: Tx) -> shelf.Change:
        _check_delete(tx, bucket, key, version_id, conditions)
        change = shelf.remove(tx, bucket, key, version_id, marker, new_id)
        if change.version is not None:
            event = "ObjectRemoved:DeleteMarkerCreated" if change.made_marker else "ObjectRemoved:Delete"
            # The deletion has its own place in the order of the key's events.
            desk.announce(tx, bucket, event, replace(change.version, seq=marker.seq), call)
        return change

    change = await desk.write(work)
    await desk.discard(change.garbage)
    return change


def _check_delete(tx: Tx, bucket: Bucket, key: str, version_id: str | None, conditions: Params) -> None:
    """Raises PreconditionFailed; conditions on what is not there hold for nothing."""
    wanted = {name: value for name, value in conditions.items() if value is not None}
    if not wanted:
        return
    found = shelf.version_of(tx, bucket.name, key, version_id) if version_id else shelf.latest_of(tx, bucket.name, key)
    if found is None or found.marker:
        raise no_such_key(key)
    if "IfMatch" in wanted and not shelf.same_etag(wanted["IfMatch"], found.etag):
        raise precondition_failed("If-Match")
    if "IfMatchSize" in wanted and wanted["IfMatchSize"] != found.size:
        raise precondition_failed("x-amz-if-match-size")
    if "IfMatchLastModifiedTime" in wanted:
        modified = view.instant(found.modified_ms // 1000 * 1000)
        if wanted["IfMatchLastModifiedTime"].replace(microsecond=0) != modified:
            raise precondition_failed("x-amz-if-match-last-modified-time")


def _deleted(bucket: Bucket, change: shelf.Change, version_id: str | None) -> dict[str, Any]:
    if not bucket.versioning:
        return {}
    if change.made_marker and change.version is not None:
        return {"DeleteMarker": True, "VersionId": change.version.version_id}
    shown: dict[str, Any] = {} if version_id is None else {"VersionId": version_id}
    if change.version is not None and change.version.marker:
        shown["DeleteMarker"] = True
    return shown


async def delete_objects(desk: Desk, call: Call) -> dict[str, Any]:
    """Each on its own, all in one group of commits. Quiet answers only what failed."""
    bucket, given = desk.bucket_of(call), call.params["Delete"]
    entries = given["Objects"]
    if not 1 <= len(entries) <= DELETED_MAX:
        raise malformed_xml()

    async def one(entry: Params) -> tuple[dict[str, Any], dict[str, Any]]:
        """(deleted, error), one of them empty."""
        named = {name: entry[name] for name in ("Key", "VersionId") if entry.get(name)}
        conditions = {
            "IfMatch": entry.get("ETag"),
            "IfMatchSize": entry.get("Size"),
            "IfMatchLastModifiedTime": entry.get("LastModifiedTime"),
        }
        try:
            key = view.key_of(entry)
            if not desk.allows(bucket, call, access.action_of("DeleteObject", entry), key):
                raise access_denied()
            change = await take_off(desk, call, bucket, key, entry.get("VersionId"), conditions)
        except ClientError as error:
            return {}, {**named, "Code": error.code, "Message": error.message}
        shown = _deleted(bucket, change, entry.get("VersionId"))
        if shown.get("DeleteMarker"):
            assert change.version is not None
            named |= {"DeleteMarker": True, "DeleteMarkerVersionId": change.version.version_id}
        return named, {}

    results = await asyncio.gather(*(one(entry) for entry in entries))
    quiet = given.get("Quiet", False)
    return {
        "Deleted": [] if quiet else [deleted for deleted, _ in results if deleted],
        "Errors": [error for _, error in results if error],
    }


async def get_object_attributes(desk: Desk, call: Call) -> dict[str, Any]:
    opened = await _open(desk, call, with_content=False)
    version, wanted = opened.version, set(call.params["ObjectAttributes"])
    shown: dict[str, Any] = {"LastModified": view.instant(version.modified_ms)}
    if "ETag" in wanted:
        shown["ETag"] = version.etag.strip('"')
    if "ObjectSize" in wanted:
        shown["ObjectSize"] = version.size
    if "StorageClass" in wanted:
        shown["StorageClass"] = version.about.storage_class
    if "Checksum" in wanted and version.about.checksums:
        shown["Checksum"] = view.checksums(version)
    sizes = version.about.part_sizes
    if "ObjectParts" in wanted and sizes:
        after, most = int(call.params.get("PartNumberMarker") or 0), int(call.params.get("MaxParts") or 1_000)
        page = list(enumerate(sizes, 1))[after : after + most]
        shown["ObjectParts"] = {
            "TotalPartsCount": len(sizes), "PartNumberMarker": after, "MaxParts": most,
            "NextPartNumberMarker": page[-1][0] if page else after, "IsTruncated": after + most < len(sizes),
            "Parts": [{"PartNumber": number, "Size": size} for number, size in page],
        }  # fmt: skip
    return view.with_version(opened.bucket, version, shown)


async def get_object_acl(desk: Desk, call: Call) -> dict[str, Any]:
    """Objects have no ACLs of their own: their bucket's owner may do everything."""
    opened = await _open(desk, call, with_content=False)
    return owner_only(opened.bucket)


def owner_only(bucket: Bucket) -> dict[str, Any]:
    grantee = {"ID": view.canonical_id(bucket.account), "Type": "CanonicalUser"}
    return {"Owner": view.owner(bucket), "Grants": [{"Grantee": grantee, "Permission": "FULL_CONTROL"}]}
