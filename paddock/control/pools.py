"""Which pools of provisioned environments a function's configurations come to, and what may be configured.

See model/provisioned.py for what a pool is. Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from paddock.interfaces import Pool
from paddock.model.arn import FunctionRef
from paddock.model.errors import InvalidParameterValue, ResourceConflict, ResourceNotFound
from paddock.model.function import LATEST, Function, FunctionVersion, State
from paddock.model.provisioned import shares
from paddock.model.quotas import Quotas

UNPUBLISHED = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
_TENANTS = "Provisioned Concurrency is not supported for functions with tenant isolation."


def shares_of(function: Function, qualifier: str) -> Mapping[str, int]:
    """How many environments of each version a qualifier with a configuration is to have."""
    executions = function.provisioned[qualifier].executions
    alias = function.aliases.get(qualifier)
    return {qualifier: executions} if alias is None else shares(executions, alias.version, alias.weights)


def pools(function: Function) -> Iterator[Pool]:
    """All of them, save those of versions that cannot be started (yet)."""
    for qualifier in function.provisioned:
        for number, executions in shares_of(function, qualifier).items():
            version = function.versions.get(number)
            if version is not None and version.state is State.ACTIVE:
                yield Pool(version=replace(version, provisioned_for=qualifier), executions=executions)


def in_pool(function: Function, qualifier: str, version: FunctionVersion) -> FunctionVersion:
    """The version as an event for the qualifier runs it: with the pool that it may use, if there is one."""
    for owner in (qualifier, version.version):
        if owner in function.provisioned:
            return replace(version, provisioned_for=owner)
    return version


def check(function: Function, ref: FunctionRef) -> None:
    """Whether the version or alias may have any. Raises ResourceNotFound, ResourceConflict, InvalidParameterValue."""
    alias = function.aliases.get(ref.qualifier)
    if alias is None:
        if ref.qualifier not in function.versions:
            raise ResourceNotFound(f"Function not found: {ref.arn}")
        if any(ref.qualifier in function.aliases[q].versions for q in function.provisioned if q in function.aliases):
            raise ResourceConflict("Version is pointed by a Provisioned Concurrency alias")
        _check_no_snapshots(function, [ref.qualifier])
    else:
        check_target(function, alias.versions)
    if function.latest.tenant_isolation:
        raise InvalidParameterValue(_TENANTS)


def _check_no_snapshots(function: Function, numbers: Sequence[str]) -> None:
    if any(function.versions[number].snap_start for number in numbers if number in function.versions):
        raise InvalidParameterValue("Provisioned Concurrency is not supported for SnapStart enabled function versions.")


def check_target(function: Function, numbers: Sequence[str]) -> None:
    """Where an alias with provisioned concurrency may lead. Raises ResourceConflict, InvalidParameterValue."""
    _check_no_snapshots(function, numbers)
    if LATEST in numbers:
        raise InvalidParameterValue(UNPUBLISHED)
    if any(number in function.provisioned for number in numbers):
        raise ResourceConflict(
            "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
        )


def check_room(function: Function, qualifier: str, executions: int, claimed_by_all: int, quotas: Quotas) -> None:
    """Whether there is so much left, in its reservation or in the account. Raises InvalidParameterValue."""
    before = function.provisioned.get(qualifier)
    own = before.executions if before is not None else 0
    if function.reserved_concurrency is not None:
        if function.provisioned_executions - own + executions > function.reserved_concurrency:
            raise InvalidParameterValue(
                "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution "
                "for function"
            )
        return
    left = quotas.concurrency_max - claimed_by_all + own
    if executions > left:
        raise InvalidParameterValue(
            f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{left}]."
        )
    if executions > own and left - executions < quotas.unreserved_concurrency_min:
        raise InvalidParameterValue(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{quotas.unreserved_concurrency_min}]."
        )
