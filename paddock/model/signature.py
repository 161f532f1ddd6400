"""Signed packages: what Paddock's signing profiles sign, and what a signature is worth.

A signed zip has one entry more, META-INF/paddock-signature.json: who signed, from when until when, the SHA-384 of the
package's content, and an ECDSA signature (P-384, SHA-384) over these. The content is every other entry: its path, kind,
permissions and the SHA-384 of its bytes, in the order of the paths; so packing anew without changing a file keeps a
signature, and nothing can be changed, added or left out.

    {"profile": "arn:aws:signer:us-east-1:000000000000:/signing-profiles/release/0123456789",
     "job": "arn:aws:signer:us-east-1:000000000000:/signing-jobs/<uuid>",
     "signedAt": 1768478400, "expiresAt": 2123456789, "content": "<96 hex digits>", "signature": "<base64>"}

AWS Signer's own signatures cannot be checked here: their roots are AWS's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from paddock.model.package import Entry, contents, read_plan
from paddock.model.quotas import Quotas

ENTRY = "META-INF/paddock-signature.json"
SIGNATURE_BYTES_MAX = 16_384
_MEMBERS = {"profile": str, "job": str, "signedAt": int, "expiresAt": int, "content": str, "signature": str}


class BadSignature(ValueError):
    """There is a signature, and it is not one of this content. The text is meant for the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """profile: the version of a signing profile. Times in seconds since 1970. content: SHA-384, hex."""

    profile: str
    job: str
    signed_at: int
    expires_at: int
    content: str
    signature: bytes = b""

    @property
    def statement(self) -> bytes:
        """What is signed."""
        return json.dumps(self._members(), sort_keys=True, separators=(",", ":")).encode()

    @property
    def text(self) -> str:
        signature = base64.b64encode(self.signature).decode()
        return json.dumps({**self._members(), "signature": signature}, indent=1)

    def _members(self) -> dict[str, Any]:
        return {
            "profile": self.profile,
            "job": self.job,
            "signedAt": self.signed_at,
            "expiresAt": self.expires_at,
            "content": self.content,
        }


def new_key() -> bytes:
    """A private key, PEM."""
    return ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_key(private_pem: bytes) -> bytes:
    """What checks the signatures that the private key makes, PEM."""
    return _private(private_pem).public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip


def sign(
    package: bytes, private_pem: bytes, *, profile: str, job: str, signed_at: int, expires_at: int, quotas: Quotas
) -> bytes:
    """The package with a signature, in place of one that it may have had. Raises InvalidParameterValue (no package)."""
    unsigned = Signature(
        profile=profile, job=job, signed_at=signed_at, expires_at=expires_at, content=content_digest(package, quotas)
    )
    made = _private(private_pem).sign(unsigned.statement, ec.ECDSA(hashes.SHA384()))
    signed = Signature(
        profile=profile, job=job, signed_at=signed_at, expires_at=expires_at, content=unsigned.content, signature=made
    )
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            if info.filename != ENTRY:
                new.writestr(info, old.read(info))
        entry = zipfile.ZipInfo(ENTRY)
        entry.external_attr = 0o100644 << 16
        new.writestr(entry, signed.text)
    return target.getvalue()


def read(package: bytes, quotas: Quotas) -> Signature | None:
    """The signature in a package, not checked yet; None without one. Raises BadSignature for what is none."""
    entry = next((one for one in read_plan(package, quotas) if one.path == ENTRY), None)
    if entry is None:
        return None
    if entry.size_bytes > SIGNATURE_BYTES_MAX:
        raise BadSignature("The signature of the package is too large.")
    try:
        found = json.loads(b"".join(contents(package, entry)))
        made = base64.b64decode(found["signature"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError) as error:
        raise BadSignature("The signature of the package cannot be read.") from error
    if not _is_whole(found):
        raise BadSignature("The signature of the package is incomplete.")
    return Signature(
        profile=found["profile"], job=found["job"], signed_at=found["signedAt"], expires_at=found["expiresAt"],
        content=found["content"], signature=made,
    )  # fmt: skip


def check(package: bytes, signature: Signature, public_pem: bytes, quotas: Quotas) -> None:
    """Raises BadSignature unless the key's owner signed exactly this content."""
    key = serialization.load_pem_public_key(public_pem)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise BadSignature("The signing profile's key is of another kind.")
    try:
        key.verify(signature.signature, signature.statement, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature as error:
        raise BadSignature("The signature was not made by the signing profile that it names.") from error
    if signature.content != content_digest(package, quotas):
        raise BadSignature("The package was changed after it was signed.")


def content_digest(package: bytes, quotas: Quotas) -> str:
    """SHA-384 of everything in the package but its signature, hex."""
    digest = hashlib.sha384()
    for entry in sorted(read_plan(package, quotas), key=lambda one: one.path):
        if entry.path != ENTRY:
            digest.update(_line(package, entry).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _line(package: bytes, entry: Entry) -> str:
    content = hashlib.sha384()
    if entry.kind.value == "file":
        for piece in contents(package, entry):
            content.update(piece)
    return json.dumps([entry.path, entry.kind.value, entry.mode, entry.target, content.hexdigest()]) + "\n"


def _is_whole(found: Any) -> bool:
    return isinstance(found, Mapping) and all(type(found.get(name)) is kind for name, kind in _MEMBERS.items())


def _private(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadSignature("The signing key is of another kind.")
    return key
