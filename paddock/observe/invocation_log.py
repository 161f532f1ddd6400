"""What Lambda writes to a function's log stream around each invocation, as text lines and as JSON records.

Pure functions: ids, times and measurements come in as arguments, a string with its newline comes back. A text-format
function gets INIT_START, START, END, REPORT (and INIT_REPORT when its initialisation fails); a JSON-format function
gets one `platform.*` record per line instead, each with a level that SystemLogLevel filters. The two never mix.

Worked example, text, a cold start that ends well:

    INIT_START Runtime Version: python:3.13.v1<TAB>Runtime Version ARN: arn:aws:lambda:us-east-1::runtime:...
    START RequestId: 79b5... Version: $LATEST
    (what the function wrote)
    END RequestId: 79b5...
    REPORT RequestId: 79b5...<TAB>Duration: 1233.96 ms<TAB>...<TAB>Init Duration: 463.51 ms<TAB>

The tab at the end of REPORT is AWS's. INIT_START is in the stream but never in an invocation's tail.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

TAIL_BYTES = 4096
"""How much of one invocation's log `LogType=Tail` returns."""

SYSTEM_LEVELS: Sequence[str] = ("DEBUG", "INFO", "WARN")
APPLICATION_LEVELS: Sequence[str] = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
DEFAULT_LEVEL = "INFO"

SUCCESS = "success"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# Spellings that runtimes and loggers use for the levels above.
_LEVEL_ALIASES: Mapping[str, str] = {"WARNING": "WARN", "CRITICAL": "FATAL", "FATAL ERROR": "FATAL"}


class Measured(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What REPORT says of one finished invocation.

    duration_ms: the handler's time. billed_ms: see `billed_ms`. init_ms: only for the first invocation of an
    on-demand environment, else None. restore_ms: only for the first one of a restored environment, else None.
    status: "success", "error" or "timeout". error_type: Runtime.ExitError, ...
    """

    duration_ms: float
    billed_ms: int
    memory_mb: int
    memory_used_mb: int
    init_ms: float | None = None
    restore_ms: float | None = None
    status: str = SUCCESS
    error_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitPhase:
    """How one initialisation went. phase: "init", or "invoke" when it was repeated inside the invocation."""

    duration_ms: float
    phase: str = "init"
    status: str = SUCCESS
    error_type: str = ""
    initialization_type: str = "on-demand"


def stream_name(day: date, version: str, hex32: str, *, function: str = "") -> str:
    """`YYYY/MM/DD/[version]hex32`; with `function` the form used in a log group that several functions share."""
    return f"{day.year:04d}/{day.month:02d}/{day.day:02d}/{function}[{version}]{hex32}"


def billed_ms(duration_ms: float, init_ms: float | None = None, *, granularity_ms: int = 1) -> int:
    """Duration plus the initialisation that is billed with it, rounded up to the granularity, never zero.

    Since 2025-08-01 the initialisation of on-demand functions is billed; pass init_ms None where it is not.
    """
    # A float sum such as 1.1 + 1.9 must not round up over an exact number: microseconds are all that is measured.
    total_us = round((duration_ms + (init_ms or 0.0)) * 1000)
    return max(1, math.ceil(total_us / (granularity_ms * 1000))) * granularity_ms


# --- text format ---------------------------------------------------------------------------------------------------


def init_start(runtime_version: str, runtime_version_arn: str) -> str:
    return f"INIT_START Runtime Version: {runtime_version}\tRuntime Version ARN: {runtime_version_arn}\n"


def start(request_id: str, version: str) -> str:
    return f"START RequestId: {request_id} Version: {version}\n"


def end(request_id: str) -> str:
    return f"END RequestId: {request_id}\n"


def report(request_id: str, measured: Measured) -> str:
    """The REPORT line. `Init Duration`, `Status` and `Error Type` stand in it only when there is something to say."""
    always = (
        f"REPORT RequestId: {request_id}\tDuration: {measured.duration_ms:.2f} ms\t"
        f"Billed Duration: {measured.billed_ms} ms\tMemory Size: {measured.memory_mb} MB\t"
        f"Max Memory Used: {measured.memory_used_mb} MB\t"
    )
    is_usual = measured.init_ms is None and measured.restore_ms is None and measured.status == SUCCESS
    if is_usual and not measured.error_type:
        return always + "\n"
    fields = []
    if measured.init_ms is not None:
        fields.append(f"Init Duration: {measured.init_ms:.2f} ms")
    if measured.restore_ms is not None:
        fields.append(f"Restore Duration: {measured.restore_ms:.2f} ms")
        fields.append(f"Billed Restore Duration: {billed_ms(measured.restore_ms)} ms")
    fields.extend(_outcome_fields(measured.status, measured.error_type))
    return always + "".join(field + "\t" for field in fields) + "\n"


def init_report(init: InitPhase) -> str:
    """Written only when initialisation fails or times out."""
    fields = [f"INIT_REPORT Init Duration: {init.duration_ms:.2f} ms", f"Phase: {init.phase}"]
    fields.extend(_outcome_fields(init.status, init.error_type))
    return "\t".join(fields) + "\n"


def restore_start(runtime_version: str, runtime_version_arn: str) -> str:
    return f"RESTORE_START Runtime Version: {runtime_version}\tRuntime Version ARN: {runtime_version_arn}\n"


def restore_report(duration_ms: float, status: str = SUCCESS, error_type: str = "") -> str:
    """Written after every restore, well or not."""
    return (
        "\t".join([f"RESTORE_REPORT Restore Duration: {duration_ms:.2f} ms", *_outcome_fields(status, error_type)])
        + "\n"
    )


def timed_out(at: datetime, request_id: str, timeout_s: float) -> str:
    """The line of an invocation that ran out of time, with the empty line that AWS writes after it."""
    return f"{timestamp(at)} {request_id} Task timed out after {timeout_s:.2f} seconds\n\n"


def exited(request_id: str, cause: str, error_type: str = "Runtime.ExitError") -> str:
    """Two lines in one event. cause: as a process ends, `exit status 1` or `signal: killed`."""
    return f"RequestId: {request_id} Error: Runtime exited with error: {cause}\n{error_type}\n"


def exited_without_reason(request_id: str, error_type: str = "Runtime.ExitError") -> str:
    """The runtime left with status 0 while it had an event in hand."""
    return f"RequestId: {request_id} Error: Runtime exited without providing a reason\n{error_type}\n"


def failed(request_id: str, cause: str, error_type: str) -> str:
    """Two lines in one event, as `exited`. cause: of an extension's end, or why nothing was started."""
    return f"RequestId: {request_id} Error: {cause}\n{error_type}\n"


def extension(name: str, state: str, events: Sequence[str], error_type: str = "") -> str:
    """How an extension's initialisation went."""
    text = f"EXTENSION\tName: {name}\tState: {state}\tEvents: [{', '.join(events)}]"
    return text + (f"\tError Type: {error_type}\n" if error_type else "\n")


def subscription(api: str, name: str, types: Sequence[str]) -> str:
    """An extension is told what happens. api: Telemetry or Logs."""
    kinds = ", ".join(kind.capitalize() for kind in types)
    return f"{api.upper()}\tName: {name}\tState: Subscribed\tTypes: [{kinds}]\n"


def _outcome_fields(status: str, error_type: str) -> list[str]:
    fields = []
    if status != SUCCESS:
        fields.append(f"Status: {status}")
    if error_type:
        fields.append(f"Error Type: {error_type}")
    return fields


# --- JSON format ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformRecord:
    """One system event. level is what SystemLogLevel compares; `line()` is what is written."""

    at: datetime
    type: str
    level: str
    record: Mapping[str, Any]

    def line(self) -> str:
        body = {"time": timestamp(self.at), "type": self.type, "record": self.record}
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False) + "\n"

    def passes(self, system_level: str) -> bool:
        """Whether a function with this SystemLogLevel ("" means the default, INFO) gets to see it."""
        return _at_least(self.level, system_level, SYSTEM_LEVELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentFacts:
    """What platform.initStart tells of an environment. instance_id is the log stream's name."""

    runtime_version: str
    runtime_version_arn: str
    function_name: str
    function_version: str
    instance_id: str
    memory_mb: int
    initialization_type: str = "on-demand"


def platform_init_start(at: datetime, facts: EnvironmentFacts, *, phase: str = "init") -> PlatformRecord:
    record = {
        "initializationType": facts.initialization_type,
        "phase": phase,
        "runtimeVersion": facts.runtime_version,
        "runtimeVersionArn": facts.runtime_version_arn,
        "functionName": facts.function_name,
        "functionVersion": facts.function_version,
        "instanceId": facts.instance_id,
        "instanceMaxMemory": facts.memory_mb * 1024 * 1024,
    }
    return PlatformRecord(at=at, type="platform.initStart", level="INFO", record=record)


def platform_init_runtime_done(at: datetime, init: InitPhase) -> PlatformRecord:
    record = _init_record(init)
    return PlatformRecord(at=at, type="platform.initRuntimeDone", level=_level_of(init.status, "DEBUG"), record=record)


def platform_init_report(at: datetime, init: InitPhase) -> PlatformRecord:
    record = {**_init_record(init), "metrics": {"durationMs": round(init.duration_ms, 3)}}
    return PlatformRecord(at=at, type="platform.initReport", level=_level_of(init.status, "DEBUG"), record=record)


def platform_restore_start(at: datetime, facts: EnvironmentFacts) -> PlatformRecord:
    record = {
        "runtimeVersion": facts.runtime_version,
        "runtimeVersionArn": facts.runtime_version_arn,
        "functionName": facts.function_name,
        "functionVersion": facts.function_version,
        "instanceId": facts.instance_id,
        "instanceMaxMemory": facts.memory_mb * 1024 * 1024,
    }
    return PlatformRecord(at=at, type="platform.restoreStart", level="INFO", record=record)


def platform_restore_report(
    at: datetime, duration_ms: float, status: str = SUCCESS, error_type: str = ""
) -> PlatformRecord:
    record: dict[str, Any] = {"status": status, "metrics": {"durationMs": round(duration_ms, 3)}}
    if error_type:
        record["errorType"] = error_type
    return PlatformRecord(at=at, type="platform.restoreReport", level=_level_of(status, "INFO"), record=record)


def platform_start(at: datetime, request_id: str, function_arn: str, version: str) -> PlatformRecord:
    record = {"requestId": request_id, "functionArn": function_arn, "version": version}
    return PlatformRecord(at=at, type="platform.start", level="INFO", record=record)


def platform_runtime_done(
    at: datetime, request_id: str, measured: Measured, *, produced_bytes: int = 0
) -> PlatformRecord:
    record: dict[str, Any] = {"requestId": request_id, "status": measured.status}
    if measured.error_type:
        record["errorType"] = measured.error_type
    record["metrics"] = {"durationMs": round(measured.duration_ms, 3), "producedBytes": produced_bytes}
    return PlatformRecord(at=at, type="platform.runtimeDone", level=_level_of(measured.status, "DEBUG"), record=record)


def platform_report(at: datetime, request_id: str, measured: Measured) -> PlatformRecord:
    metrics: dict[str, Any] = {
        "durationMs": round(measured.duration_ms, 3),
        "billedDurationMs": measured.billed_ms,
        "memorySizeMB": measured.memory_mb,
        "maxMemoryUsedMB": measured.memory_used_mb,
    }
    if measured.init_ms is not None:
        metrics["initDurationMs"] = round(measured.init_ms, 3)
    if measured.restore_ms is not None:
        metrics["restoreDurationMs"] = round(measured.restore_ms, 3)
        metrics["billedRestoreDurationMs"] = billed_ms(measured.restore_ms)
    record: dict[str, Any] = {"requestId": request_id, "metrics": metrics, "status": measured.status}
    if measured.error_type:
        record["errorType"] = measured.error_type
    return PlatformRecord(at=at, type="platform.report", level=_level_of(measured.status, "INFO"), record=record)


def platform_extension(
    at: datetime, name: str, state: str, events: Sequence[str], error_type: str = ""
) -> PlatformRecord:
    record: dict[str, Any] = {"name": name, "state": state, "events": list(events)}
    if error_type:
        record["errorType"] = error_type
    return PlatformRecord(at=at, type="platform.extension", level="WARN" if error_type else "INFO", record=record)


def platform_subscription(at: datetime, api: str, name: str, types: Sequence[str]) -> PlatformRecord:
    record = {"name": name, "state": "Subscribed", "types": list(types)}
    return PlatformRecord(at=at, type=f"platform.{api.lower()}Subscription", level="INFO", record=record)


def platform_logs_dropped(at: datetime, reason: str, records: int, size_bytes: int) -> PlatformRecord:
    record = {"reason": reason, "droppedRecords": records, "droppedBytes": size_bytes}
    return PlatformRecord(at=at, type="platform.logsDropped", level="WARN", record=record)


def _init_record(init: InitPhase) -> dict[str, Any]:
    record: dict[str, Any] = {
        "initializationType": init.initialization_type,
        "phase": init.phase,
        "status": init.status,
    }
    if init.error_type:
        record["errorType"] = init.error_type
    return record


def _level_of(status: str, when_success: str) -> str:
    return when_success if status == SUCCESS else "WARN"


# --- levels of the function's own lines ----------------------------------------------------------------------------


def application_level(message: str) -> str:
    """The level a JSON log line carries (`level` or `log_level`); INFO when it is not JSON or carries none."""
    if not message.startswith("{"):
        return DEFAULT_LEVEL
    try:
        line = json.loads(message)
    except (ValueError, RecursionError):
        return DEFAULT_LEVEL
    found = line.get("level", line.get("log_level")) if isinstance(line, dict) else None
    return normal_level(found) if isinstance(found, str) else DEFAULT_LEVEL


def application_passes(message: str, application_level_set: str, framed_level: str = "") -> bool:
    """Whether a JSON-format function with this ApplicationLogLevel ("" means INFO) keeps the line.

    framed_level: the level that came with a TelemetryFD frame; "" for a line of standard output.
    """
    level = normal_level(framed_level) if framed_level else application_level(message)
    return _at_least(level, application_level_set, APPLICATION_LEVELS)


def normal_level(name: str) -> str:
    """One of APPLICATION_LEVELS; INFO for what none of them means."""
    upper = name.upper()
    upper = _LEVEL_ALIASES.get(upper, upper)
    return upper if upper in APPLICATION_LEVELS else DEFAULT_LEVEL


def _at_least(level: str, wanted: str, order: Sequence[str]) -> bool:
    return order.index(level) >= order.index(wanted or DEFAULT_LEVEL)


# --- the tail ------------------------------------------------------------------------------------------------------


class Tail:
    """The last 4,096 bytes of what one invocation logged, from START to REPORT. One per invocation."""

    __slots__ = ("_kept", "_limit")

    def __init__(self, limit_bytes: int = TAIL_BYTES) -> None:
        self._kept = bytearray()
        self._limit = limit_bytes

    def add(self, message: str) -> None:
        if self._kept and not self._kept.endswith(b"\n"):  # a framed record need not end its line
            self._kept += b"\n"
        self._kept += message.encode("utf-8", "replace")
        if len(self._kept) > self._limit:
            del self._kept[: -self._limit]

    def content(self) -> bytes:
        return bytes(self._kept)


def timestamp(at: datetime) -> str:
    """`2026-01-15T12:00:03.005Z`, as every line of Lambda's own carries it."""
    utc = at.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def epoch_ms(at: datetime) -> int:
    """Epoch milliseconds, as log events count time."""
    return (at - _EPOCH) // _MILLISECOND
