"""AWS Signature Version 4: reading the credential scope, and checking the signature (spec 06 §4).

The canonical request is built from the raw target as it came: the path is normalised and encoded once more, the
query decoded and encoded anew, so that a client's spelling of escapes does not matter. Signing keys hold for a
day, region and service and are kept in the Verifier. Hashing a body of 6 MB takes some milliseconds and happens
here, in the caller's thread.

Not understood, and refused as a wrong signature: chunked S3 uploads, unsigned payloads unless asked for, SigV4A.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from paddock.wire.errors import Malformed, SignatureRefused
from paddock.wire.messages import Headers, Request
from paddock.wire.router import decode_segment, query_pairs

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW = timedelta(minutes=5)
EXPIRES_S_MAX = 604_800
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"

_AMZ_DATE = "%Y%m%dT%H%M%SZ"
_AMZ_DATE_SHAPE = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
    "Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class Credential:
    """Who signed, and for what. date: YYYYMMDD. Read, not verified."""

    access_key_id: str
    date: str
    region: str
    service: str


@dataclass(frozen=True, slots=True)
class Secret:
    """What the verifier must know of an access key. session_token: "" for a long-lived key."""

    key: str
    session_token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    credential: Credential
    signed_headers: tuple[str, ...]
    signature: str
    amz_date: str
    expires_s: int | None
    token: str

    @property
    def presigned(self) -> bool:
        return self.expires_s is not None


def credential_of(request: Request) -> Credential | None:
    """The credential in the Authorization header or in X-Amz-Credential of the query; None when there is none.

    S3's older version 2 names the key alone, in either place: it has no region.
    """
    header = request.headers.get("authorization")
    if header.startswith("AWS4-"):
        _, found, rest = header.partition("Credential=")
        return _credential(rest.partition(",")[0].strip()) if found else None
    if header.startswith("AWS "):
        return _older(header[len("AWS ") :].partition(":")[0].strip())
    if "X-Amz-Credential=" in request.query:
        for part in request.query.split("&"):
            if part.startswith("X-Amz-Credential="):
                try:
                    return _credential(decode_segment(part[len("X-Amz-Credential=") :]))
                except Malformed:
                    return None
    if "AWSAccessKeyId=" in request.query and "Signature=" in request.query:
        return _older(dict(part.partition("=")[::2] for part in request.query.split("&")).get("AWSAccessKeyId", ""))
    return None


def credential_of_form(fields: Mapping[str, str]) -> Credential | None:
    """The credential that a browser's form carries; names in lower case."""
    if fields.get("x-amz-credential"):
        return _credential(fields["x-amz-credential"])
    return _older(fields.get("awsaccesskeyid", ""))


def _older(access_key_id: str) -> Credential | None:
    return Credential(access_key_id, "", "", "s3") if access_key_id else None


def session_token_of(request: Request) -> str:
    """X-Amz-Security-Token, from the header or from the query of a presigned URL; "" for none."""
    header = request.headers.get("x-amz-security-token")
    if header or "X-Amz-Security-Token=" not in request.query:
        return header
    try:
        return next((value for name, value in query_pairs(request.query) if name == "X-Amz-Security-Token"), "")
    except Malformed:
        return ""


def _credential(text: str) -> Credential | None:
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not all(parts):
        return None
    return Credential(parts[0], parts[1], parts[2], parts[3])


class Verifier:
    """Checks signatures. Keeps at most `keys_max` derived signing keys; a full store is emptied and refills."""

    def __init__(self, *, keys_max: int = 1024) -> None:
        self._keys: dict[tuple[str, str, str, str], bytes] = {}
        self._keys_max = keys_max

    def verify(
        self,
        request: Request,
        *,
        secret_of: Callable[[str], Secret | None],
        now: datetime,
        region: str | None = None,
        service: str | None = None,
        unsigned_payload: bool = False,
    ) -> Credential:
        """The credential, proven. `region` and `service`, when given, must be those of the scope.

        secret_of: access key id -> Secret, None when unknown. Raises SignatureRefused.
        """
        claim = _claim(request)
        credential = claim.credential
        if region is not None and credential.region != region:
            raise SignatureRefused("Credential should be scoped to a valid region.")
        if service is not None and credential.service != service:
            raise SignatureRefused(f"Credential should be scoped to correct service: '{service}'.")
        secret = secret_of(credential.access_key_id)
        if secret is None or not hmac.compare_digest(secret.session_token.encode(), claim.token.encode()):
            raise SignatureRefused(
                "The security token included in the request is invalid.", code="UnrecognizedClientException"
            )
        _check_time(claim, now)
        canonical = canonical_request(
            request,
            claim.signed_headers,
            payload_hash(request, unsigned_allowed=unsigned_payload),
        )
        wanted = self._sign(secret.key, credential, string_to_sign(credential, claim.amz_date, canonical))
        if not hmac.compare_digest(wanted.encode(), claim.signature.encode()):
            raise SignatureRefused(_MISMATCH)
        return credential

    def _sign(self, key: str, credential: Credential, text: str) -> str:
        cached = (key, credential.date, credential.region, credential.service)
        signing_key = self._keys.get(cached)
        if signing_key is None:
            signing_key = ("AWS4" + key).encode()
            for part in (credential.date, credential.region, credential.service, "aws4_request"):
                signing_key = hmac.digest(signing_key, part.encode(), "sha256")
            if len(self._keys) >= self._keys_max:
                self._keys.clear()
            self._keys[cached] = signing_key
        return hmac.digest(signing_key, text.encode(), "sha256").hex()


def check_expiry(request: Request, now: datetime) -> None:
    """Refuse a presigned URL (of version 4, or S3's older 2) whose time is over, whoever signed it.

    Raises SignatureRefused in S3's words; what is no number or date says nothing, and is left to who verifies.
    """
    query = dict(part.partition("=")[::2] for part in request.query.split("&"))
    try:
        if "X-Amz-Expires" in query and "X-Amz-Date" in query:
            signed_at = datetime.strptime(query["X-Amz-Date"], _AMZ_DATE).replace(tzinfo=UTC)
            end = signed_at + timedelta(seconds=min(int(query["X-Amz-Expires"]), EXPIRES_S_MAX))
        elif "Signature" in query and "Expires" in query:
            end = datetime.fromtimestamp(int(query["Expires"]), UTC)
        else:
            return
    except (ValueError, OverflowError, OSError):
        return
    if now > end:
        raise SignatureRefused("Request has expired", code="AccessDenied")


# ---- what the request claims


def _claim(request: Request) -> _Claim:
    if request.headers.get("authorization"):
        return _header_claim(request.headers)
    try:
        query = dict(query_pairs(request.query))
    except Malformed:
        query = {}
    if "X-Amz-Signature" in query or "X-Amz-Algorithm" in query:
        return _query_claim(query)
    raise SignatureRefused("Missing Authentication Token", code="MissingAuthenticationTokenException")


def _header_claim(headers: Headers) -> _Claim:
    scheme, _, rest = headers.get("authorization").partition(" ")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    amz_date = headers.get("x-amz-date") or _from_http_date(headers.get("date"))
    missing = [f"'{name}'" for name in ("Credential", "Signature", "SignedHeaders") if not parts.get(name)]
    if scheme != ALGORITHM:
        missing = [f"'{ALGORITHM}'"]
    if not amz_date:
        missing.append("'X-Amz-Date' or a 'Date' header")
    credential = _credential(parts.get("Credential", ""))
    if missing or credential is None:
        raise _incomplete("Authorization header", missing or ["a valid 'Credential'"])
    return _Claim(
        credential=credential,
        signed_headers=_signed_headers(parts["SignedHeaders"]),
        signature=parts["Signature"],
        amz_date=amz_date,
        expires_s=None,
        token=headers.get("x-amz-security-token"),
    )


def _query_claim(query: dict[str, str]) -> _Claim:
    names = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
    missing = [f"'{name}'" for name in (*names, "X-Amz-Expires") if not query.get(name)]
    credential = _credential(query.get("X-Amz-Credential", ""))
    expires = query.get("X-Amz-Expires", "")
    valid = re.fullmatch(r"[0-9]{1,6}", expires) is not None and 1 <= int(expires) <= EXPIRES_S_MAX
    if missing or credential is None or not valid or query["X-Amz-Algorithm"] != ALGORITHM:
        raise _incomplete("AWS query-string parameters", missing or ["valid values"])
    return _Claim(
        credential=credential,
        signed_headers=_signed_headers(query["X-Amz-SignedHeaders"]),
        signature=query["X-Amz-Signature"],
        amz_date=query["X-Amz-Date"],
        expires_s=int(expires),
        token=query.get("X-Amz-Security-Token", ""),
    )


def _incomplete(what: str, missing: list[str]) -> SignatureRefused:
    message = " ".join(f"{what} requires {name} parameter." for name in missing)
    return SignatureRefused(message, code="IncompleteSignatureException")


def _signed_headers(text: str) -> tuple[str, ...]:
    names = tuple(text.lower().split(";"))
    if "host" not in names and ":authority" not in names:
        raise SignatureRefused("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    return names


def _from_http_date(text: str) -> str:
    if not text:
        return ""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return ""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime(_AMZ_DATE)


def _check_time(claim: _Claim, now: datetime) -> None:
    try:
        if _AMZ_DATE_SHAPE.fullmatch(claim.amz_date) is None:
            raise ValueError(claim.amz_date)
        signed_at = datetime.strptime(claim.amz_date, _AMZ_DATE).replace(tzinfo=UTC)
    except ValueError:
        raise _incomplete("Authorization header", ["a valid 'X-Amz-Date'"]) from None
    if claim.amz_date[:8] != claim.credential.date:
        raise SignatureRefused(
            f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{claim.credential.date[:16]}' != '{claim.amz_date[:8]}', from '{claim.amz_date}'."
        )
    shown, clock = claim.amz_date, now.strftime(_AMZ_DATE)
    if signed_at > now + SKEW:
        edge = (now + SKEW).strftime(_AMZ_DATE)
        raise SignatureRefused(f"Signature not yet current: {shown} is still later than {edge} ({clock} + 5 min.)")
    lifetime = SKEW if claim.expires_s is None else timedelta(seconds=claim.expires_s)
    if now > signed_at + lifetime:
        edge = (now - lifetime).strftime(_AMZ_DATE)
        minutes = int(lifetime.total_seconds() // 60)
        raise SignatureRefused(f"Signature expired: {shown} is now earlier than {edge} ({clock} - {minutes} min.)")


# ---- the canonical forms


def payload_hash(request: Request, *, unsigned_allowed: bool = False) -> str:
    """Hex SHA-256 of the body. A differing X-Amz-Content-Sha256 is a refused signature."""
    sent = request.headers.get("x-amz-content-sha256")
    if sent == UNSIGNED_PAYLOAD and unsigned_allowed:
        return sent
    real = hashlib.sha256(request.body).hexdigest()
    if sent and sent != real:
        raise SignatureRefused(_MISMATCH)
    return real


def canonical_request(request: Request, signed_headers: tuple[str, ...], body_hash: str) -> str:
    """Spec 06 §4, for every service but S3 (which neither normalises nor encodes the path again)."""
    try:
        query = _canonical_query(request.query)
    except Malformed:
        raise SignatureRefused(_MISMATCH) from None
    lines = [f"{name}:{_header_value(request.headers, name)}" for name in signed_headers]
    return "\n".join(
        (request.method, _canonical_path(request.path), query, *lines, "", ";".join(signed_headers), body_hash)
    )


def string_to_sign(credential: Credential, amz_date: str, canonical: str) -> str:
    scope = f"{credential.date}/{credential.region}/{credential.service}/aws4_request"
    return "\n".join((ALGORITHM, amz_date, scope, hashlib.sha256(canonical.encode()).hexdigest()))


def _canonical_path(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    tail = "/" if path.endswith("/") and kept else ""
    return quote("/" + "/".join(kept) + tail, safe="/~")


def _canonical_query(query: str) -> str:
    pairs = [(quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query_pairs(query)]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs) if name != "X-Amz-Signature")


def _header_value(headers: Headers, name: str) -> str:
    if name == ":authority":
        name = "host"
    return ",".join(" ".join(value.split()) for value in headers.all(name))
