"""interfaces.Blobs in a directory: a file per content, named by its SHA-256.

    <directory>/incoming/<n>.part     being written; swept at start
    <directory>/ab/abcdef...          stored

A put writes a part file, fsyncs it, renames it to its name and fsyncs the directories, in that order: a name
exists only with its whole content behind it, and once put returns both survive a power cut. Content that is
already there is not written twice. A digest is checked to be 64 hex digits before it becomes a path.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import BinaryIO

DIGEST = re.compile(r"[0-9a-f]{64}")
INCOMING = "incoming"


class FileBlobs:
    """Made by `await FileBlobs.open(directory)`. One process owns the directory at a time."""

    def __init__(self, directory: Path) -> None:
        """Blocks on the disk; use `open`."""
        self._directory = directory
        self._incoming = directory / INCOMING
        self._incoming.mkdir(parents=True, exist_ok=True)
        for leftover in self._incoming.iterdir():
            leftover.unlink()
        self._numbers = itertools.count()

    @classmethod
    async def open(cls, directory: Path) -> FileBlobs:
        """Create the directory if need be and sweep what an earlier process left half written."""
        return await asyncio.to_thread(cls, directory)

    async def put(self, content: bytes | AsyncIterator[bytes]) -> str:
        part = self._incoming / f"{next(self._numbers)}.part"
        try:
            if isinstance(content, bytes):
                return await asyncio.to_thread(self._put_whole, part, content)
            return await self._put_stream(part, content)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(part.unlink, missing_ok=True))
            raise

    async def path(self, digest: str) -> Path:
        path = self._place(digest)
        if not await asyncio.to_thread(path.is_file):
            raise FileNotFoundError(f"no blob {digest}")
        return path

    async def delete(self, digest: str) -> None:
        await asyncio.to_thread(self._place(digest).unlink, missing_ok=True)

    async def digests(self) -> Sequence[str]:
        return await asyncio.to_thread(self._digests)

    def _place(self, digest: str) -> Path:
        if not DIGEST.fullmatch(digest):
            raise FileNotFoundError(f"not a digest: {digest!r}")
        return self._directory / digest[:2] / digest

    def _put_whole(self, part: Path, content: bytes) -> str:
        with part.open("xb") as file:
            file.write(content)
            digest = hashlib.sha256(content).hexdigest()
            self._settle(file, part, digest)
        return digest

    async def _put_stream(self, part: Path, content: AsyncIterator[bytes]) -> str:
        digest = hashlib.sha256()
        file: BinaryIO = await asyncio.to_thread(part.open, "xb")
        try:
            async for chunk in content:
                digest.update(chunk)
                await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(self._settle, file, part, digest.hexdigest())
        finally:
            await asyncio.shield(asyncio.to_thread(file.close))
        return digest.hexdigest()

    def _settle(self, file: BinaryIO, part: Path, digest: str) -> None:
        """From part file to stored, durably."""
        file.flush()
        os.fsync(file.fileno())
        place = self._place(digest)
        if not place.parent.is_dir():
            place.parent.mkdir(exist_ok=True)
            _fsync_directory(self._directory)
        # Replacing an equal content is harmless, and mends a file that a broken disk has shortened.
        part.replace(place)
        _fsync_directory(place.parent)

    def _digests(self) -> list[str]:
        return sorted(
            blob.name
            for shelf in self._directory.iterdir()
            if shelf.is_dir() and shelf.name != INCOMING
            for blob in shelf.iterdir()
            if DIGEST.fullmatch(blob.name)
        )


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
