"""Encrypt, Decrypt and data keys. An encryption context must be said again, exactly, to decrypt."""

from __future__ import annotations

import json
from typing import Any

from paddock.model.errors import ClientError
from paddock.services.kms.desk import Desk
from paddock.services.refusing import refuse_others
from paddock.services.service import Call, Params

ALGORITHM = "SYMMETRIC_DEFAULT"
_SPECS = {"AES_128": 16, "AES_256": 32}
_ENCRYPT = frozenset({"KeyId", "Plaintext", "EncryptionContext", "EncryptionAlgorithm", "GrantTokens"})
_DECRYPT = frozenset({"KeyId", "CiphertextBlob", "EncryptionContext", "EncryptionAlgorithm", "GrantTokens"})
_GENERATE = frozenset({"KeyId", "EncryptionContext", "NumberOfBytes", "KeySpec", "GrantTokens"})


async def encrypt(desk: Desk, call: Call) -> Params:
    params, caller = call.params, call.caller
    refuse_others(params, _ENCRYPT)
    _check_algorithm(params)
    key = desk.keys.usable(params["KeyId"], caller.account, caller.region)
    blob = desk.keys.encrypt(key, params["Plaintext"], _context(params))
    return {"CiphertextBlob": blob, "KeyId": key.arn, "EncryptionAlgorithm": ALGORITHM}


async def decrypt(desk: Desk, call: Call) -> Params:
    params, caller = call.params, call.caller
    refuse_others(params, _DECRYPT)
    _check_algorithm(params)
    key, plain = desk.keys.decrypt(params["CiphertextBlob"], _context(params), caller.account, caller.region)
    if params.get("KeyId") and desk.keys.find(params["KeyId"], caller.account, caller.region) != key:
        raise ClientError(
            "The key ID in the request does not identify a CMK that can perform this operation.",
            code="IncorrectKeyException",
        )
    return {"KeyId": key.arn, "Plaintext": plain, "EncryptionAlgorithm": ALGORITHM}


async def generate_data_key(desk: Desk, call: Call) -> Params:
    refuse_others(call.params, _GENERATE)
    return _data_key(desk, call)


async def generate_data_key_without_plaintext(desk: Desk, call: Call) -> Params:
    refuse_others(call.params, _GENERATE)
    return {name: value for name, value in _data_key(desk, call).items() if name != "Plaintext"}


def _data_key(desk: Desk, call: Call) -> dict[str, Any]:
    params, caller = call.params, call.caller
    spec, count = params.get("KeySpec") or "", params.get("NumberOfBytes")
    if bool(spec) == (count is not None):
        raise ClientError("Please specify either number of bytes or key spec.", code="ValidationException")
    key = desk.keys.usable(params["KeyId"], caller.account, caller.region)
    plain = bytes.fromhex(desk.ids.hex(2 * (count or _SPECS[spec])))
    return {"CiphertextBlob": desk.keys.encrypt(key, plain, _context(params)), "Plaintext": plain, "KeyId": key.arn}


def _check_algorithm(params: Params) -> None:
    if params.get("EncryptionAlgorithm", ALGORITHM) != ALGORITHM:
        raise ClientError("The key is of another kind.", code="InvalidKeyUsageException")


def _context(params: Params) -> bytes:
    return json.dumps(params.get("EncryptionContext") or {}, sort_keys=True, separators=(",", ":")).encode()
