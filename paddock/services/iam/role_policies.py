"""What a role carries: inline policies, and attachments of managed ones."""

from __future__ import annotations

from typing import Any

from paddock.interfaces import Tx
from paddock.model.policy import INLINE_CHARS_MAX, Kind, size_chars
from paddock.services.iam import view
from paddock.services.iam.desk import (
    Desk,
    check_document,
    invalid,
    limit_exceeded,
    marker,
    no_such,
    page,
    page_of_all,
    page_size,
    policy_in,
    role_in,
)  # fmt: skip
from paddock.services.service import Call

ATTACHMENTS_MAX = 10


async def put_role_policy(desk: Desk, call: Call) -> None:
    """All inline policies of a role share one size limit."""
    params, account = call.params, call.caller.account
    document, key = params["PolicyDocument"], params["PolicyName"].lower()
    check_document(document, Kind.IDENTITY)

    def work(tx: Tx) -> None:
        role = role_in(tx, call, params["RoleName"])
        rows = tx.rows("iam_role_policies_all", account=account, role_key=role.key)
        others = sum(size_chars(row["document"]) for row in rows if row["name_key"] != key)
        if others + size_chars(document) > INLINE_CHARS_MAX:
            raise limit_exceeded(f"Maximum policy size of {INLINE_CHARS_MAX} bytes exceeded for role {role.name}")
        tx.run(
            "iam_role_policy_put",
            account=account, role_key=role.key, name_key=key, name=params["PolicyName"], document=document,
        )  # fmt: skip

    await desk.store.write(work)


async def get_role_policy(desk: Desk, call: Call) -> dict[str, Any]:
    name = call.params["PolicyName"]

    def work(tx: Tx) -> dict[str, Any]:
        role = role_in(tx, call, call.params["RoleName"])
        row = tx.row("iam_role_policy_get", account=call.caller.account, role_key=role.key, name_key=name.lower())
        if row is None:
            raise no_such(f"The role policy with name {name} cannot be found.")
        return {"RoleName": role.name, "PolicyName": row["name"], "PolicyDocument": view.encoded(row["document"])}

    return await desk.store.read(work)


async def list_role_policies(desk: Desk, call: Call) -> dict[str, Any]:
    def work(tx: Tx) -> list[str]:
        role = role_in(tx, call, call.params["RoleName"])
        rows = tx.rows("iam_role_policies_all", account=call.caller.account, role_key=role.key)
        return [row["name"] for row in rows]

    names, more = page_of_all(call, await desk.store.read(work), lambda name: name.lower())
    return {"PolicyNames": list(names), **more}


async def delete_role_policy(desk: Desk, call: Call) -> None:
    name = call.params["PolicyName"]

    def work(tx: Tx) -> None:
        role = role_in(tx, call, call.params["RoleName"])
        place = {"account": call.caller.account, "role_key": role.key, "name_key": name.lower()}
        if not tx.run("iam_role_policy_delete", **place):
            raise no_such(f"The role policy with name {name} cannot be found.")

    await desk.store.write(work)


async def attach_role_policy(desk: Desk, call: Call) -> None:
    """Attaching twice is no error."""
    arn = _policy_arn(call)

    def work(tx: Tx) -> None:
        role = role_in(tx, call, call.params["RoleName"])
        if policy_in(tx, desk, call, arn) is None:
            raise no_such(f"Policy {arn} does not exist or is not attachable.")
        place = {"account": call.caller.account, "role_key": role.key}
        attached = {row["policy_arn"] for row in tx.rows("iam_attachments_of_role", **place)}
        if len(attached | {arn}) > ATTACHMENTS_MAX:
            raise limit_exceeded(f"Cannot exceed quota for PoliciesPerRole: {ATTACHMENTS_MAX}")
        tx.run("iam_attach", **place, policy_arn=arn)

    await desk.store.write(work)


async def detach_role_policy(desk: Desk, call: Call) -> None:
    arn = _policy_arn(call)

    def work(tx: Tx) -> None:
        role = role_in(tx, call, call.params["RoleName"])
        if not tx.run("iam_detach", account=call.caller.account, role_key=role.key, policy_arn=arn):
            raise no_such(f"Policy {arn} was not found.")

    await desk.store.write(work)


async def list_attached_role_policies(desk: Desk, call: Call) -> dict[str, Any]:
    prefix = call.params.get("PathPrefix", "/")

    def work(tx: Tx) -> list[dict[str, str]]:
        role = role_in(tx, call, call.params["RoleName"])
        rows = tx.rows("iam_attachments_of_role", account=call.caller.account, role_key=role.key)
        found = [policy_in(tx, desk, call, row["policy_arn"]) for row in rows]
        return [
            {"PolicyName": policy.name, "PolicyArn": policy.arn}
            for policy in found
            if policy is not None and policy.path.startswith(prefix)
        ]

    policies, more = page_of_all(call, await desk.store.read(work), lambda policy: policy["PolicyArn"])
    return {"AttachedPolicies": list(policies), **more}


async def list_entities_for_policy(desk: Desk, call: Call) -> dict[str, Any]:
    """Roles only, and that is all there are: no users, no groups, no permissions boundaries."""
    arn, account = _policy_arn(call), call.caller.account
    prefix, after = call.params.get("PathPrefix", "/"), marker(call)
    nothing = call.params.get("EntityFilter", "Role") != "Role" or (
        call.params.get("PolicyUsageFilter") == "PermissionsBoundary"
    )

    def work(tx: Tx) -> list[dict[str, str]]:
        if policy_in(tx, desk, call, arn) is None:
            raise no_such(f"Policy {arn} was not found.")
        rows = tx.rows(
            "iam_roles_of_policy",
            account=account, policy_arn=arn, path_prefix=prefix, after=after, limit=page_size(call) + 1,
        )  # fmt: skip
        return [] if nothing else [{"RoleName": row["name"], "RoleId": row["role_id"]} for row in rows]

    roles, more = page(call, await desk.store.read(work), lambda role: role["RoleName"].lower())
    return {"PolicyGroups": [], "PolicyUsers": [], "PolicyRoles": list(roles), **more}


def _policy_arn(call: Call) -> str:
    arn = str(call.params["PolicyArn"])
    if not arn.startswith("arn:") or arn.count(":") < 5:
        raise invalid(f"ARN {arn} is not valid.")
    return arn
