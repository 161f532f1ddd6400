"""Floating point: {"n": count} -> {"sum": ...}."""

from __future__ import annotations

import math


def handler(event: dict[str, int], context: object) -> dict[str, float]:
    return {"sum": math.fsum(math.sin(i) ** 2 + math.cos(i) ** 2 + math.sqrt(i) for i in range(event["n"]))}
