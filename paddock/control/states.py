"""The states of a function, and the only functions that change them (spec 01 §4.2).

    create:  Pending/Creating ----> Active + Successful      a version published together with its code, too
                              \\---> Failed
    update:  Active + InProgress -> Active + Successful      serves the old configuration until then
                                \\-> Active + Failed          and goes on serving it

Every step gives a new RevisionId. LastModified tells of what was asked for, so settling does not touch it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from paddock.model.errors import ServiceError
from paddock.model.function import LATEST, Function, FunctionVersion, State, UpdateStatus
from paddock.model.image import DELETED, DENIED, INVALID

CREATING = "Creating"
BEING_CREATED = "The function is being created."

# Why an initialisation failed that belongs to publishing.
INIT_CODES = ("FunctionError.InitTimeout", "FunctionError.InitResourceExhausted", "FunctionError.RuntimeInitError")

# Error code -> the service model's StateReasonCode.
REASON_CODES: Mapping[str, str] = {
    "InvalidParameterValueException": "InvalidZipFileException",
    "InvalidZipFileException": "InvalidZipFileException",
    "InvalidRuntimeException": "InvalidRuntime",
    **{code: code for code in (*INIT_CODES, INVALID, DENIED, DELETED)},
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


def unsettled(function: Function) -> tuple[FunctionVersion, ...]:
    """What still has to come to its end: `$LATEST`, published versions, or nothing."""
    return tuple(
        version
        for version in (function.latest, *function.versions.values())
        if version.state is State.PENDING or version.update_status is UpdateStatus.IN_PROGRESS
    )


def settling_alone(waiting: Iterable[FunctionVersion]) -> list[tuple[FunctionVersion, ...]]:
    """What comes to its end together: all that needs the same code and no more, and each that has a snapshot taken."""
    every = tuple(waiting)
    together = tuple(version for version in every if not version.starts_by_snapshot)
    alone: list[tuple[FunctionVersion, ...]] = [(version,) for version in every if version.starts_by_snapshot]
    return [together, *alone] if together else alone


def creating(version: FunctionVersion) -> FunctionVersion:
    return replace(
        version,
        state=State.PENDING,
        state_reason=BEING_CREATED,
        state_reason_code=CREATING,
        update_status=UpdateStatus.NONE,
        update_reason="",
        update_reason_code="",
    )


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


def revised(function: Function, revision_id: str) -> Function:
    """With a new RevisionId and no other change: what serves is the same configuration, so its revision follows;
    its build, and so its warm environments, stay.
    """
    latest = replace(function.latest, revision_id=revision_id)
    return replace(function, latest=latest, serving=latest if function.serving == function.latest else function.serving)


def settled(
    function: Function, waiting: Iterable[FunctionVersion], outcome: Outcome, new_revision: Callable[[], str]
) -> Function:
    """The function after the Pending or InProgress of these versions has come to an end.

    One that is gone, or has been built anew, since it began to wait is left alone: unchanged is the very same object.
    """
    for version in waiting:
        current = function.latest if version.version == LATEST else function.versions.get(version.version)
        if current is None or current.build_id != version.build_id:
            continue
        ended = _ended(current, outcome, new_revision())
        if version.version == LATEST:
            function = replace(function, latest=ended, serving=function.serving if outcome.code else ended)
        else:
            function = replace(function, versions={**function.versions, version.version: ended})
    return function


def _ended(version: FunctionVersion, outcome: Outcome, revision_id: str) -> FunctionVersion:
    ended = replace(
        version,
        update_status=UpdateStatus.FAILED if outcome.code else UpdateStatus.SUCCESSFUL,
        update_reason=outcome.reason,
        update_reason_code=outcome.code,
        revision_id=revision_id,
    )
    if version.state is not State.PENDING:
        return ended
    return replace(
        ended,
        state=State.FAILED if outcome.code else State.ACTIVE,
        state_reason=outcome.reason,
        state_reason_code=outcome.code,
    )
