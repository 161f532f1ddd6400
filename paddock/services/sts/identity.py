"""GetCallerIdentity."""

from __future__ import annotations

from dataclasses import dataclass

from paddock.services.service import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Nothing is asked: the answer is in the Caller."""


async def get_caller_identity(desk: Desk, call: Call) -> dict[str, str]:
    """Works without permissions, as on AWS. The UserId of an account's root is the account."""
    return {"UserId": call.caller.account, "Account": call.caller.account, "Arn": call.caller.arn}
