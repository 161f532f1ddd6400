"""SnapStart: an initialised runtime as data, and a runtime that becomes it. Runs inside sandboxes, without privilege.

`take` writes the memory of the process that calls it into a file; `restore`, in a fresh process forked from the same
zygote in another sandbox, replaces its own memory by that, mapped from the file and copied only where it is written
to. Both return from the same call of `take`, which tells them apart:

    the template     take(fd) -> False     its sandbox is ended, the file is sealed
    a restored one   restore(fd) ... take(fd) -> True

Why it fits: forks of one zygote have the same addresses for the interpreter, the stack, the thread's own area and the
kernel's vdso, and the runtime is process 2 of its namespace in every sandbox. Descriptors 0 to 4 are the new sandbox's
own from the start; others are opened again, or are found closed by the other side, as connections are on Lambda.

How it is done. Nobody can replace his own memory from within Python, so both directions are lists of system calls,
made ahead and carried out by some fifty machine instructions that need neither stack nor heap, in a page of their
own (`_CODE`). Taking is a list of pwrite; restoring one of munmap, mmap and pread, each with the result that it must
have: a process in which one has another result ends at once with status RESTORE_FAILED.

Which pages exist is read from /proc/self/pagemap before the writing and again after it: what the making of the lists
itself has added is found then, and it is done once more with more. Pages never go as long as no mapping does, so a
second look that finds nothing new is the proof that the file is complete.

Some memory must not be in a file: what the C library keeps to draw random numbers from without a system call (getrandom
in the kernel's vdso, glibc 2.41). The kernel gives a fork zeros there, and so does a restored process get them, or all
would draw the same.

Caveats: x86_64 only; one thread, no child processes; timers do not come along. Each ends in `Unfit` or, for timers, is
documented. Standard library only.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import struct
from typing import FrozenSet, List, NamedTuple, Tuple

IMAGE_FD = 1023  # in both processes: the highest that a runtime may have
RESTORE_FAILED = 71
IS_SUPPORTED = platform.machine() == "x86_64"

_PAGE = 4096
_PLACE = 1 << 36  # of our own mapping, far from all that the kernel chooses
_PLACE_BYTES = 1 << 24
_CODE_AT, _STATE_AT, _DATA_AT = 0, _PAGE, 2 * _PAGE
_HEADER = struct.Struct("=8sQQ")  # magic, bytes of our own mapping, where /tmp's files begin (0: none)
_MAGIC = b"paddock1"
_CALL = struct.Struct("=8q")  # number, six arguments, the result that it must have
_ANY = -1  # any result but an error
_END = struct.pack("=q", -1)
_GAP_PAGES_MAX = 8  # so few absent pages between two runs are written with them: a mapping costs more
_WHOLE_BYTES_MAX = 1 << 20
_ROUNDS_MAX = 32
_ROOM_BYTES = 1 << 20  # of small objects, and as much of large ones
_MAPPINGS_MAX = 60_000
_FIRST_FREE_FD = 5
# Read-only, and the same in every sandbox that may restore this.
_SHARED_TREES = ("/usr/", "/lib/", "/lib64/", "/etc/", "/var/lang/", "/var/runtime/", "/var/task/", "/opt/")

_READ, _WRITE, _EXECUTE = 1, 2, 4
_SHARED, _PRIVATE, _FIXED, _ANONYMOUS, _NORESERVE, _NOREPLACE = 1, 2, 0x10, 0x20, 0x4000, 0x100000
_SYS_OPEN, _SYS_CLOSE, _SYS_MMAP, _SYS_MPROTECT, _SYS_MUNMAP, _SYS_BRK = 2, 3, 9, 10, 11, 12
_SYS_PREAD, _SYS_PWRITE, _SYS_MADVISE = 17, 18, 28
_WIPE_ON_FORK = 18  # MADV_WIPEONFORK
_FLAGS_OF_SECRETS = {"dp", "wf"}  # of /proc/self/smaps: droppable, wiped in a fork

# int take(state) at 0, void restore(state) at _RESTORE_ENTRY. state: [0] stack pointer, [8] the list for taking,
# [16] the list for restoring, [24] where taking failed, [32] with which result. tests/unit holds the source.
_CODE = bytes.fromhex(
    "535541544155415641574883ec080fae1c24d97c24044889274989fd488b5f084531f6eb0d4989fd488b5f1041be0100"
    "0000488b034883f8ff7454488b7b08488b7310488b53184c8b53204c8b43284c8b4b300f05488b4b384883c3404883f9"
    "ff74074839c874caeb054885c079c349895d18498945204585f6740cbf47000000b8e70000000f05b8ffffffffeb0749"
    "8b65004489f00fae1424d96c24044883c408415f415e415d415c5d5bc3"
)
_RESTORE_ENTRY = 0x25


class Unfit(Exception):
    """What the process holds cannot be put into a snapshot; the message is for the function's author."""


class Mapping(NamedTuple):
    """A line of /proc/self/maps. path: of a file, or a name in brackets, or ""."""

    start: int
    end: int
    access: str
    offset: int
    inode: str
    path: str

    @property
    def protection(self) -> int:
        read, write, execute = (c != "-" for c in self.access[:3])
        return read * _READ | write * _WRITE | execute * _EXECUTE

    @property
    def is_shared_file(self) -> bool:
        """Whether every sandbox of this version sees the same file there."""
        return self.path.startswith(_SHARED_TREES) and not self.path.endswith(" (deleted)")


Runs = Tuple[Tuple[int, int], ...]  # (start, end) addresses


def mappings() -> List[Mapping]:
    """All of this process, in order, but the kernel's own page at the top."""
    found = []
    with open("/proc/self/maps") as file:
        for line in file:
            fields = line.rstrip("\n").split(None, 5)
            start, end = (int(part, 16) for part in fields[0].split("-"))
            if start < 1 << 47:
                path = fields[5] if len(fields) > 5 else ""
                found.append(Mapping(start, end, fields[1], int(fields[2], 16), f"{fields[3]}:{fields[4]}", path))
    return found


def secrets() -> FrozenSet[int]:
    """Where mappings begin that no other process may have a copy of: zeros to a fork, by the kernel's own flags."""
    found = []
    start = 0
    with open("/proc/self/smaps") as file:
        for line in file:
            name, _, rest = line.partition(" ")
            if name == "VmFlags:":
                if _FLAGS_OF_SECRETS & set(rest.split()):
                    found.append(start)
            elif not name.endswith(":"):
                start = int(name.split("-")[0], 16)
    return frozenset(found)


def unchanging() -> FrozenSet[Mapping]:
    """Before there is a function: read-only mappings of files, which every fork of the zygote is born with."""
    found = [one for one in mappings() if not one.protection & _WRITE and one.access[3] == "p"]
    return frozenset(one for one in found if one.is_shared_file)


def _own_pages(pagemap: int, mapping: Mapping) -> Runs:
    """Pages that exist for this process alone: written to, not merely seen in a file. Near ones become one run."""
    is_file = not mapping.inode.endswith(":0")
    if is_file and not mapping.is_shared_file:
        return ((mapping.start, mapping.end),)  # a file that other sandboxes do not have: all of it
    runs: List[List[int]] = []
    at = mapping.start
    while at < mapping.end:
        count = min(4096, (mapping.end - at) // _PAGE)
        data = os.pread(pagemap, count * 8, at // _PAGE * 8)
        if data.strip(b"\0"):
            for index, (entry,) in enumerate(struct.iter_unpack("=Q", data)):
                if entry >> 62 and not (is_file and entry >> 61 & 1):  # there, or swapped out
                    address = at + index * _PAGE
                    if runs and address - runs[-1][1] <= _GAP_PAGES_MAX * _PAGE:
                        runs[-1][1] = address + _PAGE
                    else:
                        runs.append([address, address + _PAGE])
        at += count * _PAGE
    return tuple((start, end) for start, end in runs)


def _is_left_alone(mapping: Mapping) -> bool:
    return mapping.path.startswith(("[vdso", "[vvar")) or mapping.start == _PLACE


class _Plan:
    """The two lists, and what goes with them into our own mapping."""

    def __init__(self, baseline: FrozenSet[Mapping], secret: FrozenSet[int], at_bytes: int) -> None:
        self._baseline = baseline
        self._secret = secret
        self._taking: List[bytes] = []
        self._restoring: List[bytes] = []
        self._strings = bytearray()
        self._open = ""
        self._file_at = at_bytes
        self._free_from = 1 << 16
        self.written: List[Tuple[int, int]] = []

    def make(self, found: List[Tuple[Mapping, Runs]], break_at: int) -> None:
        self._restore(_SYS_BRK, break_at, want=break_at)
        for mapping, runs in found:
            if mapping.path == "[stack]":
                self._stack(mapping, runs)
                continue
            self._clear_until(mapping.start)
            self._free_from = mapping.end
            if _is_left_alone(mapping) or mapping in self._baseline:
                continue
            if mapping.access[3] == "s":
                self._shared(mapping)
            else:
                self._private(mapping, runs)
        self._close()

    def _take(self, number: int, *arguments: int, want: int = _ANY) -> None:
        self._taking.append(_CALL.pack(number, *arguments, *[0] * (6 - len(arguments)), want))

    def _restore(self, number: int, *arguments: int, want: int = _ANY) -> None:
        self._restoring.append(_CALL.pack(number, *arguments, *[0] * (6 - len(arguments)), want))

    def _clear_until(self, end: int) -> None:
        if end > self._free_from:
            self._restore(_SYS_MUNMAP, self._free_from, end - self._free_from, want=0)

    def _map(self, start: int, end: int, protection: int, flags: int, fd: int, offset: int) -> None:
        self._restore(_SYS_MMAP, start, end - start, protection, flags | _FIXED, fd, offset, want=start)

    def _write(self, mapping: Mapping, start: int, end: int) -> int:
        """Into the file; the offset there."""
        offset, self._file_at = self._file_at, self._file_at + end - start
        self.written.append((start, end))
        is_readable = mapping.protection & _READ
        if not is_readable:
            self._take(_SYS_MPROTECT, start, end - start, _READ, want=0)
        self._take(_SYS_PWRITE, IMAGE_FD, start, end - start, offset, want=end - start)
        if not is_readable:
            self._take(_SYS_MPROTECT, start, end - start, mapping.protection, want=0)
        return offset

    def _stack(self, mapping: Mapping, runs: Runs) -> None:
        """Read into the one that is there, which the kernel lets grow down as far as need be."""
        start = runs[0][0]
        self._clear_until(start)
        self._free_from = mapping.end
        offset = self._write(mapping, start, mapping.end)
        self._restore(_SYS_PREAD, IMAGE_FD, start, mapping.end - start, offset, want=mapping.end - start)

    def _private(self, mapping: Mapping, runs: Runs) -> None:
        if mapping.start in self._secret:
            self._map(mapping.start, mapping.end, mapping.protection, _PRIVATE | _ANONYMOUS | _NORESERVE, -1, 0)
            self._restore(_SYS_MADVISE, mapping.start, mapping.end - mapping.start, _WIPE_ON_FORK, want=0)
            return
        if mapping.is_shared_file:
            size = mapping.end - mapping.start
            is_within = mapping.offset + size <= os.stat(mapping.path).st_size + _PAGE - 1
            if runs and mapping.protection & _READ and size <= _WHOLE_BYTES_MAX and is_within:
                runs = ((mapping.start, mapping.end),)  # one mapping instead of three
            elif not runs or runs != ((mapping.start, mapping.end),):
                fd = self._open_file(mapping.path)
                self._map(mapping.start, mapping.end, mapping.protection, _PRIVATE, fd, mapping.offset)
        elif runs != ((mapping.start, mapping.end),):
            flags = _PRIVATE | _ANONYMOUS | _NORESERVE
            self._map(mapping.start, mapping.end, mapping.protection, flags, -1, 0)
        for start, end in runs:
            offset = self._write(mapping, start, end)
            self._map(start, end, mapping.protection, _PRIVATE, IMAGE_FD, offset)

    def _shared(self, mapping: Mapping) -> None:
        """Memory that child processes were to share, without any: a copy of its own for each restored process."""
        if mapping.is_shared_file and not mapping.protection & _WRITE:
            fd = self._open_file(mapping.path)
            self._map(mapping.start, mapping.end, mapping.protection, _SHARED, fd, mapping.offset)
            return
        if not mapping.path.startswith("/dev/zero"):
            raise Unfit(f"{mapping.path or 'memory'} is mapped as shared memory")
        if not mapping.protection & _READ:
            raise Unfit("shared memory that cannot be read")
        size = mapping.end - mapping.start
        self._map(mapping.start, mapping.end, mapping.protection | _WRITE, _SHARED | _ANONYMOUS, -1, 0)
        offset = self._write(mapping, mapping.start, mapping.end)
        self._restore(_SYS_PREAD, IMAGE_FD, mapping.start, size, offset, want=size)
        if not mapping.protection & _WRITE:
            self._restore(_SYS_MPROTECT, mapping.start, size, mapping.protection, want=0)

    def _open_file(self, path: str) -> int:
        if path != self._open:
            self._close()
            address = _PLACE + _DATA_AT + len(self._strings)
            self._strings += os.fsencode(path) + b"\0"
            self._restore(_SYS_OPEN, address, os.O_RDONLY | os.O_CLOEXEC, want=_FIRST_FREE_FD)
            self._open = path
        return _FIRST_FREE_FD

    def _close(self) -> None:
        if self._open:
            self._restore(_SYS_CLOSE, _FIRST_FREE_FD, want=0)
            self._open = ""

    def place(self, own_at: int) -> Tuple[bytes, bytes, int]:
        """(state, data, bytes of our own mapping): the lists behind the strings, our own mapping taken last."""
        self._strings += b"\0" * (-len(self._strings) % 8)
        restoring = b"".join(self._restoring) + _END
        taking_at = _DATA_AT + len(self._strings) + len(restoring)
        size = taking_at + (len(self._taking) + 1) * _CALL.size + len(_END)
        size += -size % _PAGE
        if size > _PLACE_BYTES:
            raise Unfit("its memory is in too many pieces")
        self._take(_SYS_PWRITE, IMAGE_FD, _PLACE, size, own_at, want=size)
        state = struct.pack("=5Q", 0, _PLACE + taking_at, _PLACE + _DATA_AT + len(self._strings), 0, 0)
        return state, bytes(self._strings) + restoring + b"".join(self._taking) + _END, size

    @property
    def end(self) -> int:
        return self._file_at


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.sbrk.restype = ctypes.c_void_p
    libc.sbrk.argtypes = [ctypes.c_long]
    return libc


def _own_mapping(libc: ctypes.CDLL) -> None:
    access, flags = _READ | _WRITE | _EXECUTE, _PRIVATE | _ANONYMOUS | _NORESERVE | _NOREPLACE
    if libc.mmap(_PLACE, _PLACE_BYTES, access, flags, -1, 0) != _PLACE:
        raise Unfit("the place of the snapshot's own mapping is taken")
    ctypes.memmove(_PLACE + _CODE_AT, _CODE, len(_CODE))


def _scan(pagemap: int, baseline: FrozenSet[Mapping], secret: FrozenSet[int]) -> List[Tuple[Mapping, Runs]]:
    def is_elsewhere(one: Mapping) -> bool:
        return _is_left_alone(one) or one in baseline or one.access[3] == "s" or one.start in secret

    return [(one, () if is_elsewhere(one) else _own_pages(pagemap, one)) for one in mappings()]


def _room() -> List[bytes]:
    """Make memory that is there and free, and return what keeps it so.

    Listing and planning allocate. In memory that has not been touched before, pages would appear that the lists do not
    name, a few more in each round.
    """
    small = [bytes((number & 0xFF,)) * 440 for number in range(_ROOM_BYTES // 480)]
    large = [bytes((1,)) * (64 << 10) for _ in range(_ROOM_BYTES >> 16)]
    return [*small[::1000], large[-1]]  # one of each arena, and the last below the heap's end: neither is given back


def take(baseline: FrozenSet[Mapping]) -> bool:
    """Write this process into IMAGE_FD: False. True in every process that was restored from it. Raises Unfit.

    baseline: what `unchanging` told at the start.
    """
    libc = _libc()
    _own_mapping(libc)
    call = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_PLACE + _CODE_AT)
    pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    gc.collect()
    gc.freeze()  # else the collector writes to all there is, and every process would copy it
    libc.malloc_trim(0)
    room = _room()
    own_at = _PAGE
    for _ in range(_ROUNDS_MAX):
        os.ftruncate(IMAGE_FD, 0)
        secret = secrets()
        found = _scan(pagemap, baseline, secret)
        if len(found) > _MAPPINGS_MAX:
            raise Unfit("its memory is in too many pieces")
        plan = _Plan(baseline, secret, own_at + _PLACE_BYTES)
        plan.make(found, libc.sbrk(0))
        state, data, size = plan.place(own_at)
        ctypes.memmove(_PLACE + _STATE_AT, state, len(state))
        ctypes.memmove(_PLACE + _DATA_AT, data, len(data))
        os.pwrite(IMAGE_FD, _HEADER.pack(_MAGIC, size, plan.end), 0)
        taken = call(_PLACE + _STATE_AT)
        if taken == 1:
            return True  # here nobody has opened pagemap
        if taken == 0 and _is_complete(_scan(pagemap, baseline, secret), found, plan):
            os.close(pagemap)
            return False
    room.clear()
    raise Unfit("its memory does not come to rest")


def _is_complete(now: List[Tuple[Mapping, Runs]], then: List[Tuple[Mapping, Runs]], plan: _Plan) -> bool:
    """Whether every page that exists was written: nothing appeared that the lists do not name."""
    if [one for one, _ in now] != [one for one, _ in then]:
        return False
    written = sorted(plan.written)
    at = 0
    for start, end in (run for _, runs in now for run in runs):
        while at < len(written) and written[at][1] <= start:
            at += 1
        reached = start
        following = at
        while reached < end:
            if following >= len(written) or not written[following][0] <= reached < written[following][1]:
                return False
            reached = written[following][1]
            following += 1
    return True


def restore() -> None:
    """Become the process that IMAGE_FD holds. Returns only when there is nothing to become; its end is ours else."""
    header = os.pread(IMAGE_FD, _HEADER.size, 0)
    if len(header) < _HEADER.size:
        return
    magic, size, _ = _HEADER.unpack(header)
    if magic != _MAGIC or not _DATA_AT < size <= _PLACE_BYTES:
        return
    _own_mapping(_libc())
    content = os.pread(IMAGE_FD, size, _PAGE)
    ctypes.memmove(_PLACE, content, len(content))
    ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(_PLACE + _RESTORE_ENTRY)(_PLACE + _STATE_AT)


def tail_at() -> int:
    """Where in IMAGE_FD what follows the memory begins."""
    where: int = _HEADER.unpack(os.pread(IMAGE_FD, _HEADER.size, 0))[2]
    return where
