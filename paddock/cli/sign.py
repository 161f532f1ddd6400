"""`paddock sign`: a signed copy of a package, and the signing profile that signs it.

    paddock sign function.zip --profile release        writes function.signed.zip, prints the profile's version ARN

The profile's keys lie below signing/ in the data directory (see paddock/backends/files/publishers.py) and are made at
its first use. Give the ARN to CreateCodeSigningConfig as an allowed publisher.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paddock.model import signature
from paddock.model.errors import ServiceError
from paddock.model.quotas import Quotas

DIRECTORY = "signing"
VERSION_DIGITS = 10
DAY_S = 86_400
_NAME = re.compile(r"[A-Za-z0-9_]{2,64}")


class CannotSign(Exception):
    """The message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """profile: its name. account, region: of the ARN. now_s: seconds since 1970. hex: that many random hex digits."""

    data_dir: Path
    profile: str
    account: str
    region: str
    days: int
    now_s: int
    hex: Callable[[int], str]


def sign(package: Path, target: Path, how: Signing) -> str:
    """Write the signed package; the ARN of the version of the profile. Raises CannotSign."""
    if not _NAME.fullmatch(how.profile):
        raise CannotSign(f"{how.profile!r} is no name for a signing profile: 2 to 64 letters, digits and underscores.")
    try:
        version, key = _key(how)
        prefix = f"arn:aws:signer:{how.region}:{how.account}:"
        profile = f"{prefix}/signing-profiles/{how.profile}/{version}"
        signed = signature.sign(
            package.read_bytes(),
            key,
            profile=profile,
            job=f"{prefix}/signing-jobs/{how.hex(32)}",
            signed_at=how.now_s,
            expires_at=how.now_s + how.days * DAY_S,
            quotas=Quotas(),
        )
        target.write_bytes(signed)
    except ServiceError as error:
        raise CannotSign(f"{package}: {error.message}") from error
    except OSError as error:
        raise CannotSign(f"{error.filename}: {error.strerror}") from error
    return profile


def _key(how: Signing) -> tuple[str, bytes]:
    """The newest version of the profile and its private key; made if there is none."""
    directory = how.data_dir / DIRECTORY / how.profile
    directory.mkdir(parents=True, exist_ok=True)
    for made in (how.data_dir / DIRECTORY, directory):
        made.chmod(0o755)  # the server, which may be another user, reads the public keys
    keys = sorted(directory.glob("*.key"), key=lambda path: path.stat().st_mtime_ns)
    if keys:
        return keys[-1].stem, keys[-1].read_bytes()
    version, key = how.hex(VERSION_DIGITS), signature.new_key()
    with os.fdopen(os.open(directory / f"{version}.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
    public = directory / f"{version}.pub"
    public.write_bytes(signature.public_key(key))
    public.chmod(0o644)
    return version, key
