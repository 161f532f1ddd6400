"""Keys: made, described, listed, switched off and deleted."""

from __future__ import annotations

from typing import Any

from paddock.control.keys import Key
from paddock.model.errors import NotYet
from paddock.services.kms.desk import Desk, page
from paddock.services.refusing import refuse_others
from paddock.services.service import Call, Params

_AT_CREATE = frozenset({"Description", "Tags", "KeyUsage", "KeySpec", "CustomerMasterKeySpec", "Origin"})
WINDOW_DAYS = 30


async def create_key(desk: Desk, call: Call) -> Params:
    params, caller = call.params, call.caller
    refuse_others(params, _AT_CREATE)
    if params.get("KeyUsage", "ENCRYPT_DECRYPT") != "ENCRYPT_DECRYPT":
        raise NotYet("KeyUsage other than ENCRYPT_DECRYPT is not supported by Paddock yet.")
    for member in ("KeySpec", "CustomerMasterKeySpec"):
        if params.get(member, "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT":
            raise NotYet(f"{member} other than SYMMETRIC_DEFAULT is not supported by Paddock yet.")
    if params.get("Origin", "AWS_KMS") != "AWS_KMS":
        raise NotYet("Origin other than AWS_KMS is not supported by Paddock yet.")
    tags = {tag["TagKey"]: tag["TagValue"] for tag in params.get("Tags") or ()}
    key = await desk.keys.create(caller.account, caller.region, description=params.get("Description", ""), tags=tags)
    return {"KeyMetadata": _metadata(key)}


async def describe_key(desk: Desk, call: Call) -> Params:
    return {"KeyMetadata": _metadata(_found(desk, call))}


async def list_keys(desk: Desk, call: Call) -> Params:
    refuse_others(call.params, frozenset({"Limit", "Marker"}))
    found = page(
        call.params,
        desk.keys.keys(call.caller.account, call.caller.region),
        lambda key: key.id,
        lambda key: {"KeyId": key.id, "KeyArn": key.arn},
    )
    return {"Keys": found.pop("items"), **found}


async def enable_key(desk: Desk, call: Call) -> None:
    await desk.keys.enable(_found(desk, call), True)


async def disable_key(desk: Desk, call: Call) -> None:
    await desk.keys.enable(_found(desk, call), False)


async def schedule_key_deletion(desk: Desk, call: Call) -> Params:
    days = call.params.get("PendingWindowInDays") or WINDOW_DAYS
    key = await desk.keys.delete_later(_found(desk, call), days)
    return {
        "KeyId": key.arn,
        "DeletionDate": key.deletion_at,
        "KeyState": key.state,
        "PendingWindowInDays": days,
    }


async def cancel_key_deletion(desk: Desk, call: Call) -> Params:
    return {"KeyId": (await desk.keys.delete_later(_found(desk, call), None)).arn}


def _found(desk: Desk, call: Call) -> Key:
    return desk.keys.find(call.params["KeyId"], call.caller.account, call.caller.region)


def _metadata(key: Key) -> dict[str, Any]:
    members: dict[str, Any] = {
        "AWSAccountId": key.account,
        "KeyId": key.id,
        "Arn": key.arn,
        "CreationDate": key.created_at,
        "Enabled": key.state == "Enabled",
        "Description": key.description,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": key.state,
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }
    return {**members, "DeletionDate": key.deletion_at} if key.deletion_at else members
