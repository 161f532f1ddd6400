"""A chart with matplotlib: {"n": points} -> the PNG in base64."""

from __future__ import annotations

import base64
import io
import math
import os

os.environ.setdefault("MPLCONFIGDIR", "/tmp/matplotlib")  # its cache of fonts: the only place that may be written

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def handler(event: dict[str, int], context: object) -> str:
    xs = [i / 10 for i in range(event["n"])]
    figure, axes = pyplot.subplots(figsize=(4, 3), dpi=100)
    axes.plot(xs, [math.sin(x) for x in xs], label="sin")
    axes.set_title("A wave")
    axes.legend()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    pyplot.close(figure)
    return base64.b64encode(drawn.getvalue()).decode()
