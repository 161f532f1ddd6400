"""Which runtimes this machine can start."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from paddock.worker.runtimes import choose, packages


@functools.cache  # to look runs every interpreter, and tests ask again and again while they are collected
def _here() -> Sequence[tuple[str, str]]:
    """(family, name) of each."""
    found = (one for one in choose.runtimes() if one.interpreter and not packages.available(one))
    return [(one.family.family, one.name) for one in found]


def here(family: str) -> list[str]:
    """Of one family, the oldest first."""
    return [name for one, name in _here() if one == family]


def newest(family: str) -> str:
    """Of one family, or ""."""
    return next(iter(reversed(here(family))), "")
