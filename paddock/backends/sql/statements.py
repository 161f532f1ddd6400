"""SQL in files: the schema, the named queries and the numbered migrations.

A queries file reads

    -- name: function_delete
    -- Forget one function.
    DELETE FROM functions WHERE name = :name;

A name line starts a query, the next name line (or the end) closes it. Python never puts SQL together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

NAME_LINE = re.compile(r"^--\s*name:\s*(\S+)\s*$")
MIGRATION = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
FIRST_VERSION = 1


class BadStatements(ValueError):
    """A .sql file that breaks the rules above: a defect in Paddock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """schema: script for a fresh database. queries: by name. migrations: script by the version it leads to."""

    schema: str
    queries: Mapping[str, str]
    migrations: Mapping[int, str]

    @property
    def version(self) -> int:
        """The version of the schema: what a database has once everything is applied."""
        return max(self.migrations, default=FIRST_VERSION)


def parse_queries(text: str) -> dict[str, str]:
    """Query name -> SQL. Raises BadStatements for a name twice, an empty query or SQL before any name."""
    bodies: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        found = NAME_LINE.match(line)
        if found:
            name = found[1]
            if name in bodies:
                raise BadStatements(f"two queries are named {name}")
            bodies[name] = []
        elif line.strip() and not line.lstrip().startswith("--"):
            if not name:
                raise BadStatements(f"SQL before any name line: {line}")
            bodies[name].append(line)
    queries = {key: "\n".join(lines).strip() for key, lines in bodies.items()}
    for key, body in queries.items():
        if not body:
            raise BadStatements(f"query {key} is empty")
    return queries


def load(directory: Traversable | None = None, *, parts: Sequence[str] = ("",)) -> Statements:
    """Read `<part>schema.sql` and `<part>queries.sql` of every part, in `directory` (Paddock's own when not given).

    The parts together are one database; its migrations stand in `<first part>migrations/`.
    """
    home = directory if directory is not None else files(__package__ or "paddock.backends.sql")
    migrations: dict[int, str] = {}
    numbered = home / f"{parts[0]}migrations"
    for entry in sorted(numbered.iterdir(), key=lambda e: e.name) if numbered.is_dir() else ():
        found = MIGRATION.match(entry.name)
        if found:
            migrations[int(found[1])] = entry.read_text(encoding="utf-8")
    expected = list(range(FIRST_VERSION + 1, FIRST_VERSION + 1 + len(migrations)))
    if sorted(migrations) != expected:
        raise BadStatements(f"migrations are numbered {sorted(migrations)}, expected {expected}")
    return Statements(
        schema="\n".join((home / f"{part}schema.sql").read_text(encoding="utf-8") for part in parts),
        queries=parse_queries("\n".join((home / f"{part}queries.sql").read_text(encoding="utf-8") for part in parts)),
        migrations=migrations,
    )


def load_catalogue() -> Statements:
    """The main database: all but logs, so that a change and the events that it causes commit together."""
    return load(parts=("", "iam_", "events_", "queue_", "sqs_", "secrets_", "s3_", "sns_"))


def load_logs() -> Statements:
    """logs.db: log groups, streams and events."""
    return load(parts=("logs_",))
