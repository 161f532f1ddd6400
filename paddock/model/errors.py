"""Every error a caller can be shown, with AWS's code, HTTP status and fault.

    ServiceError
    |-- ResourceNotFound            404  the thing named does not exist
    |-- ResourceConflict            409  its state, or another request, forbids this now
    |-- InvalidParameterValue       400  a value is well formed but not acceptable
    |-- ValidationError             400  a value breaks the service model's constraints
    |-- InvalidRequestContent       400  the payload of an Invoke is not JSON
    |-- RequestEntityTooLarge       413  a body, zip or payload is over its limit
    |-- TooManyRequests             429  throttled; `Reason` says by which limit
    |-- RecursiveInvocation         400  the function has called itself, through others, too often
    |-- PreconditionFailed          412  RevisionId does not match
    |-- CodeStorageExceeded         400  the account's code storage is full
    |-- AliasLimitExceeded          400  the function has as many aliases as it may have
    |-- PolicyLengthExceeded        400  a resource policy is over its limit
    |-- AccessDenied                403
    |-- NotYet                      501  a real operation that Paddock does not do yet
    `-- InternalError               500  ours; the detail stays in the server's own log

Services with their own codes (iam, logs, sts) raise ServiceError with the code AWS documents. `front` is
the one place that catches and renders these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class ServiceError(Exception):
    """An error with a place on AWS's wire.

    `code` is the exception's name as the service model spells it, `status` the HTTP status,
    `fault` is "client" or "server", `members` are further body members (such as `Reason`). `query_code` is its name for
    clients of the query protocol, of which a service that speaks JSON today once was ("" for the same).
    """

    code: str = "ServiceException"
    status: int = 500
    fault: str = "server"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        fault: str | None = None,
        members: Mapping[str, str] | None = None,
        query_code: str = "",
    ) -> None:
        super().__init__(message)
        self.query_code = query_code
        self.message = message
        self.code = code or self.code
        self.status = status or self.status
        self.fault = fault or self.fault
        self.members: Mapping[str, str] = members or {}


class ClientError(ServiceError):
    """The caller can mend it."""

    fault = "client"
    status = 400


class ResourceNotFound(ClientError):
    code: str = "ResourceNotFoundException"
    status: int = 404


class ResourceConflict(ClientError):
    code: str = "ResourceConflictException"
    status: int = 409


class InvalidParameterValue(ClientError):
    code: str = "InvalidParameterValueException"


class ValidationError(ClientError):
    code: str = "ValidationException"


class InvalidRequestContent(ClientError):
    code: str = "InvalidRequestContentException"


class RequestEntityTooLarge(ClientError):
    code: str = "RequestEntityTooLargeException"
    status: int = 413


class TooManyRequests(ClientError):
    """Throttled. `reason` is one of the service model's ThrottleReason values."""

    code: str = "TooManyRequestsException"
    status: int = 429
    INVOKE_MESSAGE: ClassVar[str] = "Rate Exceeded."

    def __init__(self, reason: str, message: str = INVOKE_MESSAGE) -> None:
        super().__init__(message, members={"Reason": reason})


class RecursiveInvocation(ClientError):
    code: str = "RecursiveInvocationException"


class PreconditionFailed(ClientError):
    code: str = "PreconditionFailedException"
    status: int = 412


class CodeStorageExceeded(ClientError):
    code: str = "CodeStorageExceededException"


class AliasLimitExceeded(ClientError):
    code: str = "AliasLimitExceededException"


class PolicyLengthExceeded(ClientError):
    code: str = "PolicyLengthExceededException"


class AccessDenied(ClientError):
    code: str = "AccessDeniedException"
    status: int = 403


class NotYet(ServiceError):
    """A real operation, or a setting of one, that Paddock does not do yet. Never silently ignored."""

    code: str = "NotImplementedException"
    status: int = 501


class InternalError(ServiceError):
    code: str = "ServiceException"
    status: int = 500
