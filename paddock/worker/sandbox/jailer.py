"""The small privileged process behind `paddock up`: parent of the server and of every zygote.

    jailer (root, or root of a user namespace; no HTTP, no user code)
      |-- server    unprivileged: HTTP, catalogue, scheduling
      `-- zygote    one per runtime in use: forks environments

It binds the listening socket, starts the server without privilege, starts a zygote whenever the server asks for one
by name, hands the connected sockets over, and cleans up. Everything it starts dies with it (PR_SET_PDEATHSIG), but
for the sweeper, which clears up after a jailer that was killed (sweeper.py); what both of them could not is swept at
the next start. The server can ask for exactly one thing:
{"do": "zygote", "runtime": name}, with a name from the list made before it was started.
"""

from __future__ import annotations

import array
import errno
import fcntl
import hashlib
import json
import os
import resource
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddock.worker.runtimes import choose, discovery, packages, store
from paddock.worker.sandbox import cgroup, disk, linux, names, pid1, seccomp, sweeper, uids, userland, veil, zygote
from paddock.worker.sandbox.gateway import Gateway

SOURCE = Path(__file__).parents[3]
JAILER_FD = 3
LISTENER_FD = 4
SETTINGS_FD = 5
_UIDS_PER_ZYGOTE = 20_000
_STOP_PATIENCE_S = 35.0
_OPEN_FILES = 131_072
_LOOK_MS = 100
_LOCK_PATIENCE_S = 5.0


class CannotStart(RuntimeError):
    """Paddock cannot start; the message is for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the jailer needs of the configuration. Paths are absolute; sizes and times carry their units."""

    host: str
    port: int
    data_dir: str
    server_uid: int
    environment_uid_first: int
    processes_max: int
    rootless: bool
    tmp_disk_mb: int = 0
    network: str = "none"
    network_pool: str = ""
    networks: tuple[dict[str, Any], ...] = ()
    file_systems: tuple[dict[str, str], ...] = ()
    dev_directories: tuple[str, ...] = ()
    runtimes_dir: str
    userland: str = "auto"
    server: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of this Paddock's control groups: one data directory, one Paddock."""
        return "paddock-" + hashlib.sha256(self.data_dir.encode()).hexdigest()[:12]

    @property
    def code_root(self) -> str:
        return f"{self.data_dir}/server/code"


def _memory_fd(content: object) -> int:
    fd = os.memfd_create("paddock")
    os.write(fd, json.dumps(content).encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def allow_open_files(wanted: int) -> None:
    """The server holds ten for each environment. With CAP_SYS_RESOURCE beyond the hard limit, else up to it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, wanted), hard), hard))


def listen(host: str, port: int) -> socket.socket:
    """The listening socket. Raises CannotStart with what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(f"{host}:{port} is taken by another process; choose another with --port") from error
        raise CannotStart(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listener.listen(1024)
    return listener


def _zygote_asked(data: bytes) -> str:
    """The runtime of the one command there is, or "" when it is anything else."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(message, dict) or message.get("do") != "zygote" or not isinstance(message.get("runtime"), str):
        return ""
    return str(message["runtime"])


def _groups_of(block: int, runtime: discovery.Runtime) -> str:
    """How the names of the groups of one zygote's environments begin; the zygote adds `-` and a number."""
    return f"{block}-{runtime.name.replace('.', '_')}"


class Jailer:
    """One Paddock's privileged half. `run` returns the exit status for the whole."""

    def __init__(self, settings: Settings, runtimes: Mapping[str, discovery.Runtime]) -> None:
        self._settings = settings
        self._runtimes = runtimes
        self._zygotes: dict[int, str] = {}  # pid -> how the names of its environments' groups begin
        self._groups_left: list[str] = []
        self._uid_blocks = 0
        self._uid_first = settings.environment_uid_first
        self._uid_locks: list[int] = []
        self._server = 0
        self._names = 0
        self._sweeper = 0
        self._disk = -1  # the directory of all /tmp on disk, where it is wanted
        self._sweeper_pipe = -1
        self._gateway: Gateway | None = None
        self._no_egress = ""  # why there is none

    def run(self) -> int:
        data = Path(self._settings.data_dir)
        lock = self._directories(data)
        hierarchy = cgroup.find()
        cgroup.sweep(hierarchy, self._settings.name)
        self._start_sweeper(hierarchy)
        self._open_disk(data)
        self._claim_uids()
        listener = listen(self._settings.host, self._settings.port)
        self._port: int = listener.getsockname()[1]
        self._groups = cgroup.make_parent(hierarchy, self._settings.name)
        allow_open_files(_OPEN_FILES)
        self._filter = seccomp.program()
        self._open_gateway()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._start_server(theirs, listener, data)
        theirs.close()
        listener.close()
        try:
            return self._serve(ours)
        finally:
            self._end_others()
            cgroup.sweep(hierarchy, self._settings.name)
            os.close(lock)

    def _directories(self, data: Path) -> int:
        """data/server belongs to the server; the rest to the jailer, for zygotes run what lies in data/runtimes."""
        try:
            for part, mode in (("", 0o755), ("runtimes", 0o755), ("root", 0o755), ("server", 0o700)):
                (data / part).mkdir(parents=True, exist_ok=True, mode=mode)
            if not self._settings.rootless:
                os.chown(data / "server", self._settings.server_uid, self._settings.server_uid)
            lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CannotStart(f"cannot use the data directory {data}: {error.strerror}") from error
        deadline = time.monotonic() + _LOCK_PATIENCE_S  # of one that was killed, the sweeper has it for a moment
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except OSError as error:
                if time.monotonic() > deadline:
                    raise CannotStart(f"another Paddock is running on {data}") from error
            time.sleep(_LOOK_MS / 1000)

    def _start_sweeper(self, hierarchy: cgroup.Hierarchy) -> None:
        """Before anything else is open, so that it holds nothing; without groups there is nothing to sweep."""
        if not hierarchy.version:
            return
        theirs, self._sweeper_pipe = os.pipe2(os.O_CLOEXEC)
        self._sweeper = os.fork()
        if self._sweeper:
            os.close(theirs)
            return
        try:
            sweeper.become(theirs, Path(self._settings.data_dir, "lock"), hierarchy, self._settings.name)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)

    def _open_disk(self, data: Path) -> None:
        """In a mount namespace of our own, so that the mount ends with us; what the host mounts later is seen."""
        size_mb = self._settings.tmp_disk_mb
        if not size_mb:
            return
        try:
            if self._settings.rootless:
                raise PermissionError(errno.EPERM, "an ordinary user cannot mount a file system on disk")
            if size_mb < disk.SIZE_MB_MIN:
                raise OSError(errno.EINVAL, f"it needs at least {disk.SIZE_MB_MIN}")
            linux.unshare(linux.CLONE_NEWNS)
            linux.mount("none", "/", None, linux.MS_REC | linux.MS_SLAVE)
            disk.open_up(str(data), size_mb)
            self._disk = os.open(data / disk.DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise CannotStart(f"tmp_disk_mb = {size_mb} is not possible: {error.strerror or error}") from error

    def _clear(self, prefix: str) -> bool:
        """Of a zygote that was killed, nobody else would: its groups, and what its environments had of the disk."""
        if not cgroup.clear(self._groups, prefix):
            return False
        if self._disk >= 0:
            for name in [name for name in os.listdir(self._disk) if name.startswith(prefix)]:
                disk.remove(self._disk, name)
        return True

    def _open_gateway(self) -> None:
        """The way out, if it is wanted. Where it cannot be made, `egress` is an error and `auto` does without."""
        settings = self._settings
        if settings.network == "none" and not settings.networks:
            self._no_egress = "network = none"
            return
        try:
            if settings.rootless:
                raise PermissionError(errno.EPERM, "an ordinary user cannot connect a network to the machine's")
            self._gateway = Gateway(settings.network_pool, settings.networks, settings.network != "none")
        except OSError as error:
            self._no_egress = error.strerror or str(error)
            if settings.network == "egress":
                raise CannotStart(f"network = egress is not possible: {self._no_egress}") from error
            return
        if self._gateway.turned_on_forwarding:
            print("paddock: net.ipv4.ip_forward was off and is on now, for functions to reach out", file=sys.stderr)
        self._start_names(self._gateway)

    def _start_names(self, gateway: Gateway) -> None:
        self._names = os.fork()
        if self._names:
            return
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            names.become(*gateway.listeners, self._settings.server_uid)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(70)

    def _claim_uids(self) -> None:
        if self._settings.rootless:
            return
        try:
            self._uid_first, self._uid_locks = uids.claim(self._settings.environment_uid_first)
        except OSError as error:
            raise CannotStart(f"cannot claim user ids for environments: {error}") from error

    # -- the server ---------------------------------------------------------------------------------------------

    def _start_server(self, control: socket.socket, listener: socket.socket, data: Path) -> None:
        known = [
            {
                "name": r.name,
                "transport": r.family.transport,
                "label": r.version_label,
                "family": r.family.family,
                "home": r.userland.name if r.userland is not None else "",
            }
            for r in self._runtimes.values()
        ]
        isolation = {
            "mode": "rootless" if self._settings.rootless else "root",
            "groups": self._groups.version,
            "controllers": sorted(self._groups.paths),
            "egress": self._gateway is not None,
            "no_egress": self._no_egress,
            "userlands": choose.homes(self._runtimes.values()),
        }
        settings = _memory_fd({"config": self._settings.server, "runtimes": known, "isolation": isolation})
        self._server = os.fork()
        if self._server:
            os.close(settings)
            return
        try:
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGTERM)
            linux.unshare(linux.CLONE_NEWNS)
            linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
            linux.drop_bounding_set()  # while we still may
            if not self._settings.rootless:
                veil.draw([Path(sys.prefix), Path(sys.base_prefix), SOURCE / "paddock", data])
                os.setgroups([])
                os.setresgid(*[self._settings.server_uid] * 3)
                os.setresuid(*[self._settings.server_uid] * 3)
            linux.drop_capabilities()
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGTERM)  # the change of credentials has cleared it
            os.chdir(data / "server")
            self._exec_with({JAILER_FD: control.fileno(), LISTENER_FD: listener.fileno(), SETTINGS_FD: settings})
        except BaseException:
            traceback.print_exc()
            os._exit(70)

    @staticmethod
    def _exec_with(places: dict[int, int]) -> None:
        high = {place: fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for place, fd in places.items()}
        for place, fd in high.items():
            os.dup2(fd, place)
        linux.close_range(max(places) + 1)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LD_"))}
        environment["PYTHONPATH"] = str(SOURCE)
        os.execve(sys.executable, [sys.executable, "-P", "-m", "paddock", "serve"], environment)

    # -- its life -----------------------------------------------------------------------------------------------

    def _serve(self, control: socket.socket) -> int:
        """Obey the server until it ends; pass signals to stop on to it."""
        wake_in, wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_out, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        poll = select.poll()
        poll.register(wake_in, select.POLLIN)
        poll.register(control, select.POLLIN)
        deadline: float | None = None
        while True:
            for fd, _ in poll.poll(_LOOK_MS if deadline is not None or self._groups_left else None):
                if fd == wake_in:
                    numbers = set(os.read(wake_in, 512))
                    if numbers & {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
                        self._stop_server(signal.SIGTERM if deadline is None else signal.SIGKILL)
                        deadline = deadline or time.monotonic() + _STOP_PATIENCE_S
                    status = self._reap()
                    if status is not None:
                        return status
                elif not self._obey(control):
                    poll.unregister(control)
            if deadline is not None and time.monotonic() > deadline:
                self._stop_server(signal.SIGKILL)
            self._groups_left = [each for each in self._groups_left if not self._clear(each)]

    def _stop_server(self, number: int) -> None:
        try:
            os.kill(self._server, number)
        except ProcessLookupError:
            pass

    def _reap(self) -> int | None:
        """Collect ended children; the server's exit status once it has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1
            if not pid:
                return None
            if pid == self._names and self._gateway is not None:
                self._start_names(self._gateway)
            if pid in self._zygotes:
                self._groups_left.append(self._zygotes.pop(pid))
            if pid == self._server:
                code = os.waitstatus_to_exitcode(status)
                if code < 0:
                    print(f"paddock: the server was ended by signal {-code}", file=sys.stderr)
                return code if code >= 0 else 128 - code

    def _obey(self, control: socket.socket) -> bool:
        data = control.recv(65536)
        if not data:
            return False
        runtime = self._runtimes.get(_zygote_asked(data))
        if runtime is None:
            control.send(json.dumps({"error": "no such runtime"}).encode())
            return True
        try:
            connected = self._start_zygote(runtime)
        except OSError as error:
            control.send(json.dumps({"error": str(error)}).encode())
            return True
        with connected:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connected.fileno()]))]
            control.sendmsg([json.dumps({"runtime": runtime.name}).encode()], ancillary)
        return True

    # -- zygotes ------------------------------------------------------------------------------------------------

    def _start_zygote(self, runtime: discovery.Runtime) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        block, self._uid_blocks = self._uid_blocks, self._uid_blocks + 1
        pid = os.fork()
        if pid == 0:
            try:
                linux.die_with_parent()
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                self._become_zygote(runtime, theirs, block)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(70)
        self._zygotes[pid] = _groups_of(block, runtime) + "-"
        theirs.close()
        return ours

    def _become_zygote(self, runtime: discovery.Runtime, server: socket.socket, block: int) -> None:
        assert runtime.interpreter is not None  # only such runtimes are in the list
        data = Path(self._settings.data_dir)
        shown = packages.provide(runtime, data / "runtimes")
        uid_first = self._uid_first + (block % 1000) * _UIDS_PER_ZYGOTE
        source = userland.HOST + str(SOURCE)
        settings = _memory_fd(
            {
                "name": _groups_of(block, runtime),
                "groups": [self._groups.version, self._groups.paths],
                "uid_first": uid_first,
                "rootless": self._settings.rootless,
                "data_dir": self._settings.data_dir,
                "code_root": self._settings.code_root,
                "seccomp": self._filter.hex(),
                "calls": seccomp.numbers(pid1.CALLS),
                "api_port": self._port,
                "processes_max": self._settings.processes_max,
                "bootstrap": runtime.family.bootstrap,
                "tmp_on_disk": self._disk >= 0,
                "code": runtime.family.code,
                "source": source,
                "file_systems": {
                    one["arn"]: [one["directory"], one["access"] == "write"] for one in self._settings.file_systems
                },
                "dev_directories": self._settings.dev_directories,
                "egress": self._gateway.share(block) if self._gateway is not None else None,
            }
        )
        linux.unshare(linux.CLONE_NEWNS)
        if self._settings.rootless:
            _enter_pid_namespace()
        interpreter = runtime.interpreter
        hidden = list(interpreter.hidden)
        resolver = self._gateway.address if self._gateway is not None else ""
        prefix, packages_shown = runtime.shown_prefix, str(shown) if shown else ""
        userland.build(str(data / "root"), prefix, packages_shown, hidden, resolver, runtime.base)
        places = {zygote.SERVER_FD: server.fileno(), zygote.SETTINGS_FD: settings}
        if self._gateway is not None:
            places[zygote.GATEWAY_FD] = self._gateway.namespace
        high = {place: fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for place, fd in places.items()}
        for place, fd in high.items():
            os.dup2(fd, place)
        linux.close_range(max(places) + 1)
        boot = f"import sys; sys.path.insert(0, {source!r}); from paddock.worker.sandbox.zygote import main; main()"
        environment = {
            "LC_CTYPE": "C.UTF-8",
            "OPENBLAS_NUM_THREADS": "1",
            "PATH": "/usr/bin:/bin",
            "LD_LIBRARY_PATH": "/var/lang/lib",  # where a relocated interpreter finds its own shared library
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime.name}",  # awslambdaric reads it once, when imported
        }
        os.execve(interpreter.inside, [interpreter.inside, "-I", "-S", "-B", "-c", boot], environment)

    def _end_others(self) -> None:
        for pid in filter(None, [*self._zygotes, self._names, self._sweeper]):
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                continue


def find_runtimes(settings: Settings) -> dict[str, discovery.Runtime]:
    """Those that can start here, by name. Before any user namespace, in which nobody can tell whose a file is."""
    try:
        found = choose.runtimes(Path(settings.runtimes_dir), settings.userland)
        ready = {r.name: r for r in found if r.interpreter is not None and not packages.available(r)}
        for userland in {r.userland.name: r.userland for r in ready.values() if r.userland is not None}.values():
            store.hold(userland)  # as long as we live
    except (store.Untrusted, OSError) as error:
        raise CannotStart(str(error)) from error
    return ready


def main(settings_fd: int) -> int:
    """Run the jailer that the settings describe; returns the exit status of `paddock up`."""
    with os.fdopen(settings_fd) as file:
        settings = Settings(**json.load(file))
    try:
        runtimes = find_runtimes(settings)
        if settings.rootless:
            _enter_user_namespace()
        return Jailer(settings, runtimes).run()
    except CannotStart as error:
        print(f"paddock: {error}", file=sys.stderr)
        return 1


def _enter_user_namespace() -> None:
    """Become root of a user namespace that holds just the one who started us."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
    except OSError as error:
        raise CannotStart(
            "this kernel does not let an ordinary user make user namespaces; run as root, or see `paddock doctor`"
        ) from error
    for path, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        Path("/proc/self", path).write_text(text)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)


def _enter_pid_namespace() -> None:
    """Go on as the first process of a pid namespace that our own user namespace owns.

    A zygote steps back into its own pid namespace after every fork, which takes a privilege over that namespace; an
    ordinary user has none over the machine's. The process left behind only waits.
    """
    linux.unshare(linux.CLONE_NEWPID)
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        os._exit(0 if status == 0 else 70)
    linux.die_with_parent()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
