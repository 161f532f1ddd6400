"""The managed Ruby runtimes: become a Ruby that has booted and waits for its assignment.

As with Node.js a waiting cell is a process of its own, which has read index.rb and blocks on the channel. From the
assignment on it speaks the Runtime API over HTTP. Standard library only; Python 3.9 on.
"""

from __future__ import annotations

import gc
import os

from paddock.worker.runtimes.nodejs.bootstrap import ENVIRONMENT

DIRECTORIES = ("/var/lang/bin", "/usr/bin")
SCRIPT = "/var/runtime/index.rb"


def preload() -> None:
    """Nothing to import: the zygote of this runtime only starts processes."""
    gc.collect()
    gc.freeze()


def program() -> str:
    """The Ruby in here; Debian's bears its version in its name."""
    names = [f"{place}/{name}" for place in DIRECTORIES if os.path.isdir(place) for name in sorted(os.listdir(place))]
    rubies = [path for path in names if os.path.basename(path).rstrip("0123456789.") == "ruby"]
    return next(path for path in rubies if os.access(path, os.X_OK))


def run(channel_fd: int, telemetry_fd: int, ahead: bool) -> None:
    """Exec Ruby. ahead: whether there is time before the assignment; booting needs it either way."""
    del ahead
    os.close(telemetry_fd)
    os.set_inheritable(channel_fd, True)
    ruby = program()
    os.execve(ruby, [ruby, SCRIPT, str(channel_fd)], ENVIRONMENT)
