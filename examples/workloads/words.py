"""Map and reduce: {"n": lines} -> {"words": in all, "most": [word, count]}."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

WORDS = "paddock stall rail gate horse mare foal bridle hay oats straw bucket".split()
PARTS = 4


def lines(count: int) -> list[str]:
    chance = random.Random(3)
    weights = range(len(WORDS), 0, -1)
    return [" ".join(chance.choices(WORDS, weights, k=12)) for _ in range(count)]


def count(part: list[str]) -> Counter[str]:
    return Counter(word for line in part for word in line.split())


def handler(event: dict[str, int], context: object) -> dict[str, object]:
    text = lines(event["n"])
    with ThreadPoolExecutor(2) as pool:
        total: Counter[str] = sum(pool.map(count, [text[i::PARTS] for i in range(PARTS)]), Counter())
    return {"words": total.total(), "most": list(total.most_common(1)[0])}
