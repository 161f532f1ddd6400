"""Replays: what an archive keeps is put on its bus once more, by the order of its time.

One loop takes a share of each replay's events in one transaction: what they cause goes into the outbox and the replay's
place moves on, or neither. So a kill in the middle repeats nothing and leaves nothing out: the next process goes on
from that place.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from paddock.control.archives import Archives
from paddock.control.ticks import to_us
from paddock.interfaces import Clock, Store, Tx
from paddock.model.archive import CANCELLED, CANCELLING, COMPLETED, REPLAY_NAME, RUNNING, UNFINISHED, Replay

log = logging.getLogger(__name__)

Key = tuple[str, str, str]
SHARE = 100
SWEEP_S = 3_600.0
BROKEN_S = 1.0
KEPT = timedelta(days=90)

Deliver = Callable[[Tx, Key, Sequence[Mapping[str, Any]], frozenset[str]], None]
"""Puts what events on a bus cause into the outbox; the rules are named by ARN, none of them for all."""


class Replays:
    """Call start() before anything else and stop() at the end."""

    def __init__(self, store: Store, archives: Archives, deliver: Deliver, clock: Clock) -> None:
        self._store = store
        self._archives = archives
        self._deliver = deliver
        self._clock = clock
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._loop())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def get(self, key: Key) -> Replay | None:
        return await self._store.read(lambda tx: _get(tx, key))

    async def of(self, account: str, region: str) -> Sequence[Replay]:
        """In order of their names."""
        return [one for one in await self._all() if (one.account, one.region) == (account, region)]

    async def change(self, key: Key, change: Callable[[Replay | None, int], Replay]) -> Replay:
        """`change` is given the replay and how many of its account are not over. What it raises changes nothing."""

        def work(tx: Tx) -> Replay:
            others = [one for one in _rows(tx) if one.key[:2] == key[:2] and one.state in UNFINISHED]
            after = change(_get(tx, key), len(others))
            _put(tx, after)
            return after

        after = await self._store.write(work)
        self._changed.set()
        return after

    async def step(self) -> bool:
        """A share of each replay that is not over; whether there may be more to do."""
        more = False
        for key in [one.key for one in await self._all() if one.state in UNFINISHED]:
            more |= await self._store.write(partial(self._share, key=key))
        return more

    def _share(self, tx: Tx, *, key: Key) -> bool:
        replay = _get(tx, key)
        if replay is None or replay.state not in UNFINISHED:
            return False
        if replay.state == CANCELLING:
            _put(tx, replace(replay, state=CANCELLED, ended=self._clock.now()))
            return False
        rows = tx.rows(
            "archived_events_page", account=replay.account, region=replay.region, archive=replay.archive,
            start_us=to_us(replay.start), end_us=to_us(replay.end), at_us=replay.at_us, at_id=replay.at_id,
            count=SHARE,
        )  # fmt: skip
        events = [{**json.loads(row["event"]), REPLAY_NAME: replay.name} for row in rows]
        bus = (replay.account, replay.region, replay.bus)
        self._deliver(tx, bus, events, frozenset(replay.rules))
        if rows:
            replay = replace(replay, state=RUNNING, at_us=rows[-1]["time_us"], at_id=rows[-1]["id"])
        over = len(rows) < SHARE
        _put(tx, replace(replay, state=COMPLETED, ended=self._clock.now()) if over else replay)
        return not over

    async def _loop(self) -> None:
        while True:
            self._changed.clear()
            try:
                while await self.step():
                    """A share of each, until all are over."""
                await self._archives.sweep()
                await self._forget()
            except Exception:
                # A full disk, perhaps. What is stored stays stored, and the replay goes on from its place.
                log.exception("replays could not go on")
                await self._clock.sleep(BROKEN_S)
                continue
            await self._until_changed(SWEEP_S)

    async def _forget(self) -> None:
        """Replays that were over long ago."""
        before = self._clock.now() - KEPT
        for old in [one for one in await self._all() if one.ended is not None and one.ended < before]:
            account, region, name = old.key
            await self._store.write(partial(_delete, account=account, region=region, name=name))

    async def _until_changed(self, seconds: float) -> None:
        waits = [asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._changed.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def _all(self) -> list[Replay]:
        return await self._store.read(_rows)


def _rows(tx: Tx) -> list[Replay]:
    return [msgspec.json.decode(row["document"], type=Replay) for row in tx.rows("event_replays_all")]


def _get(tx: Tx, key: Key) -> Replay | None:
    account, region, name = key
    row = tx.row("event_replay_get", account=account, region=region, name=name)
    return None if row is None else msgspec.json.decode(row["document"], type=Replay)


def _delete(tx: Tx, **named: str) -> None:
    tx.run("event_replay_delete", **named)


def _put(tx: Tx, replay: Replay) -> None:
    account, region, name = replay.key
    document = msgspec.json.encode(replay).decode()
    tx.run("event_replay_put", account=account, region=region, name=name, document=document)
