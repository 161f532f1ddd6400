"""What a run found: samples become figures, figures become a table."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (0 to 1) of all are not above."""
    ordered = sorted(samples)
    return ordered[max(0, min(len(ordered) - 1, int(-(-len(ordered) * share // 1)) - 1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row. value: the median, or the one number measured; p99: of latencies only. unit: of both.

    ratio: value over the reference's value of the same run. bar: what the ratio (or the value, where there is no
    reference) must reach, in words; met: whether it does; None where there is no bar.
    """

    name: str
    value: float
    unit: str
    n: int
    p99: float | None = None
    ratio: float | None = None
    against: str = ""
    bar: str = ""
    met: bool | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A row that could not be measured here, and why."""

    name: str
    why: str


Row = Figure | Skipped


def latency(name: str, samples_ms: Sequence[float], note: str = "") -> Figure:
    """A row of latencies, in milliseconds."""
    return Figure(
        name=name,
        value=statistics.median(samples_ms),
        p99=percentile(samples_ms, 0.99),
        unit="ms",
        n=len(samples_ms),
        note=note,
    )


def rate(name: str, rates_per_s: Sequence[float], n: int, note: str = "") -> Figure:
    """A row of throughput: the median of several windows. n: requests in all of them."""
    return Figure(name=name, value=statistics.median(rates_per_s), unit="/s", n=n, note=note)


def compared(figure: Figure, reference: Row | None, *, most: float | None = None, least: float | None = None) -> Figure:
    """The figure with its ratio to the reference and whether that keeps within `most` or reaches `least`."""
    if not isinstance(reference, Figure):
        return figure
    ratio = figure.value / reference.value
    bar, met = _judged(ratio, most, least, "x")
    return dataclasses.replace(figure, ratio=ratio, against=reference.name, bar=bar, met=met)


def judged(figure: Figure, *, most: float | None = None, least: float | None = None) -> Figure:
    """The figure, with its own value held against a bar."""
    bar, met = _judged(figure.value, most, least, " " + figure.unit)
    return dataclasses.replace(figure, bar=bar, met=met)


def _judged(value: float, most: float | None, least: float | None, unit: str) -> tuple[str, bool | None]:
    if most is not None:
        return f"<= {most:g}{unit}", value <= most
    if least is not None:
        return f">= {least:g}{unit}", value >= least
    return "", None


_HEAD = ("what", "median", "p99", "n", "ratio", "against", "bar", "met")


def table(rows: Sequence[Row]) -> str:
    """A Markdown table, columns aligned; notes and what was skipped stand below it."""
    lines = [_HEAD, *[_cells(row) for row in rows if isinstance(row, Figure)]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    shown = [_line(line, widths) for line in lines]
    shown.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    notes = [f"- {row.name}: {row.note}" for row in rows if isinstance(row, Figure) and row.note]
    skipped = [f"- skipped: {row.name}: {row.why}" for row in rows if isinstance(row, Skipped)]
    return "\n".join([*shown, "", *notes, *skipped])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _cells(row: Figure) -> tuple[str, ...]:
    met = "" if row.met is None else ("yes" if row.met else "NO")
    p99 = "" if row.p99 is None else _number(row.p99, row.unit)
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
    return (row.name, _number(row.value, row.unit), p99, str(row.n), ratio, row.against, row.bar, met)


def _number(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return f"{text} {unit}".replace(" /s", "/s")


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as JSON documents; a skipped one has a `why`."""
    return [dataclasses.asdict(row) for row in rows]
