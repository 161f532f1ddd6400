"""AssumeRole and GetSessionToken: temporary credentials.

Whom a role trusts is its trust policy's word, evaluated with the caller's ARN, the external id and the session's name.
What a session may do is no less and no more than what every caller may, as long as policies are not enforced; so what
would limit a session (policies) or be looked at by policies alone (tags, source identity) is refused.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from paddock.model.caller import Caller
from paddock.model.errors import AccessDenied, ClientError, ValidationError
from paddock.model.permission import Asker
from paddock.model.session import AssumableRole, Credentials, Session
from paddock.model.trust import trusts
from paddock.services.refusing import refuse_others
from paddock.services.service import Call, Params
from paddock.services.sts.desk import Desk

ROLE_DEFAULT_S = 3_600
CHAINED_MAX_S = 3_600
ROOT_MAX_S = 3_600
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):role/(?:.+/)?([\w+=,.@-]+)", re.ASCII)
_HONOURED = frozenset({"RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId"})


async def assume_role(desk: Desk, call: Call) -> dict[str, Any]:
    params, caller = call.params, call.caller
    refuse_others(params, _HONOURED)
    arn, name = params["RoleArn"], params["RoleSessionName"]
    found = _ROLE.fullmatch(arn)
    if found is None:
        raise ValidationError(f"{arn} is invalid", code="ValidationError")
    role = await desk.roles.find(found[1], found[2])
    if role is None or role.arn != arn or not trusts(role.trust, _asker(caller, params), arn):
        raise AccessDenied(
            f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}", code="AccessDenied"
        )
    seconds = _checked(params.get("DurationSeconds") or ROLE_DEFAULT_S, role, caller)
    session = Session(account=found[1], role_arn=arn, role_id=role.role_id, name=name)
    return {
        "Credentials": _issued(desk, session, seconds),
        "AssumedRoleUser": {"AssumedRoleId": f"{role.role_id}:{name}", "Arn": session.arn},
    }


async def get_session_token(desk: Desk, call: Call) -> dict[str, Any]:
    """For the account's root, which every caller without a session is: an hour at the most, as on AWS."""
    refuse_others(call.params, frozenset({"DurationSeconds"}))
    if call.caller.session is not None:
        raise AccessDenied("Cannot call GetSessionToken with session credentials", code="AccessDenied")
    seconds = min(call.params.get("DurationSeconds") or ROOT_MAX_S, ROOT_MAX_S)
    return {"Credentials": _issued(desk, Session(account=call.caller.account), seconds)}


def _asker(caller: Caller, params: Params) -> Asker:
    known = {"sts:ExternalId": params.get("ExternalId"), "sts:RoleSessionName": params["RoleSessionName"]}
    return Asker(
        account=caller.account,
        arn=caller.arn,
        role_arn=caller.role_arn,
        further={key: value for key, value in known.items() if value},
    )


def _checked(seconds: int, role: AssumableRole, caller: Caller) -> int:
    if caller.role_arn and seconds > CHAINED_MAX_S:
        raise ClientError(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
            code="ValidationError",
        )
    if seconds > role.session_s_max:
        raise ClientError(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", code="ValidationError"
        )
    return seconds


def _issued(desk: Desk, session: Session, seconds: int) -> dict[str, Any]:
    expires_at = int(desk.clock.now().timestamp()) + seconds
    issued: Credentials = desk.sessions.issue(replace(session, expires_at=expires_at))
    return {
        "AccessKeyId": issued.access_key_id,
        "SecretAccessKey": issued.secret_access_key,
        "SessionToken": issued.session_token,
        "Expiration": datetime.fromtimestamp(expires_at, UTC),
    }
