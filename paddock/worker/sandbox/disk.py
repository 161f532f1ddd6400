"""/tmp on disk: one file system of a size that is set aside, in which each environment has a limited part of its own.

A tmpfs counts against the function's memory, so that a function of 128 MB cannot fill its 512 MB of /tmp, as it can on
AWS. Here /tmp is a subvolume of a btrfs in one file on the data directory's disk, with a limit (a qgroup). Making one
takes two calls of some 50 microseconds together; nothing is formatted or attached for an environment.

    open_up()      in the jailer, in a mount namespace of its own: the file, its file system, its mount
    make()         in a zygote: a subvolume with its limit, as a detached mount
    remove()       in a zygote, or in the jailer for a zygote that was killed

All of the file's blocks are reserved, so a full disk of the host is no matter to who writes in here; a full file is an
ordinary error to the one who writes. The file loses its name as soon as it is attached, and the device lets go of it
with the last mount: however Paddock ends, nothing stays. Functions cannot make subvolumes of their own, which would
have no limit: the system call filter knows no request of btrfs (seccomp.py).

Runs in the jailer and in zygotes: standard library only, Python 3.9.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import subprocess

from paddock.worker.sandbox import linux

DIRECTORY = "tmp"  # in the data directory
SIZE_MB_MIN = 512

_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE = 0x4C82, 0x4C0A
_AUTOCLEAR_DIRECT_IO = 4 | 16
_SUBVOL_CREATE, _SNAP_DESTROY = 0x5000940E, 0x5000940F
_QUOTA_CTL, _QGROUP_LIMIT = 0xC0109428, 0x8030942B
_QUOTA_ENABLE, _QUOTA_ENABLE_SIMPLE = 1, 4
_LIMIT_REFERENCED = 1
_TRIES = 20
_BDI = "/sys/class/bdi"
_DIRTY_BYTES_MAX = 32 << 20


def missing() -> str:
    """What this machine lacks for it, "" when nothing."""
    with open("/proc/filesystems") as file:
        if "\tbtrfs\n" not in file.read():
            return "the kernel has no btrfs (modprobe btrfs)"
    if not os.path.exists("/dev/loop-control"):
        return "there is no /dev/loop-control (modprobe loop)"
    if shutil.which("mkfs.btrfs", path=_PATH) is None:
        return "mkfs.btrfs is not installed (apt install btrfs-progs)"
    return ""


_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"


def open_up(data: str, size_mb: int) -> None:
    """Make and mount it at data/tmp. Call it in a mount namespace of one's own, as root. Raises OSError."""
    lacking = missing()
    if lacking:
        raise OSError(errno.ENOTSUP, lacking)
    image = os.path.join(data, "tmp.img")
    file = os.open(image, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(file, 0, size_mb << 20)
        program = shutil.which("mkfs.btrfs", path=_PATH)
        done = subprocess.run([str(program), "-q", "-K", "-m", "single", image], capture_output=True, check=False)
        if done.returncode:
            raise OSError(errno.EIO, "mkfs.btrfs: " + done.stderr.decode(errors="replace").strip()[-200:])
        device, path = _attach(file)
    finally:
        os.unlink(image)
        os.close(file)
    place = os.path.join(data, DIRECTORY)
    before = set(_writers())
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)
        linux.mount(path, place, "btrfs", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOATIME, "commit=5")
    finally:
        os.close(device)  # from here on the mount alone holds it
    for name in set(_writers()) - before:
        _bound_dirty(name)
    top = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _enable_quota(top)
    finally:
        os.close(top)


def _writers() -> list[str]:
    """What the kernel writes back for a btrfs, by name."""
    try:
        return [name for name in os.listdir(_BDI) if name.startswith("btrfs")]
    except OSError:
        return []


def _bound_dirty(name: str) -> None:
    """Whoever writes faster than the disk waits for it. On cgroup v1 nothing else would make a function wait: what it
    has written and the disk has not counts as its memory, and it would be killed for it.
    """
    try:
        for file, value in (("max_bytes", _DIRTY_BYTES_MAX), ("strict_limit", 1)):
            with open(f"{_BDI}/{name}/{file}", "w") as switch:
                switch.write(str(value))
    except OSError:
        pass  # before Linux 6.2


def _attach(file: int) -> tuple[int, str]:
    """(descriptor, path) of a loop device over the file; the device is free again when nobody uses it."""
    with open("/dev/loop-control", "rb") as control:
        for _ in range(_TRIES):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            path = f"/dev/loop{number}"
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            info = struct.pack("=QQQQQIIII", 0, 0, 0, 0, 0, number, 0, 0, _AUTOCLEAR_DIRECT_IO).ljust(232, b"\0")
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, struct.pack("=II", file, 4096) + info + bytes(64))
                return device, path
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # else somebody was quicker
                    raise
    raise OSError(errno.EBUSY, "no free loop device")


def _enable_quota(top: int) -> None:
    """Simple quotas count to whom an extent was first given, and cost next to nothing; from Linux 6.7 on."""
    try:
        fcntl.ioctl(top, _QUOTA_CTL, bytearray(struct.pack("=QQ", _QUOTA_ENABLE_SIMPLE, 0)))
    except OSError:
        fcntl.ioctl(top, _QUOTA_CTL, bytearray(struct.pack("=QQ", _QUOTA_ENABLE, 0)))


def make(top: int, name: str, size_mb: int) -> int:
    """A new part of that name and size: a descriptor of its mount, detached. Raises OSError and leaves nothing."""
    fcntl.ioctl(top, _SUBVOL_CREATE, _named(name))
    try:
        part = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=top)
        try:
            fcntl.ioctl(part, _QGROUP_LIMIT, struct.pack("=QQQQQQ", 0, _LIMIT_REFERENCED, size_mb << 20, 0, 0, 0))
            os.fchmod(part, 0o1777)
            mount = linux.open_tree_clone(part, "")
        finally:
            os.close(part)
        linux.mount_setattr(mount, "", linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV)
        return mount
    except OSError:
        remove(top, name)
        raise


def remove(top: int, name: str) -> None:
    """Forget a part; absent is not an error. What still has it open keeps it until it ends."""
    try:
        fcntl.ioctl(top, _SNAP_DESTROY, _named(name))
    except FileNotFoundError:
        pass


def _named(name: str) -> bytearray:
    return bytearray(struct.pack("=q4088s", 0, name.encode()))
