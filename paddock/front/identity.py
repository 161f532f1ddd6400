"""From a credential to the caller: which account, which region."""

from __future__ import annotations

import re

from paddock.model.caller import Caller
from paddock.model.errors import AccessDenied
from paddock.wire.sigv4 import Credential

_REGION = re.compile(r"[a-z0-9-]{1,32}")


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
