"""Directories of the host that a developer mounts as a function's code, out of those that the operator allows.

Runs in the zygote, which sees the host's root at userland.HOST: standard library only, Python 3.9.
"""

from __future__ import annotations

import os

from paddock.worker.sandbox import linux, userland

PREFIX = "directory:"


def tree(allowed: list[str], code: str) -> int:
    """A detached copy of the mount of the directory that follows PREFIX. ValueError for one that is not allowed.

    The operator's own path may hold links; below it none is followed, for there a developer writes, and what he writes
    must not lead to what he may not read. Other mounts below the directory are not shown.
    """
    path = code[len(PREFIX) :]
    top = next((one for one in allowed if path == one.rstrip("/") or path.startswith(one.rstrip("/") + "/")), None)
    if top is None or path != os.path.normpath(path):
        raise ValueError("no such directory is allowed")
    handle = os.open(f"{userland.HOST}{top}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if path != top.rstrip("/"):
            above, handle = handle, linux.open_beneath(handle, os.path.relpath(path, top))
            os.close(above)
        return linux.open_tree_clone(handle, "")
    finally:
        os.close(handle)
