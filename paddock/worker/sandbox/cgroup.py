"""Control groups: limits on memory, CPU and processes, and the freezer, on cgroup v2, v1 or a mixture.

`find` looks at what is mounted and writable and returns a `Hierarchy`; an empty one means that this machine lets us
set no limits (an ordinary user without delegation), which `doctor` and the banner say. A `Group` is one
environment's set of directories, one per hierarchy.

Known trap, measured: on v1 the first write to `cgroup.procs` after a pause takes 7-15 ms, a write to `tasks` by the
single-threaded process itself 0.03 ms; hence `join`.

Runs in the jailer and in zygotes: standard library only, Python 3.9.
"""

from __future__ import annotations

import os
import time
from typing import Dict, List, NamedTuple, Optional

WANTED = ("memory", "cpu", "pids", "freezer")
PERIOD_US = 100_000


class Hierarchy(NamedTuple):
    """version 1 or 2, or 0 for none. paths: controller -> directory in which our groups are made."""

    version: int
    paths: Dict[str, str]

    def has(self, controller: str) -> bool:
        return controller in self.paths

    @property
    def directories(self) -> int:
        """How many a group has."""
        return len(set(self.paths.values())) if self.version else 0


def _mounts() -> List[List[str]]:
    with open("/proc/self/mounts") as file:
        return [line.split() for line in file]


def _own_groups() -> Dict[str, str]:
    """controller -> this process's group ('' for v2)."""
    groups = {}
    with open("/proc/self/cgroup") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for controller in controllers.split(","):
                groups[controller] = path
    return groups


def _usable(directory: str) -> bool:
    """Whether a group can really be made here."""
    probe = os.path.join(directory, f"paddock-probe-{os.getpid()}")
    try:
        os.mkdir(probe)
        os.rmdir(probe)
    except OSError:
        return False
    return True


def _find_v2(mount_point: str, own: str) -> Hierarchy:
    """Prefer the top of what we see; else our own delegated group, in which we first step aside into a leaf.

    A group with controllers for its children may hold no processes itself, except the top of the tree.
    """
    for base in dict.fromkeys((mount_point, mount_point + own.rstrip("/"))):
        try:
            with open(os.path.join(base, "cgroup.controllers")) as file:
                offered = [c for c in file.read().split() if c in WANTED]
            if not offered or not _usable(base):
                continue
            if base != mount_point:
                leaf = os.path.join(base, "paddock-supervisor")
                os.makedirs(leaf, exist_ok=True)
                _write(os.path.join(leaf, "cgroup.procs"), str(os.getpid()))
            enabled = []
            for controller in offered:
                try:
                    _write(os.path.join(base, "cgroup.subtree_control"), f"+{controller}")
                    enabled.append(controller)
                except OSError:
                    continue
            if enabled:
                return Hierarchy(2, dict.fromkeys([*enabled, "freezer"], base))
        except OSError:
            continue
    return Hierarchy(0, {})


def find() -> Hierarchy:
    """What this process may use, by trying."""
    own = _own_groups()
    paths: Dict[str, str] = {}
    unified: Optional[str] = None
    for fields in _mounts():
        if fields[2] == "cgroup":
            for controller in set(fields[3].split(",")) & set(WANTED):
                inside = fields[1] + own.get(controller, "").rstrip("/")
                for directory in (inside, fields[1]):
                    if controller not in paths and os.path.isdir(directory) and _usable(directory):
                        paths[controller] = directory
        elif fields[2] == "cgroup2" and unified is None:
            unified = fields[1]
    if paths:
        return Hierarchy(1, paths)
    return _find_v2(unified, own.get("", "/")) if unified else Hierarchy(0, {})


def _write(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def make_parent(hierarchy: Hierarchy, name: str) -> Hierarchy:
    """The group of this Paddock, in every hierarchy; environments' groups are made inside."""
    inside = {}
    for controller, base in hierarchy.paths.items():
        inside[controller] = os.path.join(base, name)
    for directory in set(inside.values()):
        os.makedirs(directory, exist_ok=True)
        if hierarchy.version == 2:
            for controller in inside:
                if controller != "freezer":
                    _write(os.path.join(directory, "cgroup.subtree_control"), f"+{controller}")
    return Hierarchy(hierarchy.version, inside)


def sweep(hierarchy: Hierarchy, name: str, patience_s: float = 5.0) -> int:
    """Kill whatever a dead Paddock of this name left and remove its groups. Returns how many groups went.

    Raises OSError when nothing has gone for patience_s. All hierarchies are gone through again and again: on v1 a
    process leaves none of them while it is frozen in one, and a server on its way out may freeze one once more.
    """
    removed = 0
    tops = [os.path.join(base, name) for base in sorted(set(hierarchy.paths.values()))]
    deadline = time.monotonic() + patience_s
    while True:
        left = [directory for top in tops for directory, _, _ in os.walk(top, topdown=False)]
        for directory in left:
            thaw_and_kill(directory)
        refusal: Optional[OSError] = None
        for directory in left:
            try:
                os.rmdir(directory)
                removed += 1
                deadline = time.monotonic() + patience_s
            except FileNotFoundError:
                continue
            except OSError as error:
                refusal = error
        if refusal is None:
            return removed
        if time.monotonic() > deadline:
            raise refusal
        time.sleep(0.01)


def clear(parent: Hierarchy, prefix: str) -> bool:
    """End whatever is left in the groups of that prefix and remove them; False when some are still there. Never waits.

    For the groups of a zygote that was killed: its environments die with it, but a frozen v1 group holds them back, and
    nobody else would remove the directories.
    """
    tops = [top for top in set(parent.paths.values()) if os.path.isdir(top)]
    left = [os.path.join(top, name) for top in tops for name in os.listdir(top) if name.startswith(prefix)]
    for directory in left:
        thaw_and_kill(directory)
    is_clear = True
    for directory in left:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            pass
        except OSError:
            is_clear = False  # a process is still on its way out
    return is_clear


def thaw_and_kill(directory: str) -> None:
    """SIGKILL for every process of one group; a frozen v1 group must thaw before its processes can die."""
    for name, value in (("freezer.state", "THAWED"), ("cgroup.kill", "1")):
        path = os.path.join(directory, name)
        if os.path.exists(path):
            try:
                _write(path, value)
            except OSError:
                pass  # the process list below is the fallback
    try:
        with open(os.path.join(directory, "cgroup.procs")) as file:
            pids = [int(line) for line in file]
    except OSError:
        return
    for pid in pids:
        if pid > 0:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass


def cpu_text(version: int, quota_us: int) -> str:
    """What to write into a group's CPU file for `quota_us` of every 100 ms; 0 or less lifts the limit."""
    if version == 1:
        return str(quota_us if quota_us > 0 else -1)
    return f"{quota_us if quota_us > 0 else 'max'} {PERIOD_US}"


class Group:
    """One environment's directories, made on construction. `prefix` is where the host's root is visible."""

    def __init__(self, parent: Hierarchy, name: str, prefix: str = "") -> None:
        self.version = parent.version
        self._paths = {c: os.path.join(prefix + base, name) for c, base in parent.paths.items()}
        self._directories = list(dict.fromkeys(self._paths.values()))
        made: List[str] = []
        try:
            for directory in self._directories:
                os.mkdir(directory)
                made.append(directory)
        except OSError:
            for directory in made:
                os.rmdir(directory)
            raise

    def _file(self, controller: str, v1: str, v2: str) -> Optional[str]:
        directory = self._paths.get(controller)
        return os.path.join(directory, v1 if self.version == 1 else v2) if directory else None

    def _set(self, path: Optional[str], value: str) -> None:
        if path:
            _write(path, value)

    def limit_processes(self, count: int) -> None:
        self._set(self._file("pids", "pids.max", "pids.max"), str(count))

    def limit_memory(self, size_bytes: int) -> None:
        """Memory, and no swap beyond it where the kernel accounts for swap."""
        path = self._file("memory", "memory.limit_in_bytes", "memory.max")
        self._set(path, str(size_bytes))
        swap = self._file("memory", "memory.memsw.limit_in_bytes", "memory.swap.max")
        if swap and os.path.exists(swap):
            _write(swap, str(size_bytes) if self.version == 1 else "0")

    def open_joins(self) -> List[int]:
        """Descriptors by which a single-threaded process joins, each with a write of "0"."""
        name = "tasks" if self.version == 1 else "cgroup.procs"
        opened: List[int] = []
        try:
            for directory in self._directories:
                opened.append(os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CLOEXEC))
        except OSError:
            for fd in opened:
                os.close(fd)
            raise
        return opened

    def thaw(self) -> None:
        """On v1 a frozen process cannot die; on v2 it can."""
        if self.version == 1 and "freezer" in self._paths:
            self._set(self._file("freezer", "freezer.state", ""), "THAWED")

    def open_files(self) -> Dict[str, int]:
        """Descriptors for whoever supervises the environment without privilege: freeze, cpu, peak, oom."""
        files = {
            "freeze": (self._file("freezer", "freezer.state", "cgroup.freeze"), os.O_WRONLY),
            "cpu": (self._file("cpu", "cpu.cfs_quota_us", "cpu.max"), os.O_WRONLY),
            "peak": (self._file("memory", "memory.max_usage_in_bytes", "memory.peak"), os.O_RDONLY),
            "oom": (self._file("memory", "memory.oom_control", "memory.events"), os.O_RDONLY),
        }
        opened = {}
        for name, (path, flags) in files.items():
            if path and os.path.exists(path):
                opened[name] = os.open(path, flags | os.O_CLOEXEC)
        return opened

    def kill(self) -> None:
        for directory in self._directories:
            thaw_and_kill(directory)

    def remove(self) -> bool:
        """Remove the directories; False when a process is still on its way out of one."""
        for directory in list(self._directories):
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                pass
            except OSError:
                return False
            self._directories.remove(directory)
        return True
