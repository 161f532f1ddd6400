"""The key that SNS's messages are signed with: made at the first start, kept in the data directory."""

from __future__ import annotations

import asyncio
import base64
import os
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

KEY_BITS = 2048
YEARS = 10


class FileNotary:
    """Made by `await FileNotary.open(...)`. certificate: PEM, self-signed, for whoever checks."""

    def __init__(self, directory: Path, now: datetime) -> None:
        """Blocks on the disk and the processor; use `open`."""
        directory.mkdir(parents=True, exist_ok=True)
        key_file, certificate_file = directory / "key.pem", directory / "certificate.pem"
        if not certificate_file.is_file():
            key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
            pem = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            _write(key_file, pem)
            _write(certificate_file, _certificate(key, now))
        loaded = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        self._key = loaded
        self.certificate = certificate_file.read_bytes()

    @classmethod
    async def open(cls, directory: Path, now: datetime) -> FileNotary:
        return await asyncio.to_thread(cls, directory, now)

    def sign(self, text: str, version: str) -> str:
        """Base64 of RSA PKCS#1 v1.5 over SHA-1 (version "1", SNS's default) or SHA-256 ("2")."""
        digest = hashes.SHA256() if version == "2" else hashes.SHA1()
        return base64.b64encode(self._key.sign(text.encode(), padding.PKCS1v15(), digest)).decode()


def _certificate(key: rsa.RSAPrivateKey, now: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.paddock")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, and for nobody else's eyes."""
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
