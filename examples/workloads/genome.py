"""A suffix array: {"n": letters} -> {"longest": the length of the longest repeat, "repeat": it}."""

from __future__ import annotations

import itertools
import random

PLANTED = "GATTACA" * 6


def shared(one: str, other: str) -> str:
    """What both begin with."""
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return one[: sum(1 for _ in same)]


def handler(event: dict[str, int], context: object) -> dict[str, object]:
    chance = random.Random(5)
    letters = "".join(chance.choices("ACGT", k=event["n"]))
    third = len(letters) // 3
    genome = letters[:third] + PLANTED + letters[third : 2 * third] + PLANTED + letters[2 * third :]
    suffixes = sorted(genome[i : i + 64] for i in range(len(genome)))
    repeat = max(itertools.starmap(shared, itertools.pairwise(suffixes)), key=len)
    return {"longest": len(repeat), "repeat": repeat}
