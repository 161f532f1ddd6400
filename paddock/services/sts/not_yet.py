"""The operations of STS's service model that Paddock does not do yet. They answer 501 and their name."""

from __future__ import annotations

NOT_YET = frozenset(
    {
        "AssumeRoleWithSAML",
        "AssumeRoleWithWebIdentity",
        "AssumeRoot",
        "DecodeAuthorizationMessage",
        "GetDelegatedAccessToken",
        "GetFederationToken",
        "GetWebIdentityToken",
    }
)
