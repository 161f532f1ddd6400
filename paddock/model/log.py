"""A log event, as CloudWatch Logs counts them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class LogEvent(msgspec.Struct, frozen=True, gc=False):
    """timestamp_ms: epoch milliseconds when the line was written. message: text, with its own newline kept."""

    timestamp_ms: int
    message: str


class LogStreamRef(NamedTuple):
    """Where events go: (account, region, group, stream)."""

    account: str
    region: str
    group: str
    stream: str
