"""Where code comes from: sent along as ZipFile, or read from an object of S3 (spec 01 section 4)."""

from __future__ import annotations

from paddock.model.errors import InvalidParameterValue, RequestEntityTooLarge, ServiceError
from paddock.services.lambda_.desk import Desk
from paddock.services.service import Call, Params

FROM_S3 = frozenset({"S3Bucket", "S3Key", "S3ObjectVersion"})
HONOURED = FROM_S3 | {"ZipFile"}


async def content_of(desk: Desk, call: Call, source: Params, what: str = "function code") -> bytes:
    """The zip. Raises InvalidParameterValue without a source, with two, or for an object that can not be read, and
    RequestEntityTooLarge: what is sent along may be 50 MB zipped, an object whatever unpacks to no more than the rest.
    """
    content: bytes | None = source.get("ZipFile")
    bucket, key = source.get("S3Bucket"), source.get("S3Key")
    if content is not None:
        if bucket is not None or key is not None:
            raise InvalidParameterValue("Please do not provide other FunctionCode parameters when providing a ZipFile.")
        if len(content) > desk.quotas.zipped_bytes_max:
            raise RequestEntityTooLarge(f"Zipped size must be smaller than {desk.quotas.zipped_bytes_max} bytes")
        return content
    if bucket is None and key is None:
        raise InvalidParameterValue(f"Please provide a source for {what}.")
    if not bucket or not key:
        raise InvalidParameterValue("Both S3Bucket and S3Key must be provided.")
    try:
        return await desk.objects.read(
            call.caller.account, bucket, key, source.get("S3ObjectVersion") or "", desk.quotas.unzipped_bytes_max
        )
    except ServiceError as error:
        raise InvalidParameterValue(
            f"Error occurred while GetObject. S3 Error Code: {error.code}. S3 Error Message: {error.message}"
        ) from error
