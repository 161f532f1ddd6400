"""Who calls, and where: account, region and the names AWS gives to both."""

from __future__ import annotations

from dataclasses import dataclass

from paddock.model.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The identity behind one request.

    account: 12 digits, from the session, the access key (a 12-digit key is the account) or the server's default.
    region: from the credential scope of the signature, else the server's default region.
    access_key_id: as sent, or "" for an unsigned request. session: when temporary credentials of ours were sent.
    anonymous: nobody signed the request; most services take it for the default account's all the same.
    """

    account: str
    region: str
    access_key_id: str = ""
    anonymous: bool = False
    session: Session | None = None

    @property
    def arn(self) -> str:
        """The caller's own ARN: a role's session, or the account's root, which every other caller on loopback is."""
        return f"arn:aws:iam::{self.account}:root" if self.session is None else self.session.arn

    @property
    def role_arn(self) -> str:
        """Of the role whose session calls, or ""."""
        return "" if self.session is None else self.session.role_arn
