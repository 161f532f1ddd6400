"""Multipart uploads. A part is a segment of its own; to complete is to name the parts, in one row: no byte moves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from paddock.interfaces import Tx
from paddock.model.errors import ClientError, ServiceError
from paddock.services.s3 import lifecycle, shelf, view
from paddock.services.s3.desk import Desk
from paddock.services.s3.errors import (
    bad_digest,
    invalid_argument,
    invalid_request,
    malformed_xml,
    no_such_upload,
    precondition_failed,
)
from paddock.services.s3.intake import receive
from paddock.services.s3.listing import Place, after_key, gather, page_size
from paddock.services.s3.nouns import About, Bucket, Part, Upload, Version, about_from, dump, part_from, upload_from
from paddock.services.s3.shelf import Condition, Content
from paddock.services.service import Call, Params
from paddock.wire import checksums

PARTS_MAX = 10_000
PART_BYTES_MIN = 5_242_880
COMPOSITE, FULL = "COMPOSITE", "FULL_OBJECT"


async def create_multipart_upload(desk: Desk, call: Call) -> dict[str, Any]:
    params, bucket, key = call.params, desk.bucket_of(call), view.key_of(call.params)
    view.check_acl(params)
    algorithm = params.get("ChecksumAlgorithm") or ""
    about = msgspec.structs.replace(
        view.about_of(params), algorithm=algorithm, checksum_type=_type_of(algorithm, params.get("ChecksumType"))
    )
    upload = Upload(
        bucket=bucket.name, key=key, id=desk.ids.hex(64), created_ms=desk.now_ms(),
        tags=view.tags_of_header(params.get("Tagging")), about=about,
    )  # fmt: skip
    await desk.write(lambda tx: tx.run("s3_upload_add", **upload.row()))
    shown: dict[str, Any] = {"Bucket": bucket.name, "Key": key, "UploadId": upload.id}
    shown["ServerSideEncryption"] = "AES256"
    end = lifecycle.abort_of(bucket, key, upload.created_ms)
    if end is not None:
        shown |= {"AbortDate": view.instant(end[0]), "AbortRuleId": end[1]}
    return shown | ({"ChecksumAlgorithm": algorithm, "ChecksumType": about.checksum_type} if algorithm else {})


def _type_of(algorithm: str, asked: str | None) -> str:
    """AWS's defaults: CRC64NVME is of the whole, the others are of the parts. Raises InvalidRequest."""
    kind = asked or (FULL if algorithm in ("", "CRC64NVME") else COMPOSITE)
    if asked and not algorithm:
        raise invalid_request(
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
        )
    if (kind == FULL and algorithm and algorithm not in checksums.COMBINABLE) or (
        kind == COMPOSITE and algorithm == "CRC64NVME"
    ):
        raise invalid_request(
            f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        )
    return kind


def upload_in(tx: Tx, bucket: Bucket, params: Params) -> Upload:
    """Raises NoSuchUpload."""
    row = tx.row("s3_upload_get", bucket=bucket.name, key=params["Key"], id=params["UploadId"])
    if row is None:
        raise no_such_upload(params["UploadId"])
    return upload_from(row)


def part_number_of(params: Params) -> int:
    number = int(params["PartNumber"])
    if not 1 <= number <= PARTS_MAX:
        message = f"Part number must be an integer between 1 and {PARTS_MAX}, inclusive"
        raise invalid_argument(message, "partNumber", str(number))
    return number


async def upload_part(desk: Desk, call: Call) -> dict[str, Any]:
    params, bucket, number = call.params, desk.bucket_of(call), part_number_of(call.params)
    upload = await desk.store.read(lambda tx: upload_in(tx, bucket, params))
    received = await receive(desk, call, upload.about.algorithm, inline=False)
    part = Part(
        number=number, size=received.size, etag=received.etag, modified_ms=desk.now_ms(), segment=received.segment,
        checksums=received.checksums,
    )  # fmt: skip
    await keep_part(desk, bucket, params, part)
    shown = {f"Checksum{name}": value for name, value in part.checksums.items()}
    return {"ETag": part.etag, "ServerSideEncryption": "AES256", **shown}


async def keep_part(desk: Desk, bucket: Bucket, params: Params, part: Part) -> None:
    """Commit a part in place of one of its number. When that fails, its segment is deleted."""

    def work(tx: Tx) -> list[str]:
        upload = upload_in(tx, bucket, params)
        old = tx.row("s3_part_get", upload=upload.id, number=part.number)
        tx.run(
            "s3_part_put", upload=upload.id, number=part.number, size=part.size, etag=part.etag,
            modified_ms=part.modified_ms, segment=part.segment, checksums=dump(part.checksums),
        )  # fmt: skip
        return [old["segment"]] if old is not None else []

    try:
        garbage = await desk.write(work)
    except (ServiceError, RuntimeError):
        await desk.discard([part.segment])
        raise
    await desk.discard(garbage)


async def complete_multipart_upload(desk: Desk, call: Call) -> dict[str, Any]:
    params, bucket, key = call.params, desk.bucket_of(call), view.key_of(call.params)
    condition = Condition(if_match=params.get("IfMatch"), if_none_match=params.get("IfNoneMatch"))
    wanted = (params.get("MultipartUpload") or {}).get("Parts") or []
    _check_list(wanted)

    def look(tx: Tx) -> tuple[Upload, dict[int, Part]]:
        upload = upload_in(tx, bucket, params)
        rows = tx.rows("s3_parts_page", upload=upload.id, after=0, limit=PARTS_MAX)
        return upload, {row["number"]: part_from(row) for row in rows}

    upload, present = await desk.store.read(look)
    parts = [_chosen(entry, present) for entry in wanted]
    if any(part.size < PART_BYTES_MIN for part in parts[:-1]):
        message = "Your proposed upload is smaller than the minimum allowed size"
        raise ClientError(message, code="EntityTooSmall")
    about = _about(params, upload, parts)
    version = Version(
        bucket=bucket.name, key=key, seq=desk.next_seq(), size=sum(part.size for part in parts), etag=_etag(parts),
        modified_ms=desk.now_ms(), tags=upload.tags, about=about,
    )  # fmt: skip
    if params.get("MpuObjectSize") not in (None, version.size):
        raise invalid_request("The provided 'x-amz-mp-object-size' header does not match what was computed.")
    kept = await _settle(desk, call, version, parts, condition)
    shown = {
        "Location": f"http://{call.headers.get('host')}/{bucket.name}/{view.url_encoded(key)}",
        "Bucket": bucket.name, "Key": key, "ETag": kept.etag, "ServerSideEncryption": "AES256", **view.checksums(kept),
    }  # fmt: skip
    return view.with_version(bucket, kept, shown)


async def _settle(desk: Desk, call: Call, version: Version, parts: Sequence[Part], condition: Condition) -> Version:
    """The version in place of the upload, in one transaction; parts that were not named go."""
    bucket, upload_id, new_id = desk.bucket_named(version.bucket), call.params["UploadId"], desk.ids.hex(32)
    used = {part.segment for part in parts}

    def work(tx: Tx) -> shelf.Change:
        upload_in(tx, bucket, call.params)
        rows = tx.rows("s3_parts_page", upload=upload_id, after=0, limit=PARTS_MAX)
        if not used <= {row["segment"] for row in rows}:
            raise _invalid_part()  # one was sent anew while the upload was being completed
        content = Content(segments=[(part.segment, part.size) for part in parts])
        change = shelf.add(tx, bucket, version, content, condition, new_id)
        change.garbage += [row["segment"] for row in rows if row["segment"] not in used]
        _forget(tx, bucket.name, version.key, upload_id)
        assert change.version is not None
        desk.announce(tx, bucket, "ObjectCreated:CompleteMultipartUpload", change.version, call)
        return change

    change = await desk.write(work)
    await desk.discard(change.garbage)
    assert change.version is not None
    return change.version


def _forget(tx: Tx, bucket: str, key: str, upload_id: str) -> None:
    tx.run("s3_parts_delete", upload=upload_id)
    tx.run("s3_upload_delete", bucket=bucket, key=key, id=upload_id)


def _check_list(wanted: Sequence[Params]) -> None:
    """Raises MalformedXML, InvalidPartOrder."""
    if not 1 <= len(wanted) <= PARTS_MAX or any("PartNumber" not in entry for entry in wanted):
        raise malformed_xml()
    numbers = [int(entry["PartNumber"]) for entry in wanted]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        message = "The list of parts was not in ascending order. Parts must be ordered by part number."
        raise ClientError(message, code="InvalidPartOrder")


def _chosen(entry: Params, present: Mapping[int, Part]) -> Part:
    """The part that the list names, if it is as the list says. Raises InvalidPart."""
    part = present.get(entry["PartNumber"])
    if part is None or entry.get("ETag", "").strip('"') != part.etag.strip('"'):
        raise _invalid_part()
    for member, name in view.CHECKSUMS.items():
        sent = entry.get(member)
        if sent and part.checksums.get(name) != sent:
            raise _invalid_part()
    return part


def _invalid_part() -> ServiceError:
    message = (
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified "
        "entity tag may not match the part's entity tag."
    )
    return ClientError(message, code="InvalidPart")


def _etag(parts: Sequence[Part]) -> str:
    joined = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
    return f'"{hashlib.md5(joined).hexdigest()}-{len(parts)}"'


def _about(params: Params, upload: Upload, parts: Sequence[Part]) -> About:
    """The upload's, with the checksum that follows from the parts'. Raises BadDigest when another was announced."""
    about = upload.about
    if params.get("ChecksumType") not in (None, about.checksum_type):
        raise invalid_request("The upload was created with another checksum type.")
    algorithm = about.algorithm or "CRC64NVME"
    digests = [checksums.decoded(part.checksums.get(algorithm, "")) or b"" for part in parts]
    found: dict[str, str] = {}
    if all(digests):
        if about.checksum_type == FULL:
            sized = [(digest, part.size) for digest, part in zip(digests, parts, strict=True)]
            found[algorithm] = checksums.encoded(checksums.combine(algorithm, sized))
        else:
            whole = checksums.new(algorithm)
            whole.update(b"".join(digests))
            found[algorithm] = f"{checksums.encoded(whole.digest())}-{len(parts)}"
    for member, name in view.CHECKSUMS.items():
        sent = params.get(member)
        if sent and found.get(name, "").partition("-")[0] != sent.partition("-")[0]:
            raise bad_digest(name)
    sizes = [part.size for part in parts]
    return msgspec.structs.replace(about, checksums=found, part_sizes=sizes, algorithm="")


async def abort_multipart_upload(desk: Desk, call: Call) -> None:
    params, bucket = call.params, desk.bucket_of(call)

    def work(tx: Tx) -> list[str]:
        upload = upload_in(tx, bucket, params)
        at = params.get("IfMatchInitiatedTime")
        if at is not None and at.replace(microsecond=0) != view.instant(upload.created_ms // 1000 * 1000):
            raise precondition_failed("x-amz-if-match-initiated-time")
        return abort(tx, upload)

    await desk.discard(await desk.write(work))


def abort(tx: Tx, upload: Upload) -> list[str]:
    """Forget an upload; its parts' segments."""
    rows = tx.rows("s3_parts_page", upload=upload.id, after=0, limit=PARTS_MAX)
    _forget(tx, upload.bucket, upload.key, upload.id)
    return [row["segment"] for row in rows]


async def list_parts(desk: Desk, call: Call) -> dict[str, Any]:
    params, bucket = call.params, desk.bucket_of(call)
    after, most = int(params.get("PartNumberMarker") or 0), page_size(params.get("MaxParts"), "max-parts")

    def work(tx: Tx) -> tuple[Upload, list[Part]]:
        upload = upload_in(tx, bucket, params)
        rows = tx.rows("s3_parts_page", upload=upload.id, after=after, limit=most + 1)
        return upload, [part_from(row) for row in rows]

    upload, parts = await desk.store.read(work)
    page = parts[:most]
    owner = view.owner(bucket)
    shown = {
        "Bucket": bucket.name, "Key": upload.key, "UploadId": upload.id, "PartNumberMarker": after, "MaxParts": most,
        "NextPartNumberMarker": page[-1].number if page else 0, "IsTruncated": len(parts) > most,
        "Parts": [_part_entry(part) for part in page], "Initiator": owner, "Owner": owner,
        "StorageClass": upload.about.storage_class,
    }  # fmt: skip
    about = upload.about
    return shown | (
        {"ChecksumAlgorithm": about.algorithm, "ChecksumType": about.checksum_type} if about.algorithm else {}
    )


def _part_entry(part: Part) -> dict[str, Any]:
    return {
        "PartNumber": part.number, "LastModified": view.instant(part.modified_ms), "ETag": part.etag,
        "Size": part.size, **{f"Checksum{name}": value for name, value in part.checksums.items()},
    }  # fmt: skip


async def list_multipart_uploads(desk: Desk, call: Call) -> dict[str, Any]:
    params, bucket = call.params, desk.bucket_of(call)
    marker, id_marker = params.get("KeyMarker") or "", params.get("UploadIdMarker") or ""
    prefix, delimiter = params.get("Prefix") or "", params.get("Delimiter") or ""
    most = page_size(params.get("MaxUploads"), "max-uploads")
    start = Place(marker, id_marker) if id_marker and marker else Place(after_key(marker) if marker else "")
    page = await desk.store.read(
        lambda tx: gather(
            lambda place, limit: tx.rows(
                "s3_uploads_page", bucket=bucket.name, start=place.key, after=place.within or "", limit=limit
            ),
            prefix=prefix,
            delimiter=delimiter,
            start=start,
            size=most,
            skip=marker,
            within="id",
        )
    )
    show = view.url_encoded if params.get("EncodingType") == "url" else str
    owner = view.owner(bucket)
    shown = {
        "Bucket": bucket.name, "KeyMarker": show(marker), "UploadIdMarker": id_marker, "Prefix": show(prefix),
        "MaxUploads": most, "IsTruncated": page.more, "EncodingType": params.get("EncodingType"),
        "Uploads": [
            {"Key": show(row["key"]), "UploadId": row["id"], "Initiated": view.instant(row["created_ms"]),
             "StorageClass": about_from(row).storage_class, "Owner": owner, "Initiator": owner}
            for row in page.rows
        ],
        "CommonPrefixes": [{"Prefix": show(each)} for each in page.prefixes],
    }  # fmt: skip
    if delimiter:
        shown["Delimiter"] = show(delimiter)
    if page.more:
        shown["NextKeyMarker"] = show(page.last)
        shown["NextUploadIdMarker"] = page.last_row["id"] if page.last_row is not None else ""
    return shown
