"""Sessions: who holds temporary credentials, and what of that can be read off an access key.

A session is of a role (assumed by a caller, or by Lambda for a function), or of the account's root itself. Its access
key names the account, as AWS's own do: ASIA, the account in 8 characters of base 32, and 8 that tell it from others.

    ASIAQBZWJQ7T2KLMNOPQ   -> account_of -> "123456789012"
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ACCOUNT_CHARS = 8
_UNIQUE_CHARS = 8
_ACCOUNTS = 10**12
_TEMPORARY = re.compile(rf"ASIA([A-Z2-7]{{{_ACCOUNT_CHARS}}})[A-Z2-7]{{{_UNIQUE_CHARS}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """role_arn: with the role's path; "" for a session of the account's root. name: the session's.

    role_id: of the role as it was then; "" where nobody looked. expires_at: seconds since 1970; 0 for a function's,
    which lasts as long as its environment.
    """

    account: str
    role_arn: str = ""
    role_id: str = ""
    name: str = ""
    expires_at: int = 0

    @property
    def arn(self) -> str:
        if not self.role_arn:
            return f"arn:aws:iam::{self.account}:root"
        return f"arn:aws:sts::{self.account}:assumed-role/{self.role_arn.rpartition('/')[2]}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a client signs with."""

    access_key_id: str
    secret_access_key: str
    session_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumableRole:
    """What AssumeRole asks of a role. trust: its policy document. session_s_max: how long a session may last."""

    arn: str
    role_id: str
    trust: str
    session_s_max: int


def access_key(account: str, chance: int) -> str:
    """chance: a random number of at least 40 bits."""
    return f"ASIA{_base32(int(account), _ACCOUNT_CHARS)}{_base32(chance, _UNIQUE_CHARS)}"


def account_of(access_key_id: str) -> str:
    """The account that a temporary access key names; "" for anything else."""
    found = _TEMPORARY.fullmatch(access_key_id)
    if found is None:
        return ""
    number = 0
    for char in found[1]:
        number = number << 5 | _BASE32.index(char)
    return f"{number:012d}" if number < _ACCOUNTS else ""


def _base32(number: int, chars: int) -> str:
    return "".join(_BASE32[number >> 5 * place & 31] for place in reversed(range(chars)))
