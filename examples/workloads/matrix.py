"""Matrices in plain Python: {"n": size} -> {"trace": of A * A, where A[i][j] = i + j}."""

from __future__ import annotations


def handler(event: dict[str, int], context: object) -> dict[str, int]:
    size = event["n"]
    left = [[i + j for j in range(size)] for i in range(size)]
    columns = list(zip(*left, strict=True))
    product = [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in left]
    return {"trace": sum(product[i][i] for i in range(size))}
