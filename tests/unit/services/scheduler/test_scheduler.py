"""EventBridge Scheduler as a caller sees it, and what its schedules send at which moments."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.backends.sql.sqlite import SqliteStore
from paddock.control import ticks
from paddock.control.schedules import Schedules
from paddock.interfaces import Tx
from paddock.model.delivery import TargetEvent
from paddock.model.event_bus import Delivering
from paddock.services import scheduler
from paddock.services.service import Mount
from tests.unit.services.harness import ACCOUNT, Client, CountingIds, StillClock, database, refused

FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
ARN = f"arn:aws:scheduler:us-east-1:{ACCOUNT}"
TARGET = {"Arn": FUNCTION, "RoleArn": ROLE}
OFF = {"Mode": "OFF"}
WANTED: dict[str, Any] = {
    "Name": "s",
    "ScheduleExpression": "rate(5 minutes)",
    "FlexibleTimeWindow": OFF,
    "Target": TARGET,
}


class World:
    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.clock = StillClock()
        self.outbox: list[tuple[TargetEvent, Delivering]] = []
        self.schedules = Schedules(
            store=store, send=self._send, clock=self.clock, ids=CountingIds(), ticked=lambda: None
        )
        self.client = Client(Mount(scheduler.SERVICE, scheduler.Desk(schedules=self.schedules, clock=self.clock)))

    def _send(self, tx: Tx, event: TargetEvent, delivering: Delivering) -> None:
        self.outbox.append((event, delivering))

    async def fire(self) -> int:
        now = self.clock.now()
        return await self.store.write(lambda tx: ticks.fire_due(tx, {"schedule": self.schedules}, now, 100))

    async def next(self) -> datetime | None:
        return await self.store.read(ticks.next_due)

    def later(self, **span: float) -> None:
        self.clock.at_ms += int(timedelta(**span).total_seconds() * 1000)


def play(tmp_path: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        store = await SqliteStore.open(database(tmp_path), readers=1)
        try:
            await story(World(store))
        finally:
            await store.close()

    asyncio.run(run())


def test_a_minimal_schedule_is_shown_as_aws_does(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        made = await world.client("CreateSchedule", **WANTED)
        assert made == {"ScheduleArn": f"{ARN}:schedule/default/s"}
        now = world.clock.now()
        assert await world.client("GetSchedule", Name="s") == {
            "ActionAfterCompletion": "NONE",
            "Arn": made["ScheduleArn"],
            "CreationDate": now,
            "FlexibleTimeWindow": OFF,
            "GroupName": "default",
            "LastModificationDate": now,
            "Name": "s",
            "ScheduleExpression": "rate(5 minutes)",
            "ScheduleExpressionTimezone": "UTC",
            "State": "ENABLED",
            "Target": {
                **TARGET,
                "RetryPolicy": {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185},
            },
        }

    play(tmp_path, story)


def test_a_rate_begins_at_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.client("CreateSchedule", **WANTED)
        start = world.clock.now()
        assert await world.fire() == 1
        event, _ = world.outbox[0]
        assert (event.target_arn, event.role_arn, event.principal) == (FUNCTION, ROLE, "scheduler.amazonaws.com")
        assert json.loads(event.body) == {
            "version": "0",
            "id": json.loads(event.body)["id"],
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": ACCOUNT,
            "time": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": "us-east-1",
            "resources": [f"{ARN}:schedule/default/s"],
            "detail": "{}",
        }
        assert await world.next() == start + timedelta(minutes=5)

    play(tmp_path, story)


def test_an_input_with_context_keywords(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        text = '{"at":"<aws.scheduler.scheduled-time>","n":<aws.scheduler.attempt-number>,'
        text += '"of":"<aws.scheduler.schedule-arn>"}'
        target = {
            "Arn": f"{QUEUE}.fifo", "RoleArn": ROLE, "Input": text, "SqsParameters": {"MessageGroupId": "g"},
            "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 60},
            "DeadLetterConfig": {"Arn": QUEUE},
        }  # fmt: skip
        await world.client(
            "CreateSchedule",
            **{**WANTED, "ScheduleExpression": "at(2026-01-15T13:30:00)", "Target": target,
               "ScheduleExpressionTimezone": "Europe/Berlin", "ActionAfterCompletion": "DELETE"},
        )  # fmt: skip
        assert (await world.client("GetSchedule", Name="s"))["Target"] == target
        assert await world.next() == datetime(2026, 1, 15, 12, 30, tzinfo=UTC)
        world.later(minutes=30, milliseconds=5)
        assert await world.fire() == 1
        event, delivering = world.outbox[0]
        assert json.loads(event.body) == {"at": "2026-01-15T12:30:00Z", "n": 1, "of": f"{ARN}:schedule/default/s"}
        assert event.attributes == {"MessageGroupId": "g"}
        assert delivering == Delivering(attempts_max=3, age_s_max=60, dead_letter_arn=QUEUE)
        assert (await refused(world.client, "GetSchedule", Name="s"))[0] == "ResourceNotFoundException"
        assert await world.next() is None

    play(tmp_path, story)


def test_a_bus_gets_an_entry(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        target = {
            "Arn": f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default", "RoleArn": ROLE, "Input": '{"a":1}',
            "EventBridgeParameters": {"DetailType": "d", "Source": "s"},
        }  # fmt: skip
        await world.client("CreateSchedule", **{**WANTED, "Target": target})
        await world.fire()
        entry = json.loads(world.outbox[0][0].body)
        assert (entry["Source"], entry["DetailType"], entry["Detail"]) == ("s", "d", '{"a":1}')

    play(tmp_path, story)


def test_between_its_start_and_its_end(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        now = world.clock.now()
        await world.client(
            "CreateSchedule",
            **{**WANTED, "StartDate": now + timedelta(hours=1), "EndDate": now + timedelta(hours=1, minutes=7),
               "ActionAfterCompletion": "DELETE"},
        )  # fmt: skip
        assert await world.next() == now + timedelta(hours=1)
        for _ in range(30):
            world.later(minutes=5)
            await world.fire()
        times = [json.loads(event.body)["time"][11:16] for event, _ in world.outbox]
        assert times == ["13:00", "13:05"]
        assert (await world.client("ListSchedules"))["Schedules"] == []

    play(tmp_path, story)


def test_a_rate_with_a_start_in_the_past_goes_on_from_now(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        now = world.clock.now()
        await world.client("CreateSchedule", **{**WANTED, "StartDate": now - timedelta(minutes=62)})
        assert await world.next() == now + timedelta(minutes=3)

    play(tmp_path, story)


def test_a_flexible_window_spreads_what_is_due_together(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for number in range(40):
            await world.client(
                "CreateSchedule",
                **{**WANTED, "Name": f"s{number}", "ScheduleExpression": "cron(0 13 * * ? *)",
                   "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 10}},
            )  # fmt: skip
        world.later(hours=1)
        fired = []
        for _ in range(10):
            fired.append(await world.fire())
            world.later(minutes=1)
        fired.append(await world.fire())
        assert sum(fired) == 40
        assert max(fired) < 15
        assert {json.loads(event.body)["time"][11:16] for event, _ in world.outbox} == {"13:00"}

    play(tmp_path, story)


def test_what_was_missed_long_ago_fires_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.client("CreateSchedule", **{**WANTED, "ScheduleExpression": "cron(* * * * ? *)"})
        await world.client(
            "CreateSchedule",
            **{**WANTED, "Name": "old", "ScheduleExpression": "at(2026-01-15T12:10:00)",
               "Target": {**TARGET, "RetryPolicy": {"MaximumEventAgeInSeconds": 60}}},
        )  # fmt: skip
        world.later(hours=3, seconds=30)
        while await world.fire():
            pass
        times = [json.loads(event.body)["time"][11:16] for event, _ in world.outbox]
        assert times == ["12:01", "14:56", "14:57", "14:58", "14:59", "15:00"]
        assert await world.next() == world.clock.now() + timedelta(seconds=30)

    play(tmp_path, story)


def test_a_clock_that_is_set_back_fires_nothing_twice(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.client("CreateSchedule", **{**WANTED, "ScheduleExpression": "cron(0/10 * * * ? *)"})
        world.later(minutes=20)
        while await world.fire():
            pass
        assert len(world.outbox) == 2
        world.later(minutes=-15)
        assert await world.fire() == 0
        world.later(minutes=25)
        assert await world.fire() == 1
        times = [json.loads(event.body)["time"][11:16] for event, _ in world.outbox]
        assert times == ["12:10", "12:20", "12:30"]

    play(tmp_path, story)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"ScheduleExpression": "cron(0 0 * * * *)"}, "ValidationException", "Expression cron(0 0 * * * *)."),
    ({"ScheduleExpression": "every day"}, "ValidationException", "Invalid Schedule Expression every day."),
    ({"ScheduleExpressionTimezone": "Mars/Olympus"}, "ValidationException", "Mars/Olympus"),
    ({"ScheduleExpressionTimezone": "../../etc/passwd"}, "ValidationException", "passwd"),
    ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}}, "ValidationException", "MaximumWindowInMinutes"),
    ({"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}}, "ValidationException", "MaximumWindow"),
    ({"EndDate": datetime(2020, 1, 1, tzinfo=UTC)}, "ValidationException", "EndDate"),
    ({"GroupName": "none"}, "ResourceNotFoundException", "Schedule group none does not exist."),
    ({"KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/k"}, "NotImplementedException", "KmsKeyArn"),
    ({"Target": {**TARGET, "Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"}}, "NotImplementedException", "Arn"),
    ({"Target": {**TARGET, "Arn": "function"}}, "ValidationException", "format"),
    ({"Target": {**TARGET, "Arn": f"{QUEUE}.fifo"}}, "ValidationException", "MessageGroupId"),
    ({"Target": {**TARGET, "EventBridgeParameters": {"DetailType": "d", "Source": "s"}}}, "ValidationException",
     "event bus"),
    ({"Target": {**TARGET, "KinesisParameters": {"PartitionKey": "k"}}}, "NotImplementedException",
     "KinesisParameters"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "code", "text"), REFUSED, ids=[str(row[0])[:50] for row in REFUSED])
def test_refusals(tmp_path: Path, more: dict[str, Any], code: str, text: str) -> None:
    async def story(world: World) -> None:
        found = await refused(world.client, "CreateSchedule", **{**WANTED, **more})
        assert found[0] == code
        assert text in found[1]
        assert await world.next() is None

    play(tmp_path, story)


def test_create_update_list_delete(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        client = world.client
        token = {"ClientToken": "t-1"}
        first = await client("CreateSchedule", **WANTED, **token)
        world.later(seconds=1)
        assert await client("CreateSchedule", **WANTED, **token) == first  # the same request, sent again
        for other in ({"ClientToken": "t-2"}, {**token, "Description": "else"}):
            assert await refused(client, "CreateSchedule", **{**WANTED, **other}) == (
                "ConflictException",
                "Schedule s already exists.",
            )
        await client("UpdateSchedule", **{**WANTED, "State": "DISABLED", "Description": "d"})
        shown = await client("GetSchedule", Name="s")
        assert (shown["State"], shown["Description"]) == ("DISABLED", "d")
        assert shown["CreationDate"] < shown["LastModificationDate"]
        assert await world.next() is None
        await client("CreateScheduleGroup", Name="g")
        for number in range(3):
            await client("CreateSchedule", **{**WANTED, "Name": f"a{number}", "GroupName": "g"})
        page = await client("ListSchedules", MaxResults=2)
        rest = await client("ListSchedules", MaxResults=2, NextToken=page["NextToken"])
        names = [(one["GroupName"], one["Name"]) for one in page["Schedules"] + rest["Schedules"]]
        assert names == [("default", "s"), ("g", "a0"), ("g", "a1"), ("g", "a2")]
        assert "NextToken" not in rest
        assert [one["Name"] for one in (await client("ListSchedules", State="DISABLED"))["Schedules"]] == ["s"]
        assert len((await client("ListSchedules", GroupName="g", NamePrefix="a1"))["Schedules"]) == 1
        assert (await refused(client, "ListSchedules", NextToken="?"))[0] == "ValidationException"
        await client("DeleteSchedule", Name="a0", GroupName="g")
        for operation in ("DeleteSchedule", "GetSchedule"):
            assert (await refused(client, operation, Name="a0", GroupName="g"))[0] == "ResourceNotFoundException"
        assert (await refused(client, "UpdateSchedule", **{**WANTED, "Name": "no"}))[0] == "ResourceNotFoundException"
        await client("DeleteScheduleGroup", Name="g")
        assert len((await client("ListSchedules"))["Schedules"]) == 1
        assert await world.next() is None

    play(tmp_path, story)


def test_groups_and_their_tags(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        client = world.client
        given = {"Name": "g", "ClientToken": "t", "Tags": [{"Key": "k", "Value": "v"}]}
        made = await client("CreateScheduleGroup", **given)
        assert made == {"ScheduleGroupArn": f"{ARN}:schedule-group/g"}
        assert await client("CreateScheduleGroup", **given) == made
        assert (await refused(client, "CreateScheduleGroup", Name="g"))[0] == "ConflictException"
        assert (await client("GetScheduleGroup", Name="g"))["State"] == "ACTIVE"
        listed = await client("ListScheduleGroups", MaxResults=1)
        more = await client("ListScheduleGroups", MaxResults=1, NextToken=listed["NextToken"])
        assert [one["Name"] for one in listed["ScheduleGroups"] + more["ScheduleGroups"]] == ["default", "g"]
        arn = made["ScheduleGroupArn"]
        await client("TagResource", ResourceArn=arn, Tags=[{"Key": "x", "Value": "y"}])
        await client("UntagResource", ResourceArn=arn, TagKeys=["k"])
        assert (await client("ListTagsForResource", ResourceArn=arn))["Tags"] == [{"Key": "x", "Value": "y"}]
        assert (await refused(client, "DeleteScheduleGroup", Name="default"))[0] == "ValidationException"
        await client("DeleteScheduleGroup", Name="g")
        for operation in ("GetScheduleGroup", "DeleteScheduleGroup"):
            assert (await refused(client, operation, Name="g"))[0] == "ResourceNotFoundException"

    play(tmp_path, story)


MOVES = st.lists(st.integers(-900, 1800).map(lambda seconds: seconds / 2), min_size=1, max_size=25)


@settings(max_examples=25, deadline=None)
@given(moves=MOVES, window=st.sampled_from([0, 2]))
def test_wherever_the_clock_jumps_no_tick_fires_twice_and_none_stays_due(moves: list[float], window: int) -> None:
    async def story(world: World) -> None:
        flexible = {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": window} if window else OFF
        await world.client(
            "CreateSchedule",
            **{**WANTED, "ScheduleExpression": "cron(* * * * ? *)", "FlexibleTimeWindow": flexible},
        )
        latest = world.clock.now()
        for seconds in moves:
            world.later(seconds=seconds)
            while await world.fire():
                """All that is due, one after the other."""
            latest = max(latest, world.clock.now())
            following = await world.next()
            assert following is not None
            assert following > world.clock.now()
            # Set back, it waits for what it has not fired yet; never longer than to the tick after the latest moment.
            assert following <= latest + timedelta(minutes=1 + window)
        times = [json.loads(event.body)["time"] for event, _ in world.outbox]
        assert times == sorted(set(times))

    with tempfile.TemporaryDirectory() as directory:
        play(Path(directory), story)


def test_two_clocks_on_one_database_fire_each_tick_once(tmp_path: Path) -> None:
    """Firing and planning are one transaction: whoever comes second finds nothing due."""

    async def story(world: World) -> None:
        for number in range(30):
            once = {"Name": f"s{number}", "ScheduleExpression": "at(2026-01-15T12:10:00)"}
            await world.client("CreateSchedule", **{**WANTED, **once})
        world.clock.at_ms = int(datetime(2026, 1, 15, 12, 10, 1, tzinfo=UTC).timestamp() * 1000)
        other = Schedules(
            store=world.store, send=world._send, clock=world.clock, ids=CountingIds(), ticked=lambda: None
        )
        now = world.clock.now()
        await asyncio.gather(*(
            world.store.write(lambda tx, kind=kind: ticks.fire_due(tx, {"schedule": kind}, now, 7))
            for kind in (world.schedules, other) * 5
        ))  # fmt: skip
        assert len({event.source_arn for event, _ in world.outbox}) == len(world.outbox) == 30

    play(tmp_path, story)
