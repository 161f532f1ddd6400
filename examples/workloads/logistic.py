"""Logistic regression by gradient descent: {"n": points} -> {"accuracy": on points that it has not seen}."""

from __future__ import annotations

import math
import random

Point = tuple[float, float, int]


def points(count: int, chance: random.Random) -> list[Point]:
    """Two clouds, two apart."""
    kinds = [chance.randrange(2) for _ in range(count)]
    return [(chance.gauss(2 * kind, 0.7), chance.gauss(2 * kind, 0.7), kind) for kind in kinds]


def handler(event: dict[str, int], context: object) -> dict[str, float]:
    chance = random.Random(4)
    seen, unseen = points(event["n"], chance), points(1000, chance)
    a = b = c = 0.0
    for _ in range(60):
        da = db = dc = 0.0
        for x, y, kind in seen:
            error = 1 / (1 + math.exp(-(a * x + b * y + c))) - kind
            da, db, dc = da + error * x, db + error * y, dc + error
        rate = 1.0 / len(seen)
        a, b, c = a - rate * da, b - rate * db, c - rate * dc
    right = sum((a * x + b * y + c > 0) == bool(kind) for x, y, kind in unseen)
    return {"accuracy": right / len(unseen)}
