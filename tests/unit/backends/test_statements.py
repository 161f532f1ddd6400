"""The .sql files: names, comments, migrations."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from paddock.backends.sql.statements import BadStatements, Statements, load, load_catalogue, load_logs, parse_queries


def test_queries_are_split_at_their_names_and_lose_their_comments() -> None:
    text = "-- about the file\n\n-- name: one\n-- why\nSELECT 1\n  FROM t;\n\n-- name: two\nSELECT 2;\n"
    assert parse_queries(text) == {"one": "SELECT 1\n  FROM t;", "two": "SELECT 2;"}


@pytest.mark.parametrize(
    "text", ["SELECT 1;", "-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;", "-- name: a\n-- only a comment\n"]
)
def test_bad_files_are_refused(text: str) -> None:
    with pytest.raises(BadStatements):
        parse_queries(text)


def test_migrations_must_be_numbered_without_gaps(tmp_path: Path) -> None:
    (tmp_path / "schema.sql").write_text("")
    (tmp_path / "queries.sql").write_text("")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0003_late.sql").write_text("")
    with pytest.raises(BadStatements):
        load(tmp_path)


class Nulls(dict[str, None]):
    """Any argument a query may ask for."""

    def __missing__(self, key: str) -> None:
        return None


@pytest.mark.parametrize("loaded", [load_catalogue, load_logs])
def test_every_query_of_paddock_fits_the_schema(loaded: Callable[[], Statements]) -> None:
    statements = loaded()
    connection = sqlite3.connect(":memory:")
    connection.executescript(statements.schema)
    assert statements.queries
    for text in statements.queries.values():
        connection.execute(f"EXPLAIN {text}", Nulls()).close()  # compiles it without running it
    connection.close()
