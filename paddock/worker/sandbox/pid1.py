"""Pid 1 of an environment: a list of system calls, made once for each zygote, and a loop of fifty instructions.

Everything that shuts the doors of an environment is the same for all environments of a zygote, down to the numbers of
descriptors. So it is written down once, as data, and carried out by a program that has nothing else in it: no
interpreter, no library, no memory of its own but a page of stack. That program is pid 1; it takes 40 kB where a forked
Python took 1.7 MB, and the functions' processes, which are forks of the zygote, begin where it has finished.

    descriptor 0        the server: one byte is a signal for every process in the environment; the byte 0 ends them
                        all, until none is left, and is answered. Its end is the end of us, and with pid 1 the kernel
                        ends everything in the namespace
    descriptors 1, 2    what the runtime writes to; kept for its successors
    while it is made    3 the zygote: "1" when all is done, or where it failed; 4 the user namespace to enter; from 5
                        on the groups to join

Orphans are reaped by the kernel, for we ignore SIGCHLD. Only what a function cannot reach has the time to matter: the
filter that holds functions holds us, too, and no identity or capability is left when the loop begins.

The order matters: groups first (so that everything after is charged), namespaces, network (needs the capability),
mounts, then the host's root is detached, identity is given up by entering a prepared user namespace, capabilities go,
descriptors are closed, the filter comes on.

Caveat: the program is for x86_64. Elsewhere, and where a memory file may not be executed, a fork of the zygote does the
same, in Python, from the same list. Standard library only, Python 3.9.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import select
import socket
import struct
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from paddock.worker.sandbox import linux, userland

RUNTIME_ADDRESS = "169.254.100.1"
RUNTIME_PORT = 9001
NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWCGROUP | linux.CLONE_NEWNET
END_ALL = b"\0"
PROCESSES_MAX = 1024
DESCRIPTORS_MAX = 1024
LOCKED_BYTES_MAX = 65536

# What tells of the whole machine: its kernel's keys, symbols, timers, command line, and who uses devices when.
MASKED = """/proc/keys /proc/key-users /proc/kallsyms /proc/modules /proc/timer_list /proc/sched_debug
    /proc/latency_stats /proc/interrupts /proc/cmdline /proc/kcore /proc/sysrq-trigger""".split()

# Their numbers are handed in: see Pid1.
CALLS = """bind capset chdir close close_range dup3 ioctl listen mount mount_setattr move_mount open_tree openat prctl
    prlimit64 rt_sigaction sendmsg set_robust_list setgroups sethostname setns setresgid setresuid setsid setsockopt
    socket umount2 unshare write""".split()

_STATUS, _USERS, _GROUPS = 3, 4, 5
_READY = b'{"event": "ready"}'
_ENDED = b'{"event":"ended"}'
DONE = b"1"
_RESOURCES = ((6, PROCESSES_MAX), (7, DESCRIPTORS_MAX), (4, 0), (8, LOCKED_BYTES_MAX))  # NPROC, NOFILE, CORE, MEMLOCK
_SIGCHLD = 17
_PAUSE_S = 0.0005
_SEALS = 0xF  # against growing, shrinking, writing, and other seals
CALL = struct.Struct("=8q")
_FAILED = struct.Struct("=qq")
_BASE = 0x400000
_IMAGE_BYTES = 1 << 16

# tests/unit holds the source.
_CODE = bytes.fromhex(
    "488b1de9000000488b034885c07844488b7b08488b7310488b53184c8b53204c8b43284c8b4b300f054885c0791f4883"
    "7b380075185053bf030000004889e6ba10000000b8010000000f05eb064883c340ebb431ff488d7424f8ba0100000031"
    "c00f0531ff4883f801755a0fb67424f885f6741048c7c7ffffffffb83e0000000f05ebcf48c7c7ffffffffbe09000000"
    "b83e0000000f054885c07812488d3d3d00000031f6b8230000000f05ebd631ff488d3515000000ba11000000b8010000"
    "000f05eb8eb8e70000000f057b226576656e74223a22656e646564227d0f1f00000000000000000020a1070000000000"
    "0000000000000000"
)
_LIST_AT = len(_CODE) - 8
_HEADERS_BYTES = 64 + 2 * 56


class Calls:
    """A list of system calls and their data, for one place in memory.

    base: the address at which it will lie; the first `reserved` bytes of it are somebody else's.
    """

    def __init__(self, base: int, reserved: int, numbers: Dict[str, int]) -> None:
        self._base = base + reserved
        self._numbers = numbers
        self._data = bytearray()
        self._list: List[Tuple[int, ...]] = []
        self.names: List[str] = []

    def put(self, content: bytes) -> int:
        """Keep the content; its address."""
        address = self._base + len(self._data)
        self._data += content + b"\0" * (-len(content) % 8)
        return address

    def add(self, name: str, *arguments: Any, may_fail: bool = False) -> None:
        """arguments: numbers; texts and bytes stand for their addresses."""
        words = [self._word(argument) for argument in arguments]
        self._list.append((self._numbers[name], *words, *[0] * (6 - len(words)), int(may_fail)))
        self.names.append(name)

    def _word(self, argument: Any) -> int:
        if isinstance(argument, str):
            return self.put(argument.encode() + b"\0")
        return self.put(argument) if isinstance(argument, bytes) else int(argument)

    @property
    def list_address(self) -> int:
        return self._base + len(self._data)

    def image(self) -> bytes:
        """What lies behind the reserved bytes: data, then the list and its end."""
        return bytes(self._data) + b"".join(CALL.pack(*one) for one in self._list) + struct.pack("=q", -1)

    def complaint(self, told: bytes) -> str:
        """In words, what a failure was; "" when this does not tell of one."""
        if len(told) != _FAILED.size:
            return ""
        address, result = _FAILED.unpack(told)
        return f"{self.names[(address - self.list_address) // CALL.size]}: {os.strerror(-result)}"

    def carry_out(self, call: Callable[..., int]) -> Optional[bytes]:
        """In Python. None, or what the program would say of a failure. call: number and arguments to a result."""
        for index, (number, *words) in enumerate(self._list):
            result = call(number, *words[:6])
            if result < 0 and not words[6]:
                return _FAILED.pack(self.list_address + index * CALL.size, result)
        return None


class Spec(NamedTuple):
    """groups: how many to join. seccomp: the filter. api_port: where Paddock's API is reached inside.

    masked: of MASKED, what this kernel has. capabilities: how many it knows.
    """

    groups: int
    seccomp: bytes
    api_port: int
    masked: Sequence[str]
    capabilities: int


def _network(calls: Calls, spec: Spec, free: int) -> None:
    """Loopback with the Runtime API's address; the two listening sockets become descriptors free and free + 1."""
    up = struct.pack("16sH22x", b"lo", linux.IFF_UP)
    calls.add("socket", socket.AF_INET, socket.SOCK_DGRAM, 0)
    calls.add("ioctl", free, linux.SIOCSIFFLAGS, up)
    for request, value in ((linux.SIOCSIFADDR, RUNTIME_ADDRESS), (linux.SIOCSIFNETMASK, "255.255.255.255")):
        inet = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
        calls.add("ioctl", free, request, struct.pack("16s16s8x", b"lo:1", inet))
    calls.add("close", free)
    for number, port in enumerate((RUNTIME_PORT, spec.api_port), free):
        address = struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(RUNTIME_ADDRESS)
        calls.add("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
        calls.add("setsockopt", number, socket.SOL_SOCKET, socket.SO_REUSEADDR, struct.pack("=i", 1), 4)
        calls.add("bind", number, address + bytes(8), 16)
        calls.add("listen", number, 64)


def _mounts(calls: Calls, spec: Spec, free: int) -> None:
    safe = linux.MS_NOSUID | linux.MS_NODEV
    calls.add("umount2", "/proc", linux.MNT_DETACH)  # the zygote's
    # pid 1 is not the function's to see
    calls.add("mount", "proc", "/proc", "proc", safe | linux.MS_NOEXEC, "hidepid=2")
    calls.add("mount", "tmp", "/tmp", "tmpfs", safe, "mode=1777,size=512m,nr_inodes=131072")
    covering = struct.pack("=4Q", linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID, 0, 0, 0)
    for path in spec.masked:
        calls.add("open_tree", linux.AT_FDCWD, "/dev/null", linux.OPEN_TREE_CLONE | linux.OPEN_TREE_CLOEXEC)
        calls.add("mount_setattr", free, "", linux.AT_EMPTY_PATH, covering, len(covering))
        calls.add("move_mount", free, "", linux.AT_FDCWD, path, linux.MOVE_MOUNT_F_EMPTY_PATH)
        calls.add("close", free)
    calls.add("umount2", userland.HOST, linux.MNT_DETACH)  # from here on nothing of the host has a name
    calls.add("chdir", "/")
    calls.add("setsid")


def _score(calls: Calls, free: int) -> None:
    """Pid 1 must outlive a memory kill, for with it goes everything. Lowering needs a privilege; raising none.

    It is lowered through oom_adj (-17 to 15), the older file: through oom_score_adj a privileged process lowers the
    least value of its children as well. Rootless it fails, and the kernel picks the largest process: the runtime.
    """
    calls.add("openat", linux.AT_FDCWD, "/proc/self/oom_adj", os.O_WRONLY, may_fail=True)
    calls.add("write", free, b"-15", 3, may_fail=True)
    calls.add("close", free, may_fail=True)


def identity(calls: Calls, users: int, capabilities: int) -> None:
    """Into that user namespace, with nothing left of what we may. users: its descriptor."""
    calls.add("setns", users, linux.CLONE_NEWUSER)
    calls.add("setgroups", 0, 0, may_fail=True)  # rootless: denied, and emptied by the kernel's own rule
    calls.add("setresgid", *[userland.SANDBOX_GID] * 3)
    calls.add("setresuid", *[userland.SANDBOX_UID] * 3)
    calls.add("prctl", linux.PR_SET_PDEATHSIG, 9)  # the change of credentials has cleared it
    for number, most in _RESOURCES:
        calls.add("prlimit64", 0, number, struct.pack("=QQ", most, most), 0)
    calls.add("prctl", linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(capabilities):
        calls.add("prctl", linux.PR_CAPBSET_DROP, number, 0, 0, 0)
    calls.add("capset", struct.pack("=Ii", 0x20080522, 0), bytes(24))
    calls.add("prctl", linux.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def filtered(calls: Calls, seccomp: bytes) -> None:
    """Under the filter; needs no_new_privs."""
    program = struct.pack("=H6xQ", len(seccomp) // 8, calls.put(seccomp))
    calls.add("prctl", linux.PR_SET_SECCOMP, linux.SECCOMP_MODE_FILTER, program, 0, 0)


def _ready(calls: Calls, free: int) -> None:
    """The listening sockets, to the server."""
    rights = struct.pack("=Qiiii", 24, socket.SOL_SOCKET, socket.SCM_RIGHTS, free, free + 1)
    part = struct.pack("=QQ", calls.put(_READY), len(_READY))
    message = struct.pack("=QQQQQQQ", 0, 0, calls.put(part), 1, calls.put(rights), len(rights), 0)
    calls.add("sendmsg", 0, message, 0)


def write_down(calls: Calls, spec: Spec) -> None:
    """The whole list."""
    free = _GROUPS + spec.groups  # the first number that is not taken
    calls.add("close_range", free, 0xFFFFFFFF, 0)
    calls.add("prctl", linux.PR_SET_PDEATHSIG, 9)
    for number in range(_GROUPS, free):
        calls.add("write", number, b"0", 1)
    calls.add("unshare", NAMESPACES)
    calls.add("sethostname", "169-254-100-1", 13)
    _network(calls, spec, free)
    _mounts(calls, spec, free + 2)
    _score(calls, free + 2)
    identity(calls, _USERS, spec.capabilities)
    calls.add("prctl", linux.PR_SET_DUMPABLE, 0, 0, 0, 0)
    calls.add("prctl", linux.PR_SET_NAME, "paddock-init")
    calls.add("rt_sigaction", _SIGCHLD, struct.pack("=QQQQ", 1, 0, 0, 0), 0, 8)  # SIG_IGN
    _ready(calls, free)
    calls.add("write", _STATUS, DONE, 1)
    calls.add("close_range", _STATUS, 0xFFFFFFFF, 0)
    filtered(calls, spec.seccomp)


def executable(write: Callable[[Calls], None], numbers: Dict[str, int]) -> Tuple[bytes, Calls]:
    """An executable for x86_64, and the list in it, which `write` has written."""
    reserved = _HEADERS_BYTES + len(_CODE)
    calls = Calls(_BASE, reserved, numbers)
    write(calls)
    code = _CODE[:_LIST_AT] + struct.pack("=Q", calls.list_address)
    content = code + calls.image()
    size = _HEADERS_BYTES + len(content)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("=HHIQQQIHHHHHH", 2, 62, 1, _BASE + _HEADERS_BYTES, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("=IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 4096)
    stack = struct.pack("=IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)  # not executable
    return head + load + stack + content, calls


class Program:
    """A list as a program of its own: it carries the list out, then it waits for signals to pass on.

    write: writes the list. numbers: of the CALLS on this machine.
    """

    def __init__(self, write: Callable[[Calls], None], numbers: Dict[str, int]) -> None:
        self._image = -1
        if platform.machine() == "x86_64":
            image, self._calls = executable(write, numbers)
            try:
                self._image = _in_file(image)
            except OSError:
                pass  # in Python, then
        if self._image < 0:
            self._memory, self._calls = in_memory(write, numbers)

    def start(self, places: Sequence[int]) -> int:
        """Start it, in the pid namespace that is next; its process id. places: its descriptors, from 0 on, all of them
        above the last of these places. Raises OSError.
        """
        if self._image >= 0:
            actions = [(os.POSIX_SPAWN_DUP2, fd, place) for place, fd in enumerate(places)]
            return os.posix_spawn(f"/proc/self/fd/{self._image}", ["paddock-init"], {}, file_actions=actions)
        pid = os.fork()
        if pid == 0:
            try:
                self._be(places)
            finally:
                os._exit(70)
        return pid

    def _be(self, places: Sequence[int]) -> None:
        for place, fd in enumerate(places):
            os.dup2(fd, place)
        told = self._calls.carry_out(linux.raw)
        if told is not None:
            os.write(_STATUS, told)
        while True:
            word = os.read(0, 1)
            if not word:
                os._exit(0)
            if word != END_ALL:
                linux.signal_all(word[0])
                continue
            while linux.signal_all(9):
                select.select([], [], [], _PAUSE_S)
            os.write(0, _ENDED)

    def complaint(self, told: bytes) -> str:
        """What is wrong with it, by what it has told on its status descriptor; "" when nothing is."""
        if told == DONE:
            return ""
        return self._calls.complaint(told) or "pid 1 ended before it was ready"

    def close(self) -> None:
        if self._image >= 0:
            os.close(self._image)


def hold_users(calls: Calls) -> None:
    """The list of a program that only keeps a user namespace until somebody else does."""
    calls.add("close_range", _STATUS + 1, 0xFFFFFFFF, 0)
    calls.add("prctl", linux.PR_SET_PDEATHSIG, 9)
    calls.add("unshare", linux.CLONE_NEWUSER)
    calls.add("write", _STATUS, DONE, 1)


def in_memory(write: Callable[[Calls], None], numbers: Dict[str, int]) -> Tuple[mmap.mmap, Calls]:
    """A list in this process. The memory must not be let go before it; forks have their own."""
    memory = mmap.mmap(-1, _IMAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    calls = Calls(ctypes.addressof(ctypes.c_char.from_buffer(memory)), 0, numbers)
    write(calls)
    image = calls.image()
    memory[: len(image)] = image
    return memory, calls


def _in_file(image: bytes) -> int:
    fd = os.memfd_create("paddock-init", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, image)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def spec_of(groups: int, seccomp: bytes, api_port: int) -> Spec:
    """For this machine, as /proc shows it."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    masked = [path for path in MASKED if os.path.exists(path)]
    return Spec(groups, seccomp, api_port, masked, last + 1)
