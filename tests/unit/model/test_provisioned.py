"""How what is provisioned is shared out, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from paddock.model.provisioned import PoolState, ProvisionedConfig, ProvisionedStatus, shares, state

CONFIG = ProvisionedConfig(executions=3, last_modified=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("executions", "weights", "expected"),
    [
        (5, {}, {"1": 5}),
        (4, {"2": 0.25}, {"1": 3, "2": 1}),
        (4, {"2": 0.5}, {"1": 2, "2": 2}),
        (10, {"2": 0.01}, {"1": 9, "2": 1}),
        (10, {"2": 0.99}, {"1": 1, "2": 9}),
        (10, {"2": 0.0}, {"1": 10}),
        (10, {"2": 1.0}, {"2": 10}),
        (1, {"2": 0.4}, {"1": 1}),
        (1, {"2": 0.5}, {"2": 1}),
    ],
)
def test_weights_share_it_out(executions: int, weights: Mapping[str, float], expected: Mapping[str, int]) -> None:
    assert shares(executions, "1", weights) == expected


def test_what_is_told() -> None:
    def told(*pools: PoolState) -> tuple[ProvisionedStatus, int, str]:
        found = state(CONFIG, pools)
        assert found.allocated == found.available
        return found.status, found.available, found.reason

    full = PoolState(ready=2, wanted=2, was_reached=True)
    assert told() == (ProvisionedStatus.IN_PROGRESS, 0, "")
    assert told(full, PoolState(ready=0, wanted=1)) == (ProvisionedStatus.IN_PROGRESS, 2, "")
    assert told(full, PoolState(ready=1, wanted=1, was_reached=True)) == (ProvisionedStatus.READY, 3, "")
    assert told(full, PoolState(ready=0, wanted=1, was_reached=True)) == (ProvisionedStatus.READY, 2, ""), "replaced"
    assert told(full, PoolState(wanted=1, failure="broken")) == (ProvisionedStatus.FAILED, 2, "broken")
    surplus = PoolState(ready=5, wanted=1, was_reached=True)
    assert told(surplus) == (ProvisionedStatus.READY, 3, ""), "never more than was asked for"
