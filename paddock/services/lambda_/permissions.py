"""Resource policies of functions: one statement at a time, and (since 2026) as a whole document."""

from __future__ import annotations

import json
import re
from typing import Any

from paddock.control.permissions import ABSENT
from paddock.model.arn import FunctionRef, parse_function_ref
from paddock.model.errors import InvalidParameterValue, ResourceNotFound
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.service import Call, Params

_INVALID_PRINCIPAL = "The provided principal was invalid. Please check the principal and try again."
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?")
_IAM = re.compile(r"arn:aws[a-z-]*:(iam|sts)::\d{12}:(root|(user|role|assumed-role|federated-user)/\S+)", re.ASCII)


async def add_permission(desk: Desk, call: Call) -> Params:
    params, ref = call.params, ref_of(call)
    statement = _statement(params, ref.arn)
    await desk.permissions.add(ref, statement, revision_id=params.get("RevisionId", ""))
    return {"Statement": _text(statement)}


async def remove_permission(desk: Desk, call: Call) -> None:
    params = call.params
    await desk.permissions.remove(ref_of(call), params["StatementId"], revision_id=params.get("RevisionId", ""))


async def get_policy(desk: Desk, call: Call) -> Params:
    policy, revision_id = desk.permissions.get(ref_of(call))
    return {"Policy": policy.text, "RevisionId": revision_id}


async def put_resource_policy(desk: Desk, call: Call) -> Params:
    params = call.params
    policy, revision_id = await desk.permissions.put(
        _resource(call), params["Policy"], revision_id=params.get("RevisionId", "")
    )
    return {"Policy": policy.text, "RevisionId": revision_id}


async def get_resource_policy(desk: Desk, call: Call) -> Params:
    policy, revision_id = desk.permissions.get(_resource(call))
    return {"Policy": policy.text, "RevisionId": revision_id}


async def delete_resource_policy(desk: Desk, call: Call) -> None:
    await desk.permissions.delete(_resource(call), revision_id=call.params.get("RevisionId", ""))


def _resource(call: Call) -> FunctionRef:
    """The function that ResourceArn names. Custom runtimes, the other resource that may have one, do not exist here."""
    arn = call.params["ResourceArn"]
    if arn.split(":")[5] != "function":
        raise ResourceNotFound(ABSENT)
    return parse_function_ref(arn, account=call.caller.account, region=call.caller.region)


def principal(text: str) -> Any:
    """A statement's Principal for what was sent. Raises InvalidParameterValue."""
    if text == "*":
        return "*"
    if _SERVICE.fullmatch(text):
        return {"Service": text}
    if _ACCOUNT.fullmatch(text):
        return {"AWS": f"arn:aws:iam::{text}:root"}
    if _IAM.fullmatch(text):
        return {"AWS": text}
    raise InvalidParameterValue(_INVALID_PRINCIPAL)


def _statement(params: Params, arn: str) -> dict[str, Any]:
    """The statement that AddPermission makes, its keys in the order in which AWS shows them."""
    statement: dict[str, Any] = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": principal(params["Principal"]),
        "Action": params["Action"],
        "Resource": arn,
    }
    equal = {
        "AWS:SourceAccount": params.get("SourceAccount"),
        "lambda:FunctionUrlAuthType": params.get("FunctionUrlAuthType"),
        "aws:PrincipalOrgID": params.get("PrincipalOrgID"),
        "lambda:EventSourceToken": params.get("EventSourceToken"),
    }
    conditions = {
        "StringEquals": {key: value for key, value in equal.items() if value},
        "Bool": {"lambda:InvokedViaFunctionUrl": "true"} if params.get("InvokedViaFunctionUrl") else {},
        "ArnLike": {"AWS:SourceArn": params["SourceArn"]} if params.get("SourceArn") else {},
    }
    used = {operator: block for operator, block in conditions.items() if block}
    return {**statement, "Condition": used} if used else statement


def _text(statement: dict[str, Any]) -> str:
    return json.dumps(statement, separators=(",", ":"), ensure_ascii=False)
