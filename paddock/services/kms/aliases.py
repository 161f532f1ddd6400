"""Aliases: names for keys."""

from __future__ import annotations

from paddock.control.keys import AWS_ALIAS, Alias
from paddock.model.errors import ClientError
from paddock.services.kms.desk import Desk, page
from paddock.services.service import Call, Params


async def create_alias(desk: Desk, call: Call) -> None:
    params, caller = call.params, call.caller
    name = params["AliasName"]
    if not name.startswith("alias/") or name.startswith(AWS_ALIAS):
        raise ClientError(
            'Alias must start with the prefix "alias/", and not with "alias/aws/".', code="InvalidAliasNameException"
        )
    key = desk.keys.find(params["TargetKeyId"], caller.account, caller.region)
    await desk.keys.alias(
        Alias(account=caller.account, region=caller.region, name=name, key_id=key.id, created_at=desk.clock.now())
    )


async def delete_alias(desk: Desk, call: Call) -> None:
    await desk.keys.unalias(call.params["AliasName"], call.caller.account, call.caller.region)


async def list_aliases(desk: Desk, call: Call) -> Params:
    params, caller = call.params, call.caller
    aliases = desk.keys.aliases(caller.account, caller.region)
    if params.get("KeyId"):
        key = desk.keys.find(params["KeyId"], caller.account, caller.region)
        aliases = [alias for alias in aliases if alias.key_id == key.id]
    found = page(
        params,
        aliases,
        lambda alias: alias.name,
        lambda alias: {
            "AliasName": alias.name,
            "AliasArn": alias.arn,
            "TargetKeyId": alias.key_id,
            "CreationDate": alias.created_at,
        },
    )
    return {"Aliases": found.pop("items"), **found}
