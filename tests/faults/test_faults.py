"""A short run of the fault test with every `make test`; the long one is `make faults`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.ledger import SETTINGS, Faults
from tests.faults.objects import Objects
from tests.support.server import RunningServer

KILLS, OBJECT_KILLS, SEED = 8, 2, 6


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to kill environments of other users")
@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost_whoever_is_killed(tmp_path: Path) -> None:
    with RunningServer(tmp_path, **SETTINGS) as server:
        ledger = Faults(server, KILLS, SEED).run()
    assert ledger.lost() == [], ledger.text()
    assert ledger.jobs, ledger.text()
    assert ledger.events, ledger.text()
    assert all(ledger.sent.values()), ledger.text()
    assert set(ledger.kills) == {"server", "function"}, ledger.text()


@pytest.mark.timeout(600)
def test_no_object_is_lost_or_half_there(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        ledger = Objects(server, OBJECT_KILLS, SEED).run()
    assert ledger.wrong == [], ledger.text()
    assert ledger.kills == OBJECT_KILLS
