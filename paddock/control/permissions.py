"""Resource policies of functions: kept as documents, statement by statement or as a whole (spec 01 section 5).

A policy hangs on the function, on one version or on one alias, and goes with it; publishing copies none. Its RevisionId
is that of what it hangs on, and every change of it gives that a new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from paddock.control import lookup, states
from paddock.control.catalogue import Catalogue
from paddock.interfaces import Ids
from paddock.model import condition, permission
from paddock.model.arn import FunctionRef, parse_function_ref
from paddock.model.errors import (
    InvalidParameterValue,
    PolicyLengthExceeded,
    PreconditionFailed,
    ResourceConflict,
    ResourceNotFound,
    ServiceError,
)
from paddock.model.function import LATEST, Function
from paddock.model.permission import POLICY_BYTES_MAX, Asker, Decision, ResourcePolicy
from paddock.model.policy import MalformedPolicy, Policy

ABSENT = "The resource you requested does not exist."
_STALE = (
    "The Revision Id provided does not match the latest Revision Id. "
    "Call the GetPolicy API to retrieve the latest Revision Id"
)


class Permissions:
    """Policies of the catalogue's functions. `ref` names what a policy hangs on. Errors are those of model.errors."""

    def __init__(self, catalogue: Catalogue, ids: Ids) -> None:
        self._catalogue = catalogue
        self._ids = ids

    def get(self, ref: FunctionRef) -> tuple[ResourcePolicy, str]:
        """The policy and its RevisionId. Raises ResourceNotFound, also when there is none."""
        _check_qualifier(ref)
        function = self._catalogue.get(_whole(ref))
        revision_id = _revision(function, ref)
        policy = function.policies.get(ref.qualifier)
        if policy is None:
            raise ResourceNotFound(ABSENT)
        return policy, revision_id

    def decide(self, ref: FunctionRef, asker: Asker, action: str) -> Decision:
        """What the policy on exactly what `ref` names says. A function that is not there allows nothing."""
        try:
            function = self._catalogue.get(_whole(ref))
        except ResourceNotFound:
            return Decision.SILENT
        return permission.decide(function.policies.get(ref.qualifier), asker, action, ref.arn)

    def permits(self, function_arn: str, asker: Asker, action: str = permission.INVOKE) -> bool:
        """Whether the function with that ARN (with any qualifier) lets a service, or a caller it names, do that."""
        parts = function_arn.split(":")
        try:
            ref = parse_function_ref(function_arn, account=parts[4], region=parts[3])
        except (ServiceError, IndexError):
            return False
        return self.decide(ref, asker, action) is Decision.ALLOWED

    async def add(self, ref: FunctionRef, statement: Mapping[str, Any], *, revision_id: str = "") -> None:
        """One more statement with a new Sid. Raises ResourceConflict, PreconditionFailed, PolicyLengthExceeded."""
        _check_qualifier(ref)

        def changed(function: Function) -> Function:
            _check_revision(_revision(function, ref), revision_id)
            present = _statements(function.policies.get(ref.qualifier))
            if any(one.get("Sid") == statement["Sid"] for one in present):
                raise ResourceConflict(
                    f"The statement id ({statement['Sid']}) provided already exists. "
                    "Please provide a new statement id, or remove the existing statement."
                )
            return self._with(function, ref, _checked(permission.document([*present, statement])))

        await self._catalogue.change(_whole(ref), changed)

    async def remove(self, ref: FunctionRef, sid: str, *, revision_id: str = "") -> None:
        """Take the statement with that Sid away; with the last one the policy goes."""
        _check_qualifier(ref)

        def changed(function: Function) -> Function:
            current = _revision(function, ref)
            policy = function.policies.get(ref.qualifier)
            if policy is None:
                raise ResourceNotFound("No policy is associated with the given resource.")
            present = _statements(policy)
            left = [one for one in present if one.get("Sid") != sid]
            if len(left) == len(present):
                raise ResourceNotFound(f"Statement {sid} is not found in resource policy.")
            lookup.check_revision(current, revision_id)
            return self._with(function, ref, _checked(permission.document(left)) if left else None)

        try:
            await self._catalogue.change(_whole(ref), changed)
        except ResourceNotFound as error:
            if error.message == lookup.not_found(ref.function_arn).message:
                raise ResourceNotFound(f"No policy found for: {ref.function_arn}") from error
            raise

    async def put(self, ref: FunctionRef, document: str, *, revision_id: str = "") -> tuple[ResourcePolicy, str]:
        """The whole policy at once, over what is there. The policy and its new RevisionId.

        Raises InvalidParameterValue when it is no policy for this resource.
        """
        _check_qualifier(ref)
        policy = _checked(document)
        _check_resources(policy.policy, ref)

        def changed(function: Function) -> Function:
            _check_revision(_revision(function, ref), revision_id)
            return self._with(function, ref, policy)

        function = await self._catalogue.change(_whole(ref), changed)
        return policy, _revision(function, ref)

    async def delete(self, ref: FunctionRef, *, revision_id: str = "") -> None:
        """Raises ResourceNotFound when there is no policy."""
        _check_qualifier(ref)

        def changed(function: Function) -> Function:
            current = _revision(function, ref)
            if ref.qualifier not in function.policies:
                raise ResourceNotFound(ABSENT)
            _check_revision(current, revision_id)
            return self._with(function, ref, None)

        await self._catalogue.change(_whole(ref), changed)

    def _with(self, function: Function, ref: FunctionRef, policy: ResourcePolicy | None) -> Function:
        """The function with another policy on what `ref` names, which gets a new RevisionId by that."""
        others = {q: one for q, one in function.policies.items() if q != ref.qualifier}
        policies = others if policy is None else {**others, ref.qualifier: policy}
        revised = _revised(function, ref.qualifier, self._ids.uuid())
        return replace(revised, policies=policies)


def _whole(ref: FunctionRef) -> FunctionRef:
    return replace(ref, qualifier="")


def _check_qualifier(ref: FunctionRef) -> None:
    if ref.qualifier.startswith(LATEST):
        raise InvalidParameterValue("We currently do not support adding policies for $LATEST.")


def _revision(function: Function, ref: FunctionRef) -> str:
    """The RevisionId of what a policy hangs on. Raises ResourceNotFound when that is not there."""
    qualifier = ref.qualifier
    if not qualifier:
        return function.latest.revision_id
    if qualifier.isdecimal():
        version = function.versions.get(qualifier)
        if version is None:
            raise lookup.not_found(ref.arn)
        return version.revision_id
    alias = function.aliases.get(qualifier)
    if alias is None:
        raise ResourceNotFound(f"Cannot find alias arn: {ref.arn}")
    return alias.revision_id


def _revised(function: Function, qualifier: str, revision_id: str) -> Function:
    if not qualifier:
        return states.revised(function, revision_id)
    if qualifier in function.versions:
        version = replace(function.versions[qualifier], revision_id=revision_id)
        return replace(function, versions={**function.versions, qualifier: version})
    alias = replace(function.aliases[qualifier], revision_id=revision_id)
    return replace(function, aliases={**function.aliases, qualifier: alias})


def _check_revision(current: str, expected: str) -> None:
    if expected and expected != current:
        raise PreconditionFailed(_STALE)


def _statements(policy: ResourcePolicy | None) -> list[Mapping[str, Any]]:
    """As they are written; a policy put as a whole may hold a single one that is in no list."""
    found = [] if policy is None else json.loads(policy.text)["Statement"]
    return found if isinstance(found, list) else [found]


def _checked(document: str) -> ResourcePolicy:
    """Raises InvalidParameterValue, PolicyLengthExceeded."""
    size = len(document.encode())
    if size > POLICY_BYTES_MAX:
        raise PolicyLengthExceeded(f"The final policy size ({size}) is bigger than the limit ({POLICY_BYTES_MAX}).")
    try:
        return ResourcePolicy.of(document)
    except MalformedPolicy as error:
        raise InvalidParameterValue(str(error)) from error


def _check_resources(policy: Policy, ref: FunctionRef) -> None:
    """A policy that speaks of another function than the one it hangs on is a mistake, and is told as one."""
    for statement in policy.statements:
        if not any(condition.matches(one, ref.arn) for one in statement.resources):
            raise InvalidParameterValue(f"The Resource of a statement does not match {ref.arn}.")
