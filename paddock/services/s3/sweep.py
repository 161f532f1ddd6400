"""Carrying out lifecycle rules: a walk over the buckets that have some, when a day begins, and when rules have changed.

The walk reads pages of versions and decides outside of any transaction; what is to go is then deleted in batches, each
a transaction that looks again whether the version is still the one that was decided about. So a rule never deletes
what was written meanwhile, and a walk that is broken off by the end of the server is simply begun anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from paddock.interfaces import Row, Tx
from paddock.model.caller import Caller
from paddock.services.s3 import lifecycle, shelf
from paddock.services.s3.desk import Desk
from paddock.services.s3.lifecycle import Rule
from paddock.services.s3.multipart import abort
from paddock.services.s3.nouns import Bucket, Version, load, upload_from
from paddock.services.service import Call

log = logging.getLogger("paddock.s3")

LOOK_EVERY_S = 30.0
PAGE = 1_000
BATCH = 100
"""So many deletions share a transaction: few enough not to keep others waiting."""


@dataclass(frozen=True, slots=True)
class Doomed:
    """version: as it was decided about. for_good: not under a delete marker, whatever the bucket's versioning."""

    version: Version
    for_good: bool


class Sweeper:
    """start(), and stop() at the end."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._swept: tuple[int, int] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._loop())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _loop(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                # A full disk, perhaps: what is due stays due.
                log.exception("lifecycle rules could not be carried out")
            await self._desk.clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Sweep, if a day has begun (or the clock was set) or rules have changed since the last time."""
        day = self._desk.now_ms() // lifecycle.DAY_MS
        state = (day, self._desk.lifecycles_changed)
        if state != self._swept:
            await self.sweep()
            self._swept = state

    async def sweep(self) -> None:
        """All buckets with rules, once."""
        for bucket in list(self._desk.buckets.values()):
            rules = lifecycle.rules_of(bucket)
            if rules:
                await self._sweep_versions(bucket, rules)
                await self._sweep_uploads(bucket)

    # -- versions

    async def _sweep_versions(self, bucket: Bucket, rules: list[Rule]) -> None:
        doomed: list[Doomed] = []
        async for each in self._doomed(bucket, rules):
            doomed.append(each)
            if len(doomed) == BATCH:
                await self._delete(bucket, doomed)
                doomed = []
        if doomed:
            await self._delete(bucket, doomed)

    async def _doomed(self, bucket: Bucket, rules: list[Rule]) -> AsyncIterator[Doomed]:
        now_ms = self._desk.now_ms()
        newer: Version | None = None
        noncurrent = 0
        version: Version | None = None
        async for following in self._versions(bucket):
            if version is not None:
                alone = version.latest and (following is None or following.key != version.key)
                if version.latest:
                    noncurrent = 0
                    if lifecycle.expired(rules, version, alone=alone, now_ms=now_ms):
                        yield Doomed(version, for_good=version.marker)
                elif newer is not None and newer.key == version.key:
                    since_ms = newer.modified_ms
                    if lifecycle.expired_noncurrent(rules, version, since_ms=since_ms, newer=noncurrent, now_ms=now_ms):
                        yield Doomed(version, for_good=True)
                    noncurrent += 1
            newer, version = version, following

    async def _versions(self, bucket: Bucket) -> AsyncIterator[Version | None]:
        """All versions, newest of each key first, and None behind the last."""
        start, below = "", 1 << 62
        while True:
            at, under = start, below

            def page(tx: Tx, at: str = at, under: int = under) -> Any:
                return tx.rows("s3_lifecycle_page", bucket=bucket.name, start=at, below=under, limit=PAGE)

            rows = await self._desk.store.read(page)
            for row in rows:
                yield _version(bucket, row)
            if len(rows) < PAGE:
                yield None
                return
            start, below = rows[-1]["key"], rows[-1]["seq"]

    async def _delete(self, bucket: Bucket, doomed: list[Doomed]) -> None:
        desk = self._desk
        markers = [(desk.next_seq(), desk.ids.hex(32), desk.ids.uuid()) for _ in doomed]
        modified_ms = desk.now_ms()

        def work(tx: Tx) -> list[str]:
            now = desk.buckets.get(bucket.name)
            if now is None or now.settings.get("lifecycle") != bucket.settings.get("lifecycle"):
                return []
            garbage: list[str] = []
            for each, (seq, new_id, request_id) in zip(doomed, markers, strict=True):
                marker = Version(bucket=bucket.name, key=each.version.key, seq=seq, modified_ms=modified_ms)
                garbage += self._delete_one(tx, now, each, marker, new_id, request_id)
            return garbage

        await desk.discard(await desk.write(work))

    def _delete_one(
        self, tx: Tx, bucket: Bucket, each: Doomed, marker: Version, new_id: str, request_id: str
    ) -> list[str]:
        version = each.version
        found = shelf.version_of(tx, bucket.name, version.key, version.version_id)
        if found is None or found.seq != version.seq or found.latest != version.latest or found.tags != version.tags:
            return []
        named = version.version_id if each.for_good else None
        change = shelf.remove(tx, bucket, version.key, named, marker, new_id)
        if change.version is not None and not version.marker:
            event = "LifecycleExpiration:DeleteMarkerCreated" if change.made_marker else "LifecycleExpiration:Delete"
            announced = replace(change.version, seq=marker.seq)
            self._desk.announce(tx, bucket, event, announced, _call(bucket, request_id))
        return change.garbage

    # -- uploads

    async def _sweep_uploads(self, bucket: Bucket) -> None:
        desk, now_ms = self._desk, self._desk.now_ms()
        start = after = ""
        while True:
            at, behind = start, after

            def page(tx: Tx, at: str = at, behind: str = behind) -> Any:
                return tx.rows("s3_uploads_page", bucket=bucket.name, start=at, after=behind, limit=PAGE)

            rows = await desk.store.read(page)
            for row in rows:
                end = lifecycle.abort_of(bucket, row["key"], row["created_ms"])
                if end is not None and end[0] <= now_ms:
                    await self._abort(bucket, row)
            if len(rows) < PAGE:
                return
            start, after = rows[-1]["key"], rows[-1]["id"]

    async def _abort(self, bucket: Bucket, row: Row) -> None:
        """Its parts go; who completes it in the same moment wins or finds no upload."""

        def work(tx: Tx) -> list[str]:
            found = tx.row("s3_upload_get", bucket=bucket.name, key=row["key"], id=row["id"])
            return abort(tx, upload_from(found)) if found is not None else []

        await self._desk.discard(await self._desk.write(work))


def _version(bucket: Bucket, row: Row) -> Version:
    return Version(
        bucket=bucket.name, key=row["key"], seq=row["seq"], version_id=row["version_id"], latest=bool(row["latest"]),
        marker=bool(row["marker"]), size=row["size"], etag=row["etag"], modified_ms=row["modified_ms"],
        tags=load(row["tags"]),
    )  # fmt: skip


def _call(bucket: Bucket, request_id: str) -> Call:
    """S3's own doing, as events tell it."""
    caller = Caller(account=bucket.account, region=bucket.region)
    return Call(caller=caller, request_id=request_id, params={}, source_ip="s3.amazonaws.com")
