"""Roles and policies as the wire shows them. Documents are URL-encoded in answers, as IAM's are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from paddock.services.iam.nouns import ManagedPolicy, PolicyVersion, Role


def role_arn(account: str, role: Role) -> str:
    return f"arn:aws:iam::{account}:role{role.path}{role.name}"


def role(account: str, found: Role, *, listed: bool = False) -> dict[str, Any]:
    """listed: as in ListRoles, which leaves out the tags and when the role was last used."""
    shown: dict[str, Any] = {
        "Path": found.path,
        "RoleName": found.name,
        "RoleId": found.role_id,
        "Arn": role_arn(account, found),
        "CreateDate": instant(found.created_ms),
        "AssumeRolePolicyDocument": encoded(found.trust_document),
        "MaxSessionDuration": found.max_session_s,
    }
    if found.description is not None:
        shown["Description"] = found.description
    if not listed:
        shown["RoleLastUsed"] = {}
        if found.tags:
            shown["Tags"] = tags(found.tags)
    return shown


def policy(found: ManagedPolicy, *, listed: bool = False) -> dict[str, Any]:
    """listed: as in ListPolicies, which leaves out the description and the tags."""
    shown: dict[str, Any] = {
        "PolicyName": found.name,
        "PolicyId": found.policy_id,
        "Arn": found.arn,
        "Path": found.path,
        "DefaultVersionId": version_id(found.default_version),
        "AttachmentCount": found.attachments,
        "PermissionsBoundaryUsageCount": 0,
        "IsAttachable": True,
        "CreateDate": instant(found.created_ms),
        "UpdateDate": instant(found.updated_ms),
    }
    if not listed:
        if found.description is not None:
            shown["Description"] = found.description
        shown["Tags"] = tags(found.tags)
    return shown


def version(found: PolicyVersion, default: int, *, with_document: bool = False) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "VersionId": version_id(found.number),
        "IsDefaultVersion": found.number == default,
        "CreateDate": instant(found.created_ms),
    }
    return {"Document": encoded(found.document), **shown} if with_document else shown


def version_id(number: int) -> str:
    return f"v{number}"


def version_number(text: str) -> int:
    """0 for what is no version of ours (the service model allows a suffix that none has)."""
    digits = text.removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0


def tags(found: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in found.items()]


def encoded(document: str) -> str:
    """RFC 3986, as the service model says of every document that IAM returns."""
    return quote(document, safe="")


def instant(at_ms: int) -> datetime:
    """To the second: IAM shows no fractions."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at_ms // 1000)
