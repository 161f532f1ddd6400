"""Uploads by a browser's form (POST Object): the form's policy document, and the object that comes of it.

A form's policy says what its fields may hold; who made the form signed it, so who fills it in can upload that and
nothing else. A form without one is nobody's in particular, and needs a bucket that everybody may put into.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from xml.sax.saxutils import escape

import msgspec

from paddock.model.errors import ClientError, NotYet, ServiceError
from paddock.services.s3 import view
from paddock.services.s3.desk import Desk
from paddock.services.s3.errors import invalid_argument
from paddock.services.s3.intake import OBJECT_BYTES_MAX
from paddock.services.s3.objects import put_object
from paddock.services.service import Call
from paddock.wire.form_data import FormData
from paddock.wire.messages import Response

_MEMBERS: Mapping[str, str] = {
    "content-type": "ContentType", "cache-control": "CacheControl", "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding", "content-language": "ContentLanguage", "acl": "ACL",
    "x-amz-storage-class": "StorageClass", "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-website-redirect-location": "WebsiteRedirectLocation", "content-md5": "ContentMD5",
    "x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
    "x-amz-server-side-encryption-customer-algorithm": "SSECustomerAlgorithm",
    **{f"x-amz-checksum-{name.lower()}": member for member, name in view.CHECKSUMS.items()},
}  # fmt: skip
"""Field -> PutObject's member."""

_META = "x-amz-meta-"
_FREE = frozenset({"x-amz-signature", "signature", "policy", "awsaccesskeyid", "bucket"})
"""Fields that a policy need not name."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes that the policy lets the file have."""

    least: int = 0
    most: int = OBJECT_BYTES_MAX


async def post(desk: Desk, call: Call, bucket: str, form: FormData) -> Response:
    """The object stored, and what the form asks to be told. Raises AccessDenied and its kin, and as PutObject."""
    fields = form.fields
    desk.bucket_named(bucket)
    if not fields.get("key"):
        raise invalid_argument("Bucket POST must contain a field named 'key'. If it is specified, please check the "
                               "order of the fields.", "key")  # fmt: skip
    limits = Limits()
    if "policy" in fields:
        limits = checked(fields["policy"], {**fields, "bucket": bucket}, desk.clock.now())
    elif not call.caller.anonymous:
        raise invalid_argument("Bucket POST must contain a field named 'policy'.", "policy")
    key = fields["key"].replace("${filename}", form.file_name)
    body = _Bounded(form, limits)
    params = {"Bucket": bucket, "Key": key, "Body": body, **_members(fields)}
    answer = await put_object(desk, msgspec.structs.replace(call, params=params, operation="PutObject"))
    return _answered(call, fields, bucket, key, str(answer["ETag"]))


class _Bounded:
    """The form's file, which must have as many bytes as its policy says. Everything else is the form's."""

    def __init__(self, form: FormData, limits: Limits) -> None:
        self._form = form
        self._limits = limits
        self.length, self.encoding = form.length, form.fields.get("content-encoding", "")
        self.trailers, self.payload_hash = form.trailers, form.payload_hash

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size, limits = 0, self._limits
        async for piece in self._form:
            size += len(piece)
            if size > limits.most:
                members = {"ProposedSize": str(size), "MaxSizeAllowed": str(limits.most)}
                message = "Your proposed upload exceeds the maximum allowed size"
                raise ClientError(message, code="EntityTooLarge", members=members)
            yield piece
        if size < limits.least:
            members = {"ProposedSize": str(size), "MinSizeAllowed": str(limits.least)}
            message = "Your proposed upload is smaller than the minimum allowed size"
            raise ClientError(message, code="EntityTooSmall", members=members)

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self])


def _members(fields: Mapping[str, str]) -> dict[str, Any]:
    if fields.get("tagging"):
        raise NotYet("The form field tagging is not supported yet: put the object's tags afterwards.")
    found: dict[str, Any] = {member: fields[name] for name, member in _MEMBERS.items() if fields.get(name)}
    found["Metadata"] = {name.removeprefix(_META): text for name, text in fields.items() if name.startswith(_META)}
    if fields.get("expires"):
        try:
            found["Expires"] = parsedate_to_datetime(fields["expires"])
        except ValueError:
            raise invalid_argument("Expires is not a date", "Expires", fields["expires"]) from None
    return found


# ---- the policy


def checked(text: str, fields: Mapping[str, str], now: datetime) -> Limits:
    """Hold the form against its policy. Raises InvalidPolicyDocument; AccessDenied for what it does not let pass."""
    try:
        document = json.loads(base64.b64decode(text, validate=True))
        ends = datetime.fromisoformat(document["expiration"])
        conditions = list(document["conditions"])
    except (ValueError, binascii.Error, KeyError, TypeError, RecursionError):
        raise _invalid("Invalid Policy: Invalid JSON.") from None
    if ends.tzinfo is None:
        raise _invalid("Invalid Policy: Invalid 'expiration' value.")
    if now > ends:
        raise _denied("Policy expired.")
    limits, named = Limits(), set[str]()
    for condition in conditions:
        for operator, name, value in _each(condition):
            if operator == "content-length-range":
                limits = _range(name, value)
                continue
            named.add(name)
            found = fields.get(name, "")
            if not (found == value if operator == "eq" else found.startswith(value)):
                raise _denied(f"Policy Condition failed: {json.dumps([operator, f'${name}', value])}")
    extra = sorted(name for name in fields if name not in named | _FREE and not name.startswith("x-ignore-"))
    if extra:
        raise _denied(f"Extra input fields: {extra[0]}")
    return limits


def _each(condition: Any) -> Sequence[tuple[str, str, str]]:
    """(operator, field in lower case, value) of `{"acl": "private"}` or `["starts-with", "$key", "user/"]`."""
    if isinstance(condition, dict) and all(isinstance(value, str) for value in condition.values()):
        return [("eq", name.lower(), value) for name, value in condition.items()]
    if isinstance(condition, list) and len(condition) == 3:
        operator, name, value = str(condition[0]).lower(), str(condition[1]), str(condition[2])
        if operator == "content-length-range":
            return [(operator, name, value)]
        if operator in ("eq", "starts-with") and name.startswith("$"):
            return [(operator, name[1:].lower(), value)]
    raise _invalid(f"Invalid Policy: Invalid Condition: {json.dumps(condition)[:256]}")


def _range(least: str, most: str) -> Limits:
    if not (least.isascii() and least.isdigit() and most.isascii() and most.isdigit()):
        raise _invalid("Invalid Policy: Invalid content-length-range.")
    return Limits(int(least), min(int(most), OBJECT_BYTES_MAX))


def _invalid(message: str) -> ServiceError:
    return ClientError(message, code="InvalidPolicyDocument")


def _denied(message: str) -> ServiceError:
    return ClientError(f"Invalid according to Policy: {message}", code="AccessDenied", status=403)


# ---- the answer


def _answered(call: Call, fields: Mapping[str, str], bucket: str, key: str, etag: str) -> Response:
    """A redirect, a document, or nothing but the status, as the form asks."""
    place = f"http://{call.headers.get('host')}/{bucket}/{quote(key)}"
    common = (("x-amz-request-id", call.request_id), ("ETag", etag), ("Location", place))
    redirect = fields.get("success_action_redirect") or fields.get("redirect") or ""
    url = urlsplit(redirect) if redirect.isascii() and redirect.isprintable() else None
    if url is not None and url.scheme in ("http", "https") and url.netloc:
        told = urlencode({"bucket": bucket, "key": key, "etag": etag})
        target = url._replace(query=f"{url.query}&{told}" if url.query else told).geturl()
        return Response(status=303, headers=(*common[:2], ("Location", target)))
    status = fields.get("success_action_status")
    if status == "201":
        shown = {"Location": place, "Bucket": bucket, "Key": key, "ETag": etag}
        inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in shown.items())
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<PostResponse>{inner}</PostResponse>'.encode()
        return Response(status=201, headers=(*common, ("Content-Type", "application/xml")), body=body)
    return Response(status=200 if status == "200" else 204, headers=common)
