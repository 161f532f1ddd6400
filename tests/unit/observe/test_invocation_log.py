"""The lines and records of spec 02 §7 and 07 §8, character by character."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from paddock.observe import invocation_log as log

ID = "79b5e81f-9cdd-4145-b1f6-7c50ef8a2a36"
AT = datetime(2026, 1, 15, 12, 0, 3, 5678, tzinfo=UTC)


def measured(**changes: object) -> log.Measured:
    facts = {"duration_ms": 1233.96, "billed_ms": 1698, "memory_mb": 256, "memory_used_mb": 123, **changes}
    return log.Measured(**facts)  # type: ignore[arg-type]


def test_stream_names() -> None:
    day = date(2026, 1, 5)
    assert log.stream_name(day, "$LATEST", "ab" * 16) == "2026/01/05/[$LATEST]" + "ab" * 16
    assert log.stream_name(day, "7", "ab" * 16, function="f") == "2026/01/05/f[7]" + "ab" * 16


def test_text_lines_of_a_cold_success() -> None:
    assert log.init_start("python:3.13.v64", "arn:aws:lambda:us-east-1::runtime:ff") == (
        "INIT_START Runtime Version: python:3.13.v64\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:ff\n"
    )
    assert log.start(ID, "$LATEST") == f"START RequestId: {ID} Version: $LATEST\n"
    assert log.end(ID) == f"END RequestId: {ID}\n"
    assert log.report(ID, measured(init_ms=463.512)) == (
        f"REPORT RequestId: {ID}\tDuration: 1233.96 ms\tBilled Duration: 1698 ms\tMemory Size: 256 MB\t"
        "Max Memory Used: 123 MB\tInit Duration: 463.51 ms\t\n"
    )


def test_a_warm_report_has_no_init_and_a_failed_one_says_why() -> None:
    assert log.report(ID, measured()).endswith("Max Memory Used: 123 MB\t\n")
    assert log.report(ID, measured(status="timeout")).endswith("123 MB\tStatus: timeout\t\n")
    assert log.report(ID, measured(status="error", error_type="Runtime.ExitError")).endswith(
        "123 MB\tStatus: error\tError Type: Runtime.ExitError\t\n"
    )


def test_init_report() -> None:
    init = log.InitPhase(duration_ms=150.79, status="error", error_type="Runtime.UserCodeSyntaxError")
    assert log.init_report(init) == (
        "INIT_REPORT Init Duration: 150.79 ms\tPhase: init\tStatus: error\tError Type: Runtime.UserCodeSyntaxError\n"
    )


def test_timeout_and_exit_lines() -> None:
    assert log.timed_out(AT, ID, 3) == f"2026-01-15T12:00:03.005Z {ID} Task timed out after 3.00 seconds\n\n"
    assert log.exited(ID, "exit status 1") == (
        f"RequestId: {ID} Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n"
    )
    assert log.exited_without_reason(ID) == (
        f"RequestId: {ID} Error: Runtime exited without providing a reason\nRuntime.ExitError\n"
    )


@pytest.mark.parametrize(
    ("duration", "init", "granularity", "billed"),
    [
        (0.0, None, 1, 1),
        (0.2, None, 1, 1),
        (3.01, None, 1, 4),
        (4.0, None, 1, 4),
        (1.1, 1.9, 1, 3),
        (1233.96, 463.512, 1, 1698),
        (1.0, None, 100, 100),
        (100.0, None, 100, 100),
        (100.1, None, 100, 200),
    ],
)
def test_billed_ms(duration: float, init: float | None, granularity: int, billed: int) -> None:
    assert log.billed_ms(duration, init, granularity_ms=granularity) == billed


def test_platform_records() -> None:
    facts = log.EnvironmentFacts(
        runtime_version="python:3.13.v1", runtime_version_arn="arn", function_name="f", function_version="$LATEST",
        instance_id="2026/01/15/[$LATEST]00", memory_mb=256,
    )  # fmt: skip
    assert log.platform_init_start(AT, facts).line() == (
        '{"time":"2026-01-15T12:00:03.005Z","type":"platform.initStart","record":{"initializationType":"on-demand",'
        '"phase":"init","runtimeVersion":"python:3.13.v1","runtimeVersionArn":"arn","functionName":"f",'
        '"functionVersion":"$LATEST","instanceId":"2026/01/15/[$LATEST]00","instanceMaxMemory":268435456}}\n'
    )
    assert log.platform_start(AT, ID, "arn:f", "7").line() == (
        '{"time":"2026-01-15T12:00:03.005Z","type":"platform.start",'
        f'"record":{{"requestId":"{ID}","functionArn":"arn:f","version":"7"}}}}\n'
    )
    report = json.loads(log.platform_report(AT, ID, measured(init_ms=463.5124)).line())
    assert report["record"] == {
        "requestId": ID,
        "metrics": {
            "durationMs": 1233.96, "billedDurationMs": 1698, "memorySizeMB": 256, "maxMemoryUsedMB": 123,
            "initDurationMs": 463.512,
        },
        "status": "success",
    }  # fmt: skip
    done = log.platform_runtime_done(AT, ID, measured(status="timeout"), produced_bytes=3)
    assert done.record["metrics"] == {"durationMs": 1233.96, "producedBytes": 3}


def test_system_levels() -> None:
    failed = measured(status="error", error_type="X")
    init = log.InitPhase(duration_ms=1)
    assert log.platform_start(AT, ID, "a", "1").passes("")
    assert not log.platform_start(AT, ID, "a", "1").passes("WARN")
    assert not log.platform_runtime_done(AT, ID, measured()).passes("")
    assert log.platform_runtime_done(AT, ID, measured()).passes("DEBUG")
    assert log.platform_runtime_done(AT, ID, failed).passes("WARN")
    assert not log.platform_report(AT, ID, measured()).passes("WARN")
    assert log.platform_report(AT, ID, failed).passes("WARN")
    assert not log.platform_init_report(AT, init).passes("INFO")
    assert not log.platform_init_runtime_done(AT, init).passes("INFO")
    assert log.platform_logs_dropped(AT, "r", 1, 2).passes("WARN")


@pytest.mark.parametrize(
    ("message", "framed", "configured", "kept"),
    [
        ('{"level":"DEBUG"}', "", "", False),
        ('{"level":"debug"}', "", "DEBUG", True),
        ('{"log_level":"ERROR"}', "", "ERROR", True),
        ('{"level":"WARNING"}', "", "WARN", True),
        ("plain print", "", "", True),
        ("plain print", "", "WARN", False),
        ('{"level":7}', "", "INFO", True),
        ("{broken", "", "INFO", True),
        ('{"level":"ERROR"}', "DEBUG", "INFO", False),
        ("x", "FATAL", "FATAL", True),
    ],
)
def test_application_levels(message: str, framed: str, configured: str, kept: bool) -> None:
    assert log.application_passes(message, configured, framed) is kept


def test_the_tail_keeps_the_last_4096_bytes() -> None:
    tail = log.Tail()
    tail.add("a" * 4000)
    tail.add("é" * 100)
    assert tail.content() == b"a" * 3895 + b"\n" + "é".encode() * 100
    assert len(tail.content()) == log.TAIL_BYTES


def test_epoch_ms() -> None:
    assert log.epoch_ms(datetime(1970, 1, 2, 0, 0, 1, 999_999, tzinfo=UTC)) == 86_401_999
