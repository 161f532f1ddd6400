"""What came of one event, as REPORT and the caller are told it: pure functions of what was seen and measured."""

from __future__ import annotations

import msgspec

from paddock.model.invocation import InvocationResult
from paddock.observe.invocation_log import SUCCESS, Measured, billed_ms
from paddock.worker import failures
from paddock.worker.failures import Failure


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A result from the function: success, or its own error. body: without what was streamed.

    error_type: of an error in the middle of a stream.
    """

    body: bytes
    is_error: bool
    error_type: str = ""


def measured(
    failure: Failure | None,
    duration_ms: float,
    init_ms: float | None,
    *,
    memory_mb: int,
    memory_used_mb: int,
    granularity_ms: int,
    init_is_billed: bool,
) -> Measured:
    """failure: why the event did not end well, whoever's fault it is; a function's own error is none."""
    status, error_type = SUCCESS, ""
    if failure is not None:
        status = "timeout" if failure.kind == "timeout" else "error"
        error_type = "" if failure.kind == "timeout" else failure.error_type
        if failure.error_type == failures.OUT_OF_MEMORY:
            memory_used_mb = memory_mb
    return Measured(
        duration_ms=duration_ms,
        billed_ms=billed_ms(duration_ms, init_ms if init_is_billed else None, granularity_ms=granularity_ms),
        memory_mb=memory_mb,
        memory_used_mb=memory_used_mb,
        init_ms=init_ms,
        status=status,
        error_type=error_type,
    )


def result_of(outcome: Answered | Failure, version: str, report: Measured, tail: bytes) -> InvocationResult:
    """For the caller. What extensions did after the runtime's answer is in the report and not in the result."""
    return InvocationResult(
        payload=outcome.payload if isinstance(outcome, Failure) else outcome.body,
        executed_version=version,
        function_error="Unhandled" if isinstance(outcome, Failure) or outcome.is_error else "",
        error_type=outcome.error_type,
        log_tail=tail,
        duration_ms=report.duration_ms,
        billed_ms=report.billed_ms,
        init_ms=report.init_ms,
        memory_used_mb=report.memory_used_mb,
    )
