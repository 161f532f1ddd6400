"""Versions: what freezing `$LATEST` makes of a function, and when a version may go (spec 01 §4.4).

A version that would equal the newest one is not made: publishing twice gives the same version twice. What counts is
the code and the configuration of `$LATEST`, its description among them; the description that PublishVersion itself
gives to a version counts for nothing, which is why a version remembers what `$LATEST`'s was.
"""

from __future__ import annotations

from dataclasses import replace

from paddock.control import states
from paddock.model.errors import InvalidParameterValue, ResourceConflict
from paddock.model.function import Function, FunctionVersion, State


def check_code(function: Function, code_sha256: str) -> None:
    """PublishVersion's CodeSha256, base64 as on the wire; "" means any. Raises InvalidParameterValue."""
    actual = function.latest.code_sha256
    if code_sha256 and code_sha256 != actual:
        raise InvalidParameterValue(
            f"CodeSHA256 ({code_sha256}) is different from current CodeSHA256 in $LATEST ({actual}). "
            "Please try again with the CodeSHA256 in $LATEST."
        )


def already_published(function: Function) -> FunctionVersion | None:
    """The newest version, if `$LATEST` is no different. One that failed is no reason not to try again."""
    newest = function.newest
    if newest is None or newest.state is State.FAILED:
        return None
    return newest if _thawed(newest, function.latest) == function.latest else None


def frozen(function: Function, *, description: str | None, revision_id: str, build_id: str) -> FunctionVersion:
    """The next version, made of `$LATEST`. description None keeps `$LATEST`'s.

    What is frozen from a configuration that serves is Active at once; else it is Pending, as long as `$LATEST` is, and
    with SnapStart until its snapshot is taken.
    """
    latest = function.latest
    version = replace(
        latest,
        version=str(function.last_version + 1),
        description=latest.description if description is None else description,
        frozen_description=latest.description,
        revision_id=revision_id,
        build_id=build_id,
    )
    serves = function.serving is not None and function.serving.build_id == latest.build_id
    if serves and not version.starts_by_snapshot:
        return version
    return states.creating(version)


def with_version(function: Function, version: FunctionVersion) -> Function:
    """The function with one more version, the newest."""
    return replace(
        function,
        versions={**function.versions, version.version: version},
        last_version=int(version.version),
    )


def without_version(function: Function, number: str) -> Function:
    """The function without that version; unchanged when it has none. Raises ResourceConflict when an alias needs it."""
    if number not in function.versions:
        return function
    aliases = sorted(alias.name for alias in function.aliases.values() if number in alias.versions)
    if aliases:
        raise ResourceConflict(
            f"Unable to delete version because the following aliases reference it: [{', '.join(aliases)}]"
        )
    return replace(
        function,
        versions={n: version for n, version in function.versions.items() if n != number},
        policies={q: policy for q, policy in function.policies.items() if q != number},
        provisioned={q: config for q, config in function.provisioned.items() if q != number},
        event_invokes={q: config for q, config in function.event_invokes.items() if q != number},
    )


def _thawed(version: FunctionVersion, latest: FunctionVersion) -> FunctionVersion:
    """The version as `$LATEST` would look had nothing changed since: identity, states and times are `$LATEST`'s."""
    return replace(
        version,
        version=latest.version,
        description=version.frozen_description,
        frozen_description=latest.frozen_description,
        state=latest.state,
        state_reason=latest.state_reason,
        state_reason_code=latest.state_reason_code,
        update_status=latest.update_status,
        update_reason=latest.update_reason,
        update_reason_code=latest.update_reason_code,
        revision_id=latest.revision_id,
        build_id=latest.build_id,
        last_modified=latest.last_modified,
    )
