"""PageRank of a random web: {"n": pages} -> {"sum": of all ranks, "first": the page of the highest, "steps": ...}."""

from __future__ import annotations

import random

DAMPING = 0.85
LINKS = 8


def handler(event: dict[str, int], context: object) -> dict[str, float]:
    pages, chance = event["n"], random.Random(2)
    links = [[int(pages * chance.random() ** 3) for _ in range(LINKS)] for _ in range(pages)]  # the first are popular
    rank, steps, moved = [1 / pages] * pages, 0, 1.0
    while moved > 1e-9:
        following = [(1 - DAMPING) / pages] * pages
        for page, targets in enumerate(links):
            share = DAMPING * rank[page] / LINKS
            for target in targets:
                following[target] += share
        moved = sum(abs(a - b) for a, b in zip(rank, following, strict=True))
        rank, steps = following, steps + 1
    return {"sum": sum(rank), "first": max(range(pages), key=rank.__getitem__), "steps": steps}
