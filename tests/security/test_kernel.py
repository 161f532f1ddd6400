"""System calls: what could change the machine, see past the walls or make new ones is refused."""

from __future__ import annotations

import json
import platform
import struct

import pytest

from paddock.worker.sandbox import seccomp
from tests.security.conftest import Attacker
from tests.support.server import ROOT

NUMBERS: dict[str, int] = json.loads((ROOT / "paddock/worker/sandbox/syscalls.json").read_text())[platform.machine()]
BY_ARGUMENT = {"clone", "socket", "ioctl", "personality"}
PERMITTED = (seccomp.allowed() | BY_ARGUMENT) & set(NUMBERS)

NEVER = """
    unshare setns mount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr
    ptrace process_vm_readv process_vm_writev kcmp process_madvise pidfd_getfd
    bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register clone3
    kexec_load kexec_file_load init_module finit_module delete_module reboot swapon swapoff acct syslog
    keyctl add_key request_key open_by_handle_at name_to_handle_at lookup_dcookie fanotify_init fanotify_mark
    settimeofday clock_settime adjtimex clock_adjtime stime sethostname setdomainname quotactl quotactl_fd nfsservctl
    iopl ioperm modify_ldt uselib ustat sysfs _sysctl vhangup
    shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl
    mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
    io_setup io_submit io_getevents io_destroy io_cancel
    setgroups capset seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
    setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
    mbind set_mempolicy migrate_pages move_pages sched_setscheduler sched_setattr sched_setparam ioprio_set
    memfd_secret remap_file_pages
""".split()


def run_filter(number: int, arguments: tuple[int, ...] = (), arch: int | None = None) -> int:
    """The verdict of Paddock's filter for one call, by a small interpreter of classic BPF."""
    machine = platform.machine()
    arch = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine] if arch is None else arch
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("=IIQ6Q", number, arch, 0, *padded)
    program = seccomp.program(machine)
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at = accumulator = 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        match operation:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, value)[0]
            case 0x15:
                at += yes if accumulator == value else no
            case 0x35:
                at += yes if accumulator >= value else no
            case 0x45:
                at += yes if accumulator & value else no
            case 0x05:
                at += value
            case 0x54:
                accumulator &= value
            case 0x06:
                return value
            case _:
                raise AssertionError(f"an instruction that the filter should not have: {operation:#x}")


# The kernel's own trampolines for user-space probes, which newer kernels let past seccomp. They answer only to code
# that the kernel itself has put there; called by anybody else they refuse (uprobe) or end the caller (uretprobe).
PAST_EVERY_FILTER = {("x86_64", 335, "signal 4"), ("x86_64", 336, "ENXIO")}

ALLOW, EPERM, ENOTTY, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050019, 0x00050026, 0x80000000


def test_the_filter_says_what_its_list_says_of_every_number() -> None:
    names = {number: name for name, number in NUMBERS.items()}
    for number in range(max(NUMBERS.values()) + 200):
        name = names.get(number, "")
        if name in BY_ARGUMENT:
            continue
        expected = EPERM
        if name in seccomp.allowed():
            expected = ALLOW
        elif name in seccomp.FALLBACK or number > max(NUMBERS.values()):
            expected = ENOSYS
        assert run_filter(number) == expected, f"{number} {name}"


def test_dangerous_calls_are_on_no_list() -> None:
    assert set(NEVER) & seccomp.allowed() == set()


def test_foreign_calls_kill() -> None:
    assert run_filter(0, arch=0x40000003) == KILL  # 32-bit x86
    assert run_filter(0, arch=0) == KILL
    if platform.machine() == "x86_64":
        assert run_filter(0x40000000) == KILL
        assert run_filter(0x40000000 | 59) == KILL
        assert run_filter(0xFFFFFFFF) == KILL


@pytest.mark.parametrize("flag", [1 << bit for bit in (17, 25, 26, 27, 28, 29, 30)])
def test_clone_makes_no_namespace(flag: int) -> None:
    clone = NUMBERS["clone"]
    assert run_filter(clone, (17,)) == ALLOW
    assert run_filter(clone, (flag | 17,)) == EPERM
    assert run_filter(clone, (flag | 0xFFFFFFFF_00000011,)) == EPERM  # with rubbish in the half that does not count


def test_no_request_of_btrfs_is_known() -> None:
    """A subvolume of one's own would have no limit. FICLONE, of the same letter, has copying as its fallback."""
    for request in (0x5000940E, 0x50009401, 0x50009418, 0x5000940F, 0xC0109428, 0x40049409):
        assert run_filter(NUMBERS["ioctl"], (3, request)) == ENOTTY
    assert run_filter(NUMBERS["ioctl"], (3, 0x5401)) == ALLOW
    assert run_filter(NUMBERS["ioctl"], (3, 0x5412)) == run_filter(NUMBERS["ioctl"], (3, 0x541C)) == EPERM


# -- and for real, from inside ----------------------------------------------------------------------------------------


def test_a_sweep_over_every_call_finds_none_open_that_is_not_listed(inside: Attacker) -> None:
    """Every call that is not permitted, and some numbers beyond the last, one child each."""
    without = [NUMBERS[name] for name in PERMITTED]
    last = max(NUMBERS.values())
    found = {int(number): told for number, told in inside("sweep", 0, last + 60, without)["done"].items()}
    names = {number: name for name, number in NUMBERS.items()}
    fallback = {NUMBERS[name] for name in seccomp.FALLBACK}
    assert len(found) == last + 61 - len(without)
    unexpected = {
        f"{number} {names.get(number, '?')}": told
        for number, told in found.items()
        if told != ("ENOSYS" if number in fallback or number > last else "EPERM")
        and (platform.machine(), number, told) not in PAST_EVERY_FILTER
    }
    assert unexpected == {}


NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (1 << bit for bit in (17, 25, 26, 27, 28, 29, 30))


@pytest.mark.parametrize("flag", [0x80, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWUSER | NEWNS])
def test_no_new_namespace(inside: Attacker, flag: int) -> None:
    assert inside("syscall", "unshare", flag) == {"done": "EPERM"}
    assert inside("syscall", "setns", 0, flag) == {"done": "EPERM"}
    assert inside("syscall", "clone3", {"words": [flag, 0, 0, 0, 17, 0, 0, 0]}, 64) == {"done": "ENOSYS"}
    if flag != 0x80:  # there clone(2) reads a signal's number
        assert inside("syscall", "clone", flag | 17, 0, 0, 0, 0) == {"done": "EPERM"}


REFUSED_WITH_ARGUMENTS: list[tuple[object, ...]] = [
    ("mount", "none", "/tmp", "tmpfs", 0, 0),
    ("mount", "none", "/", 0, 32 | 4096, 0),
    ("mount", "none", "/var/task", 0, 32 | 4096, 0),
    ("mount", "proc", "/tmp", "proc", 0, 0),
    ("umount2", "/proc/keys", 2),
    ("umount2", "/var/task", 2),
    ("pivot_root", "/tmp", "/tmp"),
    ("chroot", "/tmp"),
    ("open_tree", -100, "/", 1),
    ("move_mount", -100, "/tmp", -100, "/var", 0),
    ("fsopen", "tmpfs", 0),
    ("mount_setattr", -100, "/", 0, {"words": [0, 1, 0, 0]}, 32),
    ("ptrace", 0, 0, 0, 0),
    ("process_vm_readv", 1, {"zeros": 16}, 1, {"zeros": 16}, 1, 0),
    ("process_vm_writev", 1, {"zeros": 16}, 1, {"zeros": 16}, 1, 0),
    ("bpf", 5, {"zeros": 128}, 128),
    ("perf_event_open", {"words": [1 << 32 | 1, *[0] * 15]}, 0, -1, -1, 0),
    ("userfaultfd", 1),
    ("kexec_load", 0, 0, 0, 0),
    ("init_module", {"zeros": 64}, 64, ""),
    ("finit_module", 0, "", 0),
    ("delete_module", "ext4", 0),
    ("keyctl", 0, -3, 1),
    ("add_key", "user", "paddock", "x", 1, -4),
    ("request_key", "user", "paddock", "x", -4),
    ("name_to_handle_at", -100, "/", {"words": [128, *[0] * 16]}, {"zeros": 8}, 0),
    ("open_by_handle_at", 0, {"words": [8, 0, 0]}, 0),
    ("reboot", 0xFEE1DEAD, 672274793, 0, 0),
    ("settimeofday", {"words": [0, 0]}, 0),
    ("clock_settime", 0, {"words": [0, 0]}),
    ("clock_adjtime", 0, {"zeros": 256}),
    ("swapon", "/tmp/swap", 0),
    ("swapoff", "/tmp/swap"),
    ("quotactl", 0x800007 << 8, "/dev/null", 0, {"zeros": 128}),
    ("syslog", 3, {"zeros": 4096}, 4096),
    ("syslog", 10, 0, 0),
    ("acct", "/tmp/acct"),
    ("sethostname", "x", 1),
    ("setdomainname", "x", 1),
    ("shmget", 0, 4096, 0o1600),
    ("semget", 0, 1, 0o1600),
    ("msgget", 0, 0o1600),
    ("mq_open", "/paddock", 0o100, 0o600, 0),
    ("capset", {"words": [0x20080522]}, {"words": [2**64 - 1] * 3}),
    ("seccomp", 1, 0, 0),
    ("fanotify_init", 0, 0),
    ("personality", 0x0400000),
    ("personality", 8),
    ("vhangup",),
    ("memfd_secret", 0),
    ("pidfd_getfd", 0, 0, 0),
    ("kcmp", 1, 1, 0, 0, 0),
]


@pytest.mark.parametrize("call", REFUSED_WITH_ARGUMENTS, ids=lambda call: str(call[0]))
def test_calls_that_change_the_machine_are_refused(inside: Attacker, call: tuple[object, ...]) -> None:
    assert inside("syscall", *call) == {"done": "EPERM"}


@pytest.mark.parametrize("call", [("io_uring_setup", 8, {"zeros": 120}), ("io_uring_register", 0, 0, 0, 0)])
def test_io_uring_seems_not_to_exist(inside: Attacker, call: tuple[object, ...]) -> None:
    assert inside("syscall", *call) == {"done": "ENOSYS"}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these gates are those of x86_64")
def test_the_old_gates_of_x86_are_deadly(inside: Attacker) -> None:
    assert inside("syscall", "iopl", 3) == {"done": "EPERM"}
    assert inside("syscall", "ioperm", 0, 1, 1) == {"done": "EPERM"}
    assert inside("syscall", "modify_ldt", 0, 0, 0) == {"done": "EPERM"}
    assert inside("syscall", 0x40000000 | 39) == {"done": "signal 31"}  # x32 getpid
    assert inside("syscall", 0x40000000 | 512) == {"done": "signal 31"}
    assert inside("int_0x80") == {"done": "signal 31"}


@pytest.mark.parametrize("request_number", [0x5412, 0x541C])
def test_nothing_is_typed_into_a_terminal(inside: Attacker, request_number: int) -> None:
    assert inside("ioctl", "/dev/null", request_number) == "EPERM"


@pytest.mark.parametrize(
    ("what", "outcome", "arguments"),
    [
        ("take no_new_privs back", "EINVAL", (38, 0, 0, 0, 0)),
        ("leave the filter", "EINVAL", (22, 0, 0, 0, 0)),
        ("change the bounding set", "EPERM", (24, 0, 0, 0, 0)),
        ("raise an ambient capability", "EPERM", (47, 2, 0, 0, 0)),
        ("loosen the secure bits", "EPERM", (28, 1, 0, 0, 0)),
        ("move the end of the program", "EPERM", (35, 1, 0, 0, 0)),
    ],
)
def test_no_restriction_is_taken_back(inside: Attacker, what: str, outcome: str, arguments: tuple[int, ...]) -> None:
    assert inside("syscall", "prctl", *arguments) == {"done": outcome}, what
