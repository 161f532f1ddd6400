"""From a credential to the caller: which account, which region, and whose session."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from paddock.model.caller import Caller
from paddock.model.errors import AccessDenied
from paddock.model.session import Session
from paddock.wire.sigv4 import Credential

SessionOf = Callable[[str, str], Session | None]
"""(access key, session token) -> whose they are, None for credentials that are not ours. Raises AccessDenied."""

_REGION = re.compile(r"[a-z0-9-]{1,32}")
# What the other protocols call an unknown token and one that has run out (spec 06 section 4), with their statuses.
_CODES = {
    "query": ({"UnrecognizedClientException": "InvalidClientTokenId", "ExpiredTokenException": "ExpiredToken"}, 403),
    "rest-xml": ({"UnrecognizedClientException": "InvalidToken", "ExpiredTokenException": "ExpiredToken"}, 400),
}


def caller_of(credential: Credential | None, default_account: str, default_region: str) -> Caller:
    """An access key of exactly 12 digits is the account; anything else calls for the default account.

    The region is the credential scope's. Raises AccessDenied for a region that could not stand in an ARN.
    """
    if credential is None:
        return Caller(account=default_account, region=default_region, anonymous=True)
    is_older = not credential.date  # S3's version 2 says neither day nor region
    if not is_older and _REGION.fullmatch(credential.region) is None:
        raise AccessDenied("Credential should be scoped to a valid region.", code="InvalidSignatureException")
    key = credential.access_key_id
    account = key if len(key) == 12 and key.isascii() and key.isdecimal() else default_account
    return Caller(account=account, region=default_region if is_older else credential.region, access_key_id=key)


def with_session(caller: Caller, token: str, session_of: SessionOf, protocol: str) -> Caller:
    """The caller as the session that the token proves, of that session's account; unchanged without a token of ours.

    Raises AccessDenied, in the protocol's words, for a token that is forged, another key's, or over.
    """
    if not token:
        return caller
    try:
        session = session_of(caller.access_key_id, token)
    except AccessDenied as error:
        raise in_words_of(protocol, error) from error
    return caller if session is None else replace(caller, account=session.account, session=session)


def in_words_of(protocol: str, error: AccessDenied) -> AccessDenied:
    codes, status = _CODES.get(protocol, ({}, 403))
    return AccessDenied(error.message, code=codes.get(error.code, error.code), status=status)
