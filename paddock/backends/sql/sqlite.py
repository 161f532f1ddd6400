"""interfaces.Store over one SQLite file: one writer with group commit, a few readers in threads."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from paddock.backends.sql.batches import Batches
from paddock.backends.sql.connection import SqlTransaction, connect, disk_error, is_disk_error, migrate
from paddock.backends.sql.statements import Statements, load_catalogue
from paddock.backends.sql.writer import Writer
from paddock.interfaces import Tx

T = TypeVar("T")
R = TypeVar("R")

READERS = 4


class SqliteStore:
    """Made by `await SqliteStore.open(path)`. The file's directory must exist.

    write() raises what the work raises, or StoreDiskError (an OSError) when the disk is full or fails.
    """

    def __init__(self, path: Path, statements: Statements, *, readers: int = READERS) -> None:
        """Blocks on the disk; use `open`."""
        self._statements = statements
        writing = connect(path, read_only=False)
        try:
            migrate(writing, statements)
        except BaseException:
            writing.close()
            raise
        self._writer = Writer(writing, statements.queries)
        # A free connection is taken by whichever thread reads next, so there are exactly as many as threads.
        self._free: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._readers = readers
        for _ in range(readers):
            self._free.put(connect(path, read_only=True))
        self._threads = ThreadPoolExecutor(max_workers=readers, thread_name_prefix="paddock-sql-reader")
        self._closed = False

    @classmethod
    async def open(cls, path: Path, *, statements: Statements | None = None, readers: int = READERS) -> SqliteStore:
        """Open or create the database and bring it to the current schema."""
        return await asyncio.to_thread(lambda: cls(path, statements or load_catalogue(), readers=readers))

    async def write(self, work: Callable[[Tx], T]) -> T:
        result: T = await self._writer.submit(work)
        return result

    def batched(self, work: Callable[[Tx, Sequence[T]], Sequence[R]]) -> Callable[[T], Awaitable[R]]:
        return Batches(self.write, work).add

    async def read(self, work: Callable[[Tx], T]) -> T:
        if self._closed:
            raise RuntimeError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, work)

    async def close(self) -> None:
        """Finish queued writes and running reads, then close every connection. Harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._close)

    def _read(self, work: Callable[[Tx], T]) -> T:
        connection = self._free.get()
        try:
            # The snapshot is taken by the first SELECT, after every commit that was acknowledged before.
            connection.execute("BEGIN")
            try:
                return work(SqlTransaction(connection, self._statements.queries))
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            if is_disk_error(error):
                raise disk_error(error) from error
            raise
        finally:
            self._free.put(connection)

    def _close(self) -> None:
        self._threads.shutdown(wait=True)
        for _ in range(self._readers):
            self._free.get().close()
        self._writer.close()
