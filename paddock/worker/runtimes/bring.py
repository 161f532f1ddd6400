"""`paddock runtimes add`: bring an interpreter that the machine has not, from where its family's manifest says.

Node.js comes from npm (nodes.py); what Debian has comes as a userland of its own (debian.py). For everything else
the manifest has advice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from paddock.worker.runtimes import choose, debian, manifests, nodes
from paddock.worker.runtimes.packages import LOCKS

NODE_LOCK = "function-node.lock"


class CannotAdd(RuntimeError):
    """The runtime cannot be brought; the message says why and what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """mirror: of Debian. registry: of npm, where there is no npm to know one. lock: the pinned Node.js."""

    mirror: str
    registry: str
    lock: Path = LOCKS / NODE_LOCK


def add(name: str, directory: Path, sources: Sources, now: datetime, say: Callable[[str], None]) -> str:
    """What was done, in words. Raises CannotAdd, nodes.CannotFetch, debian.CannotBuild, store.Busy and OSError."""
    family, version = _known(name)
    found = next(runtime for runtime in choose.runtimes(directory) if runtime.name == name)
    if found.interpreter is not None and not found.note:
        return f"{name}: already here, {found.version} at {found.executable}"
    if family.family == "nodejs":
        wanted = nodes.pinned(sources.lock, version)
        say(f"fetching {wanted.package} {wanted.version}")
        return f"{name}: {wanted.version} at {nodes.add(wanted, directory, sources.registry)}"
    if version in family.debian:
        release, *more = family.debian[version]
        userland = debian.build(debian.plan(release, sources.mirror, name, more), directory, now, say)
        exact = userland.programs.get(more[0], "?")
        return f"{name}: {exact} in a userland of its own, {userland.name}"
    raise CannotAdd(f"{name} cannot be added by Paddock: {family.advice.format(version=version)}")


def _known(name: str) -> tuple[manifests.Family, str]:
    families = manifests.load()
    for family in families:
        for each, version in zip(family.runtimes, family.versions, strict=True):
            if each == name:
                return family, version
    every = ", ".join(each for family in families for each in family.runtimes)
    raise CannotAdd(f"{name} is no runtime that Paddock knows: {every}")
