"""interfaces.Segments in a directory: a file for each segment, under a random name.

    <directory>/ab/ab12...    256 folders, made at the first start

A segment's file is fsynced, then its folder; until its name is in a committed row nobody looks for it, so nothing half
written is ever seen, and what a crash leaves is collected at the next start. Pieces are gathered to CHUNK_BYTES and
written, hashed and fsynced in threads, while the next ones arrive.

A file that is being read is deleted when the last reader is done with it.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from paddock.model.slice import Slice

P = ParamSpec("P")
T = TypeVar("T")

CHUNK_BYTES = 1_048_576
THREADS = 8
_NAME = re.compile(r"[0-9a-f]{32}")


class FileSegments:
    """Made by `await FileSegments.open(directory, new_name)`. new_name: 32 random hex digits."""

    def __init__(self, directory: Path, new_name: Callable[[], str]) -> None:
        """Blocks on the disk; use `open`."""
        self._directory = directory
        self._new_name = new_name
        for number in range(256):
            (directory / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        _fsync_directory(directory)
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="paddock-segments")
        self._readers: Counter[str] = Counter()
        self._doomed: set[str] = set()

    @classmethod
    async def open(cls, directory: Path, new_name: Callable[[], str]) -> FileSegments:
        return await asyncio.to_thread(cls, directory, new_name)

    async def write(self, pieces: AsyncIterable[bytes], observe: Callable[[bytes], None]) -> Slice:
        name = self._new_name()
        path = self._place(name)
        descriptor = await self._in_thread(os.open, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            try:
                size = await self._write(descriptor, pieces, observe)
                await self._in_thread(_settle, descriptor, path.parent)
            finally:
                await asyncio.shield(self._in_thread(os.close, descriptor))
        except BaseException:
            await asyncio.shield(self._in_thread(path.unlink, True))
            raise
        return Slice(name, 0, size)

    async def read(self, slices: Sequence[Slice]) -> _Reading:
        names = [each.name for each in slices]
        if not self._doomed.isdisjoint(names):
            raise FileNotFoundError("the segments are being deleted")
        self._readers.update(names)
        try:
            first = await self._in_thread(self._open, slices[0].name) if slices else -1
        except BaseException:
            self._release(names)
            raise
        return _Reading(self._read(slices, first), lambda: self._abandon(names, first), lambda: self._release(names))

    async def copy(self, slices: Sequence[Slice]) -> Slice:
        reading = await self.read(slices)
        try:
            return await self.write(reading, lambda _: None)
        finally:
            await reading.aclose()

    async def link(self, names: Sequence[str]) -> Sequence[str]:
        return await self._in_thread(self._link, names)

    async def delete(self, names: Iterable[str]) -> None:
        gone = [name for name in names if name not in self._doomed]
        self._doomed.update(gone)
        free = [name for name in gone if not self._readers[name]]
        if free:
            await asyncio.shield(self._in_thread(self._unlink, free))
            self._doomed.difference_update(free)

    async def names(self) -> Sequence[str]:
        return await self._in_thread(self._names)

    async def close(self) -> None:
        """Finish what runs."""
        await asyncio.to_thread(self._threads.shutdown)

    # -- in threads

    def _open(self, name: str) -> int:
        return os.open(self._place(name), os.O_RDONLY)

    def _link(self, names: Sequence[str]) -> list[str]:
        linked: list[str] = []
        folders: set[Path] = set()
        try:
            for name in names:
                new = self._new_name()
                os.link(self._place(name), self._place(new))
                linked.append(new)
                folders.add(self._place(new).parent)
            for folder in folders:
                _fsync_directory(folder)
        except BaseException:
            self._unlink(linked)
            raise
        return linked

    def _unlink(self, names: Iterable[str]) -> None:
        for name in names:
            self._place(name).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        return [entry.name for shelf in self._directory.iterdir() for entry in shelf.iterdir()]

    # -- pieces

    async def _write(self, descriptor: int, pieces: AsyncIterable[bytes], observe: Callable[[bytes], None]) -> int:
        """All pieces into the file, one chunk on its way to the disk while the next one fills."""
        gathered: list[bytes] = []
        gathered_bytes = size = 0
        running: asyncio.Future[None] | None = None
        try:
            async for piece in pieces:
                gathered.append(piece)
                gathered_bytes += len(piece)
                if gathered_bytes >= CHUNK_BYTES:
                    if running is not None:
                        await running
                    running = self._in_thread(_append, descriptor, gathered, observe)
                    size += gathered_bytes
                    gathered, gathered_bytes = [], 0
            if running is not None:
                await running
            running = self._in_thread(_append, descriptor, gathered, observe)
            await running
        except BaseException:
            if running is not None:
                # The descriptor must not be closed under a thread that writes.
                await asyncio.wait([running])
            raise
        return size + gathered_bytes

    async def _read(self, slices: Sequence[Slice], descriptor: int) -> AsyncGenerator[bytes, None]:
        """The slices end to end; the next chunk is read while this one is sent."""
        for number, each in enumerate(slices):
            if number:
                descriptor = await self._in_thread(self._open, each.name)
            at, end = each.start, each.start + each.size
            running = self._in_thread(_pread, descriptor, at, min(CHUNK_BYTES, end - at))
            try:
                while at < end:
                    piece = await running
                    at += len(piece)
                    if at < end:
                        running = self._in_thread(_pread, descriptor, at, min(CHUNK_BYTES, end - at))
                    yield piece
            finally:
                await asyncio.wait([running])
                os.close(descriptor)

    def _abandon(self, names: Sequence[str], descriptor: int) -> None:
        """A reading that never began."""
        if descriptor >= 0:
            os.close(descriptor)
        self._release(names)

    def _release(self, names: Sequence[str]) -> None:
        self._readers.subtract(names)
        free = [name for name in set(names) if not self._readers[name]]
        for name in free:
            del self._readers[name]
        late = [name for name in free if name in self._doomed]
        if late:
            self._threads.submit(self._unlink, late)
            self._doomed.difference_update(late)

    def _place(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise FileNotFoundError(f"not a segment: {name!r}")
        return self._directory / name[:2] / name

    def _in_thread(self, work: Callable[P, T], *args: P.args, **_: P.kwargs) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


class _Reading:
    """interfaces.Reading over a generator, which alone would not notice that it is closed before its first step."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], abandon: Callable[[], None], release: Callable[[], None]
    ) -> None:
        self._pieces = pieces
        self._abandon = abandon
        self._release = release
        self._begun = self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._begun = True
        try:
            async for piece in self._pieces:
                yield piece
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._begun:
            await self._pieces.aclose()
            self._release()
        else:
            self._abandon()


def _append(descriptor: int, pieces: Sequence[bytes], observe: Callable[[bytes], None]) -> None:
    data = b"".join(pieces)
    observe(data)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _pread(descriptor: int, at: int, size: int) -> bytes:
    piece = os.pread(descriptor, size, at)
    if not piece and size:
        raise OSError("a segment is shorter than its row says")
    return piece


def _settle(descriptor: int, folder: Path) -> None:
    os.fsync(descriptor)
    _fsync_directory(folder)


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
