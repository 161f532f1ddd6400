"""An execution environment from the inside: how a forked zygote becomes a process of it.

Pid 1 (pid1.py) has made the namespaces, the network and the mounts. What runs beside it is forked by the zygote and
goes in: it joins the groups, enters the namespaces, gives up identity and capabilities, closes its descriptors, and
comes under the filter. Then it is one of two:

    runtime    runs the function's code. When it has ended the zygote can start another (AWS keeps /tmp but not memory
               after a crash or a timeout)
    helper     only where layers bring extensions: starts these (launch.py), tells how they ended, and connects for
               the server, which is outside of the network here, to what they listen on

Each is a child of the zygote, which tells the server how the runtime ended, and dies with pid 1. Only the runtime and
what extensions are ever run a user's code.

Standard library only, Python 3.9.
"""

from __future__ import annotations

import array
import atexit
import errno
import json
import mmap
import os
import select
import signal
import socket
import sys
from typing import Any, Callable, Dict, List, NoReturn, Optional, Sequence

from paddock.worker.sandbox import egress, launch, linux, mother, pid1, userland

CHANNEL_FD = 3  # frames between Paddock and the runtime
TELEMETRY_FD = 4  # AWS's framed log records
CONTROL_FD = 3  # the helper and the server

_COMMAND_BYTES_MAX = 131_072  # of a message on the control socket; the largest brings an environment
_EXTENSIONS = userland.LAYERS + "/extensions"
_TOLD_BYTES_MAX = 64

Runtime = Callable[[int, int, bool], None]

# Of what a process is born with; behind them the files by which it joins the groups.
_PID_1, _USERS, _OUTPUT, _TELEMETRY, _CHANNEL, _COMPLAINTS, _TOLD, _JOINS = range(mother.FIRST, mother.FIRST + 8)


class Broken(Exception):
    """It could not go in; the message says why."""


def _approach(calls: pid1.Calls, spec: pid1.Spec, robust_list: int) -> None:
    calls.add("prctl", linux.PR_SET_PDEATHSIG, 9)
    calls.add("prctl", linux.PR_SET_DUMPABLE, 0, 0, 0, 0)  # nobody inside may look into it before it is inside, too
    calls.add("set_robust_list", robust_list, 24)
    for number in range(_JOINS, _JOINS + spec.groups):
        calls.add("write", number, b"0", 1)


def _go_in(calls: pid1.Calls, spec: pid1.Spec, name: str, places: Sequence[int]) -> None:
    """places: which descriptors become 1 and on; 0 is empty, and all others are closed."""
    null = _JOINS + spec.groups
    calls.add("setns", _PID_1, pid1.NAMESPACES)
    calls.add("openat", linux.AT_FDCWD, "/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    calls.add("setsid")
    pid1.identity(calls, _USERS, spec.capabilities)
    for place, number in enumerate([null, *places]):
        calls.add("dup3", number, place, 0)
    calls.add("close_range", len(places) + 1, 0xFFFFFFFF, 0)
    calls.add("prctl", linux.PR_SET_NAME, name)


class Ways:
    """The ways into an environment, for forks of one zygote: lists of system calls, written down once.

    code: what carries them out; None: this interpreter does.
    """

    def __init__(self, spec: pid1.Spec, numbers: Dict[str, int], code: Optional[mother.Machine]) -> None:
        self._code = code
        self._kept: List[mmap.mmap] = []
        robust_list = linux.robust_list_address()
        self.approach = self._list(lambda calls: _approach(calls, spec, robust_list), numbers)
        self.runtime = self._list(lambda calls: self._write_runtime(calls, spec), numbers)
        self.helper = self._list(lambda calls: self._write_helper(calls, spec), numbers)

    def _list(self, write: Callable[[pid1.Calls], None], numbers: Dict[str, int]) -> pid1.Calls:
        memory, calls = pid1.in_memory(write, numbers)
        self._kept.append(memory)
        return calls

    @staticmethod
    def _write_runtime(calls: pid1.Calls, spec: pid1.Spec) -> None:
        _go_in(calls, spec, "runtime", [_OUTPUT, _OUTPUT, _CHANNEL, _TELEMETRY])
        calls.add("prctl", linux.PR_SET_DUMPABLE, 1, 0, 0, 0)  # else its own /proc/self would be closed to it
        pid1.filtered(calls, spec.seccomp)

    @staticmethod
    def _write_helper(calls: pid1.Calls, spec: pid1.Spec) -> None:
        _go_in(calls, spec, "paddock-helper", [_OUTPUT, _OUTPUT, _CHANNEL])
        pid1.filtered(calls, spec.seccomp)

    def take(self, calls: pid1.Calls) -> None:
        """Raises Broken."""
        failed = calls.carry_out(linux.raw) if self._code is None else self._code.run(calls)
        if failed is not None:
            raise Broken(calls.complaint(failed))


def order(kind: str, ahead: bool = False, told: bool = False, plug: Optional[egress.Plug] = None) -> Dict[str, Any]:
    """What a fork is to become: "runtime" or "helper". ahead: made before anybody needs it, it may prepare itself.

    told: pid 1 is not done yet, and will tell. plug: the way out that it has to make, for there is none yet.
    """
    return {"kind": kind, "ahead": ahead, "told": told, "plug": plug}


def begin(ordered: Dict[str, Any], ways: Ways, complaint: Callable[[bytes], str], runtime: Runtime) -> NoReturn:
    """In a fork that has just been born: go in, and be what was ordered. complaint: of what pid 1 tells."""
    try:
        ways.take(ways.approach)
        plug = egress.Plug(*ordered["plug"]) if ordered["plug"] is not None else None
        reach = egress.reach(plug) if plug is not None else None
        why = complaint(os.read(_TOLD, _TOLD_BYTES_MAX)) if ordered["told"] else ""
        if why:
            raise Broken(why)
        if plug is not None and reach is not None:
            linux.setns(_PID_1, linux.CLONE_NEWNET)
            egress.plug_in(plug, reach)
        ways.take(ways.runtime if ordered["kind"] == "runtime" else ways.helper)
    except BaseException as error:
        os.write(_COMPLAINTS, json.dumps({"event": "broken", "error": f"{type(error).__name__}: {error}"}).encode())
        os.kill(os.getpid(), signal.SIGKILL)  # the end of an environment, and no exit status of its function
        raise
    if ordered["kind"] == "runtime":
        _be_runtime(runtime, ordered["ahead"])
    _Helper().serve()
    os._exit(0)


def _be_runtime(runtime: Runtime, ahead: bool) -> NoReturn:
    code = 1
    try:
        runtime(CHANNEL_FD, TELEMETRY_FD, ahead)
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


def _tell(control: socket.socket, message: Dict[str, Any], fds: Optional[List[int]] = None) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    control.sendmsg([json.dumps(message).encode()], ancillary)


class _Helper:
    """Commands from the server:

    {"do": "extensions", "environment": {...}, "data_bytes_max": n}     start what /opt/extensions holds
    {"do": "connect", "port": n}                                        a connection to that port
    """

    def __init__(self) -> None:
        self._extensions: Dict[int, str] = {}
        self._control = socket.socket(fileno=CONTROL_FD)
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_out, False)
        os.set_blocking(self._wake_in, False)

    def serve(self) -> None:
        signal.set_wakeup_fd(self._wake_out, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(CONTROL_FD, select.POLLIN)
        poll.register(self._wake_in, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == CONTROL_FD:
                    command = self._control.recv(_COMMAND_BYTES_MAX)
                    if not command:
                        return
                    self._obey(json.loads(command))
                else:
                    os.read(self._wake_in, 512)
                    self._reap()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            name = self._extensions.pop(pid, "")
            if name:
                _tell(self._control, {"event": "extension", "name": name, "status": status})

    def _obey(self, message: Dict[str, Any]) -> None:
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
        self._extensions.update(launched.names)
        told = {"event": "extensions", "names": names, "failed": list(launched[1:])}
        _tell(self._control, told, [output_in])
        os.close(output_in)
        os.close(output_out)

    def _connect(self, port: int) -> None:
        """A connection to what listens on the port in here, or the number of the error."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            number = sock.connect_ex((pid1.RUNTIME_ADDRESS, port))
            if number == errno.EINPROGRESS:  # on loopback it is there when asked again, or nobody is accepting
                number = sock.connect_ex((pid1.RUNTIME_ADDRESS, port))
                number = 0 if number == errno.EISCONN else number
            _tell(self._control, {"event": "connected", "error": number}, [] if number else [sock.fileno()])
