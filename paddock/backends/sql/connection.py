"""Connections to one SQLite file: how they are set, how a database is brought to the current schema, and the Tx.

WAL lets readers go on while the writer commits. synchronous=FULL fsyncs the log at every commit: what was
acknowledged survives a power cut. Transactions are begun and ended by us, never by the driver.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paddock.backends.sql.statements import Statements
from paddock.interfaces import Row

BUSY_TIMEOUT_MS = 5000
# Results of SQLite that speak of the disk, not of the work (primary codes).
DISK_CODES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


class StoreDiskError(OSError):
    """The database could not be written: the disk is full or fails. Nothing of the work was kept."""


class SchemaTooNew(RuntimeError):
    """The data directory was written by a newer Paddock."""


def is_disk_error(error: BaseException) -> bool:
    """Whether SQLite failed because of the disk."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.Error) and code is not None and (code & 0xFF) in DISK_CODES


def disk_error(error: BaseException) -> StoreDiskError:
    return StoreDiskError(errno.ENOSPC, f"the database cannot be written: {error}")


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open the file. The connection may be handed to another thread, but is used by one at a time."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def migrate(connection: sqlite3.Connection, statements: Statements) -> None:
    """Bring the database to the current schema, one transaction per step. Raises SchemaTooNew."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > statements.version:
        raise SchemaTooNew(f"the database has schema {version}, this Paddock knows up to {statements.version}")
    if version == 0:
        _apply(connection, statements.schema, statements.version)
        return
    for step in range(version + 1, statements.version + 1):
        _apply(connection, statements.migrations[step], step)


def _apply(connection: sqlite3.Connection, script: str, version: int) -> None:
    """A script and its version number, both or neither."""
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n;PRAGMA user_version = {version};\nCOMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class SqlTransaction:
    """interfaces.Tx on a connection that stands inside a transaction."""

    __slots__ = ("_connection", "_queries")

    def __init__(self, connection: sqlite3.Connection, queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._queries = queries

    def run(self, query: str, **args: Any) -> int:
        return self._execute(query, args).rowcount

    def run_many(self, query: str, rows: Sequence[Row]) -> None:
        self._connection.executemany(self._text(query), rows)

    def rows(self, query: str, **args: Any) -> list[Row]:
        cursor = self._execute(query, args)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]

    def row(self, query: str, **args: Any) -> Row | None:
        cursor = self._execute(query, args)
        values = cursor.fetchone()
        names = [column[0] for column in cursor.description or ()]
        # A cursor that is not read to its end keeps its statement, and with it the snapshot, open.
        cursor.close()
        return None if values is None else dict(zip(names, values, strict=True))

    def _execute(self, query: str, args: Mapping[str, Any]) -> sqlite3.Cursor:
        return self._connection.execute(self._text(query), args)

    def _text(self, query: str) -> str:
        text = self._queries.get(query)
        if text is None:
            raise KeyError(f"no query is named {query}")
        return text
