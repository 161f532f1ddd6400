"""Which code is in use, so that it is kept exactly as long as a function refers to it.

A zip is stored before the row that refers to it: after a kill in between, the blob is an orphan that the next start
collects, and never a function without its code. Content is shared by digest, so a blob may be deleted only when the
last user is gone, and not while somebody else is just uploading the same bytes: an upload counts as a user until
its function is committed, and storing and deleting of one digest exclude each other.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Protocol
from weakref import WeakValueDictionary

from paddock.interfaces import Blobs
from paddock.model.errors import InternalError
from paddock.model.function import CodeArtifact, Function
from paddock.model.image import ContainerImage


class Unpacked(Protocol):
    """Code unpacked from blobs on this machine; on one box worker.code.CodeStore."""

    async def forget(self, digest: str) -> None:
        """Nobody refers to it any more; remove it once no environment uses it."""

    async def keep_only(self, digests: Collection[str]) -> None:
        """At start: remove everything else."""


def digests_of(function: Function | None) -> tuple[str, ...]:
    """The code and layers a function refers to: of what it shows, what it serves and of every published version."""
    if function is None:
        return ()
    versions = (function.latest, function.serving, *function.versions.values())
    return tuple({digest for version in versions if version is not None for digest in version.digests})


class CodeShelf:
    """Blobs with a count of users for each."""

    def __init__(self, blobs: Blobs, unpacked: Unpacked) -> None:
        self._blobs = blobs
        self._unpacked = unpacked
        self._users: Counter[str] = Counter()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def stored(self, content: bytes, unzipped_bytes: int) -> AsyncIterator[CodeArtifact]:
        """The content is durable inside the block, and after it if somebody uses it by then.

        Raises InternalError when the disk is full or fails.
        """
        digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
        self.use((digest,))
        try:
            try:
                async with self._lock(digest):
                    await self._blobs.put(content)
            except OSError as error:
                raise InternalError(f"The code could not be stored: {error.strerror or error}.") from error
            yield CodeArtifact(digest=digest, size_bytes=len(content), unzipped_bytes=unzipped_bytes)
        finally:
            await self.release((digest,))

    @asynccontextmanager
    async def imaged(self, image: ContainerImage) -> AsyncIterator[CodeArtifact]:
        """As stored(), for an image: its layers come once it is prepared, and are its users' from now on."""
        digests = (image.config, *(layer.digest for layer in image.layers))
        self.use(digests)
        try:
            yield CodeArtifact(digest=image.config, size_bytes=0, unzipped_bytes=0)
        finally:
            await self.release(digests)

    def is_used(self, digest: str) -> bool:
        return self._users[digest] > 0

    def use(self, digests: Iterable[str]) -> None:
        self._users.update(digests)

    def use_present(self, digests: Collection[str]) -> bool:
        """As use(), if all of them have a user by now: what has none may be gone. Whether they had."""
        if any(self._users[digest] <= 0 for digest in digests):
            return False
        self.use(digests)
        return True

    async def release(self, digests: Iterable[str]) -> None:
        """One user of each less; what has none left is deleted."""
        for digest in digests:
            self._users[digest] -= 1
            if self._users[digest] <= 0:
                await self._collect(digest)

    async def collect_orphans(self) -> None:
        """At start, once every function is counted: delete what nobody refers to."""
        for digest in await self._blobs.digests():
            if self._users[digest] <= 0:
                await self._collect(digest)
        await self._unpacked.keep_only(frozenset(self._users))

    async def _collect(self, digest: str) -> None:
        async with self._lock(digest):
            if self._users[digest] > 0:
                return
            del self._users[digest]
            await self._blobs.delete(digest)
            await self._unpacked.forget(digest)

    def _lock(self, digest: str) -> asyncio.Lock:
        lock = self._locks.get(digest)
        if lock is None:
            lock = self._locks[digest] = asyncio.Lock()
        return lock
