"""Event source mappings through boto3 and the AWS CLI: batches of a queue that stands outside start real functions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.calls import refused, until
from tests.support.outside_sqs import QUEUE_ARN, OutsideSqs
from tests.support.server import RunningServer

# Keeps each batch, and fails what it is told to fail: by itself, or by naming it.
WORKER = """
import json
def handler(event, context):
    print("KEPT " + json.dumps(event))
    if any(record["body"] == "raise" for record in event["Records"]):
        raise ValueError("told to")
    failed = [r["messageId"] for r in event["Records"] if r["body"] == "fail"]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in failed]}
"""
AWS = Path(sys.executable).parent / "aws"


@pytest.fixture(scope="module")
def sqs() -> Iterator[OutsideSqs]:
    with OutsideSqs(visibility_s=2) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sqs: OutsideSqs) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("mappings"), sqs_endpoint=sqs.endpoint) as running:
        yield running


def batches(server: RunningServer, name: str) -> list[list[dict[str, Any]]]:
    try:
        found = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="KEPT")
    except ClientError:  # no log group yet
        return []
    return [json.loads(one["message"].partition("KEPT ")[2])["Records"] for one in found["events"]]


def settled(aws: Any, uuid: str, state: str) -> dict[str, Any]:
    found: dict[str, Any] = until(lambda: (one := aws.get_event_source_mapping(UUID=uuid))["State"] == state and one)
    return found


def mapped(aws: Any, name: str, **settings: Any) -> str:
    made = aws.create_event_source_mapping(FunctionName=name, EventSourceArn=QUEUE_ARN, **settings)
    assert (made["State"], made["ResponseMetadata"]["HTTPStatusCode"]) == ("Creating", 202)
    uuid: str = made["UUID"]
    return uuid


def gone(aws: Any, uuid: str) -> None:
    """Deleted, and away."""
    assert aws.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"

    def look() -> bool:
        try:
            aws.get_event_source_mapping(UUID=uuid)
        except ClientError as error:
            return bool(error.response["Error"]["Code"] == "ResourceNotFoundException")
        return False

    until(look)


def test_a_batch_starts_a_function_and_is_deleted(server: RunningServer, sqs: OutsideSqs, aws: Any, name: str) -> None:
    server.create(name, WORKER, Timeout=2)
    uuid = mapped(aws, name, FilterCriteria={"Filters": [{"Pattern": '{"body":[{"prefix":"a"}]}'}]})
    settled(aws, uuid, "Enabled")
    sqs.send("a1", "no", "a2")
    until(lambda: not sqs.bodies)
    records = [record for batch in until(lambda: batches(server, name)) for record in batch]
    assert [record["body"] for record in records] == ["a1", "a2"]
    assert records[0]["eventSourceARN"] == QUEUE_ARN
    assert int(records[0]["attributes"]["ApproximateReceiveCount"]) >= 1
    aws.update_event_source_mapping(UUID=uuid, Enabled=False)
    settled(aws, uuid, "Disabled")
    sqs.send("a3")
    aws.update_event_source_mapping(UUID=uuid, Enabled=True)
    until(lambda: not sqs.bodies)
    gone(aws, uuid)


def test_what_fails_comes_again(server: RunningServer, sqs: OutsideSqs, aws: Any, name: str) -> None:
    server.create(name, WORKER, Timeout=2)
    uuid = mapped(aws, name, FunctionResponseTypes=["ReportBatchItemFailures"])
    settled(aws, uuid, "Enabled")
    sqs.send("good", "fail")
    until(lambda: len(batches(server, name)) >= 3)
    assert sqs.bodies == ["fail"]
    counts = [
        int(record["attributes"]["ApproximateReceiveCount"])
        for batch in batches(server, name)
        for record in batch
        if record["body"] == "fail"
    ]
    assert counts[0] < counts[1]
    gone(aws, uuid)
    sqs.clear()


def test_it_goes_on_after_a_kill(server: RunningServer, sqs: OutsideSqs, aws: Any, name: str) -> None:
    server.create(name, WORKER, Timeout=2)
    uuid = mapped(aws, name)
    settled(aws, uuid, "Enabled")
    sqs.send(*[f"k{number}" for number in range(30)])
    server.kill()
    server.start()
    until(lambda: not sqs.bodies)
    # Log lines of the last moment before a kill may be lost, so they do not prove that each was seen; but what was
    # not deleted before the kill was deleted after it, which only follows a function's success.
    seen = {record["body"] for batch in batches(server, name) for record in batch}
    assert seen <= {f"k{number}" for number in range(30)}
    gone(server.client("lambda"), uuid)


def test_refusals(server: RunningServer, name: str) -> None:
    aws = server.client("lambda")
    server.create(name, WORKER, Timeout=2)
    missing = QUEUE_ARN + "-missing"
    with refused("InvalidParameterValueException", "AWS.SimpleQueueService.NonExistentQueue", 400):
        aws.create_event_source_mapping(FunctionName=name, EventSourceArn=missing)
    aws.update_function_configuration(FunctionName=name, Timeout=3)
    aws.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
    with refused("InvalidParameterValueException", "Queue visibility timeout: 2 seconds is less than"):
        aws.create_event_source_mapping(FunctionName=name, EventSourceArn=QUEUE_ARN)
    with refused("NotImplementedException", "Kinesis", 501):
        aws.create_event_source_mapping(
            FunctionName=name,
            EventSourceArn="arn:aws:kinesis:us-east-1:000000000000:stream/s",
            StartingPosition="LATEST",
        )


@pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI is not installed beside this Python")
def test_with_the_aws_cli(server: RunningServer, name: str) -> None:
    server.create(name, WORKER, Timeout=2)
    environment = {
        "PATH": "/usr/bin:/bin",
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }

    def cli(*words: str) -> Any:
        done = subprocess.run(
            [sys.executable, AWS, "lambda", *words], env=environment, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    made = cli("create-event-source-mapping", "--function-name", name, "--event-source-arn", QUEUE_ARN, "--no-enabled")
    aws = server.client("lambda")
    settled(aws, made["UUID"], "Disabled")
    listed = cli("list-event-source-mappings", "--function-name", name)["EventSourceMappings"]
    assert [one["UUID"] for one in listed] == [made["UUID"]]
    assert cli("delete-event-source-mapping", "--uuid", made["UUID"])["State"] == "Deleting"
