"""A customer's key that seals a function's environment must be usable when it is set and when the function runs."""

from __future__ import annotations

from collections.abc import Mapping

from paddock.model.caller import Caller
from paddock.model.errors import ClientError, ServiceError
from paddock.services.lambda_.desk import Desk

# KMS's codes -> Lambda's own, which answers all of them with 502.
_CODES: Mapping[str, str] = {
    "NotFoundException": "KMSNotFoundException",
    "DisabledException": "KMSDisabledException",
    "KMSInvalidStateException": "KMSInvalidStateException",
}


def check(desk: Desk, arn: str, caller: Caller) -> None:
    """Raises KMSNotFoundException, KMSDisabledException, KMSInvalidStateException. arn "" is Paddock's own key."""
    if not arn:
        return
    try:
        desk.keys.usable(arn, caller.account, caller.region)
    except ClientError as error:
        text = (
            "Lambda was unable to decrypt the environment variables because the KMS key cannot be used. "
            f"Please check the function's KMS key settings. KMS Message: {error.message}"
        )
        raise ServiceError(text, code=_CODES[error.code], status=502) from error
