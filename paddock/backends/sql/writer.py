"""One thread that writes, and how it shares an fsync among many writers (group commit).

An fsync costs far more than the row it protects. While one group is being committed the next works pile up in the
queue; the thread then takes all of them (up to GROUP_MAX), runs each in a savepoint of its own inside one transaction,
commits once and answers them all:

    queue: A B C      BEGIN  [A]  [B fails: rolled back alone]  [C]  COMMIT + fsync      A ok, B its error, C ok

A work whose own code raises loses only its savepoint. When the disk is full SQLite may have dropped the whole
transaction, and a row that was "written" is not there any more: so every work of that group fails with
StoreDiskError, even those that had run well, and the next group starts afresh.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paddock.backends.sql.connection import SqlTransaction, disk_error, is_disk_error
from paddock.interfaces import Tx

GROUP_MAX = 256


@dataclass(frozen=True, slots=True)
class _Work:
    run: Callable[[Tx], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Outcome:
    work: _Work
    value: Any = None
    error: BaseException | None = None


class Writer:
    """Owns the writing connection and its thread."""

    def __init__(self, connection: sqlite3.Connection, queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._tx = SqlTransaction(connection, queries)
        # Unbounded by design: every entry is a caller that waits, and callers are limited where they come in.
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="paddock-sql-writer", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[Tx], Any]) -> asyncio.Future[Any]:
        """Queue a work; the future resolves once it is durable. Call from the event loop's thread."""
        if self._closed:
            raise RuntimeError("the store is closed")
        loop = asyncio.get_running_loop()
        work = _Work(run, loop, loop.create_future())
        self._queue.put(work)
        return work.future

    def close(self) -> None:
        """Finish what is queued, then end the thread. Blocks."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _loop(self) -> None:
        last = False
        while not last:
            group, last = self._take()
            if group:
                self._answer(self._commit(group))

    def _take(self) -> tuple[list[_Work], bool]:
        """Wait for work, then take all that is there. True when the store closes after this group."""
        group: list[_Work] = []
        item = self._queue.get()
        while item is not None:
            group.append(item)
            if len(group) == GROUP_MAX:
                return group, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _commit(self, group: list[_Work]) -> list[_Outcome]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._run_one(work) for work in group]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._abandon()
            failure = disk_error(error) if is_disk_error(error) else error
            return [_Outcome(work, error=failure) for work in group]
        return outcomes

    def _run_one(self, work: _Work) -> _Outcome:
        """One work in its savepoint. Raises sqlite3.Error only when the whole group is lost."""
        execute = self._connection.execute
        execute("SAVEPOINT work")
        try:
            value = work.run(self._tx)
        except BaseException as error:  # whatever the caller's code raises goes back to the caller
            if is_disk_error(error) or not self._connection.in_transaction:
                raise error if isinstance(error, sqlite3.Error) else sqlite3.OperationalError(str(error)) from error
            execute("ROLLBACK TO work")
            execute("RELEASE work")
            return _Outcome(work, error=error)
        execute("RELEASE work")
        return _Outcome(work, value=value)

    def _abandon(self) -> None:
        """Leave no transaction open, so that the next group can begin."""
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                # A rollback that fails has nothing to undo: SQLite replays the log when it is next used.
                return

    def _answer(self, outcomes: list[_Outcome]) -> None:
        """Resolve a whole group with one wake-up per event loop."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
        for outcome in outcomes:
            by_loop.setdefault(outcome.work.loop, []).append(outcome)
        for loop, mine in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, mine)


def _resolve(outcomes: list[_Outcome]) -> None:
    for outcome in outcomes:
        future = outcome.work.future
        if future.done():  # its caller was cancelled; the write stands all the same
            continue
        if outcome.error is not None:
            future.set_exception(outcome.error)
        else:
            future.set_result(outcome.value)
