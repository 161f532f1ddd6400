"""What stays when the jailer is killed: a process that waits for its end, and then clears up in its place.

Everything the jailer started dies with it. But on cgroup v1 what is frozen cannot die, and directories of control
groups outlive their processes on either version; both would stay until the next Paddock on the same data starts.

It holds the reading end of a pipe whose other end only the jailer has. At its end it takes the lock on the data
directory, so that no new Paddock starts meanwhile; if one has been quicker, that one has swept already. When the
jailer ends in order there is nothing to do. It runs nothing of a function's and reads nothing that one can write.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path

from paddock.worker.sandbox import cgroup, linux

_LOCK_PATIENCE_S = 2.0
_PATIENCE_S = 60.0


def become(jailer: int, lock: Path, hierarchy: cgroup.Hierarchy, name: str) -> None:
    """Wait and sweep, then return. jailer: the pipe's reading end; every other descriptor but the log is closed."""
    os.setsid()  # what is sent to the terminal's processes is not for us
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    linux.set_process_name("paddock-sweeper")
    os.dup2(jailer, 3)
    linux.close_range(4)
    while os.read(3, 1):
        continue
    if _locked(lock):
        cgroup.sweep(hierarchy, name, _PATIENCE_S)


def _locked(path: Path) -> bool:
    """Whether the lock is ours. The kernel closes a dead process's files in no certain order: it may be held still."""
    held = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while time.monotonic() < deadline:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.01)
    return False
