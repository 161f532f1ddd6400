"""A log event, as CloudWatch Logs counts them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogEvent:
    """timestamp_ms: epoch milliseconds when the line was written. message: text, with its own newline kept."""

    timestamp_ms: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStreamRef:
    """Where events go: (account, region, group, stream)."""

    account: str
    region: str
    group: str
    stream: str
