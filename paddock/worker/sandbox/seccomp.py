"""The system calls a function may make: an allow list, by purpose, compiled to classic BPF once at start.

How it works. `GROUPS` names every permitted call with the reason for the group; a few calls are permitted by
argument only (`clone` without new namespaces, `socket` of harmless families and protocols, `ioctl` but for terminal
injection, `personality` for asking). Everything else fails with EPERM; calls newer than this list, and those for
which the C library has a fallback (clone3, io_uring), fail with ENOSYS so that programs fall back. A foreign
architecture's calls kill the process. The program is a binary search over call numbers, and the kernel caches the
verdicts that do not depend on arguments, so its length costs nothing per call.

It is smaller than Docker's default: no System V IPC, message queues, AIO, chroot, setns, mount family, keyrings,
ptrace and process_vm, bpf, perf, userfaultfd, io_uring, landlock, quotas, clocks, extended attribute writes.
"""

from __future__ import annotations

import json
import platform
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

GROUPS: Mapping[str, str] = {
    # files: ordinary work on files that the mount namespace shows; permissions and read-only mounts do the rest
    "files": """read write open openat openat2 creat close stat fstat lstat newfstatat statx lseek pread64 pwrite64
        readv writev preadv pwritev preadv2 pwritev2 access faccessat faccessat2 pipe pipe2 dup dup2 dup3 fcntl flock
        fsync fdatasync sync_file_range truncate ftruncate getdents getdents64 getcwd chdir fchdir rename renameat
        renameat2 mkdir mkdirat rmdir link linkat unlink unlinkat symlink symlinkat readlink readlinkat chmod fchmod
        fchmodat fchmodat2 chown fchown lchown fchownat umask utime utimes utimensat futimesat statfs fstatfs
        fallocate fadvise64 readahead copy_file_range sendfile splice tee vmsplice cachestat close_range
        getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr mknod mknodat
        inotify_init inotify_init1 inotify_add_watch inotify_rm_watch""",
    # memory: allocators, just-in-time compilers and numeric libraries
    "memory": """mmap mprotect munmap brk mremap msync mincore madvise mlock mlock2 munlock mlockall munlockall
        membarrier memfd_create pkey_alloc pkey_free pkey_mprotect map_shadow_stack get_mempolicy""",
    # processes and threads: subprocesses inside the environment's own pid namespace, under its pids limit
    "processes": """fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill getpid getppid gettid
        getpgrp getpgid setpgid getsid setsid getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid
        setreuid setregid setresuid setresgid setfsuid setfsgid capget prctl arch_prctl set_tid_address
        set_robust_list get_robust_list rseq futex futex_waitv futex_wake futex_wait futex_requeue
        sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler sched_getattr
        sched_get_priority_max sched_get_priority_min sched_rr_get_interval getpriority setpriority getrusage times
        getrlimit setrlimit prlimit64 restart_syscall pidfd_open pidfd_send_signal""",
    # signals and timers
    "signals": """rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigqueueinfo
        rt_tgsigqueueinfo rt_sigsuspend sigaltstack pause alarm getitimer setitimer signalfd signalfd4 eventfd eventfd2
        timerfd_create timerfd_settime timerfd_gettime timer_create timer_settime timer_gettime timer_getoverrun
        timer_delete clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time""",
    # waiting
    "polling": """poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait
        epoll_pwait2""",
    # sockets, within the environment's own network namespace; `socket` itself is filtered by family
    "network": """socketpair connect bind listen accept accept4 getsockname getpeername sendto recvfrom sendmsg recvmsg
        sendmmsg recvmmsg shutdown setsockopt getsockopt""",
    # asking about the system
    "information": """uname sysinfo getrandom getcpu""",
}

FALLBACK = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register")

_ALLOW = 0x7FFF0000
_EPERM = 0x00050001
_ENOSYS = 0x00050026
_EPROTONOSUPPORT = 0x0005005D
_ENOTTY = 0x00050019
_KILL = 0x80000000
_BTRFS = 0x94  # the letter of its requests
_LD, _JEQ, _JGE, _JSET, _RET, _JA, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x05, 0x54
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag that clone(2) itself understands
_ARG = (16, 24, 32)  # offsets of the low halves of the first three arguments (both machines are little-endian)

Instruction = tuple[int, int, int, int]


def _clone() -> list[Instruction]:
    return [(_LD, 0, 0, _ARG[0]), (_JSET, 0, 1, _NEW_NAMESPACES), (_RET, 0, 0, _EPERM), (_RET, 0, 0, _ALLOW)]


def _socket() -> list[Instruction]:
    """AF_UNIX; TCP and UDP over IPv4 and IPv6; AF_NETLINK for routes only (getaddrinfo and ifaddrs ask there).

    Other protocols (MPTCP, SCTP, L2TP) are large parts of the kernel that no function needs, some of them modules
    that asking would load. Programs that would like one fall back when it is not supported.
    """
    return [
        (_LD, 0, 0, _ARG[0]),
        (_JEQ, 10, 0, 1),
        (_JEQ, 2, 0, 2),
        (_JEQ, 1, 0, 10),
        (_JEQ, 5, 8, 16),
        (_LD, 0, 0, _ARG[2]),
        (_JEQ, 5, 0, 0),
        (_JEQ, 4, 0, 6),
        (_JEQ, 3, 0, 17),
        (_RET, 0, 0, _EPROTONOSUPPORT),
        (_LD, 0, 0, _ARG[2]),
        (_JEQ, 0, 1, 0),
        (_RET, 0, 0, _ALLOW),
        (_RET, 0, 0, _EPERM),
    ]


def _ioctl() -> list[Instruction]:
    """Everything but TIOCSTI and TIOCLINUX, which type into a terminal, and what is btrfs's own.

    /tmp may be a btrfs, whose users make subvolumes that no limit counts. To programs it seems not to know them.
    """
    return [
        (_LD, 0, 0, _ARG[1]),
        (_JEQ, 5, 0, 0x5412),
        (_JEQ, 4, 0, 0x541C),
        (_AND, 0, 0, 0xFF00),
        (_JEQ, 1, 0, _BTRFS << 8),
        (_RET, 0, 0, _ALLOW),
        (_RET, 0, 0, _ENOTTY),
        (_RET, 0, 0, _EPERM),
    ]


def _personality() -> list[Instruction]:
    return [
        (_LD, 0, 0, _ARG[0]),
        (_JEQ, 1, 0, 0),
        (_JEQ, 0, 1, 0xFFFFFFFF),
        (_RET, 0, 0, _ALLOW),
        (_RET, 0, 0, _EPERM),
    ]


def allowed() -> frozenset[str]:
    """Names of all calls that are permitted whatever their arguments."""
    return frozenset(name for names in GROUPS.values() for name in names.split())


def numbers(names: Iterable[str], machine: str = "") -> dict[str, int]:
    """The numbers of these calls on `machine` (this one by default). KeyError: there is none."""
    table = _table(machine or platform.machine())
    return {name: table[name] for name in names}


def _table(machine: str) -> dict[str, int]:
    table: dict[str, int] = json.loads((Path(__file__).parent / "syscalls.json").read_text())[machine]
    return table


def _segments(machine: str) -> list[tuple[int, tuple[Instruction, ...]]]:
    """(first number, code) in order: from that number up to the next segment the code decides."""
    numbers = _table(machine)
    verdicts: dict[int, tuple[Instruction, ...]] = {}
    for name in allowed():
        if name in numbers:  # the generic table lacks the calls that older machines carry
            verdicts[numbers[name]] = ((_RET, 0, 0, _ALLOW),)
    for name in FALLBACK:
        verdicts[numbers[name]] = ((_RET, 0, 0, _ENOSYS),)
    for name, code in (
        ("clone", _clone()),
        ("socket", _socket()),
        ("ioctl", _ioctl()),
        ("personality", _personality()),
    ):
        verdicts[numbers[name]] = tuple(code)
    refuse: tuple[Instruction, ...] = ((_RET, 0, 0, _EPERM),)
    unknown: tuple[Instruction, ...] = ((_RET, 0, 0, _ENOSYS),)
    last = max(numbers.values())
    segments: list[tuple[int, tuple[Instruction, ...]]] = []
    for number in range(last + 2):
        code_here = unknown if number > last else verdicts.get(number, refuse)
        if not segments or segments[-1][1] != code_here:
            segments.append((number, code_here))
    if machine == "x86_64":
        segments.append((0x40000000, ((_RET, 0, 0, _KILL),)))  # the x32 alias of every call
    return segments


def _search(segments: list[tuple[int, tuple[Instruction, ...]]]) -> list[Instruction]:
    if len(segments) == 1:
        return list(segments[0][1])
    middle = len(segments) // 2
    low, high = _search(segments[:middle]), _search(segments[middle:])
    pivot = segments[middle][0]
    if len(low) <= 255:
        return [(_JGE, len(low), 0, pivot), *low, *high]
    return [(_JGE, 0, 1, pivot), (_JA, 0, 0, len(low)), *low, *high]


def program(machine: str = "") -> bytes:
    """The filter for `machine` (this one's by default), ready for PR_SET_SECCOMP. KeyError: unknown machine."""
    machine = machine or platform.machine()
    code: list[Instruction] = [
        (_LD, 0, 0, 4),
        (_JEQ, 1, 0, _AUDIT_ARCH[machine]),
        (_RET, 0, 0, _KILL),
        (_LD, 0, 0, 0),
        *_search(_segments(machine)),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
