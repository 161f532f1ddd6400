"""Functions that are container images: wait for an assignment, then become the image's entry point.

By then the image is this process's root: nothing of the machine's userland that this interpreter started from has a
name any more, so everything that is needed is imported before. Standard library only; Python 3.9 on.
"""

from __future__ import annotations

import gc
import json
import os
import socket
from typing import Dict, List

from paddock.worker.runtimes.python.bootstrap import ASSIGN, FAILED, Channel, limit_data

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def preload() -> None:
    """Nothing to import: the runtime comes with the image."""
    gc.collect()
    gc.freeze()


def run(channel_fd: int, telemetry_fd: int, ahead: bool) -> None:
    """Exec the entry point. When that cannot be, report it as a failed initialisation and exit.

    ahead: whether there is time before the assignment; this runtime has nothing to do with it.
    """
    del ahead
    sock = socket.socket(fileno=channel_fd)
    channel = Channel(sock)
    kind, _, body = channel.receive()
    if kind != ASSIGN:
        raise RuntimeError(f"unexpected frame {kind}")
    settings = json.loads(body)
    limit_data(settings)
    os.close(telemetry_fd)
    os.set_inheritable(channel_fd, False)
    image = settings["image"]
    error_type, reason = _become(image["program"], image["directory"], settings["environment"])
    message = f"RequestId: {image['request_id']} Error: {reason}"
    told = json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":"))
    channel.send(FAILED, json.dumps({"type": error_type}).encode(), told.encode())
    while sock.recv(4096):  # until it was heard, and everything here is ended: else our end could be heard first
        pass
    os._exit(1)


def _become(program: List[str], directory: str, environment: Dict[str, str]) -> tuple[str, str]:
    """What went wrong; it returns for no other reason."""
    try:
        os.chdir(directory)
    except (OSError, ValueError) as error:
        return "Runtime.InvalidWorkingDir", f"chdir {directory}: {_words(error)}"
    if not program or not program[0]:
        return "Runtime.InvalidEntrypoint", "the image has no entry point and no command"
    path = _found(program[0], environment.get("PATH", _PATH))
    if not path:
        return "Runtime.InvalidEntrypoint", f'exec: "{program[0]}": executable file not found in $PATH'
    try:
        os.execve(path, program, environment)
    except (OSError, ValueError) as error:
        return "Runtime.InvalidEntrypoint", f"fork/exec {path}: {_words(error)}"
    raise AssertionError("unreachable")


def _found(name: str, search: str) -> str:
    if "/" in name:
        return name
    for directory in search.split(":"):
        path = os.path.join(directory or ".", name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""


def _words(error: Exception) -> str:
    """As the operating system says it, and Go after it."""
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
