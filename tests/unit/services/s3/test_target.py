"""Buckets as destinations of events that failed."""

from __future__ import annotations

import pytest

from paddock.interfaces import TargetRefused
from paddock.model.delivery import TargetEvent
from paddock.services.s3.target import KEY, BucketTarget
from tests.unit.services.harness import ACCOUNT
from tests.unit.services.s3.world import BUCKET, World, lived

LOOP = "Root=1-00000000-000000000000000000000000;Lineage=3:deadbeef:2"


def event(body: bytes, bucket: str = BUCKET, account: str = ACCOUNT, key: str = "aws/lambda/async/f/x") -> TargetEvent:
    return TargetEvent(
        target_arn=f"arn:aws:s3:::{bucket}", body=body, principal="lambda.amazonaws.com", source_account=account,
        attributes={"AWSTraceHeader": LOOP} | ({KEY: key} if key else {}),
    )  # fmt: skip


@pytest.mark.parametrize("size", [2, 100_000])
@lived
async def test_a_record_becomes_an_object_once(world: World, size: int) -> None:
    target = BucketTarget(world.desk, world.desk.ids)
    rule = {"Id": "n", "QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", "Events": ["s3:ObjectCreated:*"]}
    configuration = {"QueueConfigurations": [rule]}
    await world.client("PutBucketNotificationConfiguration", Bucket=BUCKET, NotificationConfiguration=configuration)
    world.sent.clear()
    for _ in range(2):
        await target.send(event(b"{" + b" " * (size - 2) + b"}"))
    assert await world.keys(BUCKET) == ["aws/lambda/async/f/x"]
    head = await world.call("HeadObject", Bucket=BUCKET, Key="aws/lambda/async/f/x")
    assert (head["ContentLength"], head["ContentType"]) == (size, "application/json")
    assert world.sent[0].attributes == {"AWSTraceHeader": LOOP}  # so that a loop over the bucket is seen


@lived
async def test_what_can_not_be_put_is_refused_for_good(world: World) -> None:
    target = BucketTarget(world.desk, world.desk.ids)
    for refused in (event(b"{}", bucket="absent"), event(b"{}", account="999999999999"), event(b"{}", key="")):
        with pytest.raises(TargetRefused):
            await target.send(refused)
    with pytest.raises(TargetRefused):
        target.check(event(b"{}", bucket="absent"))
    target.check(event(b"{}"))
    assert await world.keys(BUCKET) == []
