"""Invocation and its result: one request to run a version, and what came of it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import msgspec

from paddock.model.function import FunctionVersion


class InvocationType(str, Enum):
    """Lambda's X-Amz-Invocation-Type."""

    REQUEST_RESPONSE = "RequestResponse"
    EVENT = "Event"
    DRY_RUN = "DryRun"


class Invocation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event for one version.

    invoked_arn: exactly as the caller qualified it. payload: JSON bytes, passed on untouched.
    client_context: JSON text, already base64-decoded, or "". trace_id: X-Amzn-Trace-Id for the function.
    tail: the caller asked for the last 4 KB of the log. is_event: sent in event mode, where nobody waits for it.
    """

    request_id: str
    version: FunctionVersion
    invoked_arn: str
    payload: bytes
    client_context: str = ""
    trace_id: str = ""
    tail: bool = False
    is_event: bool = False
    received_at: datetime


class InvocationResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What came back.

    function_error: "" on success, "Unhandled" otherwise. error_type: Runtime.ExitError, Sandbox.Timedout, ...
    as the Runtime API names them, or the handler's own. log_tail: last 4,096 bytes of this invocation's log,
    filled only when asked for. Durations in milliseconds; init_ms is None on a warm start.
    """

    payload: bytes
    executed_version: str
    function_error: str = ""
    error_type: str = ""
    log_tail: bytes = b""
    duration_ms: float = 0.0
    billed_ms: int = 0
    init_ms: float | None = None
    memory_used_mb: int = 0
