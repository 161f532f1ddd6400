"""Changes of a directory, told by the kernel (inotify): one watch for each directory, those made later too.

A save is several events, and an editor's may be many files: they are one change once nothing has come for SETTLE_S.
What project.is_ignored knows is not watched. Changes on network file systems by another machine are not told.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from collections.abc import Iterator
from pathlib import Path

from paddock.cli.project import is_ignored

SETTLE_S = 0.05
SETTLES_MAX = 20
_EVENTS_BYTES = 65_536
_HEAD = struct.Struct("iIII")
_ATTRIBUTES, _WRITTEN = 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATED, _DELETED, _SELF_DELETED, _SELF_MOVED = 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
_OVERFLOW, _FORGOTTEN, _ONLY_DIRECTORIES, _IS_DIRECTORY = 0x4000, 0x8000, 0x01000000, 0x40000000
_WANTED = (
    _ATTRIBUTES | _WRITTEN | _MOVED_FROM | _MOVED_TO | _CREATED | _DELETED | _SELF_DELETED | _SELF_MOVED
    | _ONLY_DIRECTORIES
)  # fmt: skip


class Vanished(Exception):
    """The directory itself is gone."""


class CannotWatch(Exception):
    """The message says why."""


class Watcher:
    """Watches from its making on; close() ends it."""

    def __init__(self, directory: Path) -> None:
        """Raises CannotWatch."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            raise CannotWatch(f"{directory} cannot be watched: {os.strerror(ctypes.get_errno())}.")
        self._directory = directory
        self._paths: dict[int, Path] = {}
        self._add(directory)

    def close(self) -> None:
        os.close(self._fd)

    def _add(self, directory: Path) -> list[Path]:
        """Watch it and what is below; the files that are there already."""
        found: list[Path] = []
        for here, names, files in os.walk(directory):
            names[:] = [name for name in names if not is_ignored(name, True)]
            watch = self._libc.inotify_add_watch(self._fd, os.fsencode(here), _WANTED)
            if watch < 0:
                number = ctypes.get_errno()
                if number == errno.ENOENT and Path(here) != self._directory:
                    continue  # gone again
                hint = " (more with: sysctl fs.inotify.max_user_watches=524288)" if number == errno.ENOSPC else ""
                raise CannotWatch(f"{here} cannot be watched: {os.strerror(number)}{hint}.")
            self._paths[watch] = Path(here)
            found += [Path(here, name) for name in files if not is_ignored(name, False)]
        return found

    def changed(self, timeout_s: float) -> set[Path]:
        """What has changed since the last time; waits at most so long for something. Raises Vanished, CannotWatch."""
        found: set[Path] = set()
        wait_s = timeout_s
        for _ in range(SETTLES_MAX):
            if not select.select([self._fd], [], [], wait_s)[0]:
                break
            for path in self._read():
                found.add(path)
            wait_s = SETTLE_S if found else 0.0
        return found

    def _read(self) -> Iterator[Path]:
        data = os.read(self._fd, _EVENTS_BYTES)
        at = 0
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            name = os.fsdecode(data[at + _HEAD.size : at + _HEAD.size + length].rstrip(b"\0"))
            at += _HEAD.size + length
            if mask & _OVERFLOW:
                yield from self._add(self._directory)
                yield self._directory
                continue
            here = self._paths.get(watch)
            if here is None:
                continue
            if mask & (_SELF_DELETED | _SELF_MOVED | _FORGOTTEN) and here == self._directory:
                raise Vanished(f"{self._directory} is gone.")
            if mask & _FORGOTTEN:
                del self._paths[watch]
            elif name:
                yield from self._named(here / name, mask)

    def _named(self, path: Path, mask: int) -> Iterator[Path]:
        is_directory = bool(mask & _IS_DIRECTORY)
        if is_ignored(path.name, is_directory):
            return
        if is_directory and mask & _ATTRIBUTES:
            return
        if is_directory and mask & (_CREATED | _MOVED_TO):
            yield from self._add(path)
        # A file is told when it is written, not when it is made; a link is written by being made.
        if is_directory or not mask & _CREATED or path.is_symlink():
            yield path
