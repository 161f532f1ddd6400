"""JSON: {"n": people} -> {"bytes": of the document, "adults": counted after reading it back}."""

from __future__ import annotations

import json


def handler(event: dict[str, int], context: object) -> dict[str, int]:
    people = [
        {
            "id": i,
            "name": f"Person {i} Ünlü",
            "age": i % 90,
            "tags": [f"t{j}" for j in range(i % 5)],
            "at": {"x": i / 7},
        }
        for i in range(event["n"])
    ]
    text = json.dumps(people)
    return {"bytes": len(text), "adults": sum(one["age"] >= 18 for one in json.loads(text))}
