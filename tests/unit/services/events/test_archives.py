"""Archives and replays as a caller sees them, also across restarts: what is kept, for how long, what is sent again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from paddock.control import replays
from paddock.control.replays import Replays
from tests.unit.services.events.test_events import ACCOUNT, BUS, FUNCTION, RULE, World, play
from tests.unit.services.harness import refused

SOURCE = f"{BUS}/default"
ARCHIVE = f"arn:aws:events:us-east-1:{ACCOUNT}:archive/a"
AGES = {"EventStartTime": datetime(2000, 1, 1, tzinfo=UTC), "EventEndTime": datetime(2100, 1, 1, tzinfo=UTC)}


async def archive(world: World, **settings: Any) -> None:
    await world.client("CreateArchive", ArchiveName="a", EventSourceArn=SOURCE, **settings)


async def start(world: World, name: str = "again", **settings: Any) -> dict[str, Any]:
    given = {"EventSourceArn": ARCHIVE, "Destination": {"Arn": SOURCE}, **AGES, **settings}
    return await world.client("StartReplay", ReplayName=name, **given)


async def finish(world: World) -> None:
    while await world.replays.step():
        """Share by share."""


def totals(world: World, begin: int = 0) -> list[int]:
    return [one["detail"]["total"] for one in world.sent[begin:]]


def test_what_is_kept_is_sent_again_in_order(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await archive(world, EventPattern='{"detail":{"total":[{"numeric":[">",1]}]}}', Description="d")
        await world.rule("r")
        await world.rule("s", {"Id": "2"})
        times = (None, 30, 20, 10)
        for total, ago in enumerate(times):
            at = {} if ago is None else {"Time": world.clock.now() - timedelta(minutes=ago)}
            await world.put(Detail=f'{{"total":{total}}}', **at)
        await world.put(Source="elsewhere", Detail='{"total":7}')  # no rule wants it: it is kept all the same
        assert len(world.sent) == 8
        shown = await world.client("DescribeArchive", ArchiveName="a")
        assert (shown["EventCount"], shown["State"], shown["ArchiveArn"]) == (3, "ENABLED", ARCHIVE)
        assert shown["SizeBytes"] > 300
        began = await start(world, Destination={"Arn": SOURCE, "FilterArns": [f"{RULE}/r"]})
        assert began["State"] == "STARTING"
        await finish(world)
        assert totals(world, 8) == [2, 3]
        assert {one["replay-name"] for one in world.sent[8:]} == {"again"}
        assert {event.source_arn for event, _ in world.outbox[8:]} == {f"{RULE}/r"}
        done = await world.client("DescribeReplay", ReplayName="again")
        assert done["State"] == "COMPLETED"
        assert done["EventLastReplayedTime"] == world.clock.now().replace(microsecond=0)
        assert (await world.client("DescribeArchive", ArchiveName="a"))["EventCount"] == 3  # not archived once more
        # A part, by the events' own time.
        since = world.clock.now() - timedelta(minutes=11)
        await start(world, "part", EventStartTime=since)
        await finish(world)
        assert totals(world, 10) == [3, 3]

    play(tmp_path, story)


def test_a_kill_in_the_middle_repeats_nothing_and_leaves_nothing_out(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await archive(world)
        await world.rule()
        count = replays.SHARE * 2 + 5
        for total in range(count):
            await world.put(Detail=f'{{"total":{total}}}')
        world.outbox.clear()
        await start(world)
        assert await world.replays.step()
        assert (await world.client("DescribeReplay", ReplayName="again"))["State"] == "RUNNING"
        await world.open()  # another process, of which only the database is known
        assert isinstance(world.replays, Replays)
        await finish(world)
        assert totals(world) == list(range(count))

    play(tmp_path, story)


def test_a_replay_is_cancelled_where_it_is(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await archive(world)
        await world.rule()
        for _ in range(replays.SHARE + 1):
            await world.put()
        world.outbox.clear()
        await start(world)
        await world.replays.step()
        assert (await world.client("CancelReplay", ReplayName="again"))["State"] == "CANCELLING"
        await finish(world)
        assert len(world.sent) == replays.SHARE
        assert (await world.client("DescribeReplay", ReplayName="again"))["State"] == "CANCELLED"
        code, message = await refused(world.client, "CancelReplay", ReplayName="again")
        assert (code, message) == (
            "IllegalStatusException", "Replay again is not in a valid state for this operation."
        )  # fmt: skip

    play(tmp_path, story)


def test_retention_forgets(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await archive(world, RetentionDays=2)
        await world.put()
        world.clock.at_ms += 86_400_000
        await world.put(Time=datetime(2001, 1, 1, tzinfo=UTC))  # kept since now, whatever it says of itself
        world.clock.at_ms += 86_400_001
        await world.archives.sweep()
        assert (await world.client("DescribeArchive", ArchiveName="a"))["EventCount"] == 1
        await world.client("UpdateArchive", ArchiveName="a", RetentionDays=0)
        world.clock.at_ms += 86_400_000 * 1000
        await world.archives.sweep()
        await world.open()
        [shown] = (await world.client("ListArchives"))["Archives"]
        assert (shown["EventCount"], shown["RetentionDays"]) == (1, 0)
        await world.client("DeleteArchive", ArchiveName="a")
        await archive(world)
        assert (await world.client("DescribeArchive", ArchiveName="a"))["EventCount"] == 0

    play(tmp_path, story)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await archive(world)
        client, named = world.client, {"ArchiveName": "a", "EventSourceArn": SOURCE}
        missing = "ResourceNotFoundException"
        assert await refused(client, "CreateArchive", **named) == (
            "ResourceAlreadyExistsException", "Archive a already exists."
        )  # fmt: skip
        other = {"ArchiveName": "b", "EventSourceArn": f"{BUS}/nowhere"}
        assert await refused(client, "CreateArchive", **other) == (missing, "Event bus nowhere does not exist.")
        bad = {**named, "ArchiveName": "b", "EventPattern": "{"}
        assert (await refused(client, "CreateArchive", **bad))[0] == "InvalidEventPatternException"
        for operation in ("DescribeArchive", "DeleteArchive", "UpdateArchive"):
            assert await refused(client, operation, ArchiveName="b") == (missing, "Archive b does not exist.")
        two = {"NamePrefix": "a", "State": "ENABLED"}
        assert (await refused(client, "ListArchives", **two))[0] == "ValidationException"
        given = {"ReplayName": "r", "EventSourceArn": ARCHIVE, "Destination": {"Arn": SOURCE}, **AGES}
        turned = {"EventStartTime": AGES["EventEndTime"], "EventEndTime": AGES["EventStartTime"]}
        for change, text in (
            ({"EventSourceArn": ARCHIVE + "x"}, "Archive ax does not exist."),
            ({"Destination": {"Arn": FUNCTION}}, "Must contain an event bus ARN."),
            ({"Destination": {"Arn": f"{BUS}/other"}}, "Cross event bus replay is not permitted."),
            ({"Destination": {"Arn": SOURCE, "FilterArns": [f"{RULE}/no"]}}, f"Rule {RULE}/no is no rule of"),
            (turned, "EventStartTime must be before EventEndTime."),
        ):
            code, message = await refused(client, "StartReplay", **{**given, **change})
            assert code == "ValidationException"
            assert text in message
        for operation in ("DescribeReplay", "CancelReplay"):
            assert await refused(client, operation, ReplayName="r") == (missing, "Replay r does not exist.")
        for number in range(10):
            await start(world, f"r{number}")
        assert (await refused(client, "StartReplay", **given))[0] == "LimitExceededException"
        assert (await refused(client, "StartReplay", **{**given, "ReplayName": "r3"}))[0] == (
            "ResourceAlreadyExistsException"
        )
        assert len((await client("ListReplays", State="STARTING"))["Replays"]) == 10

    play(tmp_path, story)
