"""Tables with pandas: {"n": rows} -> {"groups": ..., "total": ..., "best": the group of the highest mean}."""

from __future__ import annotations

import numpy
import pandas


def handler(event: dict[str, int], context: object) -> dict[str, object]:
    count = event["n"]
    numbers = numpy.arange(count)
    orders = pandas.DataFrame({"shop": numbers % 7, "cents": numbers * 31 % 1000})
    shops = pandas.DataFrame({"shop": range(7), "town": list("ABCABCA")})
    joined = orders.merge(shops, on="shop")
    towns = joined.groupby("town")["cents"].agg(["sum", "mean"])
    return {"groups": len(towns), "total": int(towns["sum"].sum()), "best": str(towns["mean"].idxmax())}
