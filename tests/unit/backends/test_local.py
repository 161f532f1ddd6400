"""The system clock and the pooled identifiers."""

from __future__ import annotations

import asyncio
import re
import uuid
from datetime import timedelta

from paddock.backends.local.clock import SystemClock
from paddock.backends.local.ids import BLOCK_BYTES, SystemIds


def test_the_clock_is_aware_utc_and_never_goes_back() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    first = clock.monotonic()
    asyncio.run(clock.sleep(0))
    assert clock.monotonic() >= first


def test_uuids_are_version_4_and_all_different() -> None:
    ids = SystemIds()
    made = [ids.uuid() for _ in range(5000)]
    assert len(set(made)) == len(made)
    for text in made:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, text)


def test_hex_has_the_length_asked_for_even_beyond_a_block() -> None:
    ids = SystemIds()
    for digits in (0, 1, 8, 24, 2 * BLOCK_BYTES, 2 * BLOCK_BYTES + 1):
        assert re.fullmatch(f"[0-9a-f]{{{digits}}}", ids.hex(digits))
    assert ids.hex(32) != ids.hex(32)
