"""What the operations of STS may ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from paddock.control.sessions import Sessions
from paddock.interfaces import Clock
from paddock.model.session import AssumableRole


class Roles(Protocol):
    async def find(self, account: str, name: str) -> AssumableRole | None:
        """By account and name; None when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """default_account: of access keys that name none."""

    roles: Roles
    sessions: Sessions
    clock: Clock
    default_account: str
