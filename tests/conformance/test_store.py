"""What every Store promises (interfaces.Store). A new engine is one more entry in ENGINES."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from paddock.backends.sql.connection import SchemaTooNew
from paddock.backends.sql.sqlite import SqliteStore
from paddock.backends.sql.statements import load
from paddock.interfaces import Store, Tx

HERE = Path(__file__).parent
Opener = Callable[[Path], Awaitable[Store]]


async def open_sqlite(directory: Path) -> Store:
    return await SqliteStore.open(directory / "paddock.db", statements=load(HERE / "sql"))


ENGINES = {"sqlite": open_sqlite}


@pytest.fixture(params=list(ENGINES))
def opener(request: pytest.FixtureRequest) -> Opener:
    return ENGINES[request.param]


def with_store(opener: Opener, directory: Path, story: Callable[[Store], Awaitable[None]]) -> None:
    async def play() -> None:
        store = await opener(directory)
        try:
            await story(store)
        finally:
            await store.close()

    asyncio.run(play())


class Held:
    """Keeps the engine busy with one work, so that what is written meanwhile shares the next group."""

    def __init__(self, store: Store) -> None:
        self._store, self._entered, self._gate = store, threading.Event(), threading.Event()

    def _work(self, tx: Tx) -> None:
        self._entered.set()
        self._gate.wait()

    async def __aenter__(self) -> None:
        self._task = asyncio.ensure_future(self._store.write(self._work))
        await asyncio.to_thread(self._entered.wait)

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.sleep(0)  # let the writes started inside reach the queue
        self._gate.set()
        await self._task


def put(number: int, body: str = "text") -> Callable[[Tx], int]:
    return lambda tx: tx.run("put", id=number, body=body)


def ids(tx: Tx) -> list[int]:
    return [row["id"] for row in tx.rows("all")]


def test_a_read_sees_every_acknowledged_write(opener: Opener, tmp_path: Path) -> None:
    async def story(store: Store) -> None:
        for number in range(50):
            assert await store.write(put(number)) == 1
            assert (await store.read(lambda tx, n=number: tx.row("one", id=n))) == {"id": number, "body": "text"}
        assert await store.read(lambda tx: tx.row("one", id=99)) is None

    with_store(opener, tmp_path, story)


def test_many_writers_at_once_all_arrive(opener: Opener, tmp_path: Path) -> None:
    async def story(store: Store) -> None:
        await asyncio.gather(*(store.write(put(n)) for n in range(600)))
        assert await store.read(ids) == list(range(600))

    with_store(opener, tmp_path, story)


def test_a_work_that_raises_rolls_back_alone(opener: Opener, tmp_path: Path) -> None:
    def fails(tx: Tx) -> None:
        tx.run("put", id=1, body="half")
        raise ValueError("no")

    async def story(store: Store) -> None:
        async with Held(store):
            others = [asyncio.ensure_future(store.write(work)) for work in (put(0), fails, put(2))]
        results = await asyncio.gather(*others, return_exceptions=True)
        assert [results[0], results[2]] == [1, 1]
        assert isinstance(results[1], ValueError)
        assert await store.read(ids) == [0, 2]

    with_store(opener, tmp_path, story)


def test_constraints_hold_and_only_their_breaker_fails(opener: Opener, tmp_path: Path) -> None:
    async def story(store: Store) -> None:
        await store.write(put(1))
        with pytest.raises(sqlite3.IntegrityError):
            await store.write(put(1))
        with pytest.raises(sqlite3.IntegrityError):
            await store.write(lambda tx: tx.run("reply", note=7))
        await store.write(put(2))
        assert await store.read(ids) == [1, 2]

    with_store(opener, tmp_path, story)


def test_a_read_cannot_write_and_an_unknown_query_is_an_error(opener: Opener, tmp_path: Path) -> None:
    async def story(store: Store) -> None:
        with pytest.raises(sqlite3.Error):
            await store.read(put(1))
        with pytest.raises(KeyError, match="nonsense"):
            await store.read(lambda tx: tx.rows("nonsense"))
        assert await store.read(ids) == []

    with_store(opener, tmp_path, story)


def test_a_snapshot_does_not_move(opener: Opener, tmp_path: Path) -> None:
    looked, written = threading.Event(), threading.Event()

    def look_twice(tx: Tx) -> tuple[list[int], list[int]]:
        before = ids(tx)
        looked.set()
        written.wait()
        return before, ids(tx)

    async def story(store: Store) -> None:
        await store.write(put(1))
        reading = asyncio.ensure_future(store.read(look_twice))
        await asyncio.to_thread(looked.wait)
        await store.write(put(2))
        written.set()
        assert await reading == ([1], [1])

    with_store(opener, tmp_path, story)


def test_a_full_disk_fails_the_whole_group_and_the_store_goes_on(opener: Opener, tmp_path: Path) -> None:
    async def story(store: Store) -> None:
        await store.write(put(0))
        await store.write(lambda tx: tx.rows("page_limit"))
        async with Held(store):
            group = [asyncio.ensure_future(store.write(work)) for work in (put(1), put(2, "x" * 400_000))]
        results = await asyncio.gather(*group, return_exceptions=True)
        assert all(isinstance(result, OSError) for result in results), results
        assert await store.read(ids) == [0]
        await store.write(put(3))  # small enough for what is left
        await store.write(lambda tx: tx.rows("no_page_limit"))
        await store.write(put(4, "x" * 400_000))
        assert await store.read(ids) == [0, 3, 4]

    with_store(opener, tmp_path, story)


def test_a_cancelled_caller_does_not_undo_or_break_anything(opener: Opener, tmp_path: Path) -> None:
    async def story(store: Store) -> None:
        async with Held(store):
            given_up = asyncio.ensure_future(store.write(put(1)))
            await asyncio.sleep(0)
            given_up.cancel()
        await store.write(put(2))
        assert await store.read(ids) == [1, 2]

    with_store(opener, tmp_path, story)


def test_close_finishes_queued_writes_and_then_refuses(opener: Opener, tmp_path: Path) -> None:
    async def story() -> None:
        store = await opener(tmp_path)
        writes = [asyncio.ensure_future(store.write(put(n))) for n in range(300)]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*writes)
        await store.close()
        with pytest.raises(RuntimeError):
            await store.write(put(1000))
        with pytest.raises(RuntimeError):
            await store.read(ids)
        again = await opener(tmp_path)
        assert await again.read(ids) == list(range(300))
        await again.close()

    asyncio.run(story())


CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_store import ENGINES, put

async def main():
    store = await ENGINES[sys.argv[3]](Path(sys.argv[1]))
    async def one(number):
        await store.write(put(number))
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
    for start in range(0, 1000000, 20):
        await asyncio.gather(*(one(n) for n in range(start, start + 20)))

asyncio.run(main())
"""


@pytest.mark.parametrize("engine", list(ENGINES))
def test_acknowledged_writes_survive_kill_9(engine: str, tmp_path: Path) -> None:
    script = [sys.executable, "-c", CHILD, str(tmp_path), str(HERE), engine]
    child = subprocess.Popen(script, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(200)]
    os.kill(child.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL

    async def story(store: Store) -> None:
        kept = set(await store.read(ids))
        assert set(acknowledged) <= kept
        await store.write(put(9_999_999))

    with_store(ENGINES[engine], tmp_path, story)


def test_migrations_run_once_in_order_and_a_newer_database_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "sql"
    (home / "migrations").mkdir(parents=True)
    queries = "-- name: all\nSELECT * FROM notes;\n-- name: add\nINSERT INTO notes VALUES (1);\n"
    (home / "queries.sql").write_text(queries)
    (home / "schema.sql").write_text("CREATE TABLE notes (id INTEGER);\n")
    old = load(home)
    (home / "schema.sql").write_text("CREATE TABLE notes (id INTEGER, b TEXT DEFAULT 'b', c TEXT DEFAULT 'c');\n")
    (home / "migrations" / "0002_b.sql").write_text("ALTER TABLE notes ADD COLUMN b TEXT DEFAULT 'b';\n")
    (home / "migrations" / "0003_c.sql").write_text("ALTER TABLE notes ADD COLUMN c TEXT DEFAULT 'c';\n")
    new = load(home)
    assert (old.version, new.version) == (1, 3)

    async def story() -> None:
        path = tmp_path / "paddock.db"
        store = await SqliteStore.open(path, statements=old)
        await store.write(lambda tx: tx.run("add"))
        await store.close()
        for _ in range(2):
            store = await SqliteStore.open(path, statements=new)
            assert await store.read(lambda tx: tx.rows("all")) == [{"id": 1, "b": "b", "c": "c"}]
            await store.close()
        with pytest.raises(SchemaTooNew):
            await SqliteStore.open(path, statements=old)

    asyncio.run(story())


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "sql"
    (home / "migrations").mkdir(parents=True)
    (home / "queries.sql").write_text("-- name: tables\nSELECT name FROM sqlite_master ORDER BY name;\n")
    (home / "schema.sql").write_text("CREATE TABLE notes (id INTEGER);\n")
    old = load(home)
    bad = "CREATE TABLE more (id INTEGER);\nSELECT nonsense FROM nowhere;\n"
    (home / "migrations" / "0002_bad.sql").write_text(bad)

    async def story() -> None:
        path = tmp_path / "paddock.db"
        await (await SqliteStore.open(path, statements=old)).close()
        with pytest.raises(sqlite3.OperationalError):
            await SqliteStore.open(path, statements=load(home))
        store = await SqliteStore.open(path, statements=old)
        assert await store.read(lambda tx: tx.rows("tables")) == [{"name": "notes"}]
        await store.close()

    asyncio.run(story())
