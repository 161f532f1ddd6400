"""Lifecycle rules: what they may say, and what they let expire as the clock goes on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from paddock.services.s3 import lifecycle, sweep
from paddock.services.s3.lifecycle import due_ms
from tests.unit.services.harness import ACCOUNT, NOW_MS, refused
from tests.unit.services.s3.world import BUCKET, World, body, lived

B = BUCKET


async def rules(world: World, *given: dict[str, Any]) -> None:
    whole = [{"ID": f"r{number}", "Status": "Enabled", "Filter": {}, **rule} for number, rule in enumerate(given)]
    await world.client("PutBucketLifecycleConfiguration", Bucket=B, LifecycleConfiguration={"Rules": whole})


async def versioned(world: World, status: str = "Enabled") -> None:
    await world.client("PutBucketVersioning", Bucket=B, VersioningConfiguration={"Status": status})


def test_days_end_at_a_midnight() -> None:
    born = int(datetime(2026, 1, 15, 10, 30, tzinfo=UTC).timestamp() * 1000)
    assert datetime.fromtimestamp(due_ms(born, 3) / 1000, UTC) == datetime(2026, 1, 19, tzinfo=UTC)
    midnight = int(datetime(2026, 1, 15, tzinfo=UTC).timestamp() * 1000)
    assert datetime.fromtimestamp(due_ms(midnight, 3) / 1000, UTC) == datetime(2026, 1, 18, tzinfo=UTC)


@lived
async def test_objects_expire_after_their_days_by_prefix_tags_and_size(world: World) -> None:
    await rules(
        world,
        {"Filter": {"Prefix": "log/"}, "Expiration": {"Days": 2}},
        {"Filter": {"Tag": {"Key": "k", "Value": "v"}}, "Expiration": {"Days": 1}},
        {"Filter": {"And": {"Prefix": "big/", "ObjectSizeGreaterThan": 3, "ObjectSizeLessThan": 6}},
         "Expiration": {"Days": 1}},
        {"Status": "Disabled", "Expiration": {"Days": 1}},
    )  # fmt: skip
    put = await world.put(B, "log/a")
    assert put["Expiration"] == 'expiry-date="Sun, 18 Jan 2026 00:00:00 GMT", rule-id="r0"'
    await world.put(B, "keep")
    await world.put(B, "tagged", Tagging="k=v&other=1")
    await world.put(B, "other", Tagging="k=w")
    for size in (3, 4, 6):
        await world.put(B, f"big/{size}", b"x" * size)
    await world.sweeper.look()
    assert len(await world.keys(B)) == 7
    world.pass_days(1.4)  # from noon over the next midnight: a whole day has not ended at one yet
    await world.sweeper.look()
    assert len(await world.keys(B)) == 7
    world.pass_days(0.2)
    await world.sweeper.look()
    assert await world.keys(B) == ["big/3", "big/6", "keep", "log/a", "other"]
    world.pass_days(1)
    await world.sweeper.look()
    assert await world.keys(B) == ["big/3", "big/6", "keep", "other"]


@lived
async def test_a_date_comes(world: World) -> None:
    await rules(world, {"Expiration": {"Date": datetime(2026, 1, 20, tzinfo=UTC)}})
    await world.put(B, "a")
    await world.sweeper.look()
    assert await world.keys(B) == ["a"]
    world.pass_days(6)
    await world.put(B, "later, too")
    await world.sweeper.look()
    assert await world.keys(B) == []


@lived
async def test_the_latest_of_a_versioned_bucket_goes_under_a_marker(world: World) -> None:
    await versioned(world)
    await rules(world, {"Expiration": {"Days": 1}})
    await world.put(B, "a")
    world.pass_days(2)
    await world.sweeper.look()
    assert await world.versions(B) == [("a", "marker"), ("a", "v")]
    world.pass_days(30)
    await world.sweeper.look()
    assert await world.versions(B) == [("a", "marker"), ("a", "v")]


@lived
async def test_noncurrent_versions_go_and_the_marker_that_is_left_alone(world: World) -> None:
    await versioned(world)
    for content in (b"1", b"2", b"3", b"4"):
        await world.put(B, "a", content)
    world.pass_days(0.1)
    await world.client("DeleteObject", Bucket=B, Key="a")
    await world.put(B, "other")
    await rules(
        world,
        {"NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2}},
        {"Filter": {"Prefix": "a"}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
    )
    world.pass_days(3.6)
    await world.sweeper.look()
    assert await world.versions(B) == [("a", "marker"), ("a", "v"), ("a", "v"), ("other", "v")]
    await rules(
        world,
        {"NoncurrentVersionExpiration": {"NoncurrentDays": 3}},
        {"Filter": {"Prefix": "a"}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
    )
    world.pass_days(1)
    await world.sweeper.look()  # new rules: a look is taken without a new day, too
    await world.sweeper.sweep()
    assert await world.versions(B) == [("other", "v")]


@lived
async def test_uploads_that_are_never_completed_are_aborted_with_their_parts(world: World) -> None:
    await rules(world, {"Filter": {"Prefix": "up/"}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})
    ids = {}
    for key in ("up/a", "other"):
        made = await world.client("CreateMultipartUpload", Bucket=B, Key=key)
        ids[key] = made["UploadId"]
        assert made.get("AbortRuleId") == ("r0" if key == "up/a" else None)
        await world.call("UploadPart", Bucket=B, Key=key, UploadId=made["UploadId"], PartNumber=1, Body=body(b"part"))
    assert len(await world.segments.names()) == 2
    world.pass_days(2)
    await world.sweeper.look()
    listed = await world.client("ListMultipartUploads", Bucket=B)
    assert [each["Key"] for each in listed["Uploads"]] == ["other"]
    assert len(await world.segments.names()) == 1


@lived
async def test_what_was_written_since_the_decision_stays(world: World) -> None:
    await rules(world, {"Expiration": {"Days": 1}})
    await world.put(B, "a", b"old")
    world.pass_days(3)
    bucket = world.desk.buckets[B]
    doomed = [each async for each in world.sweeper._doomed(bucket, _enabled(world))]
    assert [each.version.key for each in doomed] == ["a"]
    await world.put(B, "a", b"new")
    await world.sweeper._delete(bucket, doomed)
    assert await world.keys(B) == ["a"]
    await world.client("DeleteBucketLifecycle", Bucket=B)
    await world.sweeper._delete(bucket, doomed)
    assert await world.keys(B) == ["a"]


def _enabled(world: World) -> Any:
    return lifecycle.rules_of(world.desk.buckets[B])


@lived
async def test_many_keys_and_versions_over_pages_and_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "PAGE", 3)
    monkeypatch.setattr(sweep, "BATCH", 4)
    await versioned(world)
    for key in ("a", "b", "c"):
        for _ in range(5):
            await world.put(B, key)
    await rules(world, {"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1}})
    world.pass_days(3)
    await world.sweeper.look()
    assert await world.versions(B) == [(key, "v") for key in "abc" for _ in range(2)]


@lived
async def test_events_tell_of_it(world: World) -> None:
    rule = {
        "Id": "n", "QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", "Events": ["s3:LifecycleExpiration:*"]
    }  # fmt: skip
    configuration = {"QueueConfigurations": [rule], "EventBridgeConfiguration": {}}
    await world.client("PutBucketNotificationConfiguration", Bucket=B, NotificationConfiguration=configuration)
    await rules(world, {"Expiration": {"Days": 1}})
    await world.put(B, "a")
    world.pass_days(3)
    world.sent.clear()
    await world.sweeper.look()
    queue, bridge = (json.loads(each.body) for each in world.sent)
    (record,) = queue["Records"]
    assert (record["eventName"], record["eventVersion"]) == ("LifecycleExpiration:Delete", "2.3")
    assert record["userIdentity"] == {"principalId": "s3.amazonaws.com"}
    assert record["requestParameters"] == {"sourceIPAddress": "s3.amazonaws.com"}
    assert json.loads(bridge["Detail"])["reason"] == "Lifecycle Expiration"


@lived
async def test_a_configuration_comes_back_as_it_was_put(world: World) -> None:
    assert (await refused(world.client, "GetBucketLifecycleConfiguration", Bucket=B))[0] == (
        "NoSuchLifecycleConfiguration"
    )
    given = [
        {"ID": "all", "Status": "Enabled", "Filter": {},
         "Expiration": {"Date": datetime(2030, 1, 1, tzinfo=UTC)},
         "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
        {"ID": "old", "Status": "Disabled", "Prefix": "p/", "Expiration": {"Days": 1}},
        {"ID": "and", "Status": "Enabled",
         "Filter": {"And": {"Prefix": "x", "Tags": [{"Key": "a", "Value": "b"}]}},
         "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2}},
    ]  # fmt: skip
    await world.client("PutBucketLifecycleConfiguration", Bucket=B, LifecycleConfiguration={"Rules": given})
    got = await world.client("GetBucketLifecycleConfiguration", Bucket=B)
    assert got["Rules"] == given
    assert got["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({}, "InvalidRequest"),
        ({"Expiration": {"Days": 0}}, "InvalidArgument"),
        ({"Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}, "MalformedXML"),
        ({"Expiration": {"Date": datetime(2030, 1, 1, 5, tzinfo=UTC)}}, "InvalidArgument"),
        ({"Prefix": "both", "Expiration": {"Days": 1}}, "MalformedXML"),
        ({"Filter": {"Prefix": "a", "ObjectSizeLessThan": 5}, "Expiration": {"Days": 1}}, "MalformedXML"),
        ({"Filter": {"Tag": {"Key": "a", "Value": "b"}}, "Expiration": {"ExpiredObjectDeleteMarker": True}},
         "InvalidRequest"),
        ({"Filter": {"Tag": {"Key": "a", "Value": "b"}},
          "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}, "InvalidRequest"),
        ({"NoncurrentVersionExpiration": {"NewerNoncurrentVersions": 1}}, "MalformedXML"),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 101}}, "InvalidArgument"),
        ({"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}], "Expiration": {"Days": 9}},
         "NotImplementedException"),
    ],
)  # fmt: skip
@lived
async def test_rules_that_can_not_be(world: World, rule: dict[str, Any], code: str) -> None:
    whole = {"ID": "r", "Status": "Enabled", "Filter": {}, **rule}
    params = {"Bucket": B, "LifecycleConfiguration": {"Rules": [whole]}}
    found = (await refused(world.client, "PutBucketLifecycleConfiguration", **params))[0]
    assert found == code


@lived
async def test_a_clock_that_was_set_back_hides_no_new_object(world: World, tmp_path: Path) -> None:
    """Behind a delete marker of the future comes what is put after a start with an earlier clock."""
    await versioned(world)
    world.pass_days(10)
    await world.put(B, "a", b"old")
    await world.client("DeleteObject", Bucket=B, Key="a")
    await world.close()
    again = await World.open(tmp_path)
    assert again.clock.at_ms == NOW_MS
    await again.put(B, "a", b"new")
    assert await again.keys(B) == ["a"]
    await again.close()
