"""AWS_LAMBDA_EXEC_WRAPPER: a program of the function's own that is started in the place of its managed runtime.

It gets the runtime's command line as its arguments and may start that, changed or not, or something else that speaks
the Runtime API. What a runtime of ours needs stays open for it, at the places below. Standard library only; Python 3.9
on.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

EXEC_WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
CHANNEL_FD, TELEMETRY_FD = 3, 4  # as pid 1 of an environment has laid them out
LIBRARY_PATH = "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # a shell's, by which Lambda starts wrappers


def become(command: list[str], environment: dict[str, str], *descriptors: int) -> NoReturn:
    """Exec the wrapper that the environment names, with the runtime's command as its arguments.

    descriptors: what the runtime will need.
    """
    wrapper = environment[EXEC_WRAPPER]
    try:
        start([wrapper, *command], environment, *descriptors)
    except OSError as error:
        sys.stderr.write(f"/var/runtime/bootstrap: {wrapper}: {os.strerror(error.errno or 0)}\n")
        sys.stderr.flush()
        os._exit(_NOT_FOUND if isinstance(error, (FileNotFoundError, NotADirectoryError)) else _NOT_EXECUTABLE)


def start(command: list[str], environment: dict[str, str], *descriptors: int) -> NoReturn:
    """Exec the command in the function's directory. Raises OSError."""
    for fd in descriptors:
        os.set_inheritable(fd, True)
    os.chdir("/var/task")
    os.execve(command[0], command, environment)
