"""Which runtimes this machine can start."""

from __future__ import annotations

from paddock.worker.runtimes import choose, packages


def here(family: str) -> list[str]:
    """Of one family, the oldest first."""
    found = (one for one in choose.runtimes() if one.family.family == family and one.interpreter)
    return [one.name for one in found if not packages.available(one)]


def newest(family: str) -> str:
    """Of one family, or ""."""
    return next(iter(reversed(here(family))), "")
