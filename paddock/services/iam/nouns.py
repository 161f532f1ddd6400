"""Role and ManagedPolicy, as they are stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from paddock.interfaces import Row, Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """description None means never given. trust_document as it was sent. tags in the order they were set."""

    name: str
    path: str
    role_id: str
    trust_document: str
    description: str | None
    max_session_s: int
    created_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What the name is compared by."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    number: int
    document: str
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedPolicy:
    """A customer's policy, or one of AWS's. versions are filled only for AWS's own; a customer's are in the Store."""

    name: str
    arn: str
    path: str
    policy_id: str
    description: str | None
    default_version: int
    next_version: int
    created_ms: int
    updated_ms: int
    attachments: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)
    versions: tuple[PolicyVersion, ...] = ()


def role_from(row: Row) -> Role:
    return Role(
        name=row["name"], path=row["path"], role_id=row["role_id"], trust_document=row["trust_document"],
        description=row["description"], max_session_s=row["max_session_s"], created_ms=row["created_ms"],
        tags=json.loads(row["tags"]),
    )  # fmt: skip


def policy_from(row: Row) -> ManagedPolicy:
    return ManagedPolicy(
        name=row["name"], arn=row["arn"], path=row["path"], policy_id=row["policy_id"],
        description=row["description"], default_version=row["default_version"], next_version=row["next_version"],
        created_ms=row["created_ms"], updated_ms=row["updated_ms"], attachments=row["attachments"],
        tags=json.loads(row["tags"]),
    )  # fmt: skip


def version_from(row: Row) -> PolicyVersion:
    return PolicyVersion(number=row["version"], document=row["document"], created_ms=row["created_ms"])


def save_role(tx: Tx, account: str, role: Role) -> None:
    """Everything of a role that may change."""
    tx.run(
        "iam_role_update", account=account, name_key=role.key, trust_document=role.trust_document,
        description=role.description, max_session_s=role.max_session_s, tags=json.dumps(role.tags),
    )  # fmt: skip


def versions_of(tx: Tx, account: str, policy: ManagedPolicy) -> Sequence[PolicyVersion]:
    """Latest first."""
    if policy.versions:
        return policy.versions
    rows = tx.rows("iam_policy_versions_all", account=account, policy_arn=policy.arn)
    return [version_from(row) for row in rows]
