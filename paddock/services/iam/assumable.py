"""Roles for whoever hands out their credentials."""

from __future__ import annotations

from paddock.interfaces import Store
from paddock.model.session import AssumableRole
from paddock.services.iam.nouns import role_from


class Roles:
    """Roles by account and name, whatever their path."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, account: str, name: str) -> AssumableRole | None:
        row = await self._store.read(lambda tx: tx.row("iam_role_get", account=account, name_key=name.lower()))
        if row is None:
            return None
        role = role_from(row)
        return AssumableRole(
            arn=f"arn:aws:iam::{account}:role{role.path}{role.name}",
            role_id=role.role_id,
            trust=role.trust_document,
            session_s_max=role.max_session_s,
        )
