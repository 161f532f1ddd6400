"""Notifications pushed by a store outside: who may, what they start, and what is no notification."""

from __future__ import annotations

import json
from typing import Any

import pytest

from paddock.services.s3.webhook import BODY_BYTES_MAX, PATH, Webhook
from paddock.wire.http1_request import IncomingRequest
from paddock.wire.messages import Headers, Request
from tests.unit.services.harness import ACCOUNT
from tests.unit.services.s3.world import BUCKET, World, lived

TOKEN = "0123456789abcdef"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f"


def record(key: str, bucket: str = BUCKET, event: str = "s3:ObjectCreated:Put") -> dict[str, Any]:
    """As MinIO sends it."""
    return {
        "eventVersion": "2.0", "eventSource": "minio:s3", "awsRegion": "", "eventTime": "2026-01-15T12:00:00.000Z",
        "eventName": event, "userIdentity": {"principalId": "minio"},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "Config",
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": "minio"}, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": key, "size": 5, "eTag": "e", "sequencer": "1"},
        },
    }  # fmt: skip


async def post(world: World, body: object, token: str = f"Bearer {TOKEN}", configured: str = TOKEN) -> int:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = Headers([("authorization", token)])
    request = Request(method="POST", path=PATH, headers=headers, body=content)
    return (await Webhook(world.desk, configured)(IncomingRequest.of(request))).status


async def notified(world: World) -> None:
    rule = {
        "Id": "pictures", "LambdaFunctionArn": FUNCTION, "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "a b/"}]}},
    }  # fmt: skip
    configuration = {"LambdaFunctionConfigurations": [rule]}
    await world.client("PutBucketNotificationConfiguration", Bucket=BUCKET, NotificationConfiguration=configuration)


@lived
async def test_a_pushed_record_starts_what_the_bucket_of_its_name_says(world: World) -> None:
    await notified(world)
    pushed = [record("a+b/1"), record("other"), record("a+b/1", bucket="unknown"), record("a%20b/2"),
              record("a+b/1", event="s3:ObjectRemoved:Delete")]  # fmt: skip
    assert await post(world, {"EventName": "s3:ObjectCreated:Put", "Key": "bucket/a b/1", "Records": pushed}) == 200
    assert [event.target_arn for event in world.sent] == [FUNCTION] * 2
    first = world.sent[0]
    assert (first.principal, first.source_arn, first.source_account) == (
        "s3.amazonaws.com", f"arn:aws:s3:::{BUCKET}", ACCOUNT,
    )  # fmt: skip
    (shown,) = json.loads(first.body)["Records"]
    assert (shown["eventSource"], shown["eventName"], shown["awsRegion"]) == (
        "aws:s3",
        "ObjectCreated:Put",
        "us-east-1",
    )
    assert shown["s3"]["configurationId"] == "pictures"
    assert shown["s3"]["object"] == {"key": "a+b/1", "size": 5, "eTag": "e", "sequencer": "1"}


@lived
async def test_only_who_has_the_token_may_push(world: World) -> None:
    await notified(world)
    body = {"Records": [record("a+b/1")]}
    for token in ("", "Bearer ", "Bearer wrong", TOKEN[:-1], f"Basic {TOKEN}", "Bearer é"):
        assert await post(world, body, token) == 403
    assert await post(world, body, "Bearer ", configured="") == 403
    assert await post(world, body, "", configured="") == 403
    assert world.sent == []
    assert await post(world, body, TOKEN) == 200
    assert len(world.sent) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'{"Records": {}}', b'{"Records": [1]}', b'{"Records": [{"eventName": "x"}]}',
        json.dumps({"Records": [{"eventName": 1, "s3": {"bucket": {"name": "b"}, "object": {"key": "k"}}}]}).encode(),
        json.dumps({"Records": [record("k")] * 1_001}).encode(),
    ],
)  # fmt: skip
@lived
async def test_what_is_no_notification_is_refused_whole(world: World, body: bytes) -> None:
    await notified(world)
    assert await post(world, body) == 400
    assert world.sent == []


@lived
async def test_a_body_that_is_too_large_is_refused(world: World) -> None:
    assert await post(world, b" " * (BODY_BYTES_MAX + 1)) == 413
