"""An execution environment from the inside: how a forked zygote shuts the doors behind itself, then serves.

Two processes live in each environment. The first, pid 1 of its own pid namespace, isolates itself step by step,
then only reaps, reports how the runtime ended, and starts the runtime afresh when told to (AWS keeps /tmp but not
memory after a crash or timeout). The second is the runtime: it waits on its channel for code and configuration.
Only the second ever runs a user's code; the first is not dumpable, holds no privilege and is under the same filter.

Beside the runtime it starts the extensions that layers bring (launch.py), and connects for the server, which is
outside of the network here, to what an extension listens on.

The order matters, and each line says why it stands where it does:
cgroup first (so that everything after is charged), namespaces, network (needs the capability), mounts, then the
host's root is detached, descriptors are closed, identity is given up by entering a prepared user namespace,
capabilities go, the filter comes on. What a step may not skip raises, and the cell dies with that error reported.

Standard library only, Python 3.9.
"""

from __future__ import annotations

import array
import atexit
import errno
import json
import os
import resource
import select
import signal
import socket
import sys
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from paddock.worker.sandbox import egress, launch, linux, userland
from paddock.worker.sandbox.cgroup import Group

RUNTIME_ADDRESS = "169.254.100.1"
RUNTIME_PORT = 9001
CHANNEL_FD = 3  # frames between Paddock and the runtime
TELEMETRY_FD = 4  # AWS's framed log records
CONTROL_FD = 5  # pid 1 and the server: readiness, exits, resets

# What tells of the whole machine: its kernel's keys, symbols, timers, command line, and who uses devices when.
_MASKED = """/proc/keys /proc/key-users /proc/kallsyms /proc/modules /proc/timer_list /proc/sched_debug
    /proc/latency_stats /proc/interrupts /proc/cmdline /proc/kcore /proc/sysrq-trigger""".split()
_DESCRIPTORS_MAX = 1024
_PROCESSES_MAX = 1024
# A process that is being forked while its parent is stopped and continued is born with the stop but without the
# continuation, which the kernel drops where nobody handles it. So whoever continues all does it again a little later.
_CONTINUE_AGAIN_MS = (5, 50, 500)
_COMMAND_BYTES_MAX = 131_072  # of a message on the control socket; the largest brings an environment
_EXTENSIONS = userland.LAYERS + "/extensions"

Runtime = Callable[[int, int, bool], None]


class Doors(NamedTuple):
    """What pid 1 is given: the ends it keeps, where it must go, and what it will run."""

    channel: socket.socket
    telemetry: int
    output: int
    control: socket.socket
    group: Optional[Group]
    user_namespace: int
    seccomp: bytes
    api_port: int
    plug: Optional[egress.Plug]  # None: no way out
    ahead: bool  # made before anybody needs it: the runtime may prepare itself
    runtime: Runtime


def _network(api_port: int, plug: Optional[egress.Plug]) -> List[socket.socket]:
    """A network of our own, with nothing but loopback or with a way out; its two listening sockets go to the server."""
    if plug is None:
        linux.unshare(linux.CLONE_NEWNET)
    else:
        egress.plug_in(plug)
    linux.loopback_up(RUNTIME_ADDRESS)
    listeners = []
    for port in (RUNTIME_PORT, api_port):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((RUNTIME_ADDRESS, port))
        listener.listen(64)
        listeners.append(listener)
    return listeners


def _mounts() -> None:
    safe = linux.MS_NOSUID | linux.MS_NODEV
    linux.umount_detach("/proc")  # the zygote's
    linux.mount("proc", "/proc", "proc", safe | linux.MS_NOEXEC, "hidepid=2")  # pid 1 is not the function's to see
    linux.mount("tmp", "/tmp", "tmpfs", safe, "mode=1777,size=512m,nr_inodes=131072")
    for path in _MASKED:
        if os.path.exists(path):
            linux.bind("/dev/null", path, devices=True)
    linux.umount_detach(userland.HOST)  # from here on nothing of the host has a name


def _limits() -> None:
    """The kernel counts processes per user namespace, which is ours alone: the limit where there is no cgroup."""
    resource.setrlimit(resource.RLIMIT_NPROC, (_PROCESSES_MAX, _PROCESSES_MAX))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS_MAX, _DESCRIPTORS_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))


def _descriptors(doors: Doors) -> None:
    """Exactly 0..5 stay open, whatever the zygote held."""
    null = os.open("/dev/null", os.O_RDONLY)
    wanted = [null, doors.output, doors.output, doors.channel.fileno(), doors.telemetry, doors.control.fileno()]
    high = [os.dup(fd) for fd in wanted]  # first out of the way of their final places
    while min(high) < len(wanted):
        high = [os.dup(fd) for fd in high]
    for place, fd in enumerate(high):
        os.dup2(fd, place, inheritable=place != CONTROL_FD)
    linux.close_range(len(wanted))


def _identity(user_namespace: int) -> None:
    linux.setns(user_namespace, linux.CLONE_NEWUSER)
    try:
        os.setgroups([])
    except PermissionError:
        pass  # a rootless user namespace denies setgroups; there the list was emptied by the kernel's own rule
    os.setresgid(userland.SANDBOX_GID, userland.SANDBOX_GID, userland.SANDBOX_GID)
    os.setresuid(userland.SANDBOX_UID, userland.SANDBOX_UID, userland.SANDBOX_UID)
    linux.die_with_parent()  # the change of credentials has cleared it


def _score(file_name: str, value: int) -> None:
    """Pid 1 must outlive a memory kill, for it is the one to report it. Lowering needs a privilege; raising none.

    It is lowered through oom_adj (-17 to 15), the older file: through oom_score_adj a privileged process lowers the
    least value of its children as well, and a function could shield itself from the machine's memory killer.
    """
    try:
        with open("/proc/self/" + file_name, "w") as file:
            file.write(str(value))
    except OSError:
        pass  # rootless: the kernel then picks the largest process, which the runtime is


def become(doors: Doors) -> None:
    """Turn this freshly forked process into pid 1 of an isolated environment. Never returns."""
    linux.die_with_parent()
    if doors.group is not None:
        doors.group.join()
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWCGROUP)
    socket.sethostname("169-254-100-1")
    listeners = _network(doors.api_port, doors.plug)
    _mounts()
    os.chdir("/")
    os.setsid()
    _score("oom_adj", -15)
    _identity(doors.user_namespace)
    _limits()
    linux.drop_capabilities()
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    linux.set_process_name("paddock-init")
    _tell(doors.control, {"event": "ready"}, [listener.fileno() for listener in listeners])
    _descriptors(doors)
    linux.install_seccomp(doors.seccomp)
    _Init(doors.runtime, doors.ahead).serve()


def _tell(control: socket.socket, message: Dict[str, Any], fds: Optional[List[int]] = None) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    control.sendmsg([json.dumps(message).encode()], ancillary)


class _Init:
    """Pid 1: starts the runtime and extensions, reaps every orphan, tells the server how they ended.

    Commands from the server, one word each: reset, freeze, thaw, terminate and kill (the runtime), or an object:

        {"do": "extensions", "environment": {...}, "data_bytes_max": n}     start what /opt/extensions holds
        {"do": "connect", "port": n}                                        a connection to that port

    The end of the control socket is the end of us, and with pid 1 the kernel ends everything in the namespace.
    """

    def __init__(self, runtime: Runtime, ahead: bool) -> None:
        self._runtime = runtime
        self._ahead = ahead
        self._child = 0
        self._extensions: Dict[int, str] = {}
        self._continue_again_ms: Tuple[int, ...] = ()
        self._control = socket.socket(fileno=CONTROL_FD)
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_out, False)
        os.set_blocking(self._wake_in, False)

    def serve(self) -> None:
        signal.set_wakeup_fd(self._wake_out, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._start()
        os.close(CHANNEL_FD)
        poll = select.poll()
        poll.register(CONTROL_FD, select.POLLIN)
        poll.register(self._wake_in, select.POLLIN)
        while True:
            ready = poll.poll(self._continue_again_ms[0] if self._continue_again_ms else None)
            if not ready:
                self._continue_again_ms = self._continue_again_ms[1:]
                self._signal_all(signal.SIGCONT)
            for fd, _ in ready:
                if fd == CONTROL_FD:
                    command = self._control.recv(_COMMAND_BYTES_MAX)
                    if not command:
                        os._exit(0)
                    self._obey(command.decode())
                else:
                    os.read(self._wake_in, 512)
                    self._reap()

    def _start(self) -> None:
        self._child = os.fork()
        if self._child:
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self._wake_in)
        os.close(self._wake_out)
        self._control.close()
        linux.prctl(linux.PR_SET_DUMPABLE, 1)  # else its own /proc/self would be closed to it
        linux.set_process_name("runtime")
        os.setsid()
        _score("oom_score_adj", 0)
        code = 1
        try:
            self._runtime(CHANNEL_FD, TELEMETRY_FD, self._ahead)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else (0 if end.code is None else 1)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            try:
                atexit._run_exitfuncs()  # the function's, as at the end of any Python program
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code & 0xFF)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self._child:
                self._child = 0
                _tell(self._control, {"event": "exit", "status": status})
            elif pid in self._extensions:
                name = self._extensions.pop(pid)
                _tell(self._control, {"event": "extension", "name": name, "status": status})

    def _obey(self, command: str) -> None:
        if command == "reset":
            self._reset()
        elif command == "freeze":
            self._continue_again_ms = ()
            self._signal_all(signal.SIGSTOP)
        elif command == "thaw":
            self._continue_again_ms = _CONTINUE_AGAIN_MS
            self._signal_all(signal.SIGCONT)
        elif command in ("terminate", "kill"):
            if self._child:
                # All of its group: what runs the function may be a child of the process that was started.
                os.killpg(self._child, signal.SIGTERM if command == "terminate" else signal.SIGKILL)
        else:
            message = json.loads(command)
            if message["do"] == "extensions":
                self._launch(message["environment"], message["data_bytes_max"])
            else:
                self._connect(message["port"])

    def _launch(self, environment: Dict[str, str], data_bytes_max: int) -> None:
        """Start the extensions; the server gets their names and the end of their output, where there are any."""
        names = launch.found(_EXTENSIONS)
        if not names:
            _tell(self._control, {"event": "extensions", "names": [], "failed": ["", "", ""]})
            return
        output_in, output_out = os.pipe2(os.O_CLOEXEC)
        launched = launch.launch(_EXTENSIONS, names, environment, output_out, data_bytes_max)
        self._extensions = launched.names
        told = {"event": "extensions", "names": names, "failed": list(launched[1:])}
        _tell(self._control, told, [output_in])
        os.close(output_in)
        os.close(output_out)

    def _connect(self, port: int) -> None:
        """A connection to what listens on the port in here, or the number of the error."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            number = sock.connect_ex((RUNTIME_ADDRESS, port))
            if number == errno.EINPROGRESS:  # on loopback it is there when asked again, or nobody is accepting
                number = sock.connect_ex((RUNTIME_ADDRESS, port))
                number = 0 if number == errno.EISCONN else number
            _tell(self._control, {"event": "connected", "error": number}, [] if number else [sock.fileno()])

    def _signal_all(self, number: int) -> None:
        try:
            os.kill(-1, number)  # everything in the namespace but ourselves
        except ProcessLookupError:
            pass

    def _reset(self) -> None:
        """End every process, then a new runtime from this untouched interpreter, on a new channel."""
        self._child = 0
        self._extensions = {}
        while True:
            self._signal_all(signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass  # a fork bomb leaves a thousand: no new signal to all for each
            except ChildProcessError:
                break
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        fd = ours.detach()
        if fd != CHANNEL_FD:  # it may well have been given the free place itself
            os.dup2(fd, CHANNEL_FD)
            os.close(fd)
        self._start()
        os.close(CHANNEL_FD)
        _tell(self._control, {"event": "reset"}, [theirs.fileno()])
        theirs.close()
