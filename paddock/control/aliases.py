"""Aliases: what may be created and changed, and the texts for what may not (spec 01 §4.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from paddock.control import lookup, pools
from paddock.model.alias import Alias
from paddock.model.errors import AliasLimitExceeded, InvalidParameterValue, ResourceConflict, ResourceNotFound
from paddock.model.function import LATEST, Function, FunctionVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasChange:
    """Members as sent; None for not sent. Empty weights mean that every invocation runs the primary version."""

    version: str | None = None
    description: str | None = None
    weights: Mapping[str, float] | None = None


def created(function: Function, name: str, change: AliasChange, *, revision_id: str, aliases_max: int) -> Function:
    """The function with a new alias. change.version must be given."""
    alias = _changed(Alias(name=name, version=change.version or LATEST, revision_id=revision_id), change)
    _check_target(function, alias.version)
    if name in function.aliases:
        raise ResourceConflict(f"Alias already exists: {function.latest.function_arn}:{name}")
    if len(function.aliases) >= aliases_max:
        raise AliasLimitExceeded(f"A function may have at most {aliases_max} aliases.")
    _check_routing(function, alias)
    return _with(function, alias)


def updated(
    function: Function, name: str, change: AliasChange, *, expected_revision_id: str, revision_id: str
) -> Function:
    """The function with the alias changed. Its RevisionId is new even when nothing else is."""
    before = function.aliases.get(name)
    if before is None:
        raise ResourceNotFound(f"Alias not found: {function.latest.function_arn}:{name}")
    lookup.check_revision(before.revision_id, expected_revision_id)
    alias = replace(_changed(before, change), revision_id=revision_id)
    _check_target(function, alias.version)
    _check_routing(function, alias)
    if name in function.provisioned:
        pools.check_target(function, alias.versions)
    return _with(function, alias)


def deleted(function: Function, name: str) -> Function:
    """The function without the alias; one that is not there is no error."""
    if name not in function.aliases:
        return function
    return replace(
        function,
        aliases={n: alias for n, alias in function.aliases.items() if n != name},
        policies={q: policy for q, policy in function.policies.items() if q != name},
        urls={q: url for q, url in function.urls.items() if q != name},
        provisioned={q: config for q, config in function.provisioned.items() if q != name},
        event_invokes={q: config for q, config in function.event_invokes.items() if q != name},
    )


def _changed(alias: Alias, change: AliasChange) -> Alias:
    return replace(
        alias,
        version=alias.version if change.version is None else change.version,
        description=alias.description if change.description is None else change.description,
        weights=alias.weights if change.weights is None else dict(change.weights),
    )


def _with(function: Function, alias: Alias) -> Function:
    return replace(function, aliases={**function.aliases, alias.name: alias})


def _check_target(function: Function, number: str) -> FunctionVersion:
    version = function.latest if number == LATEST else function.versions.get(number)
    if version is None:
        raise lookup.not_found(f"{function.latest.function_arn}:{number}")
    return version


def _check_routing(function: Function, alias: Alias) -> None:
    if len(alias.weights) > 1:
        raise InvalidParameterValue("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for number in alias.weights:
        if number == alias.version:
            raise InvalidParameterValue(
                f"Invalid function version {number}. "
                f"Function version {number} is already included in routing configuration."
            )
        if alias.version == LATEST:
            raise InvalidParameterValue("$LATEST is not supported for an alias pointing to more than 1 version")
        if _check_target(function, number).role != _check_target(function, alias.version).role:
            raise InvalidParameterValue("The versions that an alias points to must have the same execution role.")
