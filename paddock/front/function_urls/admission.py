"""Who may use a function URL (spec 06 section 2).

NONE      nobody has to sign, but the function's resource policy must let everybody in.
AWS_IAM   the signature is checked. A caller of the function's own account gets in unless the policy denies it (its own
          policies are not enforced, decision 4); one of another account only if the policy names it.

As on AWS since October 2025 two actions must be allowed: lambda:InvokeFunctionUrl, and lambda:InvokeFunction (for
which the condition key lambda:InvokedViaFunctionUrl tells that the caller came by the URL).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from paddock.control.permissions import Permissions
from paddock.front.identity import SessionOf, caller_of
from paddock.model.arn import FunctionRef
from paddock.model.caller import Caller
from paddock.model.errors import AccessDenied
from paddock.model.function_url import FunctionUrl, UrlAuth
from paddock.model.permission import INVOKE, INVOKE_URL, Asker, Decision
from paddock.wire.errors import SignatureRefused
from paddock.wire.messages import Request
from paddock.wire.router import query_pairs
from paddock.wire.sigv4 import Credential, Secret, Verifier, credential_of

FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
_ACTIONS = (INVOKE_URL, INVOKE)
_SERVICE, _TOKEN = "lambda", "X-Amz-Security-Token"
_UNSIGNED = "MissingAuthenticationTokenException"


class Admission:
    """`admit` raises AccessDenied or SignatureRefused, or returns who calls: None where nobody has to say.

    secret: of every access key. session_of: whose temporary credentials are.
    """

    def __init__(self, permissions: Permissions, secret: str, session_of: SessionOf, default_account: str) -> None:
        self._permissions = permissions
        self._secret = secret
        self._session_of = session_of
        self._default_account = default_account
        self._verifier = Verifier()

    def admit(
        self, ref: FunctionRef, url: FunctionUrl, request: Request, now: datetime, account: str = ""
    ) -> Caller | None:  # fmt: skip
        """account: the one that the caller may speak for, or "" for the one its access key names."""
        if url.auth is UrlAuth.NONE:
            self._check(ref, url, None)
            return None
        token = request.headers.get("x-amz-security-token") or dict(query_pairs(request.query)).get(_TOKEN, "")
        credential = credential_of(request)
        session = self._session_of(credential.access_key_id, token) if credential is not None and token else None
        if credential is None or session is None:
            credential = self._verified(ref, request, now, token)
        elif (credential.region, credential.service) != (ref.region, _SERVICE):
            raise SignatureRefused("Credential should be scoped to a valid region.")
        caller = caller_of(credential, self._default_account, ref.region)
        if session is not None:
            caller = replace(caller, account=session.account, session=session)
        caller = replace(caller, account=account) if account else caller
        self._check(ref, url, caller)
        return caller

    def _verified(self, ref: FunctionRef, request: Request, now: datetime, token: str) -> Credential:
        try:
            return self._verifier.verify(
                request,
                secret_of=lambda _: Secret(self._secret, token),
                now=now,
                region=ref.region,
                service=_SERVICE,
            )
        except SignatureRefused as error:
            if error.code == _UNSIGNED:
                raise AccessDenied(FORBIDDEN) from error
            raise

    def _check(self, ref: FunctionRef, url: FunctionUrl, caller: Caller | None) -> None:
        asker = Asker(
            account="" if caller is None else caller.account,
            arn="" if caller is None else caller.arn,
            role_arn="" if caller is None else caller.role_arn,
            further={"lambda:FunctionUrlAuthType": url.auth.value, "lambda:InvokedViaFunctionUrl": "true"},
        )
        decisions = {self._permissions.decide(ref, asker, action) for action in _ACTIONS}
        allowed = {Decision.ALLOWED, Decision.DELEGATED}
        if caller is not None and caller.account == ref.account:
            allowed.add(Decision.SILENT)
        if not decisions <= allowed:
            raise AccessDenied(FORBIDDEN)
