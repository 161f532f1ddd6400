"""Alias: a name for a version, or for two of them between which each invocation draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """version: the primary one, `$LATEST` or a number. weights: the other version's number -> its share, 0.0 to 1.0.

    There is at most one weight; what it leaves goes to the primary version.
    """

    name: str
    version: str
    description: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)
    revision_id: str

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version it may lead to, the primary one first."""
        return (self.version, *self.weights)

    def drawn(self, draw: float) -> str:
        """The version of one invocation; `draw` is uniform in [0, 1)."""
        for version, weight in self.weights.items():
            if draw < weight:
                return version
        return self.version
