"""Ranges of host user ids."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paddock.worker.sandbox import uids


def test_each_has_a_range_of_its_own(tmp_path: Path) -> None:
    first, locks = uids.claim(2_000_000_000, tmp_path / "claims")
    second, others = uids.claim(2_000_000_000, tmp_path / "claims")
    assert first == 2_000_000_000
    assert second == first + uids.EACH
    for lock in [*locks, *others]:
        os.close(lock)
    again, locks = uids.claim(2_000_000_000, tmp_path / "claims")
    assert again == first  # what ended holds nothing
    os.close(locks[0])


def test_ranges_that_begin_elsewhere_do_not_overlap(tmp_path: Path) -> None:
    first, locks = uids.claim(2_000_000_000 + 5, tmp_path)
    second, others = uids.claim(2_000_000_000, tmp_path)
    assert second >= first + uids.EACH
    for lock in [*locks, *others]:
        os.close(lock)


def test_the_last_range_is_the_last(tmp_path: Path) -> None:
    begin = 4_294_967_294 - 2 * uids.EACH
    _, locks = uids.claim(begin, tmp_path)
    with pytest.raises(OSError, match="those of other Paddocks"):
        uids.claim(begin, tmp_path)
    for lock in locks:
        os.close(lock)
