"""Run one trusted program inside a userland, as functions would see it, or alone in namespaces of its own.

    python -m paddock.worker.sandbox.within JSON PROGRAM ARGUMENT...

JSON: {"base": the userland's root, "prefix": as of userland.build, "write": {directory of the host: where}}. With an
empty base the program stays in the host's root. Either way it is the first process of a pid namespace and dies with
whoever started us, and so does everything that it starts; what it mounts goes with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paddock.worker.sandbox import linux, userland

_SOURCE = Path(__file__).parents[3]
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": "/var/lang/lib"}


def run(
    command: Sequence[str],
    *,
    base: str = "",
    prefix: str = "",
    write: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """The program's status and output, both streams apart. Raises OSError and subprocess.TimeoutExpired."""
    asked = json.dumps({"base": base, "prefix": prefix, "write": dict(write or {})})
    ours = [sys.executable, "-P", "-c", _boot(), asked]
    return subprocess.run([*ours, *command], capture_output=True, text=True, check=False, timeout=timeout_s)


def _boot() -> str:
    return f"import sys; sys.path.insert(0, {str(_SOURCE)!r}); from paddock.worker.sandbox.within import main; main()"


def _namespaces() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if uid:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWPID)
        for name, content in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            Path("/proc/self", name).write_text(content)
    else:
        linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWPID)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)


def _enter(base: str, prefix: str, write: Mapping[str, str]) -> None:
    if not base:
        linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        return
    userland.build(base + userland.HOST, prefix, "", [], base=base)
    linux.mount("tmp", "/tmp", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777")
    for source, target in write.items():
        linux.bind(userland.HOST + source, target, read_only=False)
    linux.umount_detach(userland.HOST)


def main() -> None:
    """As the module's first lines say. Ends with the program's status."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    command = sys.argv[2:]
    linux.die_with_parent()
    _namespaces()
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    linux.die_with_parent()
    _enter(asked["base"], asked["prefix"], asked["write"])
    if asked["base"]:
        os.execve(command[0], command, _ENVIRONMENT)
    os.execvp(command[0], command)
