"""Rows about SnapStart: numpy, pandas and boto3, restored, against the same function's plain init and bubblewrap."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import references
from bench.bed import FULL_CPU_MB, Bed, bed
from bench.client import Connection, invocation
from bench.cold import BUBBLEWRAP, CELLS_READY
from bench.figures import Row, Skipped, compared, latency

NAME = "SnapStart, numpy + pandas + boto3"
LIBRARIES = ("numpy==2.3.4", "pandas==2.3.3")
INITS = 8
CELLS = {"cells_ready_per_runtime": CELLS_READY, "cells_ready_per_runtime_max": CELLS_READY}
# It ends between events when asked to, so that the next event needs a new environment.
FUNCTION = """
import os, threading
import boto3, numpy, pandas
CLIENT = boto3.client("s3")
TABLE = pandas.DataFrame({"a": numpy.arange(3)})

def handler(event, context):
    if event == "end":
        os._exit(0)
    return int(TABLE["a"].sum())
"""
ANSWER = b"3"


def rows(n: int) -> Sequence[Row]:
    """n restored environments, in turns with bubblewrap; and INITS plain initialisations of the same function."""
    program = references.bubblewrap()
    if program is None:
        return [Skipped(name=NAME, why="bwrap is not installed (apt install bubblewrap)")]
    with (
        tempfile.TemporaryDirectory() as work,
        bed(init_timeout_s=120, **CELLS) as place,
    ):
        runtime = _runtime(place)
        layers = _layers(place, runtime, Path(work)) if runtime else []
        if not layers:
            return [Skipped(name=NAME, why="it needs Python 3.12 or newer and its packages from an index")]
        given = {"Runtime": runtime, "MemorySize": FULL_CPU_MB, "Layers": layers}
        plain = latency(f"plain init of the same, {FULL_CPU_MB} MB", _plain(place, given))
        theirs, restored, took = _restored(place, given, n, references.bubblewrap_command(program))
    reference = latency(f"{BUBBLEWRAP}, beside SnapStart", theirs)
    whole = latency(f"{NAME}: first invoke, pool of {CELLS_READY} cells", took)
    return [
        reference,
        plain,
        compared(latency(f"{NAME}: restore", restored), plain, most=1 / 30),
        compared(whole, reference, most=2.0),
    ]


def _runtime(place: Bed) -> str:
    with urllib.request.urlopen(f"{place.endpoint}/health") as answer:
        names = json.load(answer)["runtimes"]
    found = [name for name in names if re.fullmatch(r"python3\.1[2-9]", name)]
    return str(found[0]) if found else ""


def _layers(place: Bed, runtime: str, work: Path) -> list[str]:
    """Versions of one layer for each library, or none where there is no index."""
    found = []
    for library in LIBRARIES:
        target = work / library.partition("=")[0]
        command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(target), "--only-binary=:all:"]
        command += ["--python-version", runtime.removeprefix("python"), library]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return []
        content = _zipped(target, found_already=bool(found))
        made = place.lambda_.publish_layer_version(LayerName=target.name, Content={"ZipFile": content})
        found.append(str(made["LayerVersionArn"]))
    return found


def _zipped(target: Path, found_already: bool) -> bytes:
    """As a layer, without what tests and other libraries brought."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(target.rglob("*")):
            parts = path.relative_to(target).parts
            is_wanted = not {"tests", "__pycache__", "bin"} & set(parts) and path.suffix != ".pyi"
            if found_already and parts[0].startswith("numpy"):
                continue
            if path.is_file() and is_wanted:
                archive.write(path, Path("python", *parts))
    return buffer.getvalue()


def _plain(place: Bed, given: dict[str, Any]) -> list[float]:
    """Milliseconds of Init Duration, each of a new function."""
    took = []
    for number in range(INITS):
        name = f"plain-{number}"
        place.create([name], FUNCTION, **given)
        answer = place.lambda_.invoke(FunctionName=name, Payload=b"1", LogType="Tail")
        took.append(_told(answer, "Init Duration"))
        place.delete([name])
    return took


def _restored(
    place: Bed, given: dict[str, Any], n: int, command: list[str]
) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds of bubblewrap, of Restore Duration, and from request to answer of an event that needs a restore."""
    place.create(["snap"], FUNCTION, SnapStart={"ApplyOn": "PublishedVersions"}, **given)
    place.lambda_.publish_version(FunctionName="snap")
    place.lambda_.get_waiter("published_version_active").wait(
        FunctionName="snap", Qualifier="1", WaiterConfig={"Delay": 1}
    )
    theirs, restored, took = [], [], []
    connection = Connection(place.endpoint)
    for number in range(-1, 2 * n):
        place.settle(connection, cells=CELLS_READY, environments=0)
        if number % 2:
            answer = place.lambda_.invoke(FunctionName="snap", Qualifier="1", Payload=b"1", LogType="Tail")
            restored.append(_told(answer, "Restore Duration"))
        else:
            theirs += references.runs(command, 1)
            took.append(connection.timed(invocation(place.endpoint, "snap:1", b"1"), ANSWER))
        place.lambda_.invoke(FunctionName="snap", Qualifier="1", Payload=b'"end"')
    connection.close()
    return theirs, restored[1:], took


def _told(answer: Any, what: str) -> float:
    found = re.search(rf"\t{what}: ([\d.]+) ms", base64.b64decode(answer["LogResult"]).decode())
    assert found is not None, answer
    return float(found[1])
