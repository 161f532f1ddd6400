"""From a name to a function, a version or an alias: which error each operation gives for what is not there."""

from __future__ import annotations

from collections.abc import Callable

from paddock.control import pools
from paddock.control.book import Book
from paddock.model.alias import Alias
from paddock.model.arn import FunctionRef
from paddock.model.errors import (
    InvalidParameterValue,
    PreconditionFailed,
    ResourceConflict,
    ResourceNotFound,
    ServiceError,
)
from paddock.model.function import LATEST, Function, FunctionVersion, State, UpdateStatus

_UNQUALIFIED_ONLY = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)
_NOW = "The operation cannot be performed at this time. "


def not_found(arn: str) -> ResourceNotFound:
    return ResourceNotFound(f"Function not found: {arn}")


def find(book: Book, ref: FunctionRef) -> tuple[Function, FunctionVersion]:
    """The function, and the version that is meant: of an alias the primary one.

    Raises ResourceNotFound with the ARN as it was qualified.
    """
    function = book.get((ref.account, ref.region, ref.name))
    if function is None:
        raise not_found(ref.arn)
    if ref.is_latest:
        return function, function.latest
    alias = function.aliases.get(ref.qualifier)
    number = ref.qualifier if alias is None else alias.version
    version = function.latest if number == LATEST else function.versions.get(number)
    if version is None:
        raise not_found(ref.arn)
    return function, version


def runnable(book: Book, ref: FunctionRef, draw: Callable[[], float]) -> FunctionVersion:
    """What an invocation runs. `draw` is asked for a number in [0, 1) when an alias has two versions.

    Raises ResourceNotFound, and ResourceConflict while the version is Pending or has Failed.
    """
    function = book.get((ref.account, ref.region, ref.name))
    if function is None:
        raise not_found(f"{ref.function_arn}:{ref.qualifier or LATEST}")
    number = ref.qualifier
    if number and number != LATEST:
        alias = function.aliases.get(number)
        if alias is not None:
            number = alias.drawn(draw()) if alias.weights else alias.version
        if number != LATEST:
            version = _published(function, number, ref)
            return pools.in_pool(function, ref.qualifier, version) if function.provisioned else version
    if function.serving is None:
        raise _wrong_state(function.latest)
    return function.serving


def updatable(book: Book, ref: FunctionRef, revision_id: str) -> Function:
    """The function, if it may be updated or published now. revision_id "" means any."""
    function = unqualified(book, ref)
    if function.latest.state is not State.ACTIVE:
        raise _wrong_state(function.latest)
    if function.latest.update_status is UpdateStatus.IN_PROGRESS:
        raise ResourceConflict(f"{_NOW}An update is in progress for resource: {function.latest.function_arn}")
    check_revision(function.latest.revision_id, revision_id)
    return function


def check_revision(current: str, expected: str) -> None:
    """Raises PreconditionFailed. expected "" means any."""
    if expected and expected != current:
        raise PreconditionFailed(
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
        )


def unqualified(book: Book, ref: FunctionRef) -> Function:
    """For operations on the function as a whole."""
    check_unqualified(ref)
    function = book.get((ref.account, ref.region, ref.name))
    if function is None:
        raise not_found(ref.function_arn)
    return function


def check_unqualified(ref: FunctionRef) -> None:
    """Raises InvalidParameterValue."""
    if not ref.is_latest:
        raise InvalidParameterValue(_UNQUALIFIED_ONLY)


def reservable(book: Book, ref: FunctionRef) -> Function:
    """For reserved concurrency, which has no qualifier, not even `$LATEST`."""
    if ref.qualifier:
        raise InvalidParameterValue(_UNQUALIFIED_ONLY)
    return unqualified(book, ref)


def alias_of(book: Book, ref: FunctionRef, name: str) -> Alias:
    """For GetAlias."""
    function = unqualified(book, ref)
    alias = function.aliases.get(name)
    if alias is None:
        raise ResourceNotFound(f"Cannot find alias arn: {ref.function_arn}:{name}")
    return alias


def deletable(book: Book, ref: FunctionRef) -> Function:
    """The function that is to be deleted, or a version of which is (ref.qualifier; it need not exist)."""
    function = book.get((ref.account, ref.region, ref.name))
    if function is None:
        raise not_found(ref.function_arn)
    if ref.qualifier.startswith(LATEST):
        raise InvalidParameterValue("$LATEST version cannot be deleted without deleting the function.")
    if ref.qualifier and not ref.qualifier.isdecimal():
        raise InvalidParameterValue("Deletion of aliases is not currently supported.")
    return function


def _published(function: Function, number: str, ref: FunctionRef) -> FunctionVersion:
    version = function.versions.get(number)
    if version is None:
        raise not_found(f"{ref.function_arn}:{ref.qualifier}")
    if version.state is State.PENDING and version.starts_by_snapshot:
        text = (
            "Lambda is initializing your function. It will be ready to invoke once your function state becomes ACTIVE."
        )
        raise ServiceError(text, code="SnapStartNotReadyException", status=409, fault="client")
    if version.state is not State.ACTIVE:
        raise _wrong_state(version)
    return version


def _wrong_state(version: FunctionVersion) -> ResourceConflict:
    return ResourceConflict(f"{_NOW}The function is currently in the following state: {version.state.value}")
