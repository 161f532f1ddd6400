"""Extensions' processes, started by pid 1 of an environment beside the runtime: same namespaces, groups and filter.

    launched = launch("/opt/extensions", environment, data_bytes_max)

Every file directly in the directory is one, and its name is its own (spec 02 section 5). They get an output of their
own, so that their lines can be told from the function's, and no other descriptor. Either all are started or the
first that is not is named; the caller ends the rest with everything else.

Standard library only, Python 3.9.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
from typing import Dict, List, NamedTuple, NoReturn

from paddock.worker.sandbox import linux

EXTENSIONS_MAX = 10
_ERROR_FD = 3
_RESET = (signal.SIGPIPE, signal.SIGINT, signal.SIGCHLD)  # what this interpreter and the zygote have set for themselves


class Launched(NamedTuple):
    """names: by process id. failed: the one that did not start, "" when all did; error_type, reason: why."""

    names: Dict[int, str]
    failed: str = ""
    error_type: str = ""
    reason: str = ""


def found(directory: str) -> List[str]:
    """The extensions in the directory, by name; none when there is no such directory."""
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries if not entry.is_dir())
    except OSError:
        return []


def launch(directory: str, names: List[str], environment: Dict[str, str], output: int, data_bytes_max: int) -> Launched:
    """Start them. output: where what they print goes; data_bytes_max: of each, 0 for no such limit."""
    started: Dict[int, str] = {}
    if len(names) > EXTENSIONS_MAX:
        text = f"Extension limit ({EXTENSIONS_MAX}) reached"
        return Launched(started, names[EXTENSIONS_MAX], "TooManyExtensions", text)
    for name in names:
        path = os.path.join(directory, name)
        error_in, error_out = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            _become(path, environment, output, error_out, data_bytes_max)
        os.close(error_out)
        with os.fdopen(error_in) as told:  # until the exec has closed it, or has failed
            number = told.read()
        if number:
            kind = "PermissionDenied" if int(number) == errno.EACCES else "UnknownError"
            text = f"fork/exec {path}: {os.strerror(int(number)).lower()}"
            return Launched(started, name, kind, text)
        started[pid] = name
    return Launched(started)


def _become(path: str, environment: Dict[str, str], output: int, error: int, data_bytes_max: int) -> NoReturn:
    """In the forked child: the extension, or an error number on `error` and the end."""
    try:
        signal.set_wakeup_fd(-1)
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        output, error = os.dup(output), os.dup(error)  # out of the way of their places
        while min(output, error) <= _ERROR_FD:
            output, error = os.dup(output), os.dup(error)
        for place in (1, 2):
            os.dup2(output, place)
        os.dup2(error, _ERROR_FD, inheritable=False)
        linux.close_range(_ERROR_FD + 1)
        # Only now may others look into this process, which had the descriptors of pid 1.
        linux.prctl(linux.PR_SET_DUMPABLE, 1)
        _expendable()
        if data_bytes_max:
            resource.setrlimit(resource.RLIMIT_DATA, (data_bytes_max, data_bytes_max))
        os.execve(path, [path], environment)
    except OSError as failure:
        os.write(_ERROR_FD, str(failure.errno or errno.EIO).encode())
    finally:
        os._exit(127)


def _expendable() -> None:
    """Pid 1 is hard to kill for memory, so that it can report; what it starts is not."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("0")
    except OSError:
        pass  # as in cell.py: rootless, where there was nothing to give back
