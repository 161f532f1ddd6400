"""Runtimes as data: one folder a family, its manifest says which runtime identifiers it makes and how it starts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_KINDS: Mapping[str, type] = {"versions": list, "packages": list, "debian": dict}
FAMILIES = Path(__file__).parent


class InvalidManifest(ValueError):
    """A manifest that cannot be used; the message names the file and the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """transport: "frames" (Paddock's own) or "http" (the Runtime API). interpreter: name with {version} to fill in.

    packages: top-level files and folders of Paddock's own environment that functions find in /var/runtime.
    debian: version -> the release of Debian and the packages that it can be added from. advice: for the others.
    code: where a function's code is mounted: "task" for /var/task, "root" where it is everything the function sees.
    """

    family: str
    bootstrap: str
    transport: str
    interpreter: str
    versions: tuple[str, ...]
    packages: tuple[str, ...]
    advice: str = ""
    debian: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    code: str = "task"

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Lambda's identifiers: python3.12, provided.al2023."""
        joint = "." if self.family == "provided" else ""
        return tuple(f"{self.family}{joint}{version}" for version in self.versions)


def load() -> tuple[Family, ...]:
    """Every family, by name. Raises InvalidManifest."""
    families = []
    for path in sorted(FAMILIES.glob("*/manifest.toml")):
        try:
            values = tomllib.loads(path.read_text())
        except tomllib.TOMLDecodeError as error:
            raise InvalidManifest(f"{path}: {error}") from error
        for key, value in values.items():
            if not isinstance(value, _KINDS.get(key, str)):
                raise InvalidManifest(f"{path}: {key} is a {type(value).__name__}")
            values[key] = tuple(value) if isinstance(value, list) else value
        values["debian"] = {version: tuple(parts) for version, parts in values.get("debian", {}).items()}
        try:
            family = Family(**values)
        except TypeError as error:
            raise InvalidManifest(f"{path}: {error}") from error
        if family.transport not in ("frames", "http"):
            raise InvalidManifest(f"{path}: transport must be frames or http")
        families.append(family)
    return tuple(families)
