"""The master key: made once, kept, and never replaced by another."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from paddock.backends.files import master_key
from paddock.model.sealing import BrokenSeal, seal, unseal


def test_it_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    assert asyncio.run(master_key.load(path, b"a" * 32)) == b"a" * 32
    assert asyncio.run(master_key.load(path, b"b" * 32)) == b"a" * 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_broken_one_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="is not a master key"):
        asyncio.run(master_key.load(path, b"b" * 32))
    assert path.read_bytes() == b"short"


def test_what_is_sealed_opens_for_what_it_was_sealed_for(tmp_path: Path) -> None:
    sealed = seal(b"k" * 32, b"secret", b"f", b"n" * 12)
    assert unseal(b"k" * 32, sealed, b"f") == b"secret"
    for key, text, about in (
        (b"x" * 32, sealed, b"f"),
        (b"k" * 32, sealed, b"g"),
        (b"k" * 32, sealed[:-1] + b"?", b"f"),
        (b"k" * 32, b"", b"f"),
    ):
        with pytest.raises(BrokenSeal):
            unseal(key, text, about)
