"""Between the wire's members and the nouns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, quote

from paddock.model.errors import ClientError
from paddock.services.s3.errors import invalid_argument
from paddock.services.s3.nouns import About, Bucket, Version
from paddock.services.service import Params

KEY_BYTES_MAX = 1_024
METADATA_BYTES_MAX = 2_048
TAGS_MAX = 10
TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX = 128, 256
DEFAULT_TYPE = "binary/octet-stream"

CHECKSUMS: Mapping[str, str] = {
    "ChecksumCRC32": "CRC32", "ChecksumCRC32C": "CRC32C", "ChecksumCRC64NVME": "CRC64NVME", "ChecksumSHA1": "SHA1",
    "ChecksumSHA256": "SHA256", "ChecksumSHA512": "SHA512", "ChecksumMD5": "MD5", "ChecksumXXHASH64": "XXHASH64",
    "ChecksumXXHASH3": "XXHASH3", "ChecksumXXHASH128": "XXHASH128",
}  # fmt: skip
"""Member -> algorithm."""

HEADERS = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType",
    "WebsiteRedirectLocation",
)  # fmt: skip
"""Members that are stored with an object and answered as they came."""


def key_of(params: Params) -> str:
    """Raises KeyTooLongError."""
    key = str(params["Key"])
    size = len(key.encode())
    if size > KEY_BYTES_MAX:
        members = {"Size": str(size), "MaxSizeAllowed": str(KEY_BYTES_MAX)}
        raise ClientError("Your key is too long", code="KeyTooLongError", members=members)
    return key


def instant(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def about_of(params: Params, encoding: str | None = None) -> About:
    """encoding: Content-Encoding without aws-chunked, where the payload came with it. Raises MetadataTooLarge."""
    headers = {name: params[name] for name in HEADERS if params.get(name)}
    if encoding is not None:
        headers.pop("ContentEncoding", None)
        if encoding:
            headers["ContentEncoding"] = encoding
    if params.get("Expires") is not None:
        headers["Expires"] = format_datetime(params["Expires"], usegmt=True)
    metadata = dict(params.get("Metadata") or {})
    size = sum(len(name) + len(value.encode()) for name, value in metadata.items())
    if size > METADATA_BYTES_MAX:
        members = {"Size": str(size), "MaxSizeAllowed": str(METADATA_BYTES_MAX)}
        message = "Your metadata headers exceed the maximum allowed metadata size"
        raise ClientError(message, code="MetadataTooLarge", members=members)
    return About(headers=headers, metadata=metadata, storage_class=params.get("StorageClass") or "STANDARD")


def check_acl(params: Params) -> None:
    """New buckets have no ACLs; what their owner has anyway may be said."""
    if params.get("ACL") not in (None, "private", "bucket-owner-full-control"):
        raise ClientError("The bucket does not allow ACLs", code="AccessControlListNotSupported")


def described(version: Version) -> dict[str, Any]:
    """The members that GetObject and HeadObject share."""
    about = version.about
    shown: dict[str, Any] = {
        "AcceptRanges": "bytes",
        "LastModified": instant(version.modified_ms),
        "ETag": version.etag,
        "ServerSideEncryption": "AES256",
        "ContentType": DEFAULT_TYPE,
        **{name: value for name, value in about.headers.items() if name != "Expires"},
        "Metadata": about.metadata,
    }
    if "Expires" in about.headers:
        shown["Expires"] = parsedate_to_datetime(about.headers["Expires"])
    if about.storage_class != "STANDARD":
        shown["StorageClass"] = about.storage_class
    if version.tags:
        shown["TagCount"] = len(version.tags)
    return shown


def with_version(bucket: Bucket, version: Version, shown: dict[str, Any]) -> dict[str, Any]:
    """VersionId is shown where versions are or were kept."""
    return {**shown, "VersionId": version.version_id} if bucket.versioning else shown


def checksums(version: Version) -> dict[str, str]:
    """Checksum members, with their type."""
    about = version.about
    found = {f"Checksum{name}": value for name, value in about.checksums.items()}
    return {**found, "ChecksumType": about.checksum_type} if found else {}


def owner(bucket: Bucket) -> dict[str, str]:
    return {"ID": canonical_id(bucket.account)}


def canonical_id(account: str) -> str:
    """64 hex digits that stand for an account, as S3 shows owners."""
    return (account * 6)[:64].rjust(64, "0")


def tags_of_header(text: str | None) -> dict[str, str]:
    """x-amz-tagging: a query string. Raises InvalidArgument, InvalidTag."""
    if not text:
        return {}
    pairs = parse_qsl(text, keep_blank_values=True)
    if not pairs or len({key for key, _ in pairs}) < len(pairs):
        raise invalid_argument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query "
                               "parameters without tag name duplicates.", "x-amz-tagging", text)  # fmt: skip
    return check_tags(dict(pairs), TAGS_MAX)


def tags_of_set(entries: list[dict[str, str]], most: int) -> dict[str, str]:
    """Raises InvalidTag."""
    tags = {entry["Key"]: entry.get("Value", "") for entry in entries}
    if len(tags) < len(entries):
        raise ClientError("Cannot provide multiple Tags with the same key", code="InvalidTag")
    return check_tags(tags, most)


def check_tags(tags: dict[str, str], most: int) -> dict[str, str]:
    if len(tags) > most:
        raise ClientError(f"Object tags cannot be greater than {most}", code="BadRequest")
    for key, value in tags.items():
        if not key or len(key) > TAG_KEY_CHARS_MAX:
            raise ClientError("The TagKey you have provided is invalid", code="InvalidTag")
        if len(value) > TAG_VALUE_CHARS_MAX:
            raise ClientError("The TagValue you have provided is invalid", code="InvalidTag")
        if key.startswith("aws:"):
            raise ClientError("System tags cannot be added/updated by requester", code="InvalidTag")
    return tags


def tag_set(tags: Any) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def url_encoded(text: str) -> str:
    """As EncodingType=url has keys: slashes stay."""
    return quote(text, safe="/~*")
