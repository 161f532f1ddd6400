"""SQLite in /tmp: {"n": orders} -> {"total": ..., "best": [customer, sum]}."""

from __future__ import annotations

import os
import sqlite3
import tempfile


def handler(event: dict[str, int], context: object) -> dict[str, object]:
    fd, path = tempfile.mkstemp(suffix=".db")
    os.close(fd)
    database = sqlite3.connect(path)
    try:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, cents INTEGER)")
        rows = ((i, i * 7919 % 97, i * 31 % 1000) for i in range(event["n"]))
        database.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
        database.execute("CREATE INDEX by_customer ON orders (customer, cents)")
        database.commit()
        (total,) = database.execute("SELECT sum(cents) FROM orders").fetchone()
        best = database.execute(
            "SELECT customer, sum(cents) AS spent FROM orders GROUP BY customer ORDER BY spent DESC, customer LIMIT 1"
        ).fetchone()
        return {"total": total, "best": list(best)}
    finally:
        database.close()
        os.unlink(path)
