"""What a Paddock has in the kernel, and what is left of it: processes, namespaces, mounts, control groups."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.support.server import RunningServer, children

Process = tuple[int, str]
"""A process id and when it was started, for ids are used again."""


@dataclass(frozen=True)
class Traces:
    """Of one Paddock: its processes, and the namespaces that only they are in (such as net:[4026532012])."""

    processes: frozenset[Process]
    namespaces: frozenset[str]

    def left(self) -> list[str]:
        """Those that are still there, in words; namespaces also when a stranger holds them, if it is as old as they.

        The kernel uses the numbers of namespaces again: a younger process's are others.
        """
        found = [f"process {pid}" for pid, since in self.processes if _since(pid) == since]
        latest = max((int(since) for _, since in self.processes), default=0)
        old = [pid for pid in _pids() if int(_since(pid) or latest + 1) <= latest]
        living = {name for pid in old for name in _namespaces(pid)}
        return found + sorted(self.namespaces & living)


def traces(server: RunningServer) -> Traces:
    """Everything below the jailer, and everything in its control groups, now."""
    pids = _descendants(server.pid) | {server.pid} | _in_groups(server)
    ours = {name for pid in pids for name in _namespaces(pid)}
    host = {name for pid in set(_pids()) - pids for name in _namespaces(pid)}
    return Traces(
        processes=frozenset((pid, since) for pid in pids if (since := _since(pid))), namespaces=frozenset(ours - host)
    )


def mounts_of(data_dir: Path) -> list[str]:
    """Mounts anywhere in the system that come from the data directory or lie in it."""
    return sorted(
        f"{pid}: {line}" for pid in _pids() for line in _read(pid, "mountinfo").splitlines() if str(data_dir) in line
    )


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""  # it has ended, or is not ours to look at


def _since(pid: int) -> str:
    """Its start time; "" when there is no such process, or only its shell waiting to be collected."""
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return fields[19] if fields and fields[0] not in "ZX" else ""


def _namespaces(pid: int) -> list[str]:
    try:
        return [os.readlink(f"/proc/{pid}/ns/{name}") for name in os.listdir(f"/proc/{pid}/ns")]
    except OSError:
        return []


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for child in children(pid):
        found |= {child} | _descendants(child)
    return found


def _in_groups(server: RunningServer) -> set[int]:
    # os.walk does not mind that groups go while it walks, unlike Path.rglob.
    files = [Path(top, "cgroup.procs") for group in server.groups() for top, _, _ in os.walk(group)]
    return {int(word) for file in files for word in _text(file).split()}


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""  # that group has gone meanwhile
