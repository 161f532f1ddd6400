"""CloudWatch Logs: every rule and text, through botocore's own serializer and parser."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paddock.backends.sql.sqlite import SqliteStore
from paddock.backends.sql.statements import load_logs
from paddock.model.log import LogEvent, LogStreamRef
from paddock.observe.log_store import DAY_MS
from paddock.observe.logbook import LogBook
from paddock.services import logs
from paddock.services.service import Mount
from tests.unit.services.harness import ACCOUNT, NOW_MS, Client, StillClock, database, refused

GROUP = "/aws/lambda/f"
ARN = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{GROUP}"
NO_GROUP = ("ResourceNotFoundException", "The specified log group does not exist.")
NO_STREAM = ("ResourceNotFoundException", "The specified log stream does not exist.")
Story = Callable[[Client, LogBook, StillClock], Awaitable[None]]


def play(tmp_path: Path, story: Story) -> None:
    async def run() -> None:
        store = await SqliteStore.open(database(tmp_path), statements=load_logs())
        clock = StillClock()
        book = LogBook(store=store, clock=clock)
        try:
            await story(Client(Mount(logs.SERVICE, logs.Desk(store=store, book=book, clock=clock))), book, clock)
        finally:
            await store.close()

    asyncio.run(run())


async def put(client: Client, *events: tuple[int, str], stream: str = "s") -> dict[str, Any]:
    entries = [{"timestamp": at, "message": message} for at, message in events]
    return await client("PutLogEvents", logGroupName=GROUP, logStreamName=stream, logEvents=entries)


async def make(client: Client, *streams: str) -> None:
    await client("CreateLogGroup", logGroupName=GROUP)
    for stream in streams:
        await client("CreateLogStream", logGroupName=GROUP, logStreamName=stream)


def texts(page: dict[str, Any]) -> list[str]:
    return [event["message"] for event in page["events"]]


def test_groups(tmp_path: Path) -> None:
    async def story(client: Client, book: LogBook, clock: StillClock) -> None:
        await client("CreateLogGroup", logGroupName=GROUP, tags={"a": "b"})
        assert await refused(client, "CreateLogGroup", logGroupName=GROUP) == (
            "ResourceAlreadyExistsException", "The specified log group already exists",
        )  # fmt: skip
        (group,) = (await client("DescribeLogGroups", logGroupNamePrefix="/aws/l"))["logGroups"]
        assert group == {
            "logGroupName": GROUP, "creationTime": NOW_MS, "metricFilterCount": 0, "arn": f"{ARN}:*",
            "storedBytes": 0, "logGroupClass": "STANDARD", "logGroupArn": ARN, "deletionProtectionEnabled": False,
        }  # fmt: skip
        await client("PutRetentionPolicy", logGroupName=GROUP, retentionInDays=7)
        assert (await client("DescribeLogGroups"))["logGroups"][0]["retentionInDays"] == 7
        code, message = await refused(client, "PutRetentionPolicy", logGroupName=GROUP, retentionInDays=4)
        assert code == "InvalidParameterException"
        assert "Member must satisfy enum value set: [1, 3, 5, 7," in message
        await client("DeleteRetentionPolicy", logGroupName=GROUP)
        assert "retentionInDays" not in (await client("DescribeLogGroups"))["logGroups"][0]
        await client("DeleteLogGroup", logGroupName=GROUP)
        assert (await client("DescribeLogGroups"))["logGroups"] == []

    play(tmp_path, story)


def test_what_names_no_group(tmp_path: Path) -> None:
    async def story(client: Client, book: LogBook, clock: StillClock) -> None:
        event = [{"timestamp": NOW_MS, "message": "m"}]
        for operation, params in {
            "DeleteLogGroup": {}, "PutRetentionPolicy": {"retentionInDays": 1}, "DeleteRetentionPolicy": {},
            "CreateLogStream": {"logStreamName": "s"}, "DeleteLogStream": {"logStreamName": "s"},
            "DescribeLogStreams": {}, "PutLogEvents": {"logStreamName": "s", "logEvents": event},
            "GetLogEvents": {"logStreamName": "s"}, "FilterLogEvents": {}, "ListTagsLogGroup": {},
            "TagLogGroup": {"tags": {"a": "b"}}, "UntagLogGroup": {"tags": ["a"]},
        }.items():  # fmt: skip
            assert await refused(client, operation, logGroupName=GROUP, **params) == NO_GROUP, operation
        assert await refused(client, "ListTagsForResource", resourceArn=ARN) == NO_GROUP
        elsewhere = ARN.replace("us-east-1", "eu-west-1")
        await make(client, "s")
        assert await refused(client, "FilterLogEvents", logGroupIdentifier=elsewhere) == NO_GROUP
        for params in ({}, {"logGroupName": GROUP, "logGroupIdentifier": ARN}, {"logGroupIdentifier": "arn:x"}):
            assert (await refused(client, "FilterLogEvents", **params))[0] == "InvalidParameterException"
        assert await refused(client, "GetLogEvents", logGroupName=GROUP, logStreamName="x") == NO_STREAM
        assert await refused(client, "DeleteLogStream", logGroupName=GROUP, logStreamName="x") == NO_STREAM
        assert await refused(client, "FilterLogEvents", logGroupName=GROUP, logStreamNames=["s", "x"]) == NO_STREAM
        assert await refused(client, "CreateLogStream", logGroupName=GROUP, logStreamName="s") == (
            "ResourceAlreadyExistsException", "The specified log stream already exists",
        )  # fmt: skip

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("operation", "params", "named"),
    [
        ("CreateLogGroup", {"logGroupName": "g", "kmsKeyId": "k"}, "kmsKeyId"),
        ("CreateLogGroup", {"logGroupName": "g", "logGroupClass": "INFREQUENT_ACCESS"}, "logGroupClass"),
        ("CreateLogGroup", {"logGroupName": "g", "deletionProtectionEnabled": True}, "deletionProtectionEnabled"),
        ("DescribeLogGroups", {"includeLinkedAccounts": True}, "includeLinkedAccounts"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    tmp_path: Path, operation: str, params: dict[str, Any], named: str
) -> None:
    async def story(client: Client, book: LogBook, clock: StillClock) -> None:
        code, message = await refused(client, operation, **params)
        assert code == "NotImplementedException"
        assert named in message
        assert (await client("DescribeLogGroups"))["logGroups"] == []

    play(tmp_path, story)


def test_groups_are_paged_and_searched(tmp_path: Path) -> None:
    async def story(client: Client, book: LogBook, clock: StillClock) -> None:
        for name in ("b", "a", "c/DataLogs", "cd"):
            await client("CreateLogGroup", logGroupName=name)
        first = await client("DescribeLogGroups", limit=3)
        assert [group["logGroupName"] for group in first["logGroups"]] == ["a", "b", "c/DataLogs"]
        rest = await client("DescribeLogGroups", limit=3, nextToken=first["nextToken"])
        assert [group["logGroupName"] for group in rest["logGroups"]] == ["cd"]
        assert "nextToken" not in rest
        found = (await client("DescribeLogGroups", logGroupNamePattern="Data"))["logGroups"]
        assert found == [{"logGroupName": "c/DataLogs", "creationTime": NOW_MS, "arn": found[0]["arn"]}]
        named = await client("DescribeLogGroups", logGroupIdentifiers=["cd", "nope", "a"])
        assert [group["logGroupName"] for group in named["logGroups"]] == ["a", "cd"]
        both = {"logGroupNamePrefix": "a", "logGroupNamePattern": "b"}
        assert (await refused(client, "DescribeLogGroups", **both))[0] == "InvalidParameterException"
        assert (await refused(client, "DescribeLogGroups", nextToken="%%"))[0] == "InvalidParameterException"
        assert (await client("DescribeLogGroups", logGroupClass="DELIVERY"))["logGroups"] == []
        other = Client(client.mount, replace(client.caller, region="eu-west-1"))
        assert (await other("DescribeLogGroups"))["logGroups"] == []

    play(tmp_path, story)


def test_tags_by_arn_and_by_name(tmp_path: Path) -> None:
    async def story(client: Client, book: LogBook, clock: StillClock) -> None:
        await client("CreateLogGroup", logGroupName=GROUP, tags={"a": "1"})
        await client("TagResource", resourceArn=ARN, tags={"b": "2"})
        await client("TagLogGroup", logGroupName=GROUP, tags={"c": "3"})
        assert (await client("ListTagsForResource", resourceArn=ARN))["tags"] == {"a": "1", "b": "2", "c": "3"}
        await client("UntagResource", resourceArn=ARN, tagKeys=["a"])
        await client("UntagLogGroup", logGroupName=GROUP, tags=["b", "gone"])
        assert (await client("ListTagsLogGroup", logGroupName=GROUP))["tags"] == {"c": "3"}
        many = {f"k{number}": "" for number in range(50)}
        assert (await refused(client, "TagResource", resourceArn=ARN, tags=many))[0] == "TooManyTagsException"
        assert (await refused(client, "TagResource", resourceArn="x", tags={"a": ""}))[0] == "InvalidParameterException"
        assert (await client("ListTagsForResource", resourceArn=ARN))["tags"] == {"c": "3"}

    play(tmp_path, story)


def test_streams_by_name_and_by_time(tmp_path: Path) -> None:
    async def story(client: Client, book: LogBook, clock: StillClock) -> None:
        await make(client, "b", "a", "never")
        await put(client, (NOW_MS - 5, "one"), (NOW_MS - 1, "two"), stream="b")
        await put(client, (NOW_MS - 3, "three"), stream="a")

        async def pages(**params: Any) -> list[str]:
            names: list[str] = []
            while True:
                page = await client("DescribeLogStreams", logGroupName=GROUP, limit=1, **params)
                names += [stream["logStreamName"] for stream in page["logStreams"]]
                if "nextToken" not in page:
                    return names
                params["nextToken"] = page["nextToken"]

        assert await pages() == ["a", "b", "never"]
        assert await pages(descending=True) == ["never", "b", "a"]
        assert await pages(logStreamNamePrefix="n") == ["never"]
        assert await pages(orderBy="LastEventTime", descending=True) == ["b", "a", "never"]
        assert await pages(orderBy="LastEventTime") == ["never", "a", "b"]
        stream = (await client("DescribeLogStreams", logGroupIdentifier=ARN))["logStreams"][1]
        assert (stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (NOW_MS - 5, NOW_MS - 1)
        assert (stream["lastIngestionTime"], stream["arn"]) == (NOW_MS, f"{ARN}:log-stream:b")
        assert await refused(
            client, "DescribeLogStreams", logGroupName=GROUP, orderBy="LastEventTime", logStreamNamePrefix="a"
        ) == ("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
        await client("DeleteLogStream", logGroupName=GROUP, logStreamName="b")
        assert await pages() == ["a", "never"]
        assert (await client("DescribeLogGroups"))["logGroups"][0]["storedBytes"] == 5 + 26

    play(tmp_path, story)


def test_the_rules_of_a_batch(tmp_path: Path) -> None:
    async def story(client: Client, book: LogBook, clock: StillClock) -> None:
        await make(client, "s")
        hour = 3_600_000
        output = await put(client, (NOW_MS, "m"))
        assert len(output["nextSequenceToken"]) == 56
        assert "rejectedLogEventsInfo" not in output

        async def fails(*events: tuple[int, str]) -> str:
            entries = [{"timestamp": at, "message": message} for at, message in events]
            code, message = await refused(
                client, "PutLogEvents", logGroupName=GROUP, logStreamName="s", logEvents=entries
            )
            assert code == "InvalidParameterException"
            return message

        assert await fails((NOW_MS, "a"), (NOW_MS - 1, "b")) == (
            "Log events in a single PutLogEvents request must be in chronological order."
        )
        assert await fails((NOW_MS - 25 * hour, "a"), (NOW_MS, "b")) == (
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
        )
        full = "x" * (1_048_576 - 26)
        assert await fails((NOW_MS, full + "x")) == "Upload too large: 1048577 bytes exceeds limit of 1048576"
        await put(client, (NOW_MS, full))
        output = await put(
            client, (NOW_MS - 15 * DAY_MS, "old"), (NOW_MS - 3, "kept"), (NOW_MS + 2 * hour, "kept too"),
            (NOW_MS + 2 * hour + 1, "new"),
        )  # fmt: skip
        assert output["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 3}
        await client("PutRetentionPolicy", logGroupName=GROUP, retentionInDays=1)
        output = await put(client, (NOW_MS - 2 * DAY_MS, "expired"), (NOW_MS - 2, "kept three"))
        assert output["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
        found = await client("FilterLogEvents", logGroupName=GROUP, filterPattern="kept")
        assert texts(found) == ["kept", "kept three", "kept too"]

    play(tmp_path, story)


def test_reading_one_stream_from_both_ends(tmp_path: Path) -> None:
    async def story(client: Client, book: LogBook, clock: StillClock) -> None:
        await make(client, "s")
        await put(client, *((NOW_MS + number // 2, f"m{number}") for number in range(5)))

        async def get(**params: Any) -> dict[str, Any]:
            return await client("GetLogEvents", logGroupName=GROUP, logStreamName="s", **params)

        page = await get(startFromHead=True, limit=2)
        assert texts(page) == ["m0", "m1"]
        assert page["events"][0] == {"timestamp": NOW_MS, "message": "m0", "ingestionTime": NOW_MS}
        page = await get(nextToken=page["nextForwardToken"], limit=2)
        assert texts(page) == ["m2", "m3"]
        page = await get(nextToken=page["nextForwardToken"], limit=2)
        assert texts(page) == ["m4"]
        end = await get(nextToken=page["nextForwardToken"])
        assert end["events"] == []
        assert end["nextForwardToken"] == page["nextForwardToken"]
        assert texts(await get(nextToken=end["nextBackwardToken"], limit=2)) == ["m3", "m4"]
        await put(client, (NOW_MS + 9, "late"))
        assert texts(await get(nextToken=end["nextForwardToken"])) == ["late"]
        page = await get(limit=2)
        assert texts(page) == ["m4", "late"]  # the latest, in order of time
        page = await get(nextToken=page["nextBackwardToken"], limit=9)
        assert texts(page) == ["m0", "m1", "m2", "m3"]
        start = await get(nextToken=page["nextBackwardToken"])
        assert start["events"] == []
        assert start["nextBackwardToken"] == page["nextBackwardToken"]
        assert texts(await get(nextToken=start["nextForwardToken"], limit=2)) == ["m0", "m1"]
        assert texts(await get(startTime=NOW_MS + 1, endTime=NOW_MS + 2)) == ["m2", "m3"]  # the end is exclusive
        for token in ("x", "f/1/s", f"f/{'9' * 56}/s"):
            params = {"logGroupName": GROUP, "logStreamName": "s", "nextToken": token}
            assert (await refused(client, "GetLogEvents", **params))[0] == "InvalidParameterException"

    play(tmp_path, story)


def test_an_empty_stream_can_be_followed(tmp_path: Path) -> None:
    async def story(client: Client, book: LogBook, clock: StillClock) -> None:
        await make(client, "s")
        page = await client("GetLogEvents", logGroupName=GROUP, logStreamName="s")
        assert page["events"] == []
        await put(client, (NOW_MS, "first"))
        params = {"logGroupName": GROUP, "logStreamName": "s", "nextToken": page["nextForwardToken"]}
        assert texts(await client("GetLogEvents", **params)) == ["first"]

    play(tmp_path, story)


def test_filtering_interleaves_streams_and_pages(tmp_path: Path) -> None:
    async def story(client: Client, book: LogBook, clock: StillClock) -> None:
        await make(client, "a", "b", "other")
        for number in range(6):
            await put(client, (NOW_MS + number, f"ERROR {number}"), stream="ab"[number % 2])
        await put(client, (NOW_MS, "fine"), stream="other")

        async def everything(**params: Any) -> list[dict[str, Any]]:
            events: list[dict[str, Any]] = []
            while True:
                page = await client("FilterLogEvents", logGroupName=GROUP, **params)
                assert page["searchedLogStreams"] == []
                events += page["events"]
                if "nextToken" not in page:
                    return events
                params["nextToken"] = page["nextToken"]

        found = await everything(filterPattern="ERROR", limit=2)
        assert [event["message"] for event in found] == [f"ERROR {number}" for number in range(6)]
        assert [event["logStreamName"] for event in found] == ["a", "b"] * 3
        ids = {event["eventId"] for event in found}
        assert len(ids) == 6
        assert all(len(each) == 56 and each.isdigit() for each in ids)
        backwards = await everything(filterPattern="ERROR", limit=4, startFromHead=False)
        assert backwards == found[::-1]
        assert len(await everything(logStreamNames=["b", "other"])) == 4
        assert len(await everything(logStreamNames=["b"])) == 3
        assert len(await everything(logStreamNamePrefix="o")) == 1
        assert await everything(logStreamNamePrefix="zzz") == []
        inclusive = await everything(startTime=NOW_MS + 2, endTime=NOW_MS + 4)
        assert [event["timestamp"] - NOW_MS for event in inclusive] == [2, 3, 4]
        both = {"logGroupName": GROUP, "logStreamNames": ["a"], "logStreamNamePrefix": "a"}
        assert (await refused(client, "FilterLogEvents", **both))[0] == "InvalidParameterException"
        assert await refused(client, "FilterLogEvents", logGroupName=GROUP, filterPattern="foo:bar") == (
            "InvalidParameterException", "Invalid character(s) in term 'foo:bar'",
        )  # fmt: skip

    play(tmp_path, story)


def test_pages_end_at_a_megabyte(tmp_path: Path) -> None:
    async def story(client: Client, book: LogBook, clock: StillClock) -> None:
        await make(client, "s")
        for number in range(3):
            await put(client, (NOW_MS + number, f"{number}" * 500_000))
        page = await client("FilterLogEvents", logGroupName=GROUP)
        assert [event["message"][0] for event in page["events"]] == ["0", "1"]
        rest = await client("FilterLogEvents", logGroupName=GROUP, nextToken=page["nextToken"])
        assert [event["message"][0] for event in rest["events"]] == ["2"]
        assert "nextToken" not in rest
        page = await client("GetLogEvents", logGroupName=GROUP, logStreamName="s")
        assert [event["message"][0] for event in page["events"]] == ["1", "2"]

    play(tmp_path, story)


def test_what_an_invocation_logged_is_there_at_once(tmp_path: Path) -> None:
    async def story(client: Client, book: LogBook, clock: StillClock) -> None:
        ref = LogStreamRef(account=ACCOUNT, region="us-east-1", group=GROUP, stream="2026/01/15/[$LATEST]" + "0" * 32)
        book.put(ref, [LogEvent(NOW_MS, "START RequestId: 1 Version: $LATEST\n"), LogEvent(NOW_MS, "a\ttab\n")])
        page = await client("FilterLogEvents", logGroupName=GROUP, startTime=NOW_MS - 600_000, interleaved=True)
        assert texts(page) == ["START RequestId: 1 Version: $LATEST\n", "a\ttab\n"]
        await client("DeleteLogGroup", logGroupName=GROUP)
        assert await refused(client, "FilterLogEvents", logGroupName=GROUP) == NO_GROUP
        book.put(ref, [LogEvent(NOW_MS, "again\n")])
        assert texts(await client("FilterLogEvents", logGroupName=GROUP)) == ["again\n"]

    play(tmp_path, story)


def test_expired_events_are_not_shown_before_they_are_swept(tmp_path: Path) -> None:
    async def story(client: Client, book: LogBook, clock: StillClock) -> None:
        await make(client, "s")
        await client("PutRetentionPolicy", logGroupName=GROUP, retentionInDays=1)
        await put(client, (NOW_MS, "soon gone"))
        clock.at_ms += DAY_MS + 1
        assert texts(await client("FilterLogEvents", logGroupName=GROUP)) == []
        assert texts(await client("GetLogEvents", logGroupName=GROUP, logStreamName="s")) == []
        await book.expire()
        assert (await client("DescribeLogGroups"))["logGroups"][0]["storedBytes"] == 0

    play(tmp_path, story)
