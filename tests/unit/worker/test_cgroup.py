"""Control groups on directories that behave like the kernel's, of version 2 and 1."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from paddock.worker.sandbox import cgroup
from paddock.worker.sandbox.cgroup import Group, Hierarchy

FILES = {
    2: "cgroup.procs cgroup.subtree_control cgroup.freeze cgroup.kill pids.max cpu.max memory.max memory.swap.max "
    "memory.peak memory.events",
    1: "cgroup.procs tasks freezer.state pids.max cpu.cfs_quota_us memory.limit_in_bytes memory.memsw.limit_in_bytes "
    "memory.max_usage_in_bytes memory.oom_control",
}


class Kernel:
    """A cgroup file system in an ordinary directory: directories are born with files and go with them."""

    def __init__(self, root: Path, version: int) -> None:
        self.root = root
        self.version = version
        self.refused: set[str] = set()
        self._mkdir, self._rmdir = os.mkdir, os.rmdir

    def mkdir(self, path: str | Path, mode: int = 0o777) -> None:
        if os.path.basename(path) in self.refused or str(path) in self.refused:
            raise PermissionError(errno.EACCES, "no", str(path))
        self._mkdir(path, mode)
        if str(path).startswith(str(self.root)):
            self.fill(Path(path))

    def fill(self, directory: Path) -> None:
        for name in FILES[self.version].split():
            (directory / name).write_text("")

    def rmdir(self, path: str | Path) -> None:
        if not os.path.isdir(path):
            raise FileNotFoundError(errno.ENOENT, "no", str(path))
        if (Path(path) / "cgroup.procs").read_text().strip() or any(p.is_dir() for p in Path(path).iterdir()):
            raise OSError(errno.EBUSY, "busy", str(path))
        for file in Path(path).iterdir():
            file.unlink()
        self._rmdir(path)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Kernel]:
    def make(version: int, own: str = "/", mounts: str = "") -> Kernel:
        made = Kernel(tmp_path, version)
        if version == 2:
            made.fill(tmp_path)
            (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
            mounts = mounts or f"cgroup2 {tmp_path} cgroup2 rw 0 0"
            groups = {"": own}
        else:
            groups = {}
            lines = []
            for names in ("memory", "cpu,cpuacct", "pids", "freezer"):
                (tmp_path / names).mkdir()
                made.fill(tmp_path / names)
                lines.append(f"cgroup {tmp_path / names} cgroup rw,nosuid,{names} 0 0")
                groups |= dict.fromkeys(names.split(","), own)
            mounts = mounts or "\n".join(lines)
        monkeypatch.setattr(cgroup, "_mounts", lambda: [line.split() for line in mounts.splitlines()])
        monkeypatch.setattr(cgroup, "_own_groups", lambda: groups)
        monkeypatch.setattr(os, "mkdir", made.mkdir)
        monkeypatch.setattr(os, "rmdir", made.rmdir)
        return made

    yield make
    monkeypatch.undo()  # else nobody could remove the directories
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_v2_at_the_top(kernel: Callable[..., Kernel]) -> None:
    made = kernel(2)
    found = cgroup.find()
    assert found == Hierarchy(2, dict.fromkeys(["cpu", "memory", "pids", "freezer"], str(made.root)))
    assert found.has("memory")
    assert not found.has("cpuset")


def test_v2_in_a_delegated_group(kernel: Callable[..., Kernel]) -> None:
    made = kernel(2, own="/user/me")
    os.makedirs(made.root / "user/me")
    (made.root / "user/me/cgroup.controllers").write_text("memory pids\n")
    made.refused.add(str(made.root / f"paddock-probe-{os.getpid()}"))
    found = cgroup.find()
    base = str(made.root / "user/me")
    assert found == Hierarchy(2, {"memory": base, "pids": base, "freezer": base})
    assert (made.root / "user/me/paddock-supervisor/cgroup.procs").read_text() == str(os.getpid())


def test_nothing_to_be_had(kernel: Callable[..., Kernel]) -> None:
    made = kernel(2)
    made.refused.add(f"paddock-probe-{os.getpid()}")
    assert cgroup.find() == Hierarchy(0, {})
    kernel(2, mounts="proc /proc proc rw 0 0")
    assert cgroup.find() == Hierarchy(0, {})


def test_v1_prefers_our_own_group_and_takes_the_top_else(kernel: Callable[..., Kernel]) -> None:
    made = kernel(1, own="/docker/x")
    os.makedirs(made.root / "memory/docker/x")
    assert cgroup.find() == Hierarchy(
        1,
        {
            "memory": str(made.root / "memory/docker/x"),
            "cpu": str(made.root / "cpu,cpuacct"),
            "pids": str(made.root / "pids"),
            "freezer": str(made.root / "freezer"),
        },
    )


def written(directory: str | Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in Path(directory).iterdir() if path.is_file() and path.read_text()}


def join(group: Group) -> None:
    for fd in group.open_joins():
        os.write(fd, b"0")
        os.close(fd)


def test_a_v2_group(kernel: Callable[..., Kernel]) -> None:
    made = kernel(2)
    parent = cgroup.make_parent(cgroup.find(), "paddock-x")
    control = (made.root / "paddock-x/cgroup.subtree_control").read_text()
    assert control.startswith("+pids"), "each controller is written, over the one before"
    group = Group(parent, "cell-1")
    place = made.root / "paddock-x/cell-1"
    group.limit_processes(64)
    group.limit_memory(128 << 20)
    join(group)
    assert written(place) == {
        "pids.max": "64",
        "memory.max": str(128 << 20),
        "memory.swap.max": "0",
        "cgroup.procs": "0",
    }
    files = group.open_files()
    assert {name: os.readlink(f"/proc/self/fd/{fd}") for name, fd in files.items()} == {
        "freeze": f"{place}/cgroup.freeze",
        "cpu": f"{place}/cpu.max",
        "peak": f"{place}/memory.peak",
        "oom": f"{place}/memory.events",
    }
    for fd in files.values():
        assert not os.get_inheritable(fd)
        os.close(fd)
    assert not group.remove(), "a process is still on its way out"
    (place / "cgroup.procs").write_text("")
    assert group.remove()
    assert group.remove()
    assert not place.exists()


def test_a_v1_group(kernel: Callable[..., Kernel]) -> None:
    made = kernel(1)
    group = Group(cgroup.make_parent(cgroup.find(), "paddock-x"), "cell-1")
    group.limit_processes(64)
    group.limit_memory(128 << 20)
    join(group)
    at = "paddock-x/cell-1"
    size = str(128 << 20)
    assert written(made.root / "memory" / at) == {
        "memory.limit_in_bytes": size,
        "memory.memsw.limit_in_bytes": size,
        "tasks": "0",
    }
    assert written(made.root / "pids" / at) == {"pids.max": "64", "tasks": "0"}
    assert written(made.root / "freezer" / at) == {"tasks": "0"}
    files = group.open_files()
    assert sorted(files) == ["cpu", "freeze", "oom", "peak"]
    for fd in files.values():
        os.close(fd)
    (made.root / "pids" / at / "cgroup.procs").write_text("1\n")
    assert not group.remove()
    (made.root / "pids" / at / "cgroup.procs").write_text("")
    assert group.remove()
    assert not (made.root / "memory" / at).exists()


def test_a_group_that_cannot_be_made_whole_is_not_made(kernel: Callable[..., Kernel]) -> None:
    made = kernel(1)
    parent = cgroup.make_parent(cgroup.find(), "paddock-x")
    made.refused.add(parent.paths["freezer"] + "/cell-1")
    with pytest.raises(PermissionError):
        Group(parent, "cell-1")
    assert not list(made.root.glob("*/paddock-x/cell-1"))


def test_a_machine_without_swap_accounting_or_a_controller(kernel: Callable[..., Kernel]) -> None:
    made = kernel(2)
    (made.root / "cgroup.controllers").write_text("pids\n")
    group = Group(cgroup.make_parent(cgroup.find(), "paddock-x"), "cell-1")
    group.limit_memory(1)
    group.limit_processes(2)
    assert written(made.root / "paddock-x/cell-1") == {"pids.max": "2"}
    for fd in (files := group.open_files()).values():
        os.close(fd)
    assert list(files) == ["freeze"]


@pytest.mark.parametrize(
    ("version", "quota_us", "text"),
    [(1, 50_000, "50000"), (1, 0, "-1"), (1, -5, "-1"), (2, 50_000, "50000 100000"), (2, 0, "max 100000")],
)
def test_cpu_text(version: int, quota_us: int, text: str) -> None:
    assert cgroup.cpu_text(version, quota_us) == text


@pytest.mark.parametrize("version", [1, 2])
def test_sweeping_ends_what_was_left_and_nothing_else(kernel: Callable[..., Kernel], version: int) -> None:
    made = kernel(version)
    hierarchy = cgroup.find()
    parent = cgroup.make_parent(hierarchy, "paddock-x")
    Group(parent, "cell-1")
    Group(cgroup.make_parent(hierarchy, "paddock-y"), "cell-1")
    left = subprocess.Popen(["sleep", "600"])
    place = made.root / ("freezer" if version == 1 else "") / "paddock-x/cell-1"
    procs = place / "cgroup.procs"
    procs.write_text(f"{left.pid}\n0\n")
    rmdir, thawed = made.rmdir, []

    def once_it_is_dead(path: str | Path) -> None:
        if Path(path) == place and procs.read_text():
            thawed.append(written(place))
            assert left.wait(20) == -9
            procs.write_text("")
        rmdir(path)

    os.rmdir = once_it_is_dead  # type: ignore[assignment]  (the fixture puts it back)
    count = len(set(hierarchy.paths.values()))
    assert cgroup.sweep(hierarchy, "paddock-x") == 2 * count
    assert thawed[0].items() >= ({"freezer.state": "THAWED"} if version == 1 else {"cgroup.kill": "1"}).items()
    assert not list(made.root.rglob("paddock-x"))
    assert len(list(made.root.rglob("paddock-y"))) == count
    assert cgroup.sweep(hierarchy, "paddock-x") == 0


def test_sweeping_gives_up_on_what_cannot_be_removed(kernel: Callable[..., Kernel]) -> None:
    made = kernel(2)
    cgroup.make_parent(cgroup.find(), "paddock-x")
    (made.root / "paddock-x/cgroup.procs").write_text("0\n")  # nobody we can see
    with pytest.raises(OSError, match="busy"):
        cgroup.sweep(cgroup.find(), "paddock-x", patience_s=0.0)


def test_our_own_groups_and_mounts_can_be_read() -> None:
    assert all(path.startswith("/") for path in cgroup._own_groups().values())
    assert any(fields[1] == "/proc" for fields in cgroup._mounts())


@pytest.mark.parametrize("version", [1, 2])
def test_what_a_dead_zygote_left_is_cleared_and_nothing_else(kernel: Callable[..., Kernel], version: int) -> None:
    made = kernel(version)
    parent = cgroup.make_parent(cgroup.find(), "paddock-x")
    for name in ("1-python-7", "1-python-8", "11-python-7"):
        Group(parent, name)
    left = subprocess.Popen(["sleep", "600"])
    place = made.root / ("freezer" if version == 1 else "") / "paddock-x/1-python-7"
    (place / "cgroup.procs").write_text(f"{left.pid}\n")
    assert not cgroup.clear(parent, "1-python-")  # it was not yet out of its group, and nobody waited for it
    assert written(place).items() >= ({"freezer.state": "THAWED"} if version == 1 else {"cgroup.kill": "1"}).items()
    assert left.wait(20) == -9
    (place / "cgroup.procs").write_text("")
    assert cgroup.clear(parent, "1-python-")
    assert cgroup.clear(parent, "1-python-")
    count = len(set(parent.paths.values()))
    assert [path.name for path in made.root.rglob("*-python-*")] == ["11-python-7"] * count
