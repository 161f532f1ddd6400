"""Encryption at rest: AES-256-GCM, bound to what the text is about.

A sealed text opens only with its key and for exactly what it was sealed for: a row copied to another function, or to
another account's key, does not open there.

    nonce (12 bytes) | ciphertext and tag
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12


class BrokenSeal(ValueError):
    """Not sealed with this key, or not for this, or changed since."""


def seal(key: bytes, plain: bytes, about: bytes, nonce: bytes) -> bytes:
    """nonce: NONCE_BYTES that were never used with this key before: random ones."""
    return nonce + AESGCM(key).encrypt(nonce, plain, about)


def unseal(key: bytes, sealed: bytes, about: bytes) -> bytes:
    """Raises BrokenSeal."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
    except (InvalidTag, ValueError) as error:
        raise BrokenSeal("It cannot be opened with this key, or not for this.") from error
