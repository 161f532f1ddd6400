"""From a name to a function: which error each operation gives for what is not there, or not ready."""

from __future__ import annotations

from paddock.control.book import Book
from paddock.model.arn import FunctionRef
from paddock.model.errors import InvalidParameterValue, PreconditionFailed, ResourceConflict, ResourceNotFound
from paddock.model.function import LATEST, Function, FunctionVersion, State, UpdateStatus

_UNQUALIFIED_ONLY = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)
_NOW = "The operation cannot be performed at this time. "


def not_found(arn: str) -> ResourceNotFound:
    return ResourceNotFound(f"Function not found: {arn}")


def find(book: Book, ref: FunctionRef) -> Function:
    """The function, whatever version of it is meant. Raises ResourceNotFound with the ARN as it was qualified."""
    function = book.get((ref.account, ref.region, ref.name))
    if function is None or not ref.is_latest:
        raise not_found(ref.arn)
    return function


def runnable(book: Book, ref: FunctionRef) -> FunctionVersion:
    """What an invocation runs. Raises ResourceNotFound, and ResourceConflict while it is Pending or has Failed."""
    function = book.get((ref.account, ref.region, ref.name))
    if function is None or not ref.is_latest:
        raise not_found(f"{ref.function_arn}:{ref.qualifier or LATEST}")
    if function.serving is None:
        raise _wrong_state(function)
    return function.serving


def updatable(book: Book, ref: FunctionRef, revision_id: str) -> Function:
    """The function, if it may be updated now. revision_id "" means any."""
    function = unqualified(book, ref)
    if function.latest.state is not State.ACTIVE:
        raise _wrong_state(function)
    if function.latest.update_status is UpdateStatus.IN_PROGRESS:
        raise ResourceConflict(f"{_NOW}An update is in progress for resource: {function.latest.function_arn}")
    if revision_id and revision_id != function.latest.revision_id:
        raise PreconditionFailed(
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
        )
    return function


def unqualified(book: Book, ref: FunctionRef) -> Function:
    """For operations on the function as a whole."""
    if not ref.is_latest:
        raise InvalidParameterValue(_UNQUALIFIED_ONLY)
    function = book.get((ref.account, ref.region, ref.name))
    if function is None:
        raise not_found(ref.function_arn)
    return function


def deletable(book: Book, ref: FunctionRef) -> Function | None:
    """The function to delete, or None when only a version that is not there was asked for (which succeeds)."""
    function = book.get((ref.account, ref.region, ref.name))
    if function is None:
        raise not_found(ref.function_arn)
    if not ref.qualifier:
        return function
    if ref.qualifier.startswith(LATEST):
        raise InvalidParameterValue("$LATEST version cannot be deleted without deleting the function.")
    if not ref.qualifier.isdecimal():
        raise InvalidParameterValue("Deletion of aliases is not currently supported.")
    return None


def _wrong_state(function: Function) -> ResourceConflict:
    return ResourceConflict(f"{_NOW}The function is currently in the following state: {function.latest.state.value}")
