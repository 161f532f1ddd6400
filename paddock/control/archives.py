"""What archives of event buses keep: each event in the transaction that puts it on its bus, until its days are over.

Archives are held in memory with their patterns compiled; the events are in the database alone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from paddock.control.ticks import to_us
from paddock.interfaces import Clock, Row, Store, Tx
from paddock.model.archive import REPLAY_NAME, Archive, moment_of
from paddock.model.event_pattern import Pattern, compile_pattern

Key = tuple[str, str, str]
SWEEP_MAX = 1_000


class Archives:
    """Call start() before anything else."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._archives: dict[Key, Archive] = {}
        self._patterns: dict[Key, Pattern] = {}
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        for row in await self._store.read(lambda tx: tx.rows("event_archives_all")):
            self._keep(msgspec.json.decode(row["document"], type=Archive))

    def get(self, key: Key) -> Archive | None:
        return self._archives.get(key)

    def of(self, account: str, region: str) -> Sequence[Archive]:
        """In order of their names."""
        found = (one for one in self._archives.values() if (one.account, one.region) == (account, region))
        return sorted(found, key=lambda one: one.name)

    async def change(self, key: Key, change: Callable[[Archive | None], Archive | None]) -> Archive | None:
        """None deletes the archive and all that it keeps. What `change` raises changes nothing."""
        account, region, name = key
        async with self._lock:
            after = change(self._archives.get(key))

            def work(tx: Tx) -> None:
                if after is None:
                    tx.run("event_archive_delete", account=account, region=region, name=name)
                    tx.run("archived_events_delete", account=account, region=region, archive=name)
                    return
                document = msgspec.json.encode(after).decode()
                tx.run("event_archive_put", account=account, region=region, name=name, document=document)

            await self._store.write(work)
            if after is None:
                self._archives.pop(key, None)
                self._patterns.pop(key, None)
            else:
                self._keep(after)
            return after

    async def size(self, key: Key) -> tuple[int, int]:
        """(events, bytes)."""
        account, region, name = key
        row = await self._store.read(
            lambda tx: tx.row("archived_events_size", account=account, region=region, archive=name)
        )
        return (row["events"], row["bytes"] or 0) if row is not None else (0, 0)

    def rows_for(self, bus: Key, event: Mapping[str, Any]) -> list[Row]:
        """Of what is to be kept of an event that is put on a bus: one for each archive that wants it."""
        if REPLAY_NAME in event:
            return []
        found: list[Row] = []
        for archive in self._archives.values():
            if (archive.account, archive.region, archive.bus) != bus:
                continue
            pattern = self._patterns.get(archive.key)
            if pattern is None or pattern.matches(event):
                now = self._clock.now()
                found.append(
                    {
                        "account": archive.account, "region": archive.region, "archive": archive.name,
                        "time_us": to_us(moment_of(event, now)), "put_us": to_us(now),
                        "event": json.dumps(event, separators=(",", ":"), ensure_ascii=True),
                    }
                )  # fmt: skip
        return found

    async def sweep(self) -> None:
        """Forget what is older than its archive's retention, a little in each transaction."""
        now = self._clock.now()
        for archive in list(self._archives.values()):
            if archive.retention_days:
                await self._sweep(archive, now - timedelta(days=archive.retention_days))

    async def _sweep(self, archive: Archive, before: datetime) -> None:
        args = {"account": archive.account, "region": archive.region, "archive": archive.name}
        args |= {"before_us": to_us(before), "count": SWEEP_MAX}  # type: ignore[dict-item]  # numbers beside names
        while await self._store.write(lambda tx: tx.run("archived_events_expire", **args)) == SWEEP_MAX:
            """There may be more."""

    def _keep(self, archive: Archive) -> None:
        self._archives[archive.key] = archive
        if archive.pattern:
            self._patterns[archive.key] = compile_pattern(archive.pattern)
        else:
            self._patterns.pop(archive.key, None)
