"""The system call filter, run instruction by instruction: every call of both machines, against the lists."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from paddock.worker.sandbox import seccomp

ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOTTY, ENOSYS, EPROTONOSUPPORT = 0x00050001, 0x00050019, 0x00050026, 0x0005005D
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
TABLE = json.loads((Path(seccomp.__file__).parent / "syscalls.json").read_text())
BY_ARGUMENT = {"clone", "socket", "ioctl", "personality"}
MACHINES = pytest.mark.parametrize("machine", ARCHITECTURES)


class Filter:
    """A classic BPF machine with the few instructions that seccomp programs of ours use."""

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.program = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
        self.numbers: dict[str, int] = TABLE[machine]

    def verdict(self, number: int, *arguments: int, architecture: int = 0) -> int:
        padded = (*arguments, *[0] * 6)[:6]
        arch = architecture or ARCHITECTURES[self.machine]
        data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0xDEADBEEF, *padded)
        accumulator = at = 0
        while True:
            code, if_true, if_false, k = self.program[at]
            at += 1
            match code:
                case 0x20:  # load a word
                    assert k % 4 == 0
                    accumulator = struct.unpack_from("=I", data, k)[0]
                case 0x15:  # ==
                    at += if_true if accumulator == k else if_false
                case 0x35:  # >=
                    at += if_true if accumulator >= k else if_false
                case 0x45:  # any bit of
                    at += if_true if accumulator & k else if_false
                case 0x54:  # and
                    accumulator &= k
                case 0x05:  # always
                    at += k
                case 0x06:
                    return int(k)
                case _:
                    raise AssertionError(f"instruction {code:#x} is not one that this program may use")

    def named(self, name: str, *arguments: int) -> int:
        return self.verdict(self.numbers[name], *arguments)


@MACHINES
def test_the_kernel_would_take_it(machine: str) -> None:
    program = Filter(machine).program
    assert len(program) <= 4096
    for at, (code, if_true, if_false, k) in enumerate(program):
        if code in (0x15, 0x35, 0x45):
            assert at + 1 + max(if_true, if_false) < len(program)
        if code == 0x05:
            assert at + 1 + k < len(program)
    assert program[-1][0] == 0x06


@MACHINES
def test_every_call_by_the_lists(machine: str) -> None:
    filter_ = Filter(machine)
    allowed = {filter_.numbers[name] for name in seccomp.allowed() if name in filter_.numbers}
    for name, number in filter_.numbers.items():  # a call may have two names
        if name in BY_ARGUMENT:
            continue
        expected = ALLOW if number in allowed else ENOSYS if name in seccomp.FALLBACK else EPERM
        assert filter_.verdict(number) == expected, name
        assert filter_.verdict(number, *[0xFFFFFFFFFFFFFFFF] * 6) == expected, f"{name} looks at its arguments"


@MACHINES
def test_numbers_without_a_call(machine: str) -> None:
    filter_ = Filter(machine)
    known = set(filter_.numbers.values())
    last = max(known)
    for number in set(range(last)) - known:
        assert filter_.verdict(number) == EPERM, number
    for number in (last + 1, last + 2, 1000, 0x3FFFFFFF):
        assert filter_.verdict(number) == ENOSYS, number


def test_the_x32_alias_of_every_call_kills() -> None:
    filter_ = Filter("x86_64")
    for number in (*filter_.numbers.values(), 512, 547):
        assert filter_.verdict(0x40000000 | number) == KILL
    assert filter_.verdict(0xFFFFFFFF) == KILL


@pytest.mark.parametrize("architecture", [0x40000003, 0x40000028, 0xC00000B7, 0xC000003E, 0x1])
@MACHINES
def test_a_foreign_architecture_kills(machine: str, architecture: int) -> None:
    if architecture == ARCHITECTURES[machine]:
        assert Filter(machine).verdict(Filter(machine).numbers["read"], architecture=architecture) == ALLOW
        return
    for number in (0, 1, 11, 63, 0x40000000):
        assert Filter(machine).verdict(number, architecture=architecture) == KILL


def test_an_unknown_machine() -> None:
    with pytest.raises(KeyError):
        seccomp.program("riscv64")


NAMESPACES = {
    "NS": 0x00020000,
    "CGROUP": 0x02000000,
    "UTS": 0x04000000,
    "IPC": 0x08000000,
    "USER": 0x10000000,
    "PID": 0x20000000,
    "NET": 0x40000000,
}


@MACHINES
def test_clone_makes_threads_and_processes_but_no_namespaces(machine: str) -> None:
    filter_ = Filter(machine)
    thread = 0x003D0F00  # what the C library passes for a thread
    for flags in (17, 0x01200011, 0x4111, thread):
        assert filter_.named("clone", flags) == ALLOW
    for name, flag in NAMESPACES.items():
        for more in (0, 17, thread):
            assert filter_.named("clone", flag | more) == EPERM, name
            assert filter_.named("clone", flag | more | 1 << 40) == EPERM, name


@MACHINES
def test_sockets_by_family_and_protocol(machine: str) -> None:
    filter_ = Filter(machine)
    stream, datagram, raw = 1, 2, 3
    for protocol in (0, 1, 17):
        assert filter_.named("socket", 1, stream, protocol) == ALLOW
    for family in (2, 10):
        for kind, protocol in ((stream, 0), (stream, 6), (datagram, 0), (datagram, 17)):
            assert filter_.named("socket", family, kind | 0o2004000, protocol) == ALLOW
        for protocol in (1, 132, 115, 262, 255):  # ICMP, SCTP, L2TP, MPTCP, raw
            assert filter_.named("socket", family, raw, protocol) == EPROTONOSUPPORT
    assert filter_.named("socket", 16, raw, 0) == ALLOW
    for protocol in range(1, 30):
        assert filter_.named("socket", 16, raw, protocol) == EPERM
    for family in set(range(-1, 50)) - {1, 2, 10, 16}:
        assert filter_.named("socket", family & 0xFFFFFFFF, stream, 0) == EPERM, family


@MACHINES
def test_terminals_cannot_be_typed_into(machine: str) -> None:
    filter_ = Filter(machine)
    for command in (0x5412, 0x541C):
        assert filter_.named("ioctl", 0, command) == EPERM
        assert filter_.named("ioctl", 0, command | 1 << 32) == EPERM, "the kernel looks at the low half only"
    for command in (0x5401, 0x5413, 0x541B, 0x5421, 0x8912):
        assert filter_.named("ioctl", 0, command) == ALLOW


@MACHINES
def test_no_subvolumes_are_made(machine: str) -> None:
    filter_ = Filter(machine)
    for command in (0x5000940E, 0x50009418, 0xC0109428):
        assert filter_.named("ioctl", 3, command) == ENOTTY
    assert filter_.named("ioctl", 3, 0x00940000) == ALLOW


@MACHINES
def test_personality_may_only_be_asked(machine: str) -> None:
    filter_ = Filter(machine)
    assert filter_.named("personality", 0) == ALLOW
    assert filter_.named("personality", 0xFFFFFFFF) == ALLOW
    for value in (0x0040000, 0x0400000, 8):
        assert filter_.named("personality", value) == EPERM


@MACHINES
def test_what_must_never_be_allowed(machine: str) -> None:
    filter_ = Filter(machine)
    for name in (
        "ptrace process_vm_readv process_vm_writev mount umount2 pivot_root chroot setns unshare bpf perf_event_open "
        "userfaultfd keyctl add_key request_key init_module finit_module delete_module kexec_load reboot swapon "
        "open_by_handle_at name_to_handle_at open_tree move_mount fsopen fsmount mount_setattr settimeofday "
        "clock_settime setxattr quotactl acct syslog sethostname setdomainname pidfd_getfd"
    ).split():
        assert filter_.named(name) == EPERM, name


def test_no_call_is_listed_twice_or_misspelt() -> None:
    names = [name for group in seccomp.GROUPS.values() for name in group.split()]
    assert len(names) == len(set(names))
    assert not set(names) & (BY_ARGUMENT | set(seccomp.FALLBACK))
    assert set(names) <= TABLE["x86_64"].keys() | TABLE["aarch64"].keys()
    assert BY_ARGUMENT | set(seccomp.FALLBACK) <= TABLE["x86_64"].keys() & TABLE["aarch64"].keys()
