"""GetCallerIdentity, GetAccessKeyInfo: who somebody is."""

from __future__ import annotations

import base64
import hashlib

from paddock.model.session import Session, account_of
from paddock.services.service import Call
from paddock.services.sts.desk import Desk

_ID_CHARS = 17


async def get_caller_identity(desk: Desk, call: Call) -> dict[str, str]:
    """Works without permissions, as on AWS. The UserId of an account's root is the account."""
    caller = call.caller
    user_id = caller.account
    if caller.session is not None and caller.session.role_arn:
        user_id = f"{await _role_id(desk, caller.session)}:{caller.session.name}"
    return {"UserId": user_id, "Account": caller.account, "Arn": caller.arn}


async def get_access_key_info(desk: Desk, call: Call) -> dict[str, str]:
    """A temporary key names its account; every other one calls for the server's."""
    return {"Account": account_of(call.params["AccessKeyId"]) or desk.default_account}


async def _role_id(desk: Desk, session: Session) -> str:
    """As it was when the role was assumed. A function's role need not exist in IAM: then one made of its ARN."""
    if session.role_id:
        return session.role_id
    role = await desk.roles.find(session.account, session.role_arn.rpartition("/")[2])
    if role is not None:
        return role.role_id
    digest = base64.b32encode(hashlib.sha256(session.role_arn.encode()).digest()).decode()
    return f"AROA{digest[:_ID_CHARS]}"
