"""Temporary credentials. The session token is the session itself, sealed with the master key: nothing is stored.

So a token is worth something to this data directory only, survives a restart, and can not be made by anybody else:
whoever shows one is the session that it was issued for. It opens together with its own access key and no other.
Tokens of other makers (AWS's, in the shell of somebody who works with both) are not ours to judge.
"""

from __future__ import annotations

import base64
import binascii
from typing import Protocol

import msgspec

from paddock.interfaces import Clock, Ids
from paddock.model.errors import AccessDenied
from paddock.model.function import FunctionVersion
from paddock.model.sealing import BrokenSeal
from paddock.model.session import Credentials, Session, access_key

PREFIX = "Paddock."
_SECRET_DIGITS = 40
_CHANCE_DIGITS = 10


class Seals(Protocol):
    def seal(self, plain: bytes, about: str) -> bytes: ...

    def unseal(self, sealed: bytes, about: str) -> bytes:
        """Raises BrokenSeal."""


class Sessions:
    def __init__(self, seals: Seals, clock: Clock, ids: Ids) -> None:
        self._seals = seals
        self._clock = clock
        self._ids = ids

    def issue(self, session: Session) -> Credentials:
        key = access_key(session.account, int(self._ids.hex(_CHANCE_DIGITS), 16))
        sealed = self._seals.seal(msgspec.json.encode(session), _about(key))
        return Credentials(
            access_key_id=key,
            secret_access_key=self._ids.hex(_SECRET_DIGITS),
            session_token=PREFIX + base64.urlsafe_b64encode(sealed).decode(),
        )

    def of_function(self, version: FunctionVersion) -> Credentials:
        """Of its role, as Lambda assumes it: the session has the function's name and ends with the environment."""
        return self.issue(Session(account=version.account, role_arn=version.role, name=version.name))

    def of(self, access_key_id: str, token: str) -> Session | None:
        """Whose credentials these are; None for a token of another maker, or none.

        Raises AccessDenied with UnrecognizedClientException (forged, or of another key) or ExpiredTokenException.
        """
        if not token.startswith(PREFIX):
            return None
        try:
            sealed = base64.b64decode(token[len(PREFIX) :], altchars=b"-_", validate=True)
            session = msgspec.json.decode(self._seals.unseal(sealed, _about(access_key_id)), type=Session)
        except (BrokenSeal, binascii.Error, msgspec.DecodeError, ValueError) as error:
            text = "The security token included in the request is invalid."
            raise AccessDenied(text, code="UnrecognizedClientException") from error
        self.check(session)
        return session

    def check(self, session: Session) -> None:
        """Raises AccessDenied when it is over."""
        if session.expires_at and session.expires_at <= self._clock.now().timestamp():
            raise AccessDenied("The security token included in the request is expired", code="ExpiredTokenException")


def _about(access_key_id: str) -> str:
    return f"session of {access_key_id}"
