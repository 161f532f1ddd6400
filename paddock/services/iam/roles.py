"""Roles: create, read, change, tag, delete."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from paddock.interfaces import Tx
from paddock.model.errors import NotYet
from paddock.model.policy import TRUST_CHARS_MAX, Kind, size_chars
from paddock.services.iam import view
from paddock.services.iam.desk import (
    Desk,
    already_exists,
    check_document,
    conflict,
    limit_exceeded,
    marker,
    page,
    page_of_all,
    page_size,
    role_in,
    tags_from,
)  # fmt: skip
from paddock.services.iam.nouns import Role, role_from, save_role
from paddock.services.service import Call

SESSION_DEFAULT_S = 3600


async def create_role(desk: Desk, call: Call) -> dict[str, Any]:
    """The trust policy is validated and kept; who may assume the role is enforced by nothing yet."""
    params, account = call.params, call.caller.account
    if params.get("PermissionsBoundary"):
        raise NotYet("PermissionsBoundary is not supported yet: it would limit nothing while policies are not enforced")
    _check_trust(params["AssumeRolePolicyDocument"])
    role = Role(
        name=params["RoleName"],
        path=params.get("Path", "/"),
        role_id=desk.identifier("AROA"),
        trust_document=params["AssumeRolePolicyDocument"],
        description=params.get("Description"),
        max_session_s=params.get("MaxSessionDuration", SESSION_DEFAULT_S),
        created_ms=desk.now_ms(),
        tags=tags_from(params.get("Tags", []), {}),
    )

    def work(tx: Tx) -> None:
        added = tx.run(
            "iam_role_add", account=account, name_key=role.key, name=role.name, path=role.path, role_id=role.role_id,
            trust_document=role.trust_document, description=role.description, max_session_s=role.max_session_s,
            created_ms=role.created_ms, tags=json.dumps(role.tags),
        )  # fmt: skip
        if not added:
            raise already_exists(f"Role with name {role.name} already exists.")

    await desk.store.write(work)
    return {"Role": view.role(account, role)}


async def get_role(desk: Desk, call: Call) -> dict[str, Any]:
    role = await desk.store.read(lambda tx: role_in(tx, call, call.params["RoleName"]))
    return {"Role": view.role(call.caller.account, role)}


async def list_roles(desk: Desk, call: Call) -> dict[str, Any]:
    account = call.caller.account
    prefix, after = call.params.get("PathPrefix", "/"), marker(call)
    rows = await desk.store.read(
        lambda tx: tx.rows(
            "iam_roles_page", account=account, path_prefix=prefix, after=after, limit=page_size(call) + 1
        )
    )
    roles, more = page(call, [role_from(row) for row in rows], lambda role: role.key)
    return {"Roles": [view.role(account, role, listed=True) for role in roles], **more}


async def update_role(desk: Desk, call: Call) -> dict[str, Any]:
    """A description that is not given stays; a duration that is not given is an hour again (service model's words)."""

    def changed(role: Role) -> Role:
        return replace(
            role,
            description=call.params.get("Description", role.description),
            max_session_s=call.params.get("MaxSessionDuration", SESSION_DEFAULT_S),
        )

    await _change(desk, call, changed)
    return {}


async def update_role_description(desk: Desk, call: Call) -> dict[str, Any]:
    """What UpdateRole took the place of; Terraform still sends it."""
    description = call.params["Description"]
    await _change(desk, call, lambda role: replace(role, description=description))
    return await get_role(desk, call)


async def update_assume_role_policy(desk: Desk, call: Call) -> None:
    document = call.params["PolicyDocument"]
    _check_trust(document)
    await _change(desk, call, lambda role: replace(role, trust_document=document))


async def delete_role(desk: Desk, call: Call) -> None:
    """Refused while anything is attached to it, in AWS's order of asking."""

    def work(tx: Tx) -> None:
        role = role_in(tx, call, call.params["RoleName"])
        belongs = {"account": call.caller.account, "role_key": role.key}
        if tx.row("iam_attachments_of_role", **belongs) is not None:
            raise conflict("Cannot delete entity, must detach all policies first.")
        if tx.row("iam_role_policies_all", **belongs) is not None:
            raise conflict("Cannot delete entity, must delete policies first.")
        tx.run("iam_role_delete", account=call.caller.account, name_key=role.key)

    await desk.store.write(work)


async def tag_role(desk: Desk, call: Call) -> None:
    await _change(desk, call, lambda role: replace(role, tags=tags_from(call.params["Tags"], role.tags)))


async def untag_role(desk: Desk, call: Call) -> None:
    gone = {key.lower() for key in call.params["TagKeys"]}

    def changed(role: Role) -> Role:
        return replace(role, tags={key: value for key, value in role.tags.items() if key.lower() not in gone})

    await _change(desk, call, changed)


async def list_role_tags(desk: Desk, call: Call) -> dict[str, Any]:
    role = await desk.store.read(lambda tx: role_in(tx, call, call.params["RoleName"]))
    tags, more = page_of_all(call, sorted(view.tags(role.tags), key=lambda tag: tag["Key"]), lambda tag: tag["Key"])
    return {"Tags": list(tags), **more}


async def list_account_aliases(desk: Desk, call: Call) -> dict[str, Any]:
    """Always empty, and true: accounts have no aliases here."""
    return {"AccountAliases": [], "IsTruncated": False}


async def list_instance_profiles_for_role(desk: Desk, call: Call) -> dict[str, Any]:
    """Always empty, and true: there are no instance profiles here."""
    await desk.store.read(lambda tx: role_in(tx, call, call.params["RoleName"]))
    return {"InstanceProfiles": [], "IsTruncated": False}


async def _change(desk: Desk, call: Call, changed: Callable[[Role], Role]) -> None:
    def work(tx: Tx) -> None:
        save_role(tx, call.caller.account, changed(role_in(tx, call, call.params["RoleName"])))

    await desk.store.write(work)


def _check_trust(document: str) -> None:
    check_document(document, Kind.TRUST)
    if size_chars(document) > TRUST_CHARS_MAX:
        raise limit_exceeded(f"Cannot exceed quota for ACLSizePerRole: {TRUST_CHARS_MAX}")
