"""Tables of the command line: each column as wide as its widest cell, for people and for `awk`."""

from __future__ import annotations

from collections.abc import Sequence

GAP = "  "


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line a row, the last column as long as it likes; an empty cell is a dash, so that fields can be counted."""
    shown = [[cell or "-" for cell in row] for row in rows]
    widths = [max(len(row[number]) for row in shown) for number in range(len(shown[0]) - 1)] if shown else []
    return [GAP.join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]) for row in shown]
