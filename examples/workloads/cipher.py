"""Keys and seals: {"n": blocks of 64 KB} -> {"key": derived, "seal": over all blocks}, both in hexadecimal."""

from __future__ import annotations

import hashlib
import hmac

BLOCK = bytes(range(256)) * 256


def handler(event: dict[str, int], context: object) -> dict[str, str]:
    key = hashlib.pbkdf2_hmac("sha256", b"a password", b"and salt", 20_000)
    seal = hmac.new(key, digestmod="sha256")
    for _ in range(event["n"]):
        seal.update(BLOCK)
    return {"key": key.hex(), "seal": seal.hexdigest()}
