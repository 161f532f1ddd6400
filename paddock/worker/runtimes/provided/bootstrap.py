"""Custom runtimes: wait for an assignment, then become the function's own `bootstrap`, which speaks HTTP.

`bootstrap` is looked for in /var/task, then in /opt, and must be executable, as on Lambda. The working directory is
/var/task. Standard library only; Python 3.9 on.
"""

from __future__ import annotations

import gc
import json
import os
import socket

from paddock.worker.runtimes.python.bootstrap import ASSIGN, FAILED, Channel, limit_data

CANDIDATES = ("/var/task/bootstrap", "/opt/bootstrap")


def preload() -> None:
    """Nothing to import: the runtime comes with the function."""
    gc.collect()
    gc.freeze()


def run(channel_fd: int, telemetry_fd: int, ahead: bool) -> None:
    """Exec the function's bootstrap. When that cannot be done, report it as a failed initialisation and exit.

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
    os.chdir("/var/task")
    found = [path for path in CANDIDATES if os.path.isfile(path) and os.access(path, os.X_OK)]
    if found:
        try:
            os.execve(found[0], [found[0]], settings["environment"])
        except OSError as error:  # made for another processor, or a script whose interpreter is not here
            cause = f"fork/exec {found[0]}: {os.strerror(error.errno or 0).lower()}"
    else:
        cause = f"Couldn't find valid bootstrap(s): [{' '.join(CANDIDATES)}]"
    # Without a body: the platform words it, for it alone knows which request this is.
    channel.send(FAILED, json.dumps({"type": "Runtime.InvalidEntrypoint", "cause": cause}).encode())
    while sock.recv(4096):  # until it was heard, and everything here is ended: else our end could be heard first
        pass
    os._exit(1)
