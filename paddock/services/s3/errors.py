"""S3's own errors, in its words. Its codes carry no `Exception` behind them."""

from __future__ import annotations

from paddock.model.errors import ClientError, ServiceError


def no_such_bucket(name: str) -> ServiceError:
    return ClientError(
        "The specified bucket does not exist", code="NoSuchBucket", status=404, members={"BucketName": name}
    )


def no_such_key(key: str) -> ServiceError:
    return ClientError("The specified key does not exist.", code="NoSuchKey", status=404, members={"Key": key})


def no_such_version(key: str, version_id: str) -> ServiceError:
    members = {"Key": key, "VersionId": version_id}
    return ClientError("The specified version does not exist.", code="NoSuchVersion", status=404, members=members)


def no_such_upload(upload_id: str) -> ServiceError:
    message = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed."
    )
    return ClientError(message, code="NoSuchUpload", status=404, members={"UploadId": upload_id})


def access_denied() -> ServiceError:
    return ClientError("Access Denied", code="AccessDenied", status=403)


def invalid_argument(message: str, name: str = "", value: str = "") -> ServiceError:
    members = {"ArgumentName": name, "ArgumentValue": value} if name else {}
    return ClientError(message, code="InvalidArgument", members=members)


def invalid_request(message: str) -> ServiceError:
    return ClientError(message, code="InvalidRequest")


def malformed_xml() -> ServiceError:
    message = "The XML you provided was not well-formed or did not validate against our published schema"
    return ClientError(message, code="MalformedXML")


def precondition_failed(condition: str) -> ServiceError:
    message = "At least one of the pre-conditions you specified did not hold"
    return ClientError(message, code="PreconditionFailed", status=412, members={"Condition": condition})


def not_modified() -> ServiceError:
    return ClientError("Not Modified", code="NotModified", status=304)


def bad_digest(what: str) -> ServiceError:
    return ClientError(f"The {what} you specified did not match the calculated checksum.", code="BadDigest")


def disk_full() -> ServiceError:
    message = "There is not enough room on the server's disk; nothing was stored."
    return ServiceError(message, code="InsufficientStorage", status=507)
