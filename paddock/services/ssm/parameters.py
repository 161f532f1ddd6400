"""Parameters in versions. SecureStrings lie sealed in the database, and come sealed unless decryption is asked for."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import Any

from paddock.interfaces import Tx
from paddock.model.errors import ClientError
from paddock.services.refusing import refuse_others
from paddock.services.service import Call, Params
from paddock.services.ssm.desk import SECURE, Desk, Parameter, find, newest, put

VALUE_BYTES_MAX = {"Standard": 4_096, "Advanced": 8_192}
VERSIONS_MAX = 100
NAMES_MAX = 10
PAGE = 10
_NAME = re.compile(r"/?[a-zA-Z0-9_.-]+(/[a-zA-Z0-9_.-]+)*")
_PUT = frozenset({"Name", "Description", "Value", "Type", "KeyId", "Overwrite", "Tags", "Tier", "DataType"})


async def put_parameter(desk: Desk, call: Call) -> Params:
    params = call.params
    refuse_others(params, _PUT)
    name, tier = params["Name"], params.get("Tier", "Standard")
    if not _NAME.fullmatch(name) or name.lower().lstrip("/").startswith(("aws", "ssm")):
        raise ClientError(f"{name} is no name for a parameter.", code="ValidationException")
    if len(params["Value"].encode()) > VALUE_BYTES_MAX.get(tier, VALUE_BYTES_MAX["Advanced"]):
        raise ClientError(f"The value is too large for the tier {tier}.", code="ValidationException")

    def work(tx: Tx) -> Parameter:
        made = _next(desk, call, find(tx, call, name))
        put(tx, call, made)
        tx.run(
            "ssm_parameter_trim", account=call.caller.account, region=call.caller.region, name=name,
            version=made.version - VERSIONS_MAX,
        )  # fmt: skip
        return made

    made = await desk.store.write(work)
    return {"Version": made.version, "Tier": "Standard" if tier == "Intelligent-Tiering" else tier}


async def get_parameter(desk: Desk, call: Call) -> Params:
    name = call.params["Name"]
    found = await desk.store.read(lambda tx: _by_spelling(tx, call, name))
    if found is None:
        raise ClientError("", code="ParameterNotFound")
    return {"Parameter": _shown(desk, call, found)}


async def get_parameters(desk: Desk, call: Call) -> Params:
    names = call.params["Names"]
    found = await desk.store.read(lambda tx: {name: _by_spelling(tx, call, name) for name in names})
    return {
        "Parameters": [_shown(desk, call, one) for one in found.values() if one is not None],
        "InvalidParameters": [name for name, one in found.items() if one is None],
    }


async def get_parameters_by_path(desk: Desk, call: Call) -> Params:
    params = call.params
    refuse_others(params, frozenset({"Path", "Recursive", "WithDecryption", "MaxResults", "NextToken"}))
    path = params["Path"].rstrip("/") + "/"
    after, limit = params.get("NextToken") or "", params.get("MaxResults") or PAGE
    everything = await desk.store.read(lambda tx: newest(tx, call))
    fitting = [
        one
        for one in everything
        if one.name.startswith(path) and (params.get("Recursive") or "/" not in one.name[len(path) :])
    ]
    left = [one for one in fitting if one.name > after]
    members: dict[str, Any] = {"Parameters": [_shown(desk, call, one) for one in left[:limit]]}
    return {**members, "NextToken": left[limit - 1].name} if len(left) > limit else members


async def delete_parameter(desk: Desk, call: Call) -> Params:
    name = call.params["Name"]
    if not await desk.store.write(lambda tx: _delete(tx, call, name)):
        raise ClientError("", code="ParameterNotFound")
    return {}


async def delete_parameters(desk: Desk, call: Call) -> Params:
    names = call.params["Names"]
    gone = await desk.store.write(lambda tx: [name for name in names if _delete(tx, call, name)])
    return {"DeletedParameters": gone, "InvalidParameters": [name for name in names if name not in gone]}


def _next(desk: Desk, call: Call, before: Parameter | None) -> Parameter:
    """The version that PutParameter makes. Raises ParameterAlreadyExists and what else it does."""
    params = call.params
    if before is not None and not params.get("Overwrite"):
        raise ClientError(
            "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
            code="ParameterAlreadyExists",
        )
    kind = params.get("Type") or (before.type if before else "")
    if not kind:
        raise ClientError("A parameter type is required when you create a parameter.", code="ValidationException")
    if before is not None and params.get("Tags"):
        raise ClientError("tags and overwrite can't be used together.", code="ValidationException")
    fresh = Parameter(
        name=params["Name"],
        type=kind,
        value=_kept(desk, call, kind, params),
        description=params.get("Description") or (before.description if before else ""),
        data_type=params.get("DataType") or "text",
        key=params.get("KeyId") or "",
        modified_at=desk.clock.now(),
        tags={tag["Key"]: tag["Value"] for tag in params.get("Tags") or ()} or (before.tags if before else {}),
    )
    return fresh if before is None else replace(fresh, version=before.version + 1)


def _kept(desk: Desk, call: Call, kind: str, params: Params) -> str:
    """As it lies in the database."""
    value, key_id = params["Value"], params.get("KeyId")
    if kind != SECURE:
        return str(value)
    about = _about(call, params["Name"])
    if not key_id or key_id == "alias/aws/ssm":
        return desk.keys.seal(value.encode(), about).hex()
    try:
        key = desk.keys.usable(key_id, call.caller.account, call.caller.region)
    except ClientError as error:
        raise ClientError(error.message, code="InvalidKeyId") from error
    return desk.keys.encrypt(key, value.encode(), about.encode()).hex()


def _opened(desk: Desk, call: Call, parameter: Parameter) -> str:
    sealed, about = bytes.fromhex(parameter.value), _about(call, parameter.name)
    if not parameter.key or parameter.key == "alias/aws/ssm":
        return desk.keys.unseal(sealed, about).decode()
    try:
        return desk.keys.decrypt(sealed, about.encode(), call.caller.account, call.caller.region)[1].decode()
    except ClientError as error:
        raise ClientError(error.message, code="InvalidKeyId") from error


def _about(call: Call, name: str) -> str:
    return f"arn:aws:ssm:{call.caller.region}:{call.caller.account}:parameter/{name.lstrip('/')}"


def _by_spelling(tx: Tx, call: Call, text: str) -> Parameter | None:
    """A name, with ":version" behind it, or an ARN."""
    name = text.partition(":parameter")[2] if text.startswith("arn:") else text
    name, _, version = name.partition(":")
    if version and not version.isdecimal():
        return None
    found = find(tx, call, name, int(version or 0))
    # An ARN has one slash before the name, whether the name begins with one or not.
    return found or (find(tx, call, name[1:], int(version or 0)) if text.startswith("arn:") else None)


def _delete(tx: Tx, call: Call, name: str) -> bool:
    caller = call.caller
    return tx.run("ssm_parameter_delete", account=caller.account, region=caller.region, name=name) > 0


def _shown(desk: Desk, call: Call, parameter: Parameter) -> dict[str, Any]:
    value = parameter.value
    if parameter.type == SECURE:
        is_open = bool(call.params.get("WithDecryption"))
        value = _opened(desk, call, parameter) if is_open else base64.b64encode(bytes.fromhex(value)).decode()
    return {
        "Name": parameter.name,
        "Type": parameter.type,
        "Value": value,
        "Version": parameter.version,
        "LastModifiedDate": parameter.modified_at,
        "ARN": _about(call, parameter.name),
        "DataType": parameter.data_type,
    }
