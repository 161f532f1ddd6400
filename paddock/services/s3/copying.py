"""Copies within the server: of whole objects, and of ranges into a part. Large contents are linked, not moved."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from paddock.interfaces import Tx
from paddock.model.errors import ServiceError
from paddock.services.s3 import shelf, view
from paddock.services.s3.desk import Desk
from paddock.services.s3.errors import access_denied, disk_full, invalid_argument, invalid_request, no_such_key
from paddock.services.s3.multipart import keep_part, part_number_of, upload_in
from paddock.services.s3.nouns import About, Bucket, Part, Version, segments_from
from paddock.services.s3.objects import keep
from paddock.services.s3.reading import Span, exact_range, slices_of, source_conditions_of
from paddock.services.s3.shelf import Condition, Content
from paddock.services.service import Call
from paddock.wire import checksums

_OPENED_AGAIN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is copied: a version and its content row."""

    bucket: Bucket
    version: Version
    inline: bytes | None
    segments: tuple[tuple[str, int], ...]


async def _source(desk: Desk, call: Call) -> Source:
    """CopySource is `bucket/key`, percent-encoded, with `?versionId=` behind it. Raises as a GET of it would."""
    text = call.params["CopySource"]
    path, _, query = text.partition("?")
    name, slash, key = unquote(path.removeprefix("/")).partition("/")
    if not slash or not key:
        raise invalid_argument("Invalid copy source object key", "x-amz-copy-source", text)
    bucket = desk.bucket_named(name, call.params.get("ExpectedSourceBucketOwner"))
    version_id = parse_qs(query).get("versionId", [None])[0]
    if not desk.allows(bucket, call, "s3:GetObject" if version_id is None else "s3:GetObjectVersion", key):
        raise access_denied()

    def look(tx: Tx) -> tuple[Version, Mapping[str, Any] | None]:
        version = shelf.find(tx, bucket.name, key, version_id)
        return version, tx.row("s3_content_get", id=version.content) if not version.marker else None

    version, row = await desk.store.read(look)
    if row is None:
        if version_id is None:
            raise no_such_key(key)
        raise invalid_request(
            "The source of a copy request may not specifically refer to a delete marker by version id."
        )
    source_conditions_of(call.params).check(version, copying=True)
    return Source(bucket=bucket, version=version, inline=row["bytes"], segments=tuple(segments_from(row["segments"])))


async def copy_object(desk: Desk, call: Call) -> dict[str, Any]:
    params, bucket, key = call.params, desk.bucket_of(call), view.key_of(call.params)
    view.check_acl(params)
    source = await _source(desk, call)
    replacing = params.get("MetadataDirective") == "REPLACE"
    tagging = params.get("TaggingDirective") == "REPLACE"
    same = (bucket.name, key) == (source.version.bucket, source.version.key)
    changed = replacing or tagging or params.get("StorageClass") or params.get("WebsiteRedirectLocation")
    if same and source.version.latest and not changed:
        raise invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes."
        )
    content, source = await _linked(desk, call, source)
    about = await _about(desk, call, source, replacing=replacing)
    version = Version(
        bucket=bucket.name, key=key, seq=desk.next_seq(), size=source.version.size, etag=source.version.etag,
        modified_ms=desk.now_ms(), about=about,
        tags=view.tags_of_header(params.get("Tagging")) if tagging else source.version.tags,
    )  # fmt: skip
    condition = Condition(if_match=params.get("IfMatch"), if_none_match=params.get("IfNoneMatch"))
    kept = await keep(desk, call, version, content, condition, "ObjectCreated:Copy")
    result = {"ETag": kept.etag, "LastModified": view.instant(kept.modified_ms), **view.checksums(kept)}
    shown: dict[str, Any] = {"CopyObjectResult": result, "ServerSideEncryption": "AES256"}
    if source.bucket.versioning:
        shown["CopySourceVersionId"] = source.version.version_id
    return view.with_version(bucket, kept, shown)


async def _about(desk: Desk, call: Call, source: Source, *, replacing: bool) -> About:
    params, old = call.params, source.version.about
    about = view.about_of(params) if replacing else old
    sums, kind = old.checksums, old.checksum_type
    algorithm = params.get("ChecksumAlgorithm")
    if algorithm and algorithm not in sums:
        sums, kind = {algorithm: await _checksum(desk, source, algorithm)}, "FULL_OBJECT"
    redirect = params.get("WebsiteRedirectLocation")
    headers = {name: value for name, value in about.headers.items() if name != "WebsiteRedirectLocation"}
    return msgspec.structs.replace(
        about,
        headers=headers | ({"WebsiteRedirectLocation": redirect} if redirect else {}),
        storage_class=params.get("StorageClass") or "STANDARD",
        checksums=sums,
        checksum_type=kind,
        part_sizes=old.part_sizes,
    )


async def _checksum(desk: Desk, source: Source, algorithm: str) -> str:
    """Another checksum than the source has, computed over its bytes."""
    whole = checksums.new(algorithm)
    if source.inline is not None:
        whole.update(source.inline)
    else:
        async for piece in await desk.segments.read(slices_of(source.segments, Span(0, source.version.size))):
            whole.update(piece)
    return checksums.encoded(whole.digest())


async def _linked(desk: Desk, call: Call, source: Source) -> tuple[Content, Source]:
    """Content of its own with the same bytes; the source looked up anew when it was replaced meanwhile."""
    for _ in range(_OPENED_AGAIN):
        if source.inline is not None:
            return Content(inline=source.inline), source
        try:
            names = await desk.segments.link([name for name, _ in source.segments])
        except FileNotFoundError:
            source = await _source(desk, call)
            continue
        except OSError as error:
            raise disk_full() from error
        sizes = [size for _, size in source.segments]
        return Content(segments=tuple(zip(names, sizes, strict=True))), source
    raise ServiceError("We encountered an internal error. Please try again.", code="InternalError", status=500)


async def upload_part_copy(desk: Desk, call: Call) -> dict[str, Any]:
    params, bucket, number = call.params, desk.bucket_of(call), part_number_of(call.params)
    upload = await desk.store.read(lambda tx: upload_in(tx, bucket, params))
    source = await _source(desk, call)
    size = source.version.size
    span = exact_range(params["CopySourceRange"], size) if params.get("CopySourceRange") else Span(0, size)
    md5, total = hashlib.md5(), checksums.new(upload.about.algorithm or "CRC64NVME")

    def observe(data: bytes) -> None:
        md5.update(data)
        total.update(data)

    try:
        stored = await desk.segments.write(await _bytes_of(desk, source, span), observe)
    except FileNotFoundError:
        raise no_such_key(source.version.key) from None
    except OSError as error:
        raise disk_full() from error
    part = Part(
        number=number, size=stored.size, etag=f'"{md5.hexdigest()}"', modified_ms=desk.now_ms(), segment=stored.name,
        checksums={upload.about.algorithm or "CRC64NVME": checksums.encoded(total.digest())},
    )  # fmt: skip
    await keep_part(desk, bucket, params, part)
    sums = {f"Checksum{name}": value for name, value in part.checksums.items()}
    result = {"ETag": part.etag, "LastModified": view.instant(part.modified_ms), **sums}
    shown: dict[str, Any] = {"CopyPartResult": result, "ServerSideEncryption": "AES256"}
    return shown | ({"CopySourceVersionId": source.version.version_id} if source.bucket.versioning else {})


async def _bytes_of(desk: Desk, source: Source, span: Span) -> Any:
    if source.inline is not None:
        return _once(source.inline[span.start : span.start + span.size])
    return await desk.segments.read(slices_of(source.segments, span))


async def _once(data: bytes) -> Any:
    yield data
