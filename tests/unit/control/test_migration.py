"""A data directory of a Paddock without versions: it opens, its functions are there, and they can be published."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

from paddock.backends.sql.statements import load_catalogue
from paddock.control.aliases import AliasChange
from paddock.model.function import State, UpdateStatus
from tests.unit.control.world import ACCOUNT, REGION, ROLE, World, play, ref

# The table of schema 1, as every database of it has it.
SCHEMA_1 = """
CREATE TABLE functions (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    latest TEXT NOT NULL,
    serving TEXT,
    tags TEXT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""

# A row as it was written then.
LATEST: dict[str, Any] = {
    "account": ACCOUNT,
    "region": REGION,
    "name": "f",
    "version": "$LATEST",
    "runtime": "python3.12",
    "handler": "f.h",
    "role": ROLE,
    "code": {"digest": "ab" * 32, "size_bytes": 321, "unzipped_bytes": 654},
    "description": "old",
    "timeout_s": 9,
    "memory_mb": 256,
    "ephemeral_mb": 512,
    "environment": {"A": "1"},
    "architecture": "x86_64",
    "logging": {"format": "Text", "application_level": "", "system_level": "", "group": ""},
    "state": "Active",
    "state_reason": "",
    "state_reason_code": "",
    "update_status": "Successful",
    "update_reason": "",
    "update_reason_code": "",
    "revision_id": "11111111-1111-4111-8111-111111111111",
    "build_id": "b1",
    "last_modified": "2026-01-01T00:00:00Z",
}


def old_database(directory: Path) -> None:
    """With f, which serves, and g, which was being updated when its Paddock ended."""
    connection = sqlite3.connect(directory / "paddock.db")
    connection.executescript(SCHEMA_1)
    put = "INSERT INTO functions (account, region, name, latest, serving, tags) VALUES (?, ?, ?, ?, ?, ?)"
    connection.execute(put, (ACCOUNT, REGION, "f", json.dumps(LATEST), json.dumps(LATEST), '{"team":"x"}'))
    serving = {**LATEST, "name": "g"}
    latest = {**serving, "update_status": "InProgress", "timeout_s": 30, "build_id": "b2"}
    connection.execute(put, (ACCOUNT, REGION, "g", json.dumps(latest), json.dumps(serving), "{}"))
    connection.commit()
    connection.close()


def test_an_older_database_is_migrated_and_works(tmp_path: Path) -> None:
    old_database(tmp_path)

    async def story(world: World) -> None:
        catalogue = world.catalogue
        function = catalogue.get(ref())
        assert (function.versions, function.aliases, function.last_version) == ({}, {}, 0)
        assert function.reserved_concurrency is None
        assert function.tags == {"team": "x"}
        assert catalogue.resolve(ref()).environment == {"A": "1"}
        updated = (await world.settled("g")).latest
        assert (updated.state, updated.update_status) == (State.ACTIVE, UpdateStatus.SUCCESSFUL)
        assert catalogue.resolve(ref("g")).timeout_s == 30
        version = await catalogue.publish_version(ref())
        assert (version.version, version.timeout_s, version.description) == ("1", 9, "old")
        await catalogue.create_alias(ref(), "live", AliasChange(version="1"))
        await catalogue.reserve(ref(), 5)
        await world.restart()
        assert world.catalogue.resolve(ref(qualifier="live")) == version
        assert world.catalogue.reservation(ref()) == 5
        assert world.catalogue.usage(ACCOUNT, REGION).code_bytes == 3 * 321

    play(tmp_path, story)


def test_a_migrated_database_looks_like_a_fresh_one(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "fresh").mkdir()
    old_database(tmp_path / "old")

    async def nothing(world: World) -> None:
        await asyncio.sleep(0)

    play(tmp_path / "old", nothing)
    play(tmp_path / "fresh", nothing)
    fresh, migrated = columns(tmp_path / "fresh"), columns(tmp_path / "old")
    assert {"functions", "function_versions", "function_aliases", "version_numbers"} <= set(migrated)
    assert {name: fresh[name] for name in migrated} == migrated
    assert version_of(tmp_path / "fresh") == version_of(tmp_path / "old") == load_catalogue().version


def columns(directory: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Table -> what SQLite says of its columns."""
    connection = sqlite3.connect(directory / "paddock.db")
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {table: connection.execute(f"PRAGMA table_info({table})").fetchall() for table in tables}
    connection.close()
    return found


def version_of(directory: Path) -> int:
    connection = sqlite3.connect(directory / "paddock.db")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.close()
    return version
