"""The schedules of EventBridge Scheduler. They live in the database alone: of 10,000 none is held in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from paddock.control import ticks
from paddock.control.ticks import Planned, Send
from paddock.interfaces import Clock, Ids, Store, Tx
from paddock.model.scheduler import DEFAULT_GROUP, Schedule, ScheduleGroup

Key = tuple[str, str, str, str]


class Schedules:
    """Changes are functions of the current state; what they raise changes nothing."""

    def __init__(self, *, store: Store, send: Send, clock: Clock, ids: Ids, ticked: Callable[[], None]) -> None:
        """ticked: told when a tick was planned that may be earlier than all others."""
        self._store = store
        self._send = send
        self._clock = clock
        self._ids = ids
        self._ticked = ticked

    async def group(self, account: str, region: str, name: str) -> ScheduleGroup | None:
        """The default group is always there."""
        return await self._store.read(lambda tx: self._group(tx, account, region, name))

    async def groups(self, account: str, region: str, prefix: str, after: str, limit: int) -> Sequence[ScheduleGroup]:
        """In order of their names, after one. The default group comes among them once something was asked of it."""

        def work(tx: Tx) -> Sequence[ScheduleGroup]:
            rows = tx.rows(
                "schedule_groups_page", account=account, region=region, prefix=prefix, after=after, limit=limit
            )
            found = [msgspec.json.decode(row["document"], type=ScheduleGroup) for row in rows]
            if after < DEFAULT_GROUP and DEFAULT_GROUP.startswith(prefix):
                default = self._group(tx, account, region, DEFAULT_GROUP)
                if default is not None and all(group.name != DEFAULT_GROUP for group in found):
                    found.append(default)
            return sorted(found, key=lambda group: group.name)[:limit]

        return await self._store.read(work)

    async def change_group(
        self, account: str, region: str, name: str, change: Callable[[ScheduleGroup | None], ScheduleGroup | None]
    ) -> ScheduleGroup | None:
        """None deletes the group, and every schedule in it."""

        def work(tx: Tx) -> ScheduleGroup | None:
            after = change(self._group(tx, account, region, name))
            if after is not None:
                document = msgspec.json.encode(after).decode()
                tx.run("schedule_group_put", account=account, region=region, name=name, document=document)
                return after
            for row in tx.rows("schedules_of_group", account=account, region=region, group_name=name):
                self._delete(tx, (account, region, name, row["name"]))
            tx.run("schedule_group_delete", account=account, region=region, name=name)
            return None

        return await self._store.write(work)

    async def get(self, key: Key) -> Schedule | None:
        return await self._store.read(lambda tx: _get(tx, key))

    async def page(
        self, account: str, region: str, *, group: str, prefix: str, enabled: bool | None,
        after: tuple[str, str], limit: int,
    ) -> Sequence[Schedule]:  # fmt: skip
        """In order of group and name, after a pair of them. group "" for any, enabled None for both."""

        def work(tx: Tx) -> Sequence[Schedule]:
            rows = tx.rows(
                "schedules_page", account=account, region=region, group_name=group, prefix=prefix,
                enabled=-1 if enabled is None else int(enabled), after_group=after[0], after_name=after[1],
                limit=limit,
            )  # fmt: skip
            return [msgspec.json.decode(row["document"], type=Schedule) for row in rows]

        return await self._store.read(work)

    async def change(
        self, key: Key, change: Callable[[Schedule | None, ScheduleGroup | None], Schedule | None]
    ) -> Schedule | None:
        """None deletes. `change` is given the schedule and its group."""
        account, region, group, _ = key

        def work(tx: Tx) -> Schedule | None:
            before = _get(tx, key)
            after = change(before, self._group(tx, account, region, group))
            if after is None:
                self._delete(tx, key)
            elif after != before:
                _put(tx, key, after)
                ticks.plan(tx, owner_of(key), self._first(after))
            return after

        changed = await self._store.write(work)
        self._ticked()
        return changed

    def fire(self, tx: Tx, owner: str, tick: datetime, now: datetime) -> Planned | None:
        """ticks.Firing. Runs in the store's thread."""
        account, region, group, name = owner.partition(":")[2].split("/")
        key = (account, region, group, name)
        schedule = _get(tx, key)
        if schedule is None or not schedule.enabled:
            return None
        delivering = schedule.target.delivering
        if (now - tick).total_seconds() <= delivering.age_s_max + schedule.window_minutes * 60:
            self._send(tx, schedule.sent(tick, self._ids.uuid()), delivering)
        following = schedule.next_tick(max(tick, now - ticks.GRACE))
        if following is None:
            if schedule.delete_after:
                self._delete(tx, key)
            return None
        return Planned(tick=following, due=schedule.due(following))

    def _first(self, schedule: Schedule) -> Planned | None:
        tick = schedule.first_tick(self._clock.now())
        return None if tick is None else Planned(tick=tick, due=schedule.due(tick))

    def _group(self, tx: Tx, account: str, region: str, name: str) -> ScheduleGroup | None:
        row = tx.row("schedule_group_get", account=account, region=region, name=name)
        if row is not None:
            return msgspec.json.decode(row["document"], type=ScheduleGroup)
        if name != DEFAULT_GROUP:
            return None
        began = datetime.fromtimestamp(0, tz=self._clock.now().tzinfo)
        return ScheduleGroup(account=account, region=region, name=name, created=began, modified=began)

    def _delete(self, tx: Tx, key: Key) -> None:
        account, region, group, name = key
        tx.run("schedule_delete", account=account, region=region, group_name=group, name=name)
        ticks.plan(tx, owner_of(key), None)


def owner_of(key: Key) -> str:
    return "schedule:" + "/".join(key)


def _get(tx: Tx, key: Key) -> Schedule | None:
    account, region, group, name = key
    row = tx.row("schedule_get", account=account, region=region, group_name=group, name=name)
    return None if row is None else msgspec.json.decode(row["document"], type=Schedule)


def _put(tx: Tx, key: Key, schedule: Schedule) -> None:
    account, region, group, name = key
    tx.run(
        "schedule_put", account=account, region=region, group_name=group, name=name, enabled=int(schedule.enabled),
        document=msgspec.json.encode(schedule).decode(),
    )  # fmt: skip
