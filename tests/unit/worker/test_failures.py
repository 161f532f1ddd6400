"""Lambda's own words for what went wrong."""

from __future__ import annotations

import json
import signal

import pytest

from paddock.worker import failures

OOM, EXIT = failures.OUT_OF_MEMORY, failures.EXIT_ERROR


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (0, ""),
        (1 << 8, "exit status 1"),
        (255 << 8, "exit status 255"),
        (signal.SIGKILL, "signal: killed"),
        (signal.SIGSEGV | 0x80, "signal: segmentation fault"),
        (signal.SIGABRT, "signal: aborted"),
        (signal.SIGRTMIN, f"signal: {int(signal.SIGRTMIN)}"),
    ],
)
def test_causes(status: int, cause: str) -> None:
    assert failures.exit_cause(status) == cause


@pytest.mark.parametrize(
    ("status", "oom", "error_type", "text"),
    [
        (1 << 8, False, EXIT, "RequestId: r-1 Error: Runtime exited with error: exit status 1"),
        (9, True, OOM, "RequestId: r-1 Error: Runtime exited with error: signal: killed"),
        (0, False, EXIT, "RequestId: r-1 Error: Runtime exited without providing a reason"),
    ],
)
def test_an_exit(status: int, oom: bool, error_type: str, text: str) -> None:
    failure = failures.exited("r-1", status, oom)
    assert (failure.kind, failure.error_type) == ("exit", error_type)
    assert json.loads(failure.payload) == {"errorType": error_type, "errorMessage": text}


@pytest.mark.parametrize(("timeout_s", "shown"), [(3, "3.00"), (0.1, "0.10"), (900, "900.00")])
def test_a_timeout(timeout_s: float, shown: str) -> None:
    failure = failures.timed_out("r-1", timeout_s)
    assert failure.kind == "timeout"
    assert failure.payload == (
        b'{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: r-1 Error: Task timed out after %s seconds"}'
        % shown.encode()
    )


def test_an_answer_too_large() -> None:
    failure = failures.oversized(6291556)
    assert (failure.kind, failure.error_type) == ("oversized", "Function.ResponseSizeTooLarge")
    assert json.loads(failure.payload)["errorMessage"] == (
        "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
    )


def test_a_failed_init_keeps_the_runtimes_words() -> None:
    body = b'{"errorMessage": "no module",  "x": 1}'
    assert failures.init_failed(body, "Runtime.ImportModuleError").payload is body
    assert failures.init_failed(body, "Runtime.ImportModuleError").error_type == "Runtime.ImportModuleError"
    assert failures.init_failed(body, "").error_type == "Runtime.Unknown"
