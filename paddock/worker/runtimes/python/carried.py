"""What belongs to an initialised process besides its memory: descriptors, signal handlers, the files in /tmp.

`Carried()` notes it in the template, where the note becomes part of the memory that is written; `put_back` makes it
again in a restored process. As after a restore on Lambda, connections are there and closed by the other side. What
cannot be made again ends the snapshot with `Unfit`, by name: a function half restored would be worse than a version
that fails when it is published. Randomness that siblings would share is drawn anew (`refresh`).

The template ends right after, so looking may destroy: which two sockets are a pair is found by sending through them.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import os
import random
import re
import select
import signal
import socket
import stat
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from paddock.worker.runtimes.python.snapshot import IMAGE_FD, Unfit, tail_at

_OWN_FDS = frozenset((0, 1, 2, 3, 4, IMAGE_FD))
_HIGH_FD = 600  # out of the way of every descriptor that is still to be made
_SIGSET_BYTES = 8
_SIGACTION_BYTES = 32
_SYS_SIGACTION = 13
_NOT_TO_REOPEN = os.O_CREAT | os.O_EXCL | os.O_TRUNC
_SIGNALS = [n for n in range(1, 65) if n not in (signal.SIGKILL, signal.SIGSTOP)]


class _Descriptor(NamedTuple):
    """kind: file, socket, pair, pipe, event or poll. flags: of its opening. more: what its kind needs."""

    number: int
    kind: str
    flags: int
    more: Any


def _facts(number: int) -> Dict[str, str]:
    """/proc/self/fdinfo as a mapping; of lines that share a name the last."""
    with open(f"/proc/self/fdinfo/{number}") as file:
        return dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)


def _numbers() -> List[int]:
    """Every open descriptor but those that each environment has of its own."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:
            continue  # the listing's own
        found.append(int(name))
    return sorted(set(found) - _OWN_FDS)


def _described(number: int) -> _Descriptor:
    """Raises Unfit for what could not be made again."""
    path, facts, status = os.readlink(f"/proc/self/fd/{number}"), _facts(number), os.fstat(number)
    flags = int(facts["flags"], 8)
    if stat.S_ISSOCK(status.st_mode):
        return _Descriptor(number, "socket", flags, None)
    if stat.S_ISFIFO(status.st_mode) and path.startswith("pipe:"):
        return _Descriptor(number, "pipe", flags, path)
    if path == "anon_inode:[eventfd]":
        return _Descriptor(number, "event", flags, int(facts["eventfd-count"], 16))
    if path == "anon_inode:[eventpoll]":
        return _Descriptor(number, "poll", flags, _watched(number))
    is_there = os.path.exists(path) and os.path.samestat(os.stat(path), status)
    if is_there and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) or stat.S_ISCHR(status.st_mode)):
        return _Descriptor(number, "file", flags & ~_NOT_TO_REOPEN, (path, int(facts["pos"])))
    raise Unfit(f"descriptor {number} ({path}) is open, and cannot be opened again elsewhere")


def _watched(number: int) -> Tuple[Tuple[int, int, int], ...]:
    """(descriptor, events, data) of an epoll set."""
    with open(f"/proc/self/fdinfo/{number}") as file:
        found = re.findall(r"^tfd: *(\d+) events: *([0-9a-f]+) data: *([0-9a-f]+)", file.read(), re.M)
    return tuple((int(fd), int(events, 16), int(data, 16)) for fd, events, data in found)


def _pairs(numbers: List[int]) -> Dict[int, int]:
    """Of these sockets those that are each other's other end."""
    found: Dict[int, int] = {}
    for number in numbers:
        one = socket.socket(fileno=os.dup(number))
        try:
            is_candidate = one.family == socket.AF_UNIX and not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            others = [n for n in numbers if n != number and n not in found]
            if number in found or not is_candidate or not others:
                continue
            before = set(select.select(others, [], [], 0)[0])
            one.send(b"?", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            reached = [n for n in select.select(others, [], [], 0)[0] if n not in before]
            if len(reached) == 1:
                found[number], found[reached[0]] = reached[0], number
        except OSError:
            continue  # not connected, or full: a connection to somebody else
        finally:
            one.close()
    return found


class Carried:
    """Make it in the template, last of all before `take`. Raises Unfit."""

    def __init__(self) -> None:
        _rest()
        if len(os.listdir("/proc/self/task")) > 1:
            raise Unfit("threads that the initialisation started still run")
        _check_no_children()
        numbers = _numbers()
        sockets = [n for n in numbers if stat.S_ISSOCK(os.fstat(n).st_mode)]
        pairs = _pairs(sockets)
        self._descriptors = [_described(number) for number in numbers]
        self._descriptors = [
            one._replace(kind="pair", more=pairs[one.number]) if one.number in pairs else one
            for one in self._descriptors
        ]
        pipes: Dict[str, List[int]] = {}
        for one in self._descriptors:
            if one.kind == "pipe":
                pipes.setdefault(one.more, []).append(one.number)
        self._pipes = pipes
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._directory = os.getcwd()
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._actions = [(number, _action(number, None)) for number in _SIGNALS]
        self._has_files = bool(os.listdir("/tmp"))

    def write_files(self) -> None:
        """The files of /tmp behind the memory, once that is written."""
        if not self._has_files:
            return
        copy = os.dup(IMAGE_FD)
        os.lseek(copy, tail_at(), os.SEEK_SET)
        with os.fdopen(copy, "wb") as behind, _tarfile().open(fileobj=behind, mode="w|") as archive:
            for name in os.listdir("/tmp"):
                archive.add("/tmp/" + name, arcname=name)

    def put_back(self) -> None:
        """In the restored process. Raises OSError when the machine has not enough left."""
        if self._has_files:
            self._read_files()
        for one in self._descriptors:
            self._open(one)
        for one in self._descriptors:
            if one.kind == "poll":
                _watch(one)
        os.umask(self._umask)
        os.chdir(self._directory)
        for number, action in self._actions:
            if any(action[:8]) or any(_action(number, None)[:8]):  # nearly all are, and were, as at the start
                _action(number, action)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _read_files(self) -> None:
        copy = os.open(f"/proc/self/fd/{IMAGE_FD}", os.O_RDONLY)
        os.lseek(copy, tail_at(), os.SEEK_SET)
        with os.fdopen(copy, "rb") as behind, _tarfile().open(fileobj=behind, mode="r|") as archive:
            archive.extractall("/tmp", filter="fully_trusted")

    def _open(self, one: _Descriptor) -> None:
        if one.kind == "file":
            path, position = one.more
            made = os.open(path, one.flags)
            if position and not one.flags & os.O_APPEND:
                os.lseek(made, position, os.SEEK_SET)
            _install(made, one)
        elif one.kind == "event":
            _install(os.eventfd(one.more, os.EFD_NONBLOCK if one.flags & os.O_NONBLOCK else 0), one)
        elif one.kind == "pipe":
            self._pipe(one)
        elif one.kind == "socket" or (one.kind == "pair" and one.number < one.more):
            near, far = (sock.detach() for sock in socket.socketpair())
            if one.kind == "pair":
                far = _high(far)
                _install(near, one)
                _install(far, next(other for other in self._descriptors if other.number == one.more))
            else:
                os.close(far)  # the connection is no more
                _install(near, one)

    def _pipe(self, one: _Descriptor) -> None:
        """Every end of one pipe when its first is met."""
        ends = self._pipes[one.more]
        if one.number != ends[0]:
            return
        reading, writing = (_high(end) for end in os.pipe())
        for number in ends:
            end = next(other for other in self._descriptors if other.number == number)
            _install(os.dup(writing if end.flags & os.O_ACCMODE == os.O_WRONLY else reading), end)
        os.close(reading)
        os.close(writing)


def _tarfile() -> Any:
    """Loaded by those alone who need it: the zygote imports us for everybody."""
    return importlib.import_module("tarfile")


def _rest() -> None:
    """Fork once, for nothing: numeric libraries (OpenBLAS) end their threads before a fork, and start them when needed.

    By the C library's fork, for Python's own would run the hooks of the function's modules.
    """
    child = ctypes.PyDLL(None).fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _check_no_children() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
    raise Unfit("processes that the initialisation started still run")


def _high(number: int) -> int:
    moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
    os.close(number)
    return moved


def _install(made: int, one: _Descriptor) -> None:
    """As that descriptor, blocking and inheritable as it was."""
    made = _high(made)
    os.dup2(made, one.number, inheritable=not one.flags & os.O_CLOEXEC)
    os.close(made)
    os.set_blocking(one.number, not one.flags & os.O_NONBLOCK)


def _watch(one: _Descriptor) -> None:
    made = select.epoll()
    kept = _high(os.dup(made.fileno()))
    made.close()  # before the number is taken: it may be its own
    _install(kept, one)
    again = select.epoll.fromfd(os.dup(one.number))
    for number, events, data in one.more:
        if data & 0xFFFFFFFF != number:
            raise OSError(f"epoll set {one.number} has data of its own")
        again.register(number, events)
    again.close()


def _action(number: int, new: Optional[bytes]) -> bytes:
    """The kernel's own record of what a signal does, whoever set it; replaced by `new`, if that is given."""
    libc = ctypes.CDLL(None)
    old = ctypes.create_string_buffer(_SIGACTION_BYTES)
    libc.syscall(_SYS_SIGACTION, number, new, None if new is not None else old, ctypes.c_size_t(_SIGSET_BYTES))
    return old.raw


def refresh() -> None:
    """Randomness of which every sibling has the same copy: drawn anew, where it is in use."""
    random.seed()
    modules = sys.modules
    if "tempfile" in modules:
        setattr(modules["tempfile"], "_name_sequence", None)  # noqa: B010  (its type does not show it)
    if "ssl" in modules:
        modules["ssl"].RAND_add(os.urandom(48), 48.0)
    if "numpy.random" in modules:
        modules["numpy"].random.seed()
    if "uuid" in modules:
        setattr(modules["uuid"], "_last_timestamp", None)  # noqa: B010  (as above)
