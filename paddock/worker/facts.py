"""What an environment must know of its runtime."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RuntimeFacts:
    """name: python3.12. label: what INIT_START names. arn: of that very version. transport: frames or http."""

    name: str
    label: str
    arn: str
    transport: str
    managed: bool
