"""Linear equations by Gaussian elimination: {"n": size} -> {"error": the largest residual}."""

from __future__ import annotations

import random


def solve(rows: list[list[float]]) -> list[float]:
    """The solution of rows, each with its right side at the end; with the largest pivot, for the sake of precision."""
    rows = [list(row) for row in rows]
    size = len(rows)
    for at in range(size):
        best = max(range(at, size), key=lambda row: abs(rows[row][at]))
        rows[at], rows[best] = rows[best], rows[at]
        for below in range(at + 1, size):
            factor = rows[below][at] / rows[at][at]
            rows[below] = [x - factor * y for x, y in zip(rows[below], rows[at], strict=True)]
    solution = [0.0] * size
    for at in reversed(range(size)):
        known = sum(rows[at][j] * solution[j] for j in range(at + 1, size))
        solution[at] = (rows[at][size] - known) / rows[at][at]
    return solution


def handler(event: dict[str, int], context: object) -> dict[str, float]:
    size, chance = event["n"], random.Random(1)
    rows = [[chance.uniform(-1, 1) for _ in range(size + 1)] for _ in range(size)]
    found = solve(rows)
    residuals = (sum(x * y for x, y in zip(row, found, strict=False)) - row[size] for row in rows)
    return {"error": max(map(abs, residuals))}
