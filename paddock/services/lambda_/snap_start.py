"""SnapStart on the wire, and the functions that may not have it (spec 01 section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.model.function import FunctionVersion, State

APPLIED = "PublishedVersions"


def wanted(params: Mapping[str, Any]) -> bool | None:
    """Whether a request turns it on or off; None when it says nothing."""
    sent = params.get("SnapStart")
    return None if sent is None or sent.get("ApplyOn") is None else sent["ApplyOn"] == APPLIED


def status_of(version: FunctionVersion) -> str:
    """OptimizationStatus: of a version that starts from a snapshot, once it may be invoked."""
    return "On" if version.starts_by_snapshot and version.state is State.ACTIVE else "Off"
