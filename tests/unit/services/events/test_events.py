"""EventBridge as a caller sees it: buses, rules, targets, events, permissions, tags; and what is to be sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from paddock.backends.sql.sqlite import SqliteStore
from paddock.control import ticks
from paddock.control.archives import Archives
from paddock.control.event_buses import Buses
from paddock.control.replays import Replays
from paddock.interfaces import TargetRefused, Tx
from paddock.model.caller import Caller
from paddock.model.delivery import TargetEvent
from paddock.model.event_bus import Delivering
from paddock.services import events
from paddock.services.service import Mount
from tests.unit.services.harness import ACCOUNT, Client, CountingIds, StillClock, database, refused

FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
RULE = f"arn:aws:events:us-east-1:{ACCOUNT}:rule"
BUS = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus"
OTHER = Caller(account="999999999999", region="us-east-1")


class World:
    """An EventBridge whose outbox is a list."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.clock = StillClock()
        self.ids = CountingIds()
        self.outbox: list[tuple[TargetEvent, Delivering]] = []
        self.ticked = 0

    async def open(self) -> None:
        archives = Archives(self.store, self.clock)
        await archives.start()
        self.archives = archives
        handed: dict[str, Any] = {"store": self.store, "clock": self.clock, "ids": self.ids}
        self.buses = Buses(**handed, send=self._send, ticked=self._ticked, archives=archives)
        await self.buses.start()
        self.replays = Replays(self.store, archives, self.buses.replay, self.clock)
        desk = events.Desk(
            buses=self.buses, archives=archives, replays=self.replays, clock=self.clock, ids=self.ids
        )  # fmt: skip
        self.client = Client(Mount(events.SERVICE, desk))

    def _send(self, tx: Tx, event: TargetEvent, delivering: Delivering) -> None:
        self.outbox.append((event, delivering))

    def _ticked(self) -> None:
        self.ticked += 1

    @property
    def sent(self) -> list[Any]:
        return [json.loads(event.body) for event, _ in self.outbox]

    def as_caller(self, caller: Caller) -> Client:
        return Client(self.client.mount, caller)

    async def rule(self, name: str = "r", target: dict[str, Any] | None = None, **settings: Any) -> None:
        given = {"EventPattern": '{"source":["shop"]}', **settings}
        await self.client("PutRule", Name=name, **{k: v for k, v in given.items() if v is not None})
        bus = {"EventBusName": given["EventBusName"]} if "EventBusName" in given else {}
        await self.client("PutTargets", Rule=name, Targets=[{"Id": "1", "Arn": FUNCTION, **(target or {})}], **bus)

    async def put(self, **entry: Any) -> dict[str, Any]:
        return await self.client("PutEvents", Entries=[{**ENTRY, **entry}])

    async def fire(self) -> int:
        return await self.store.write(lambda tx: ticks.fire_due(tx, {"rule": self.buses}, self.clock.now(), 100))

    async def next(self) -> datetime | None:
        return await self.store.read(ticks.next_due)


ENTRY = {"Source": "shop", "DetailType": "Order", "Detail": '{"total":5}'}


def play(tmp_path: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        store = await SqliteStore.open(database(tmp_path), readers=1)
        world = World(store)
        try:
            await world.open()
            await story(world)
        finally:
            await store.close()

    asyncio.run(run())


def test_an_event_reaches_the_targets_of_the_rules_that_match(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.rule()
        await world.rule("other", EventPattern='{"source":["else"]}')
        await world.rule("off", State="DISABLED")
        time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        answer = await world.put(Time=time, Resources=["a:b"], TraceHeader="Root=1")
        assert answer == {"FailedEntryCount": 0, "Entries": [{"EventId": answer["Entries"][0]["EventId"]}]}
        assert world.sent == [
            {
                "version": "0",
                "id": answer["Entries"][0]["EventId"],
                "detail-type": "Order",
                "source": "shop",
                "account": ACCOUNT,
                "time": "2026-01-02T03:04:05Z",
                "region": "us-east-1",
                "resources": ["a:b"],
                "detail": {"total": 5},
            }
        ]
        event, delivering = world.outbox[0]
        assert event == replace(event, target_arn=FUNCTION, principal="events.amazonaws.com", source_arn=f"{RULE}/r",
                                source_account=ACCOUNT, attributes={"AWSTraceHeader": "Root=1"})  # fmt: skip
        assert (delivering.attempts_max, delivering.age_s_max, delivering.dead_letter_arn) == (185, 86_400, "")

    play(tmp_path, story)


INPUTS: list[tuple[dict[str, Any], Any]] = [
    ({"Input": '{"x":1}'}, {"x": 1}),
    ({"InputPath": "$.detail.total"}, 5),
    (
        {
            "InputTransformer": {
                "InputPathsMap": {"t": "$.detail.total"},
                "InputTemplate": '"<t> of <aws.events.rule-name>"',
            }
        },
        "5 of r",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("target", "expected"), INPUTS)
def test_inputs(tmp_path: Path, target: dict[str, Any], expected: Any) -> None:
    async def story(world: World) -> None:
        await world.rule(target=target)
        await world.put()
        assert world.sent == [expected]
        shown = (await world.client("ListTargetsByRule", Rule="r"))["Targets"]
        assert shown == [{"Id": "1", "Arn": FUNCTION, **target}]

    play(tmp_path, story)


def test_retries_dead_letters_and_groups_are_passed_on(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        target = {
            "Arn": QUEUE + ".fifo",
            "SqsParameters": {"MessageGroupId": "g"},
            "RetryPolicy": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60},
            "DeadLetterConfig": {"Arn": QUEUE},
        }
        await world.rule(target=target)
        await world.put()
        event, delivering = world.outbox[0]
        assert event.attributes == {"MessageGroupId": "g"}
        assert delivering == Delivering(attempts_max=0, age_s_max=60, dead_letter_arn=QUEUE)
        assert (await world.client("ListTargetsByRule", Rule="r"))["Targets"] == [{"Id": "1", **target}]

    play(tmp_path, story)


def test_each_entry_is_refused_on_its_own(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.rule()
        bad = [{"Source": "aws.ec2"}, {"Detail": "{"}, {"Detail": "[]"}, {"Source": ""}, {"DetailType": ""}]
        answer = await world.client("PutEvents", Entries=[{**ENTRY, **one} for one in [*bad, {}]])
        assert answer["FailedEntryCount"] == 5
        assert [entry.get("ErrorCode", "ok") for entry in answer["Entries"]] == [
            "NotAuthorizedForSourceException", "MalformedDetail", "MalformedDetail", "InvalidArgument",
            "InvalidArgument", "ok",
        ]  # fmt: skip
        assert len(world.outbox) == 1
        large = {**ENTRY, "Detail": json.dumps({"x": "x" * 262_144})}
        code, text = await refused(world.client, "PutEvents", Entries=[large])
        assert (code, text) == ("ValidationException", "Total size of the entries in the request is over the limit.")
        assert await refused(world.client, "PutEvents", Entries=[ENTRY] * 11)
        assert (await world.put(EventBusName="nowhere"))["FailedEntryCount"] == 0
        assert len(world.outbox) == 1

    play(tmp_path, story)


def test_what_is_no_rule(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        client = world.client
        for settings, code, text in (
            ({}, "ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified."),
            ({"EventPattern": '{"source":"shop"}'}, "InvalidEventPatternException",
             'Event pattern is not valid. Reason: "source" must be an object or an array'),
            ({"ScheduleExpression": "rate(1 minutes)"}, "ValidationException",
             "Parameter ScheduleExpression is not valid."),
            ({"ScheduleExpression": "cron(0 0 * * * *)"}, "ValidationException",
             "Parameter ScheduleExpression is not valid."),
            ({"ScheduleExpression": "at(2030-01-01T00:00:00)"}, "ValidationException",
             "Parameter ScheduleExpression is not valid."),
            ({"EventPattern": '{"a":["b"]}', "EventBusName": "none"}, "ResourceNotFoundException",
             "Event bus none does not exist."),
        ):  # fmt: skip
            assert await refused(client, "PutRule", Name="r", **settings) == (code, text)
        await client("CreateEventBus", Name="mine")
        text = "ScheduleExpression is supported only on the default event bus."
        given = {"ScheduleExpression": "rate(1 minute)", "EventBusName": "mine"}
        assert (await refused(client, "PutRule", Name="r", **given))[1] == text
        assert (await client("ListRules"))["Rules"] == []

    play(tmp_path, story)


def test_what_is_no_target(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.client("PutRule", Name="r", EventPattern='{"a":["b"]}')
        for target, code, text in (
            ({"Arn": "nonsense"}, "ValidationException", "not in correct format"),
            ({"Arn": f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s"}, "NotImplementedException", "kinesis"),
            ({"EcsParameters": {"TaskDefinitionArn": "t"}}, "NotImplementedException", "EcsParameters"),
            ({"Input": "{"}, "ValidationException", "JSON syntax error"),
            ({"Input": "1", "InputPath": "$"}, "ValidationException", "Only one of Input, InputPath"),
            ({"InputPath": "detail"}, "ValidationException", "Invalid InputPath for target 1"),
            ({"InputTransformer": {"InputTemplate": "<x>"}}, "ValidationException", "Invalid InputTransformer"),
            ({"Arn": f"{QUEUE}.fifo"}, "ValidationException", "SqsParameters must be specified for target: 1"),
            ({"DeadLetterConfig": {"Arn": FUNCTION}}, "ValidationException", "standard queue"),
        ):
            found = await refused(
                world.client, "PutTargets", Rule="r", Targets=[{"Id": "1", "Arn": FUNCTION, **target}]
            )
            assert found[0] == code
            assert text in found[1]
        many = [{"Id": str(number), "Arn": FUNCTION} for number in range(6)]
        assert (await refused(world.client, "PutTargets", Rule="r", Targets=many))[0] == "LimitExceededException"
        assert (await refused(world.client, "PutTargets", Rule="no", Targets=many[:1]))[
            0
        ] == "ResourceNotFoundException"
        assert (await world.client("ListTargetsByRule", Rule="r"))["Targets"] == []

    play(tmp_path, story)


def test_the_life_of_rules_and_buses(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        client = world.client
        made = await client("CreateEventBus", Name="mine", Description="d", Tags=[{"Key": "k", "Value": "v"}])
        assert made == {"EventBusArn": f"{BUS}/mine", "Description": "d"}
        assert (await refused(client, "CreateEventBus", Name="mine"))[0] == "ResourceAlreadyExistsException"
        assert (await refused(client, "CreateEventBus", Name="default"))[0] == "ResourceAlreadyExistsException"
        assert (await refused(client, "CreateEventBus", Name="aws.x"))[0] == "ValidationException"
        assert [bus["Name"] for bus in (await client("ListEventBuses"))["EventBuses"]] == ["default", "mine"]
        await world.rule(EventBusName=f"{BUS}/mine")
        await world.put()
        assert not world.outbox
        await world.put(EventBusName="mine")
        assert world.outbox[0][0].source_arn == f"{RULE}/mine/r"
        await world.open()  # as after a restart
        client = world.client
        rule = await client("DescribeRule", Name="r", EventBusName="mine")
        assert rule == {
            "Name": "r", "Arn": f"{RULE}/mine/r", "EventPattern": '{"source":["shop"]}', "State": "ENABLED",
            "EventBusName": "mine", "CreatedBy": ACCOUNT,
        }  # fmt: skip
        await client("DisableRule", Name="r", EventBusName="mine")
        await world.put(EventBusName="mine")
        assert len(world.outbox) == 1
        await client("EnableRule", Name="r", EventBusName="mine")
        await client("PutRule", Name="r", EventBusName="mine", EventPattern='{"source":["new"]}')
        await world.put(EventBusName="mine", Source="new")
        assert len(world.outbox) == 2  # its targets stayed
        names = await client("ListRuleNamesByTarget", TargetArn=FUNCTION, EventBusName="mine")
        assert names["RuleNames"] == ["r"]
        assert "since it has targets" in (await refused(client, "DeleteRule", Name="r", EventBusName="mine"))[1]
        assert (await refused(client, "DeleteEventBus", Name="mine"))[0] == "ValidationException"
        failed = await client("RemoveTargets", Rule="r", EventBusName="mine", Ids=["1", "2"])
        assert failed["FailedEntryCount"] == 1
        for _ in range(2):  # what is gone may be deleted again
            await client("DeleteRule", Name="r", EventBusName="mine")
        for _ in range(2):
            await client("DeleteEventBus", Name="mine")
        assert (await refused(client, "DescribeEventBus", Name="mine"))[0] == "ResourceNotFoundException"
        assert (await refused(client, "DeleteEventBus", Name="default"))[0] == "ValidationException"

    play(tmp_path, story)


def test_pages_and_tags(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        client = world.client
        for number in range(5):
            await client("PutRule", Name=f"r{number}", EventPattern='{"a":["b"]}', Tags=[{"Key": "k", "Value": "v"}])
        first = await client("ListRules", Limit=3)
        rest = await client("ListRules", Limit=3, NextToken=first["NextToken"])
        assert [rule["Name"] for rule in first["Rules"] + rest["Rules"]] == [f"r{number}" for number in range(5)]
        assert "NextToken" not in rest
        assert (await refused(client, "ListRules", NextToken="?"))[0] == "ValidationException"
        arn = f"{RULE}/r0"
        await client("TagResource", ResourceARN=arn, Tags=[{"Key": "x", "Value": "y"}])
        await client("UntagResource", ResourceARN=arn, TagKeys=["k"])
        assert (await client("ListTagsForResource", ResourceARN=arn))["Tags"] == [{"Key": "x", "Value": "y"}]
        await client("TagResource", ResourceARN=f"{BUS}/default", Tags=[{"Key": "x", "Value": "y"}])
        assert (await client("ListTagsForResource", ResourceARN=f"{BUS}/default"))["Tags"]
        assert (await refused(client, "ListTagsForResource", ResourceARN=f"{RULE}/no"))[
            0
        ] == "ResourceNotFoundException"

    play(tmp_path, story)


def test_another_account_needs_permission(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.rule()
        stranger = world.as_caller(OTHER)
        entry = {**ENTRY, "EventBusName": f"{BUS}/default"}
        answer = await stranger("PutEvents", Entries=[entry])
        assert answer["Entries"][0]["ErrorCode"] == "AccessDeniedException"
        await world.client("PutPermission", Action="events:PutEvents", Principal=OTHER.account, StatementId="s")
        assert (await stranger("PutEvents", Entries=[entry]))["FailedEntryCount"] == 0
        assert world.sent[0]["account"] == OTHER.account
        policy = json.loads((await world.client("DescribeEventBus"))["Policy"])
        assert policy["Statement"] == [
            {
                "Sid": "s",
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{OTHER.account}:root"},
                "Action": "events:PutEvents",
                "Resource": f"{BUS}/default",
            }
        ]
        assert (await refused(world.client, "RemovePermission", StatementId="x"))[0] == "ResourceNotFoundException"
        await world.client("RemovePermission", StatementId="s")
        assert (await stranger("PutEvents", Entries=[entry]))["FailedEntryCount"] == 1
        assert (await refused(world.client, "PutPermission", Policy="{"))[0] == "ValidationException"
        await world.client("PutPermission", Policy=json.dumps(policy))
        assert (await stranger("PutEvents", Entries=[entry]))["FailedEntryCount"] == 0

    play(tmp_path, story)


def test_a_bus_takes_events_from_another_bus_and_sends_them_no_further(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.client("CreateEventBus", Name="second")
        await world.rule("forward", target={"Arn": f"{BUS}/second"})
        await world.rule("work", EventBusName="second")
        await world.rule("loop", target={"Arn": f"{BUS}/default"}, EventBusName="second")
        await world.put(Resources=["x"])
        forwarded = world.outbox.pop()[0]
        assert forwarded.target_arn == f"{BUS}/second"
        await world.buses.receive(forwarded)
        assert [event.target_arn for event, _ in world.outbox] == [FUNCTION]
        assert world.sent[0]["resources"] == ["x"]
        assert world.sent[0]["detail"] == {"total": 5}
        for change in ({"target_arn": f"{BUS}/none"}, {"body": b"{"}, {"source_account": OTHER.account}):
            with pytest.raises(TargetRefused):
                await world.buses.receive(replace(forwarded, **change))

    play(tmp_path, story)


def test_a_rule_with_a_schedule_fires(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.rule(EventPattern=None, ScheduleExpression="rate(5 minutes)")
        start = world.clock.now()
        assert await world.next() == start + timedelta(minutes=5)
        assert await world.fire() == 0
        world.clock.at_ms += 300_000
        assert await world.fire() == 1
        assert await world.fire() == 0
        assert world.sent == [
            {
                "version": "0",
                "id": world.sent[0]["id"],
                "detail-type": "Scheduled Event",
                "source": "aws.events",
                "account": ACCOUNT,
                "time": (start + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "region": "us-east-1",
                "resources": [f"{RULE}/r"],
                "detail": {},
            }
        ]
        await world.open()  # as after a restart, and a day later: one fires for all that was missed long ago
        world.clock.at_ms += 86_000_000
        while await world.fire():
            pass
        assert len(world.outbox) == 3
        following = await world.next()
        assert following is not None
        assert following > world.clock.now()
        await world.client("DisableRule", Name="r")
        assert await world.next() is None
        await world.client("EnableRule", Name="r")
        assert await world.next() == world.clock.now() + timedelta(minutes=5)
        await world.client("RemoveTargets", Rule="r", Ids=["1"])
        await world.client("DeleteRule", Name="r")
        assert await world.next() is None

    play(tmp_path, story)


def test_a_pattern_is_tried_out(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        event = {
            "id": "1",
            "account": "2",
            "source": "s",
            "time": "t",
            "region": "r",
            "resources": [],
            "detail-type": "d",
        }
        for pattern, expected in (('{"source":["s"]}', True), ('{"source":["x"]}', False)):
            answer = await world.client("TestEventPattern", EventPattern=pattern, Event=json.dumps(event))
            assert answer == {"Result": expected}
        for pattern, given in (("{", event), ('{"source":["s"]}', {"source": "s"}), ('{"source":["s"]}', [])):
            assert await refused(world.client, "TestEventPattern", EventPattern=pattern, Event=json.dumps(given))

    play(tmp_path, story)


def test_what_cannot_be_stored_was_not_put(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.rule()

        def full(tx: Tx, event: TargetEvent, delivering: Delivering) -> None:
            raise OSError(28, "no space")

        world.buses._send = full
        with pytest.raises(OSError, match="no space"):
            await world.put()

    play(tmp_path, story)
