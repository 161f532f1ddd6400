"""Extensions: what the processes beside a function's runtime are called, and how far they have come."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

INVOKE = "INVOKE"
SHUTDOWN = "SHUTDOWN"


class Launched(NamedTuple):
    """What came of starting the files in /opt/extensions.

    output: a descriptor to read what they print from; -1 when there are none. failed: the one that could not be
    started, or "". error_type, reason: why, as AWS names it and in words.
    """

    names: tuple[str, ...] = ()
    output: int = -1
    failed: str = ""
    error_type: str = ""
    reason: str = ""


class ExtensionState(str, Enum):
    """AWS's own names, which callers meet in errors and in the log."""

    STARTED = "Started"
    REGISTERED = "Registered"
    READY = "Ready"
    RUNNING = "Running"
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"
    LAUNCH_ERROR = "LaunchError"
    EXITED = "Exited"
    SHUTDOWN_FAILED = "ShutdownFailed"


_S = ExtensionState

# What an extension itself may do, by its state; everything else is refused.
CALLS: Mapping[ExtensionState, Mapping[str, ExtensionState]] = {
    _S.STARTED: {"register": _S.REGISTERED},
    _S.REGISTERED: {"next": _S.READY, "init/error": _S.INIT_ERROR, "exit/error": _S.EXIT_ERROR},
    _S.READY: {"exit/error": _S.EXIT_ERROR},
    _S.RUNNING: {"next": _S.READY, "exit/error": _S.EXIT_ERROR},
    _S.INIT_ERROR: {"init/error": _S.INIT_ERROR},
    _S.EXIT_ERROR: {"exit/error": _S.EXIT_ERROR},
    _S.LAUNCH_ERROR: {},
    _S.EXITED: {},
    _S.SHUTDOWN_FAILED: {},
}
