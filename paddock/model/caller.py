"""Who calls, and where: account, region and the names AWS gives to both."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The identity behind one request.

    account: 12 digits, from the access key (a 12-digit key is the account) or the server's default.
    region: from the credential scope of the signature, else the server's default region.
    access_key_id: as sent, or "" for an unsigned request.
    anonymous: nobody signed the request; most services take it for the default account's all the same.
    """

    account: str
    region: str
    access_key_id: str = ""
    anonymous: bool = False

    @property
    def arn(self) -> str:
        """The caller's own ARN: on loopback every caller is its account's root."""
        return f"arn:aws:iam::{self.account}:root"
