"""A short soak with every `make test`; the long one is `make soak`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.soak.soak import SETTINGS, Report, Size, Soak
from tests.support.calls import until
from tests.support.server import RunningServer
from tests.support.traces import mounts_of, traces

SMALL = Size(invocations=600, functions=12)
FULL = Size(invocations=10_000, functions=50)
SEED = 20261123


def soak(directory: Path, size: Size, seed: int = SEED) -> Report:
    """Run it on a server of its own, stop that, and look at what is left."""
    server = RunningServer(directory, **SETTINGS)
    try:
        server.start()
        report = asyncio.run(Soak(server, size, seed).run())
        last = traces(server)
    finally:
        status = server.stop()
    if status != 0:
        report.faults.append(f"paddock up ended with {status}")
    report.log = server.log
    if "Traceback" in report.log:
        report.faults.append("the server's log holds a traceback")
    until(lambda: not last.left())
    report.faults += [f"left: {what}" for what in (*server.groups(), *mounts_of(server.data_dir))]
    return report


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to kill environments of other users")
def test_nothing_leaks_and_nothing_is_lost(tmp_path: Path) -> None:
    report = soak(tmp_path, SMALL)
    assert report.faults == [], report.text()
    assert sum(report.outcomes.values()) >= SMALL.invocations
    assert {"kill of runtime", "kill of init", "kill of zygote", "kill of mother", "update", "recreate"} <= set(
        report.actions
    )
