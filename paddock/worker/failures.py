"""What a caller is shown when a runtime does not answer: Lambda's own error types and texts (spec 02 section 4.1)."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

# As Go's runtime, in which AWS's agent is written, spells the signals that end processes.
_SIGNAL_TEXTS: Mapping[int, str] = {
    signal.SIGHUP: "hangup",
    signal.SIGINT: "interrupt",
    signal.SIGQUIT: "quit",
    signal.SIGILL: "illegal instruction",
    signal.SIGTRAP: "trace/breakpoint trap",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGKILL: "killed",
    signal.SIGUSR1: "user defined signal 1",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGUSR2: "user defined signal 2",
    signal.SIGPIPE: "broken pipe",
    signal.SIGALRM: "alarm clock",
    signal.SIGTERM: "terminated",
}

EXIT_ERROR = "Runtime.ExitError"
OUT_OF_MEMORY = "Runtime.OutOfMemory"
TIMED_OUT = "Sandbox.Timedout"
TOO_LARGE = "Function.ResponseSizeTooLarge"
TRUNCATED = "Runtime.TruncatedResponse"
UNKNOWN_MODE = "Runtime.InvalidResponseModeHeader"
INVALID_ENTRYPOINT = "Runtime.InvalidEntrypoint"
EXTENSION_LAUNCH = "Extension.LaunchError"
EXTENSION_CRASH = "Extension.Crash"
EXTENSION_INIT = "Extension.InitError"
EXTENSION_EXIT = "Extension.ExitError"


@dataclass(frozen=True, slots=True)
class Failure:
    """error_type and the payload for the caller. cause: how the process ended, "" when it did so with status 0.

    kind: exit, timeout, init, oversized, entrypoint, extension; it decides which line the log gets.
    """

    kind: str
    error_type: str
    payload: bytes
    cause: str = ""


def _payload(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":")).encode()


def timed_out(request_id: str, timeout_s: float) -> Failure:
    text = f"RequestId: {request_id} Error: Task timed out after {timeout_s:.2f} seconds"
    return Failure("timeout", TIMED_OUT, _payload(TIMED_OUT, text))


def exit_cause(wait_status: int) -> str:
    """`exit status 1`, `signal: killed`; "" for status 0."""
    if os.WIFSIGNALED(wait_status):
        number = os.WTERMSIG(wait_status)
        return f"signal: {_SIGNAL_TEXTS.get(number, str(number))}"
    code = os.waitstatus_to_exitcode(wait_status)
    return f"exit status {code}" if code else ""


def exited(request_id: str, wait_status: int, out_of_memory: bool) -> Failure:
    """The runtime's process ended in the middle of an event or of its initialisation."""
    cause = exit_cause(wait_status)
    error_type = OUT_OF_MEMORY if out_of_memory else EXIT_ERROR
    text = f"exited with error: {cause}" if cause else "exited without providing a reason"
    return Failure("exit", error_type, _payload(error_type, f"RequestId: {request_id} Error: Runtime {text}"), cause)


def oversized(limit_bytes: int) -> Failure:
    text = f"Response payload size exceeded maximum allowed payload size ({limit_bytes} bytes)."
    return Failure("oversized", TOO_LARGE, _payload(TOO_LARGE, text))


def truncated(request_id: str) -> bytes:
    """The payload for a response that stopped in the middle."""
    return _payload(TRUNCATED, f"RequestId: {request_id} Error: The runtime's response ended before it was complete")


def unknown_mode(request_id: str) -> bytes:
    """The payload for a response in a mode that does not exist."""
    return _payload(UNKNOWN_MODE, f"RequestId: {request_id} Error: Invalid function response mode")


def init_failed(body: bytes, error_type: str) -> Failure:
    """What the runtime itself reported; its words go to the caller unchanged."""
    return Failure("init", error_type or "Runtime.Unknown", body)


def not_started(request_id: str, cause: str) -> Failure:
    """What the package brings to be run cannot be. cause: in words, such as `fork/exec /x: exec format error`."""
    payload = _payload(INVALID_ENTRYPOINT, f"RequestId: {request_id} Error: {cause}")
    return Failure("entrypoint", INVALID_ENTRYPOINT, payload, cause)


def extension_failed(request_id: str, error_type: str, cause: str) -> Failure:
    """An extension did not start, or ended. cause: in words, such as `exit code 1`."""
    return Failure("extension", error_type, _payload(error_type, f"RequestId: {request_id} Error: {cause}"), cause)


def extension_cause(wait_status: int) -> str:
    """`exit code 1`, `signal: killed`: AWS words it differently from a runtime's end."""
    if os.WIFSIGNALED(wait_status):
        return exit_cause(wait_status)
    return f"exit code {os.waitstatus_to_exitcode(wait_status)}"


def no_snapshot() -> Failure:
    """The runtime did not stop for one."""
    return Failure("init", "Runtime.BeforeSnapshotError", b"this runtime cannot be put into a snapshot")
