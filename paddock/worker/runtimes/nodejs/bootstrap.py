"""The managed Node.js runtime: become a Node.js that has booted and waits for its assignment.

Node.js cannot fork, so a waiting cell is a process of its own: it has read index.mjs and blocks on the channel, with
everything behind it but the function's own code. Standard library only; Python 3.9 on.
"""

from __future__ import annotations

import gc
import os

from paddock.worker.runtimes.wrapper import LIBRARY_PATH

CANDIDATES = ("/var/lang/bin/node", "/usr/bin/node")
SCRIPT = "/var/runtime/index.mjs"
# What is read once, when a process starts, and so must stand before the function is known.
ENVIRONMENT = {
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "LD_LIBRARY_PATH": LIBRARY_PATH,
}


def preload() -> None:
    """Nothing to import: the zygote of this runtime only starts processes."""
    gc.collect()
    gc.freeze()


def run(channel_fd: int, telemetry_fd: int, ahead: bool) -> None:
    """Exec Node.js. ahead: whether there is time before the assignment; booting needs it either way."""
    del ahead
    for fd in (channel_fd, telemetry_fd):
        os.set_inheritable(fd, True)
    node = next(path for path in CANDIDATES if os.access(path, os.X_OK))
    os.execve(node, [node, SCRIPT, str(channel_fd), str(telemetry_fd)], ENVIRONMENT)
