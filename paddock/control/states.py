"""The states of a function, and the only functions that change them (spec 01 §4.2).

    create:  Pending/Creating ----> Active + Successful
                              \\---> Failed
    update:  Active + InProgress -> Active + Successful      serves the old configuration until then
                                \\-> Active + Failed          and goes on serving it

Every step gives a new RevisionId. LastModified tells of what was asked for, so settling does not touch it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from paddock.model.errors import ServiceError
from paddock.model.function import Function, FunctionVersion, State, UpdateStatus

CREATING = "Creating"
BEING_CREATED = "The function is being created."

# Error code -> the service model's StateReasonCode.
REASON_CODES: Mapping[str, str] = {
    "InvalidParameterValueException": "InvalidZipFileException",
    "InvalidZipFileException": "InvalidZipFileException",
    "InvalidRuntimeException": "InvalidRuntime",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How making a version startable went. code is a StateReasonCode, "" for success."""

    code: str = ""
    reason: str = ""


def failure(error: BaseException) -> Outcome:
    """What the owner of the function is told. The detail of our own failures is not for them."""
    if isinstance(error, ServiceError):
        return Outcome(code=REASON_CODES.get(error.code, "InternalError"), reason=error.message)
    if isinstance(error, OSError):
        return Outcome(code="InternalError", reason=f"The function could not be prepared: {error.strerror or error}.")
    return Outcome(code="InternalError", reason="The function could not be prepared because of an internal error.")


def is_unsettled(function: Function) -> bool:
    latest = function.latest
    return latest.state is State.PENDING or latest.update_status is UpdateStatus.IN_PROGRESS


def creating(version: FunctionVersion) -> FunctionVersion:
    return replace(version, state=State.PENDING, state_reason=BEING_CREATED, state_reason_code=CREATING)


def updating(version: FunctionVersion, *, revision_id: str, build_id: str, now: datetime) -> FunctionVersion:
    return replace(
        version,
        update_status=UpdateStatus.IN_PROGRESS,
        update_reason=BEING_CREATED,
        update_reason_code=CREATING,
        revision_id=revision_id,
        build_id=build_id,
        last_modified=now,
    )


def settled(function: Function, outcome: Outcome, revision_id: str) -> Function:
    """The function after its Pending or InProgress has come to an end."""
    latest = replace(
        function.latest,
        update_status=UpdateStatus.FAILED if outcome.code else UpdateStatus.SUCCESSFUL,
        update_reason=outcome.reason,
        update_reason_code=outcome.code,
        revision_id=revision_id,
    )
    if latest.state is State.PENDING:
        latest = replace(
            latest,
            state=State.FAILED if outcome.code else State.ACTIVE,
            state_reason=outcome.reason,
            state_reason_code=outcome.code,
        )
    return replace(function, latest=latest, serving=function.serving if outcome.code else latest)
