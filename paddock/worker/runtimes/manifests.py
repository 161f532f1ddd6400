"""Runtimes as data: one folder a family, its manifest says which runtime identifiers it makes and how it starts."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FAMILIES = Path(__file__).parent


class InvalidManifest(ValueError):
    """A manifest that cannot be used; the message names the file and the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """transport: "frames" (Paddock's own) or "http" (the Runtime API). interpreter: name with {version} to fill in.

    packages: top-level files and folders of Paddock's own environment that functions find in /var/runtime.
    """

    family: str
    bootstrap: str
    transport: str
    interpreter: str
    versions: tuple[str, ...]
    packages: tuple[str, ...]

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
            values[key] = tuple(value) if isinstance(value, list) else value
            if not isinstance(value, list if key in ("versions", "packages") else str):
                raise InvalidManifest(f"{path}: {key} is a {type(value).__name__}")
        try:
            family = Family(**values)
        except TypeError as error:
            raise InvalidManifest(f"{path}: {error}") from error
        if family.transport not in ("frames", "http"):
            raise InvalidManifest(f"{path}: transport must be frames or http")
        families.append(family)
    return tuple(families)
