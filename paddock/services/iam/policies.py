"""Managed policies and their versions: a customer's own are kept in the Store, AWS's are read-only data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from paddock.interfaces import Tx
from paddock.model.errors import ClientError
from paddock.model.policy import MANAGED_CHARS_MAX, Kind, size_chars
from paddock.services.iam import view
from paddock.services.iam.desk import (
    Desk,
    already_exists,
    attached_count,
    check_document,
    conflict,
    limit_exceeded,
    marker,
    no_such,
    page,
    page_of_all,
    page_size,
    policy_in,
    tags_from,
)  # fmt: skip
from paddock.services.iam.managed import AWS_PREFIX
from paddock.services.iam.nouns import ManagedPolicy, PolicyVersion, policy_from, versions_of
from paddock.services.service import Call

VERSIONS_MAX = 5
POLICIES_MAX = 1_500
"""Customer managed policies in an account (AWS's default quota)."""


async def create_policy(desk: Desk, call: Call) -> dict[str, Any]:
    """Validated and kept; enforcing it is a later piece of work."""
    params, account = call.params, call.caller.account
    name, path, document = params["PolicyName"], params.get("Path", "/"), params["PolicyDocument"]
    _check(document)
    arn = f"arn:aws:iam::{account}:policy{path}{name}"
    policy_id, now_ms = desk.identifier("ANPA"), desk.now_ms()
    tags = tags_from(params.get("Tags", []), {})

    def work(tx: Tx) -> ManagedPolicy:
        if len(_own(tx, call, "/")) >= POLICIES_MAX:
            raise limit_exceeded(f"Cannot exceed quota for PoliciesPerAccount: {POLICIES_MAX}")
        added = tx.run(
            "iam_policy_add", account=account, name_key=name.lower(), name=name, arn=arn, path=path,
            policy_id=policy_id, description=params.get("Description"), created_ms=now_ms, tags=json.dumps(tags),
        )  # fmt: skip
        if not added:
            raise already_exists(f"A policy called {name} already exists. Duplicate names are not allowed.")
        _add_version(tx, account, arn, 1, document, now_ms)
        return policy_there(tx, desk, call, arn)

    return {"Policy": view.policy(await desk.store.write(work))}


async def get_policy(desk: Desk, call: Call) -> dict[str, Any]:
    policy = await desk.store.read(lambda tx: policy_there(tx, desk, call, call.params["PolicyArn"]))
    return {"Policy": view.policy(policy)}


async def list_policies(desk: Desk, call: Call) -> dict[str, Any]:
    """AWS's first, by ARN, then the account's by name; one marker runs through both."""
    scope, prefix, after = call.params.get("Scope", "All"), call.params.get("PathPrefix", "/"), marker(call)
    only_attached = call.params.get("OnlyAttached", False)
    if call.params.get("PolicyUsageFilter") == "PermissionsBoundary":
        return {"Policies": [], "IsTruncated": False}  # true: nothing is used as a boundary

    def work(tx: Tx) -> list[ManagedPolicy]:
        found: list[ManagedPolicy] = []
        if scope != "Local":
            found += [attached_count(tx, call.caller.account, each) for each in desk.managed.values()]
        if scope != "AWS":
            found += _own(tx, call, prefix)
        wanted = (policy for policy in found if policy.path.startswith(prefix))
        return [policy for policy in wanted if policy.attachments or not only_attached]

    ordered = sorted(await desk.store.read(work), key=_order)
    rest = [policy for policy in ordered if _order(policy) > after]
    policies, more = page(call, rest[: page_size(call) + 1], _order)
    return {"Policies": [view.policy(policy, listed=True) for policy in policies], **more}


def _order(policy: ManagedPolicy) -> str:
    return f"{'0' if policy.arn.startswith(AWS_PREFIX) else '1'}{policy.arn.lower()}"


def _own(tx: Tx, call: Call, prefix: str) -> list[ManagedPolicy]:
    """The account's policies: bounded by its quota (1,500), which is why they are read whole."""
    rows = tx.rows("iam_policies_page", account=call.caller.account, path_prefix=prefix, after="", limit=POLICIES_MAX)
    return [policy_from(row) for row in rows]


async def delete_policy(desk: Desk, call: Call) -> None:
    def work(tx: Tx) -> None:
        policy = own_policy(tx, desk, call)
        if policy.attachments:
            raise conflict("Cannot delete a policy attached to entities.")
        if len(versions_of(tx, call.caller.account, policy)) > 1:
            raise conflict(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's "
                "versions. The default version is deleted with the policy."
            )
        tx.run("iam_policy_versions_delete", account=call.caller.account, policy_arn=policy.arn)
        tx.run("iam_policy_delete", account=call.caller.account, arn=policy.arn)

    await desk.store.write(work)


async def create_policy_version(desk: Desk, call: Call) -> dict[str, Any]:
    document, account, now_ms = call.params["PolicyDocument"], call.caller.account, desk.now_ms()
    _check(document)

    def work(tx: Tx) -> dict[str, Any]:
        policy = own_policy(tx, desk, call)
        if len(versions_of(tx, account, policy)) >= VERSIONS_MAX:
            raise limit_exceeded(
                f"A managed policy can have up to {VERSIONS_MAX} versions. Before you create a new version, "
                "you must delete an existing version."
            )
        number = policy.next_version
        _add_version(tx, account, policy.arn, number, document, now_ms)
        default = number if call.params.get("SetAsDefault", False) else policy.default_version
        _set_versions(tx, account, policy.arn, default, number + 1, now_ms)
        return view.version(PolicyVersion(number=number, document=document, created_ms=now_ms), default)

    return {"PolicyVersion": await desk.store.write(work)}


async def get_policy_version(desk: Desk, call: Call) -> dict[str, Any]:
    def work(tx: Tx) -> dict[str, Any]:
        policy = policy_there(tx, desk, call, call.params["PolicyArn"])
        found = _version(versions_of(tx, call.caller.account, policy), policy, call)
        return view.version(found, policy.default_version, with_document=True)

    return {"PolicyVersion": await desk.store.read(work)}


async def list_policy_versions(desk: Desk, call: Call) -> dict[str, Any]:
    def work(tx: Tx) -> tuple[ManagedPolicy, Sequence[PolicyVersion]]:
        policy = policy_there(tx, desk, call, call.params["PolicyArn"])
        return policy, versions_of(tx, call.caller.account, policy)

    policy, versions = await desk.store.read(work)
    # Latest first, so the marker runs against the numbers.
    shown, more = page_of_all(call, versions, lambda version: f"{10**9 - version.number:010d}")
    return {"Versions": [view.version(version, policy.default_version) for version in shown], **more}


async def set_default_policy_version(desk: Desk, call: Call) -> None:
    account, now_ms = call.caller.account, desk.now_ms()

    def work(tx: Tx) -> None:
        policy = own_policy(tx, desk, call)
        found = _version(versions_of(tx, account, policy), policy, call)
        _set_versions(tx, account, policy.arn, found.number, policy.next_version, now_ms)

    await desk.store.write(work)


async def delete_policy_version(desk: Desk, call: Call) -> None:
    account, now_ms = call.caller.account, desk.now_ms()

    def work(tx: Tx) -> None:
        policy = own_policy(tx, desk, call)
        found = _version(versions_of(tx, account, policy), policy, call)
        if found.number == policy.default_version:
            raise conflict("Cannot delete the default version of a policy.")
        tx.run("iam_policy_version_delete", account=account, policy_arn=policy.arn, version=found.number)
        _set_versions(tx, account, policy.arn, policy.default_version, policy.next_version, now_ms)

    await desk.store.write(work)


def _check(document: str) -> None:
    check_document(document, Kind.IDENTITY)
    if size_chars(document) > MANAGED_CHARS_MAX:
        raise limit_exceeded(f"Cannot exceed quota for PolicySize: {MANAGED_CHARS_MAX}")


def policy_there(tx: Tx, desk: Desk, call: Call, arn: str) -> ManagedPolicy:
    policy = policy_in(tx, desk, call, arn)
    if policy is None:
        raise no_such(f"Policy {arn} was not found.")
    return policy


def own_policy(tx: Tx, desk: Desk, call: Call) -> ManagedPolicy:
    """A policy that may be changed: AWS's may not."""
    arn = call.params["PolicyArn"]
    if arn.startswith(AWS_PREFIX):
        raise ClientError(
            f"User: {call.caller.arn} is not authorized to change AWS's own policy {arn}", code="AccessDenied",
            status=403,
        )  # fmt: skip
    return policy_there(tx, desk, call, arn)


def _version(versions: Sequence[PolicyVersion], policy: ManagedPolicy, call: Call) -> PolicyVersion:
    wanted = call.params["VersionId"]
    for version in versions:
        if version.number == view.version_number(wanted):
            return version
    raise no_such(f"Policy {policy.arn} version {wanted} does not exist or is not attachable.")


def _add_version(tx: Tx, account: str, arn: str, number: int, document: str, now_ms: int) -> None:
    tx.run(
        "iam_policy_version_add",
        account=account, policy_arn=arn, version=number, document=document, created_ms=now_ms,
    )  # fmt: skip


def _set_versions(tx: Tx, account: str, arn: str, default: int, following: int, now_ms: int) -> None:
    tx.run(
        "iam_policy_set_versions",
        account=account, arn=arn, default_version=default, next_version=following, updated_ms=now_ms,
    )  # fmt: skip
