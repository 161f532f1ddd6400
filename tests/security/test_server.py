"""The process that speaks HTTP holds no privilege, and what it could reach if it were taken over is little."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.security.test_processes import status_of
from tests.support.server import RunningServer

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def test_it_has_no_capability_and_can_gain_none(paddock: RunningServer) -> None:
    status = status_of(Path(f"/proc/{paddock.server_pid}/status").read_text())
    assert {name: int(status[name], 16) for name in CAPABILITIES} == dict.fromkeys(CAPABILITIES, 0)
    assert status["NoNewPrivs"] == "1"


def test_it_is_nobody_the_machine_knows(paddock: RunningServer, mode: str) -> None:
    status = status_of(Path(f"/proc/{paddock.server_pid}/status").read_text())
    if mode == "rootless":
        owner = str(paddock.data_dir.stat().st_uid)
        assert status["Uid"].split() == [owner] * 4
        assert owner != "0"
        return
    uid = status["Uid"].split()[0]
    assert status["Uid"].split() == status["Gid"].split() == [uid] * 4
    assert int(uid) > 0
    assert status["Groups"] == ""


def test_its_descriptors_are_its_own(paddock: RunningServer) -> None:
    """No directory, no memory of the jailer's, nothing of another user's but the log that was given to it."""
    log = paddock.data_dir.parent / "server.log"
    for link in Path(f"/proc/{paddock.server_pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except FileNotFoundError:
            continue
        own = target.startswith((str(paddock.data_dir / "server"), "socket:", "pipe:", "anon_inode:"))
        group_file = "/sys/fs/cgroup/" in target and "/paddock-" in target and target.count("/") > 5
        process = target.startswith("/proc/") and link.is_dir()  # rootless: of an environment, to count its memory
        assert own or group_file or process or target in ("/dev/null", str(log)), target


def as_the_server(paddock: RunningServer, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the server's user and in its mounts: what a taken-over server could do."""
    nsenter = shutil.which("nsenter")
    if nsenter is None:
        pytest.skip("nsenter, which takes the server's place, is not installed")
    pid = paddock.server_pid
    uid = status_of(Path(f"/proc/{pid}/status").read_text())["Uid"].split()[0]
    ids = ["--setuid", uid, "--setgid", uid]
    return subprocess.run(
        [nsenter, "--target", str(pid), "--mount", *ids, "--", *command], capture_output=True, text=True, check=False
    )


def test_it_reads_nothing_of_roots(paddock: RunningServer, mode: str) -> None:
    if mode == "rootless":
        pytest.skip("a rootless server is its owner: it reads what the owner reads (SECURITY.md)")
    assert as_the_server(paddock, "true").returncode == 0
    for path in ("/etc/shadow", "/proc/1/environ", f"/proc/{paddock.pid}/environ", f"/proc/{paddock.pid}/mem"):
        assert as_the_server(paddock, "cat", path).returncode != 0, path
    listed = as_the_server(paddock, "find", "/root", "-maxdepth", "1", "-name", ".*rc").stdout
    assert listed == ""
    assert as_the_server(paddock, "kill", "-0", str(paddock.pid)).returncode != 0


def test_it_writes_nothing_that_runs_with_privilege(paddock: RunningServer, mode: str) -> None:
    """Zygotes import what lies in data/runtimes and start as root: the server must not be able to change it."""
    if mode == "rootless":
        pytest.skip("a rootless server and its jailer are one user (SECURITY.md)")
    for name in ("", "runtimes", "root"):
        place = paddock.data_dir / name
        info = place.stat()
        assert info.st_uid == 0, place
        assert not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH), place
        assert as_the_server(paddock, "touch", str(place / "intruder")).returncode != 0
        assert as_the_server(paddock, "mv", str(place), str(place) + "-away").returncode != 0
    for top, directories, names in os.walk(paddock.data_dir / "runtimes"):
        for name in [*directories, *names]:
            info = Path(top, name).lstat()
            assert info.st_uid == 0, name
            assert stat.S_ISLNK(info.st_mode) or not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH), name


def test_its_own_directory_is_closed_to_others(paddock: RunningServer) -> None:
    """Code and environment variables lie there unencrypted."""
    assert stat.S_IMODE((paddock.data_dir / "server").stat().st_mode) == 0o700


def test_it_mounts_nothing_and_ends_nobody(paddock: RunningServer, mode: str) -> None:
    if mode == "rootless":
        pytest.skip("a rootless server is its owner: it may do what the owner may (SECURITY.md)")
    assert as_the_server(paddock, "mount", "-t", "tmpfs", "none", "/mnt").returncode != 0
    assert as_the_server(paddock, "kill", "-9", "1").returncode != 0


def test_only_its_user_may_talk_to_its_helpers(paddock: RunningServer) -> None:
    """The control sockets are nameless pairs: nobody can connect to them, by path or abstract name.

    A name that a Paddock holds as a lock is a stream socket that does not listen: it takes no connection either.
    """
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    named = [row for row in rows if "paddock" in row[-1] and "test" not in row[-1]]
    locks = [row for row in named if row[-1].startswith("@paddock-link-") and row[3:5] == ["00000000", "0001"]]
    assert [row for row in named if row not in locks] == []
    for row in locks:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock, pytest.raises(ConnectionRefusedError):
            knock.connect("\0" + row[-1][1:])


def test_the_jailer_and_zygotes_hold_no_door_open(paddock: RunningServer) -> None:
    """Nobody but the server listens: a taken-over neighbour cannot connect to what has privilege."""
    for pid in [paddock.pid, *_zygotes_of(paddock)]:
        sockets = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
        inodes = {name.removeprefix("socket:[").rstrip("]") for name in sockets if name.startswith("socket:")}
        listening = set()
        for table in ("tcp", "tcp6"):
            rows = [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
            listening |= {row[9] for row in rows if row[3] == "0A"}
        assert inodes & listening == set()


def _zygotes_of(paddock: RunningServer) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name.endswith("(paddock-zygote") and int(rest.split()[1]) == paddock.pid:
            found.append(int(path.parent.name))
    return found
