"""What a function sees of files, and what it can change."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.security.conftest import Attacker
from tests.support.server import ROOT, RunningServer

# In a userland of functions' own as well: it is what they see of files that differs there.
pytestmark = [
    pytest.mark.parametrize("mode", ["root", "rootless", "userland"], indirect=True, scope="session"),
    pytest.mark.timeout(1_200),  # the first may build it
]

REFUSED = {"ENOENT", "EACCES", "EPERM", "EROFS", "EINVAL", "EBUSY", "ENOTDIR", "ENXIO"}
DEVICES = {"null": "c1:3", "zero": "c1:5", "full": "c1:7", "random": "c1:8", "urandom": "c1:9"}


@pytest.mark.parametrize(
    "path",
    [
        "/root",
        "/home",
        "/var/lib",
        "/var/log",
        "/var/run",
        "/run",
        "/sys",
        "/boot",
        "/srv",
        "/media",
        "/dev/shm",
        "/dev/pts",
        "/dev/mqueue",
        "/sys/fs/cgroup",
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd",
        "/proc/1/root",
        "/proc/1/cwd",
        "/proc/1/fd",
        "/proc/1/task/1/fd",
        "/proc/1/map_files",
    ],
)
def test_the_hosts_directories_do_not_exist(inside: Attacker, path: str) -> None:
    assert inside("listing", path) in {"ENOENT", "EACCES", "EPERM"}


def test_the_root_holds_what_a_runtime_needs_and_no_more(inside: Attacker) -> None:
    shown = set(inside("listing", "/")["done"])
    assert shown <= {*"bin sbin lib lib32 lib64 libx32 dev etc mnt opt proc tmp usr var".split()}
    assert inside.all(("listing", "/mnt"), ("listing", "/opt"), ("listing", "/usr/local"), ("listing", "/var")) == [
        {"done": []},
        {"done": []},
        {"done": []},
        {"done": ["empty", "lang", "runtime", "task"]},
    ]


def test_no_path_of_the_host_leads_in(paddock: RunningServer, inside: Attacker, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host")
    paths = [ROOT, ROOT / "pyproject.toml", paddock.data_dir, paddock.data_dir / "server/paddock.db", secret]
    for path in paths:
        for place in (path, f"/mnt{path}", f"/proc/1/root{path}", f"/proc/self/root{path}", f"/..{path}"):
            assert inside("read", str(place)) in {"ENOENT", "EACCES", "EPERM", "ENOTDIR"}, place


def test_etc_names_nobody_of_the_host(inside: Attacker) -> None:
    assert inside("read", "/etc/shadow") == "ENOENT"
    assert inside("read", "/etc/hostname") == "ENOENT"
    users = inside("read", "/etc/passwd")["done"].splitlines()
    assert [line.partition(":")[0] for line in users] == ["root", "sbx_user1051"]


@pytest.mark.parametrize(
    "directory", "/ /usr /usr/bin /var /var/task /var/runtime /var/lang /var/empty /opt /etc /dev /mnt /proc".split()
)
def test_nothing_is_created_outside_tmp(inside: Attacker, directory: str) -> None:
    assert inside("create", directory) in REFUSED


def test_the_kernel_itself_names_no_writable_directory_but_tmp(inside: Attacker) -> None:
    assert inside("writable_places") == {"done": []}
    assert inside("create", "/tmp") == {"done": "/tmp/intruder"}


@pytest.mark.parametrize(
    "path",
    [
        "/var/task/app.py",
        "/etc/passwd",
        "/etc/resolv.conf",
        "/usr/bin/env",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/hostname",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/net/ipv4/ping_group_range",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/proc/mtrr",
        "/proc/1/oom_score_adj",
        "/proc/1/mem",
        "/proc/1/clear_refs",
        "/proc/self/uid_map",
        "/proc/self/gid_map",
        "/proc/self/setgroups",
        "/proc/self/loginuid",
    ],
)
def test_nothing_outside_tmp_is_overwritten(inside: Attacker, path: str) -> None:
    assert inside("write", path, "1") in REFUSED


@pytest.mark.parametrize("path", ["/proc/1/mem", "/proc/1/environ", "/proc/1/maps", "/proc/1/syscall", "/proc/1/auxv"])
def test_the_first_process_keeps_its_secrets(inside: Attacker, path: str) -> None:
    assert inside("read", path) in {"ENOENT", "EACCES", "EPERM"}


@pytest.mark.parametrize("link", ["exe", "cwd", "root", "ns/mnt", "ns/user", "ns/net", "ns/pid"])
def test_the_first_process_is_no_way_out(inside: Attacker, link: str) -> None:
    assert inside("link_target", f"/proc/1/{link}") in {"ENOENT", "EACCES", "EPERM"}


@pytest.mark.parametrize(
    "path", "/proc/kcore /proc/kmsg /proc/slabinfo /proc/vmallocinfo /proc/pagetypeinfo /proc/kpageflags".split()
)
def test_the_kernels_memory_and_log_are_closed(inside: Attacker, path: str) -> None:
    assert inside("read", path, 16) in ("ENOENT", "EACCES", "EPERM", {"done": ""})


@pytest.mark.parametrize("path", "keys key-users kallsyms modules timer_list interrupts cmdline".split())
def test_masked_files_are_empty(inside: Attacker, path: str) -> None:
    """What would tell of the whole machine. SECURITY.md says what of it can be seen."""
    assert inside("read", f"/proc/{path}") in ("ENOENT", "EACCES", {"done": ""})


def test_the_devices_are_five_harmless_ones(inside: Attacker) -> None:
    expected = {f"/dev/{name}": numbers for name, numbers in DEVICES.items()}
    assert inside("devices_anywhere") == {"done": expected}


@pytest.mark.parametrize(
    ("kind", "major", "minor"),
    [(stat.S_IFBLK, 8, 0), (stat.S_IFBLK, 254, 0), (stat.S_IFCHR, 1, 1), (stat.S_IFCHR, 5, 1)],
)
def test_no_device_node_is_made(inside: Attacker, kind: int, major: int, minor: int) -> None:
    assert inside("device", kind | 0o600, major, minor) == "EPERM"


def test_every_mount_is_nosuid_and_writable_only_where_promised(inside: Attacker) -> None:
    lines = inside("read", "/proc/self/mountinfo", 1 << 20)["done"].splitlines()
    mounts = {line.split()[4]: line.split()[5].split(",") for line in lines}
    assert {"/", "/usr", "/proc", "/tmp", "/var/task"} <= set(mounts)
    assert [place for place, options in mounts.items() if "nosuid" not in options] == []
    writable = {place for place, options in mounts.items() if "ro" not in options}
    assert writable <= {"/tmp", "/proc"} | {f"/dev/{name}" for name in DEVICES}
    with_devices = {place for place, options in mounts.items() if "nodev" not in options}
    assert all(place.startswith(("/dev/", "/proc/")) for place in with_devices)
    assert not [line for line in lines if " cgroup" in line or " sysfs " in line or " overlay " in line]


def test_a_setuid_program_of_ones_own_gains_nothing(inside: Attacker) -> None:
    assert inside("run_setuid_copy") in ({"done": "993"}, {"done": ""})


def test_open_descriptors_are_the_expected_ones(inside: Attacker) -> None:
    """0 null, 1 and 2 the log pipe, 3 the runtime's channel, 4 the telemetry pipe; nothing of the zygote's."""
    found = inside("descriptors")["done"]
    assert found.pop("0") == "/dev/null"
    assert {name: target.partition(":")[0] for name, target in found.items()} == {
        "1": "pipe",
        "2": "pipe",
        "3": "socket",
        "4": "pipe",
    }


@pytest.mark.parametrize("attempt", ["overwrite_own_program", "overwrite_through_path_handle"])
def test_the_interpreter_is_not_overwritten(inside: Attacker, attempt: str) -> None:
    assert inside(attempt) in {"EROFS", "ETXTBSY", "EACCES"}


def test_modes_of_shared_files_stay(inside: Attacker) -> None:
    for path in ("/dev/null", "/var/task/app.py", "/etc/passwd", "/var/lang", "/proc/sys"):
        assert inside("chmod", path, 0o777) in {"EPERM", "EROFS", "EACCES"}, path


def test_the_control_groups_show_no_host_path(inside: Attacker) -> None:
    lines = inside("read", "/proc/self/cgroup")["done"].splitlines()
    assert all(line.endswith(":/") for line in lines), lines
