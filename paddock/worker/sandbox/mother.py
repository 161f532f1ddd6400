"""The mother of a zygote's environments: a fork of it that does nothing but fork, and so never changes a page.

A fork shares every page with its parent until one of the two writes to it, and an interpreter writes to hundreds with
every command that it obeys, in reference counts alone. Were the zygote itself forked, each environment would keep its
own copy of what the zygote has changed since, and the zygote would copy it all again after each fork. The mother waits
in machine code: she receives descriptors and a few words, enters the pid namespace that they name, forks, and answers
with the process id. The child returns into Python, with the descriptors in places that are the same for all, so that
the system calls that take it into the environment are a list, too (cell.py).

Her children are the zygote's children (CLONE_PARENT). When she is lost, the zygote ends.

Caveat: for x86_64, and kernels that tell where a thread's id is kept. Elsewhere the zygote is forked itself, at a
higher price. Standard library only, Python 3.9.
"""

from __future__ import annotations

import array
import ctypes
import gc
import json
import mmap
import os
import platform
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from paddock.worker.sandbox import linux
from paddock.worker.sandbox.pid1 import CALL, Calls

FIRST = 8
"""The first of the descriptors of which a child is born with; all below are nothing to it."""

SOCKET_FD = 3
GATEWAY_FD = 5
_MESSAGE_BYTES = 1024
_FDS_MAX = 24
_STATE_BYTES = 4096
_FLAGS = linux.CLONE_PARENT | linux.CLONE_CHILD_SETTID | linux.CLONE_CHILD_CLEARTID | signal.SIGCHLD
_PID = struct.Struct("=q")

# tests/unit holds the source.
_CODE = bytes.fromhex(
    "534889fb488b7308488b4310488946288b3b31d2b82f0000000f054885c07e588b7b18be00000020b8340100000f0548"
    "85c0781b488b7b2031f631d24c8b53284531c0b8380000000f054885c07432488943388b3b488d7338ba08000000b801"
    "0000000f058b7b18beffffffff31d2b8b40100000f05eb8c31ffb8e70000000f055bc3534889fb488b034885c0783548"
    "8b7b08488b7310488b53184c8b53204c8b43284c8b4b300f054885c0791048837b38007509488943384889d85bc34883"
    "c340ebc331c05bc3"
)
_RUN_AT = 0x83


class Machine:
    """The code, and what it works on. None of it can be had where there is no such code: see `of`."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._page[: len(_CODE)] = _CODE
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        linux.make_executable(address, mmap.PAGESIZE)
        kind = ctypes.PYFUNCTYPE(ctypes.c_long, ctypes.c_void_p)  # such a call keeps the interpreter's lock
        self.wait, self._run = kind(address), kind(address + _RUN_AT)
        self.thread_id = linux.thread_id_address()

    def run(self, calls: Calls) -> bytes | None:
        """None, or what Calls.complaint understands."""
        failed = self._run(calls.list_address)
        if not failed:
            return None
        (result,) = _PID.unpack(ctypes.string_at(failed + CALL.size - 8, 8))
        return struct.pack("=qq", failed, result)


def machine() -> Machine | None:
    """None where it is another machine, or the kernel does not let us."""
    if platform.machine() != "x86_64":
        return None
    try:
        return Machine()
    except OSError:
        return None


class Mother:
    """fork(order, fds): a new process in the pid namespace of fds[0], a pidfd; there `born(order)` is called, with the
    descriptors from FIRST on.
    """

    def __init__(self, born: Callable[[dict[str, Any]], NoReturn], code: Machine | None, has_gateway: bool) -> None:
        self._born = born
        self._socket: socket.socket | None = None
        self._own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        if code is None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            try:
                self._be(theirs.fileno(), code, has_gateway)
            finally:
                os._exit(70)
        theirs.close()
        self._socket = ours

    @property
    def line(self) -> int:
        """The descriptor that hangs up when she is lost; -1 where there is none to be lost."""
        return -1 if self._socket is None else self._socket.fileno()

    def fork(self, order: dict[str, Any], fds: Sequence[int]) -> int:
        """The process id. Raises OSError; ConnectionError when the mother is lost."""
        if self._socket is None:
            return self._fork_ourselves(order, fds)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        self._socket.sendmsg([json.dumps(order).encode() + b"\0"], rights)
        answer = self._socket.recv(_PID.size)
        if not answer:
            raise ConnectionResetError("the mother of environments is lost")
        (pid,) = _PID.unpack(answer)
        if pid < 0:
            raise OSError(-pid, f"fork of an environment's process: {os.strerror(-pid)}")
        return int(pid)

    def _fork_ourselves(self, order: dict[str, Any], fds: Sequence[int]) -> int:
        linux.setns(fds[0], linux.CLONE_NEWPID)
        try:
            pid = os.fork()
            if pid == 0:
                try:
                    _place(fds)
                    self._born(order)
                finally:
                    os._exit(70)
        finally:
            linux.setns(self._own_pids, linux.CLONE_NEWPID)  # else the next fork would be refused
        return pid

    def _be(self, control: int, code: Machine, has_gateway: bool) -> NoReturn:
        """In the mother, and, from the end of the wait on, in each child."""
        linux.die_with_parent()
        linux.set_process_name("paddock-mother")
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        control = os.dup(control)
        for place in range(FIRST):
            if place != GATEWAY_FD or not has_gateway:
                os.dup2(control if place == SOCKET_FD else null, place, inheritable=False)
        linux.close_range(FIRST)
        state = _State(code.thread_id)
        gc.collect()
        gc.freeze()
        ctypes.pythonapi.PyOS_BeforeFork()
        code.wait(state.address)
        ctypes.pythonapi.PyOS_AfterFork_Child()
        self._born(state.order())


def _place(fds: Sequence[int]) -> None:
    high: list[int] = []
    while len(high) < len(fds):
        copy = os.dup(fds[len(high)])
        if copy >= FIRST + len(fds):
            high.append(copy)
    for place, fd in enumerate(high, FIRST):
        os.dup2(fd, place)


class _State:
    """What the waiting code reads and writes, in memory of its own."""

    def __init__(self, thread_id: int) -> None:
        self._memory = mmap.mmap(-1, _STATE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        room = socket.CMSG_SPACE(4 * _FDS_MAX)
        header, part, self._text, control = 64, 128, 256, 256 + _MESSAGE_BYTES
        words = (SOCKET_FD, self.address + header, room, FIRST, _FLAGS, thread_id, 0, 0)
        self._memory[:64] = struct.pack("=8q", *words)
        places = [self.address + each for each in (part, control)]
        self._memory[header : header + 56] = struct.pack("=7Q", 0, 0, places[0], 1, places[1], room, 0)
        self._memory[part : part + 16] = struct.pack("=2Q", self.address + self._text, _MESSAGE_BYTES)

    def order(self) -> dict[str, Any]:
        text = self._memory[self._text : self._memory.find(b"\0", self._text)]
        order: dict[str, Any] = json.loads(text)
        return order
