"""The Linux calls that Python 3.9 does not offer, through libc: namespaces, mounts, capabilities, seccomp.

Everything here raises OSError with the kernel's errno and the call's name. It runs inside the jailer and inside
zygotes, whose interpreters may be any Python from 3.9 on, so it imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import Optional

CLONE_PARENT = 0x00008000
CLONE_CHILD_CLEARTID = 0x00200000
CLONE_CHILD_SETTID = 0x01000000
CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_NOATIME = 1024
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_SECCOMP = 22
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_GET_TID_ADDRESS = 40
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2

SIOCSIFADDR = 0x8916
SIOCSIFNETMASK = 0x891C
SIOCSIFFLAGS = 0x8914
IFF_UP = 1

_ARM = platform.machine() == "aarch64"
SYS_PIVOT_ROOT = 41 if _ARM else 155
SYS_GET_ROBUST_LIST = 100 if _ARM else 274
SYS_CAPSET = 91 if _ARM else 126
SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_CLOSE_RANGE = 436
SYS_PIDFD_GETFD = 438
SYS_OPENAT2 = 437
SYS_MOUNT_SETATTR = 442

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _syscall(what: str, number: int, *args: object) -> int:
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return _check(_libc.syscall(ctypes.c_long(number), *wide), what)


def raw(number: int, *args: int) -> int:
    """A system call by its number: the result, or the error's number below zero."""
    result: int = _libc.syscall(ctypes.c_long(number), *[ctypes.c_long(argument) for argument in args])
    return result if result >= 0 else -ctypes.get_errno()


def make_executable(address: int, size: int) -> None:
    """And read-only: memory is never both written to and run."""
    read_execute = 5
    _check(_libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), ctypes.c_int(read_execute)), "mprotect")


def thread_id_address() -> int:
    """Where the C library keeps the id of this thread."""
    place = ctypes.c_ulong()
    zero = ctypes.c_ulong(0)
    result = _libc.prctl(ctypes.c_int(PR_GET_TID_ADDRESS), ctypes.byref(place), zero, zero, zero)
    _check(result, "prctl(PR_GET_TID_ADDRESS)")
    return place.value


def robust_list_address() -> int:
    """Of the head of this thread's list of robust locks, which a fork made by hand must name again."""
    head, size = ctypes.c_ulong(), ctypes.c_size_t()
    number = ctypes.c_long(SYS_GET_ROBUST_LIST)
    _check(_libc.syscall(number, ctypes.c_long(0), ctypes.byref(head), ctypes.byref(size)), "get_robust_list")
    return head.value


def take_descriptor(pidfd: int, number: int) -> int:
    """A copy of that descriptor of another process."""
    return _syscall("pidfd_getfd", SYS_PIDFD_GETFD, pidfd, number, 0)


def signal_all(number: int) -> bool:
    """To everything in the caller's pid namespace but itself and pid 1; False when there is nothing."""
    try:
        os.kill(-1, number)
    except ProcessLookupError:
        return False
    return True


def unshare(flags: int) -> None:
    _check(_libc.unshare(ctypes.c_int(flags)), f"unshare({flags:#x})")


def setns(fd: int, flags: int) -> None:
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(flags)), f"setns({flags:#x})")


def mount(source: str, target: str, kind: Optional[str], flags: int = 0, data: Optional[str] = None) -> None:
    """mount(2). The target stands in the error's text, for mounts are many and errno is terse."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind is not None else None,
        ctypes.c_ulong(flags),
        data.encode() if data is not None else None,
    )
    _check(result, f"mount {kind or 'bind'} on {target}")


def umount_detach(target: str) -> None:
    _check(_libc.umount2(target.encode(), ctypes.c_int(MNT_DETACH)), f"umount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    _syscall("pivot_root", SYS_PIVOT_ROOT, ctypes.c_char_p(new_root.encode()), ctypes.c_char_p(put_old.encode()))


def open_tree_clone(directory_fd: int, path: str, recursive: bool = False) -> int:
    """A detached copy of the mount at `path` (with everything below it when recursive); the descriptor owns it."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_EMPTY_PATH if not path else 0)
    if recursive:
        flags |= AT_RECURSIVE
    return _syscall("open_tree", SYS_OPEN_TREE, directory_fd, ctypes.c_char_p(path.encode()), flags)


def open_beneath(directory_fd: int, path: str, directory: bool = True) -> int:
    """An O_PATH descriptor of the directory `path` below `directory_fd`; OSError when a symbolic link is on the way.

    directory: False for what may be a file.
    """
    how = struct.pack(
        "=QQQ",
        os.O_PATH | (os.O_DIRECTORY if directory else 0) | os.O_NOFOLLOW | os.O_CLOEXEC,
        0,
        RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    )
    name = ctypes.c_char_p(path.encode())
    return _syscall("openat2", SYS_OPENAT2, directory_fd, name, ctypes.c_char_p(how), len(how))


class _MountAttr(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def mount_setattr(fd: int, path: str, attributes: int, recursive: bool = False) -> None:
    """Add mount attributes. Only adds, so flags that an outer user namespace has locked stay as they are."""
    value = _MountAttr(attributes, 0, 0, 0)
    flags = (AT_EMPTY_PATH if not path else 0) | (AT_RECURSIVE if recursive else 0)
    _syscall(
        "mount_setattr",
        SYS_MOUNT_SETATTR,
        fd,
        ctypes.c_char_p(path.encode()),
        flags,
        ctypes.byref(value),
        ctypes.sizeof(value),
    )


def move_mount(mount_fd: int, target: str) -> None:
    """Attach a detached mount at `target` in the caller's mount namespace."""
    _syscall(
        f"move_mount on {target}",
        SYS_MOVE_MOUNT,
        mount_fd,
        ctypes.c_char_p(b""),
        AT_FDCWD,
        ctypes.c_char_p(target.encode()),
        MOVE_MOUNT_F_EMPTY_PATH,
    )


def move_mount_onto(mount_fd: int, place_fd: int) -> None:
    """As move_mount, at the file or directory that is open as `place_fd`."""
    empty = ctypes.c_char_p(b"")
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    _syscall("move_mount", SYS_MOVE_MOUNT, mount_fd, empty, place_fd, empty, flags)


def bind(source: str, target: str, read_only: bool = True, devices: bool = False, recursive: bool = False) -> None:
    """Bind `source` on `target`, nosuid, without device nodes unless asked for, read-only unless told otherwise."""
    fd = open_tree_clone(AT_FDCWD, source, recursive)
    try:
        attributes = MOUNT_ATTR_NOSUID
        attributes |= MOUNT_ATTR_RDONLY if read_only else 0
        attributes |= 0 if devices else MOUNT_ATTR_NODEV
        mount_setattr(fd, "", attributes, recursive)
        move_mount(fd, target)
    finally:
        os.close(fd)


def close_range(first: int) -> None:
    """Close every descriptor from `first` on."""
    try:
        _syscall("close_range", SYS_CLOSE_RANGE, first, 0xFFFFFFFF, 0)
    except OSError:  # before Linux 5.9
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def prctl(option: int, value: int = 0, third: int = 0) -> int:
    zero = ctypes.c_ulong(0)
    result = _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), ctypes.c_ulong(third), zero, zero)
    return _check(result, f"prctl({option})")


def set_process_name(name: str) -> None:
    buffer = ctypes.create_string_buffer(name.encode()[:15] + b"\0")
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(ctypes.c_int(PR_SET_NAME), buffer, zero, zero, zero), "prctl(PR_SET_NAME)")


def die_with_parent() -> None:
    """SIGKILL for this process when its parent ends. Cleared by the kernel at every change of credentials."""
    prctl(PR_SET_PDEATHSIG, 9)


def drop_bounding_set() -> None:
    """No capability may ever be gained again. Needs CAP_SETPCAP, unless it is empty already."""
    for capability in range(64):
        try:
            if prctl(PR_CAPBSET_READ, capability):
                prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:
                break  # past the last one this kernel knows
            raise


def drop_capabilities() -> None:
    """Empty every capability set, the bounding set too, and forbid gaining any by execve."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    drop_bounding_set()
    header = struct.pack("=Ii", 0x20080522, 0)
    _syscall("capset", SYS_CAPSET, ctypes.c_char_p(header), ctypes.c_char_p(b"\0" * 24))
    prctl(PR_SET_NO_NEW_PRIVS, 1)


class _SockFprog(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def install_seccomp(program: bytes) -> None:
    """Load a classic-BPF seccomp program (8 bytes an instruction). Needs no_new_privs."""
    fprog = _SockFprog(len(program) // 8, program)
    zero = ctypes.c_ulong(0)
    result = _libc.prctl(
        ctypes.c_int(PR_SET_SECCOMP), ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(fprog), zero, zero
    )
    _check(result, "prctl(PR_SET_SECCOMP)")
