"""What this machine can enforce, found out by trying: the facts behind `paddock doctor` and the banner.

How it works. Each `Check` has a probe, which runs in a forked child and really does the thing (unshares a namespace,
mounts an overlay, loads the seccomp program), because version numbers lie in containers and on hardened kernels.
An ordinary user's probes first enter a user namespace of their own, as its environments do. The probes leave
nothing behind: what they make ends with the child. `judge` turns what was seen into the report and touches nothing.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from paddock.worker.sandbox import cgroup, disk, linux, seccomp
from paddock.worker.sandbox.gateway import Gateway

SYSCTLS = (
    "kernel.unprivileged_userns_clone",
    "user.max_user_namespaces",
    "kernel.apparmor_restrict_unprivileged_userns",
)

Probe = Callable[[bool], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that isolation stands on.

    probe: runs in a child, given whether we are root; returns a detail to show, raises OSError when it cannot.
    needed: without it no function runs. lost: what is lost without it. fix: how to get it.
    """

    name: str
    probe: Probe
    needed: bool = False
    lost: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of one check. `error` is empty when the thing works."""

    name: str
    needed: bool
    detail: str = ""
    error: str = ""
    lost: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """mode: root or rootless. sysctls: the switches found. seen: every check in order. isolated: functions can run."""

    mode: str
    kernel: str
    sysctls: Mapping[str, str]
    seen: tuple[Seen, ...]

    @property
    def isolated(self) -> bool:
        return not any(entry.error and entry.needed for entry in self.seen)

    @property
    def losses(self) -> tuple[Seen, ...]:
        return tuple(entry for entry in self.seen if entry.error)


def examine(interpreters: Sequence[str], homes: Mapping[str, Sequence[str]] | None = None) -> Report:
    """Try everything. `interpreters` are the runtimes found, which are not this module's business, nor are their homes:
    userland -> the runtimes that live in it, `host` for the host's own /usr.

    Forks: call it from a single-threaded process.
    """
    root = os.geteuid() == 0
    sysctls = read_sysctls(Path("/proc/sys"))
    seen = [judge(check, *attempt(partial(check.probe, root)), sysctls) for check in CHECKS]
    seen += [_python(interpreters), _userland(homes or {})]
    return Report(
        mode="root" if root else "rootless",
        kernel=f"{platform.system()} {platform.release()}",
        sysctls=sysctls,
        seen=tuple(seen),
    )


def attempt(work: Callable[[], str]) -> tuple[str, str]:
    """(detail, error) of `work` done in a forked child, whatever becomes of the child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            try:
                answer = (work(), "")
            except OSError as error:
                answer = ("", str(error.strerror or error))
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
        finally:
            os._exit(1)  # never let an unforeseen exception run the parent's code twice
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer_bytes = pipe.read()
    _, status = os.waitpid(child, 0)
    if answer_bytes:
        detail, failure = json.loads(answer_bytes)
        return str(detail), str(failure)
    code = os.waitstatus_to_exitcode(status)
    return "", f"the attempt was ended by {signal.Signals(-code).name}" if code < 0 else "the attempt broke off"


def judge(check: Check, detail: str, error: str, sysctls: Mapping[str, str]) -> Seen:
    """The verdict on one check: with the advice that fits this machine when it failed."""
    if not error:
        return Seen(name=check.name, needed=check.needed, detail=detail)
    fix = userns_advice(sysctls) or check.fix if check.name.startswith(USERNS) else check.fix
    return Seen(name=check.name, needed=check.needed, error=error, lost=check.lost, fix=fix)


def read_sysctls(base: Path) -> Mapping[str, str]:
    """The switches for unprivileged user namespaces that this kernel has."""
    paths = {name: base / name.replace(".", "/") for name in SYSCTLS}
    return {name: path.read_text().strip() for name, path in paths.items() if path.exists()}


def userns_advice(sysctls: Mapping[str, str]) -> str:
    """Which switch closes user namespaces, and how to open it; "" when none of them does."""
    if sysctls.get("kernel.unprivileged_userns_clone") == "0":
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1, or start Paddock as root"
    if sysctls.get("user.max_user_namespaces") == "0":
        return "sudo sysctl -w user.max_user_namespaces=15000"
    if sysctls.get("kernel.apparmor_restrict_unprivileged_userns") == "1":
        return (
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 23.10 and later restrict user "
            "namespaces to programs with an AppArmor profile), or start Paddock as root"
        )
    return ""


def _python(interpreters: Sequence[str]) -> Seen:
    name = "Python interpreters for functions"
    if interpreters:
        return Seen(name=name, needed=True, detail=", ".join(interpreters))
    return Seen(
        name=name,
        needed=True,
        error="none found",
        lost="no Python function can run",
        fix="install python3.9 to python3.14 so that it is on PATH (apt install python3)",
    )


def _userland(homes: Mapping[str, Sequence[str]]) -> Seen:
    name = "a userland of functions' own"
    on_host = homes.get("host", ())
    own = ", ".join(home for home in homes if home != "host")
    if own and not on_host:
        return Seen(name=name, needed=False, detail=own)
    return Seen(
        name=name,
        needed=False,
        error=f"{own}; not for {', '.join(on_host)}" if own else "none",
        lost="functions can read and run the programs and libraries of the host's /usr",
        fix="`paddock runtimes` says why" if own else "paddock userland build, as root, with debootstrap installed",
    )


def _own_user_namespace(flags: int = 0) -> None:
    """Enter a new user namespace in which we are root, together with the namespaces of `flags`."""
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER | flags)
    for name, content in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(content)


def _namespace(flag: int) -> Probe:
    def probe(root: bool) -> str:
        if root:
            linux.unshare(flag)
        else:
            _own_user_namespace(flag)
        return ""

    return probe


def _user_namespace(root: bool) -> str:
    _own_user_namespace()
    return ""


def _unprivileged_user_namespace(root: bool) -> str:
    if root:
        nobody = 65_534
        os.setgroups([])
        os.setresgid(nobody, nobody, nobody)
        os.setresuid(nobody, nobody, nobody)
        linux.unshare(linux.CLONE_NEWUSER)
        return "tried as nobody"
    _own_user_namespace()
    return ""


def _private_mounts(root: bool) -> str:
    """A mount namespace of our own with a small tmpfs at a scratch directory; its path."""
    if root:
        linux.unshare(linux.CLONE_NEWNS)
    else:
        _own_user_namespace(linux.CLONE_NEWNS)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    scratch = tempfile.gettempdir()  # covered by the tmpfs, so nothing is left in it
    linux.mount("tmpfs", scratch, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=1m")
    return scratch


def _tmpfs(root: bool) -> str:
    _private_mounts(root)
    return ""


def _overlay(root: bool) -> str:
    scratch = _private_mounts(root)
    for name in ("lower", "other", "merged"):
        os.mkdir(f"{scratch}/{name}")
    linux.mount("overlay", f"{scratch}/merged", "overlay", 0, f"lowerdir={scratch}/lower:{scratch}/other")
    return ""


def _mount_api(root: bool) -> str:
    scratch = _private_mounts(root)
    for name in ("source", "target"):
        os.mkdir(f"{scratch}/{name}")
    linux.bind(f"{scratch}/source", f"{scratch}/target")
    return ""


def _pivot_root(root: bool) -> str:
    scratch = _private_mounts(root)
    os.mkdir(f"{scratch}/old")
    linux.pivot_root(scratch, f"{scratch}/old")
    return ""


def _seccomp(root: bool) -> str:
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    linux.install_seccomp(seccomp.program())
    return ""


def _tmp_on_disk(root: bool) -> str:
    if not root:
        raise PermissionError(None, "an ordinary user cannot mount a file system on disk")
    lacking = disk.missing()
    if lacking:
        raise OSError(None, lacking)
    return "where tmp_disk_mb asks for it"


def _egress(root: bool) -> str:
    """A gateway between network namespaces of our own: nothing of the machine's network is touched."""
    if not root:
        raise PermissionError(None, "an ordinary user cannot connect a network to the machine's")
    linux.unshare(linux.CLONE_NEWNET)
    Gateway("198.18.0.0/15", (), is_open=True)
    return "veth, nf_tables, NAT"


def _forwarding(root: bool) -> str:
    if Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1":
        return "on"
    if not os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        raise PermissionError(None, "net.ipv4.ip_forward is off and may not be changed here")
    return "off; Paddock turns it on when it starts with egress"


def _controller(name: str) -> Probe:
    def probe(root: bool) -> str:
        hierarchy = cgroup.find()
        if not hierarchy.has(name):
            raise PermissionError(None, _why_no_cgroup(name))
        return f"cgroup v{hierarchy.version}"

    return probe


def _why_no_cgroup(name: str) -> str:
    kinds = {
        fields[2] for line in Path("/proc/self/mounts").read_text().splitlines() if len(fields := line.split()) > 2
    }
    if not kinds & {"cgroup", "cgroup2"}:
        return "no cgroup file system is mounted"
    return f"no group with {name} may be made here"


USERNS = "user namespace"
_AS_ROOT = "start Paddock as root; in a container give it CAP_SYS_ADMIN (privileged)"
_DELEGATE = "start Paddock as root, or with delegation: systemd-run --user --scope -p Delegate=yes paddock up"

CHECKS: tuple[Check, ...] = (
    Check(
        name=USERNS,
        probe=_user_namespace,
        needed=True,
        lost="root inside a sandbox would be root outside",
        fix=f"a kernel with CONFIG_USER_NS; {_AS_ROOT}",
    ),
    *(
        Check(name=f"{name} namespace", probe=_namespace(flag), needed=True, lost=lost, fix=_AS_ROOT)
        for name, flag, lost in (
            ("pid", linux.CLONE_NEWPID, "functions would see and signal other processes"),
            ("mount", linux.CLONE_NEWNS, "functions would see the host's files"),
            ("net", linux.CLONE_NEWNET, "functions would reach the host's network and loopback services"),
            ("ipc", linux.CLONE_NEWIPC, "functions would share memory segments with the host"),
            ("uts", linux.CLONE_NEWUTS, "functions would see the host's name"),
            ("cgroup", linux.CLONE_NEWCGROUP, "functions would see the host's group names"),
        )
    ),
    Check(
        name="time namespace",
        probe=_namespace(linux.CLONE_NEWTIME),
        lost="nothing today; clocks after a restored snapshot could not be adjusted",
        fix="Linux 5.6 or newer",
    ),
    Check(name="tmpfs", probe=_tmpfs, needed=True, lost="no private /tmp of limited size", fix=_AS_ROOT),
    Check(
        name="mount API (open_tree, mount_setattr)",
        probe=_mount_api,
        needed=True,
        lost="code cannot be mounted read-only into a waiting environment",
        fix="Linux 5.12 or newer; a container runtime whose seccomp profile lets these calls through",
    ),
    Check(name="pivot_root", probe=_pivot_root, needed=True, lost="no root file system of its own", fix=_AS_ROOT),
    Check(
        name="overlayfs",
        probe=_overlay,
        lost="several layers cannot be merged without copying them",
        fix="modprobe overlay; for an ordinary user Linux 5.11 or newer",
    ),
    Check(
        name="seccomp filter",
        probe=_seccomp,
        needed=True,
        lost="functions could make any system call",
        fix="a kernel with CONFIG_SECCOMP_FILTER",
    ),
    *(
        Check(name=f"cgroup {name}", probe=_controller(name), lost=lost, fix=_DELEGATE)
        for name, lost in (
            ("memory", "memory is limited for each process instead of for the environment; peak memory is a guess"),
            ("cpu", "memory does not buy CPU time: every function may use all of it"),
            ("pids", "processes are counted for each user instead of for the environment"),
            ("freezer", "idle environments are not frozen: background threads go on between events"),
        )
    ),
    Check(
        name="/tmp on disk",
        probe=_tmp_on_disk,
        lost="/tmp lies in memory: what a function writes there counts against its memory as well as its size",
        fix="start Paddock as root, on a kernel with btrfs and loop devices, and apt install btrfs-progs",
    ),
    Check(
        name="egress",
        probe=_egress,
        lost="functions reach nothing but Paddock: not the internet, no named network",
        fix="start Paddock as root, on a kernel with veth and nf_tables (modprobe veth nf_tables nft_masq)",
    ),
    Check(
        name="forwarding",
        probe=_forwarding,
        lost="functions reach nothing but Paddock: not the internet, no named network",
        fix="sudo sysctl -w net.ipv4.ip_forward=1; in a container docker run --sysctl net.ipv4.ip_forward=1",
    ),
    Check(
        name=f"{USERNS} for ordinary users",
        probe=_unprivileged_user_namespace,
        lost="Paddock runs isolated only when started as root",
        fix="a kernel with CONFIG_USER_NS",
    ),
)


def as_json(report: Report) -> str:
    """For scripts: {"mode", "kernel", "isolated", "checks": [{"name", "ok", "needed", "detail", ...}]}."""
    checks = [
        {
            "name": entry.name,
            "ok": not entry.error,
            "needed": entry.needed,
            "detail": entry.error or entry.detail,
            "lost": entry.lost,
            "fix": entry.fix,
        }
        for entry in report.seen
    ]
    head: dict[str, object] = {"mode": report.mode, "kernel": report.kernel, "isolated": report.isolated}
    head["sysctls"] = dict(report.sysctls)
    return json.dumps({**head, "checks": checks}, indent=2)


def as_text(report: Report) -> str:
    """For people."""
    started = "by root" if report.mode == "root" else "without root"
    switches = ", ".join(f"{name} = {value}" for name, value in report.sysctls.items())
    lines = [f"{report.kernel}, {platform.machine()}, started {started}", *([switches] if switches else []), ""]
    for entry in report.seen:
        mark = "ok     " if not entry.error else "MISSING" if entry.needed else "without"
        about = entry.error or entry.detail
        lines.append(f"  {mark}  {entry.name}{': ' + about if about else ''}")
        if entry.error:
            lines += [f"           lost: {entry.lost}", f"           fix:  {entry.fix}"]
    verdict = {
        True: "Functions run isolated here"
        + (", without the things marked above." if report.losses else ", with every limit."),
        False: "Functions cannot run isolated here: mend what is marked MISSING.",
    }
    return "\n".join([*lines, "", verdict[report.isolated]])
