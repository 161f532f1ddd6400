"""Signed packages: what a signature covers, and what breaks it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.model import signature
from paddock.model.quotas import Quotas
from paddock.model.signature import BadSignature
from tests.support.server import zipped

KEY, OTHER = signature.new_key(), signature.new_key()
FILES = {"f.py": "code", "lib/g.py": "more"}


def signed(files: dict[str, str | bytes] | None = None, key: bytes = KEY) -> bytes:
    return signature.sign(
        zipped(files or dict(FILES)), key, profile="p", job="j", signed_at=1, expires_at=2, quotas=Quotas()
    )


def check(package: bytes, key: bytes = KEY) -> None:
    found = signature.read(package, Quotas())
    assert found is not None
    signature.check(package, found, signature.public_key(key), Quotas())


def text_of(package: bytes) -> str:
    found = signature.read(package, Quotas())
    assert found is not None
    return found.text


def test_a_signed_package_is_the_package_and_a_signature() -> None:
    package = signed()
    found = signature.read(package, Quotas())
    assert found is not None
    assert (found.profile, found.job, found.signed_at, found.expires_at) == ("p", "j", 1, 2)
    check(package)
    check(signature.sign(package, KEY, profile="p", job="k", signed_at=1, expires_at=2, quotas=Quotas()))
    assert signature.read(zipped(dict(FILES)), Quotas()) is None
    assert signature.content_digest(package, Quotas()) == signature.content_digest(zipped(dict(FILES)), Quotas())


@pytest.mark.parametrize(
    "files",
    [
        {"f.py": "kode", "lib/g.py": "more"},
        {"f.py": "code"},
        {"f.py": "code", "lib/g.py": "more", "h.py": ""},
        {"f.py": "code", "lib/h.py": "more"},
    ],
)
def test_nothing_can_be_changed(files: dict[str, str | bytes]) -> None:
    with pytest.raises(BadSignature, match="changed after it was signed"):
        check(zipped({**files, signature.ENTRY: text_of(signed())}))


def test_permissions_are_signed_too() -> None:
    with pytest.raises(BadSignature, match="changed"):
        check(zipped({**FILES, signature.ENTRY: text_of(signed())}, mode=0o755))


def test_another_key_does_not_do() -> None:
    with pytest.raises(BadSignature, match="not made by"):
        check(signed(key=OTHER))


@pytest.mark.parametrize("member", ["profile", "job", "signedAt", "expiresAt", "content", "signature"])
def test_every_word_of_it_is_signed(member: str) -> None:
    document = json.loads(text_of(signed()))
    document[member] = document[member] + 1 if isinstance(document[member], int) else "AAAA"
    with pytest.raises(BadSignature):
        check(zipped({**FILES, signature.ENTRY: json.dumps(document)}))
    del document[member]
    with pytest.raises(BadSignature):
        check(zipped({**FILES, signature.ENTRY: json.dumps(document)}))


@given(st.binary(max_size=200))
def test_what_is_no_signature_is_a_bad_one(content: bytes) -> None:
    with pytest.raises(BadSignature):
        check(zipped({**FILES, signature.ENTRY: content}))


def test_a_signature_has_a_limit() -> None:
    with pytest.raises(BadSignature, match="too large"):
        check(zipped({**FILES, signature.ENTRY: " " * 20_000}))
