"""Queues and event mode given what they cannot use, more than they may keep, or no room on the disk."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.test_event_mode import KEEPER, until
from tests.acceptance.test_sqs import arn_of, code_of, made
from tests.support.server import RunningServer


@pytest.fixture
def sqs(server: RunningServer) -> Any:
    return server.client("sqs")


# -- bad input


def test_handles_that_hold_nothing(sqs: Any, name: str) -> None:
    url = made(sqs, name)
    for call in (sqs.delete_message, sqs.change_message_visibility):
        more = {"VisibilityTimeout": 1} if call == sqs.change_message_visibility else {}
        for handle in ("nonsense", "bm8=", "MTp4eA==x", "é"):
            with pytest.raises(ClientError) as caught:
                call(QueueUrl=url, ReceiptHandle=handle, **more)
            assert code_of(caught) == "ReceiptHandleIsInvalid"
    sqs.send_message(QueueUrl=url, MessageBody="a")
    [shown] = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
    with pytest.raises(ClientError) as caught:  # its visibility has run out
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=shown["ReceiptHandle"], VisibilityTimeout=9)
    assert code_of(caught) == "AWS.SimpleQueueService.MessageNotInflight"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=shown["ReceiptHandle"])  # still the latest: it is deleted
    sqs.delete_message(QueueUrl=url, ReceiptHandle=shown["ReceiptHandle"])  # and once more is no error
    assert "Messages" not in sqs.receive_message(QueueUrl=url)


def test_messages_and_batches_that_are_too_large_or_empty(sqs: Any, name: str) -> None:
    url = made(sqs, name, MaximumMessageSize="1024")
    for body in ("x" * 1025, "é" * 600):
        with pytest.raises(ClientError, match="shorter than 1024 bytes") as caught:
            sqs.send_message(QueueUrl=url, MessageBody=body)
        assert code_of(caught) == "InvalidParameterValue"
    with pytest.raises(ClientError) as caught:
        sqs.send_message(QueueUrl=url, MessageBody="")
    assert code_of(caught) == "MissingParameter"
    wide = made(sqs, f"{name[:55]}-wide")
    entries = [{"Id": str(number), "MessageBody": "x" * 600_000} for number in range(2)]
    for call, given, code in (
        (sqs.send_message_batch, entries, "BatchRequestTooLong"),
        (sqs.delete_message_batch, [], "EmptyBatchRequest"),
        (sqs.change_message_visibility_batch, [], "EmptyBatchRequest"),
    ):
        with pytest.raises(ClientError) as caught:
            call(QueueUrl=wide, Entries=given)
        assert code_of(caught) == f"AWS.SimpleQueueService.{code}"
    assert "Messages" not in sqs.receive_message(QueueUrl=wide)


def test_filters_that_are_no_patterns(server: RunningServer, aws: Any, sqs: Any, name: str) -> None:
    server.create(name, KEEPER, Timeout=3)
    arn = arn_of(sqs, made(sqs, name))
    for pattern in ("{", "[]", '{"body": "a"}', '{"body": [{"numeric": [">"]}]}', '{"body": []}'):
        with pytest.raises(aws.exceptions.InvalidParameterValueException):
            aws.create_event_source_mapping(
                FunctionName=name, EventSourceArn=arn, FilterCriteria={"Filters": [{"Pattern": pattern}]}
            )


def test_a_destination_that_is_gone_is_given_up_and_counted(
    server: RunningServer, aws: Any, sqs: Any, name: str
) -> None:
    url = made(sqs, name)
    server.create(name, KEEPER)
    aws.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": arn_of(sqs, url)}}
    )
    sqs.delete_queue(QueueUrl=url)
    before = health(server)["outbox"]["lost"]
    aws.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    until(lambda: health(server)["outbox"]["lost"] > before)


def health(server: RunningServer) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.endpoint}/health") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def test_the_query_protocol_is_refused_in_words(server: RunningServer) -> None:
    scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=00"
    request = urllib.request.Request(server.endpoint, b"Action=ListQueues&Version=2012-11-05", {"Authorization": scope})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 400
    assert b"JSON protocol only" in caught.value.read()


# -- message move tasks


def test_dead_letters_go_back_to_where_they_came_from(sqs: Any, name: str) -> None:
    letters = made(sqs, f"{name[:50]}-dead")
    with pytest.raises(ClientError, match="Dead Letter Queue"):
        sqs.start_message_move_task(SourceArn=arn_of(sqs, letters))
    redrive = {"deadLetterTargetArn": arn_of(sqs, letters), "maxReceiveCount": 1}
    urls = [made(sqs, f"{name[:50]}-{end}", VisibilityTimeout="0", RedrivePolicy=redrive) for end in "ab"]
    for url in urls:
        for body in ("1", "2"):
            sqs.send_message(QueueUrl=url, MessageBody=f"{url[-1]}{body}")
        for _ in range(4):
            sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    source = arn_of(sqs, letters)
    handle = sqs.start_message_move_task(SourceArn=source)["TaskHandle"]
    task = until(lambda: ended(sqs, source))
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 4)
    assert "TaskHandle" not in task
    for url in urls:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60, AttributeNames=["All"])
        assert sorted(one["Body"] for one in found["Messages"]) == [f"{url[-1]}1", f"{url[-1]}2"]
        assert {one["Attributes"]["ApproximateReceiveCount"] for one in found["Messages"]} == {"1"}
        assert not any("DeadLetterQueueSourceArn" in one["Attributes"] for one in found["Messages"])
    with pytest.raises(ClientError) as caught:
        sqs.cancel_message_move_task(TaskHandle=handle)
    assert code_of(caught) == "AWS.SimpleQueueService.UnsupportedOperation"


def test_a_slow_move_goes_on_until_it_is_cancelled(sqs: Any, name: str) -> None:
    letters, other = made(sqs, f"{name[:50]}-dead"), made(sqs, f"{name[:50]}-other")
    source, to_arn = arn_of(sqs, letters), arn_of(sqs, other)
    made(sqs, f"{name[:50]}-from", RedrivePolicy={"deadLetterTargetArn": source, "maxReceiveCount": 1})
    sqs.send_message_batch(QueueUrl=letters, Entries=[{"Id": str(n), "MessageBody": str(n)} for n in range(10)])
    handle = sqs.start_message_move_task(SourceArn=source, DestinationArn=to_arn, MaxNumberOfMessagesPerSecond=1)[
        "TaskHandle"
    ]
    with pytest.raises(ClientError, match="Only one active task"):
        sqs.start_message_move_task(SourceArn=source, DestinationArn=to_arn)
    [running] = sqs.list_message_move_tasks(SourceArn=source)["Results"]
    assert (running["Status"], running["TaskHandle"], running["DestinationArn"]) == ("RUNNING", handle, to_arn)
    moved = sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]
    assert moved < 10
    assert until(lambda: ended(sqs, source))["Status"] == "CANCELLED"
    for wrong in ("nonsense", handle[:-8]):
        with pytest.raises(ClientError):
            sqs.cancel_message_move_task(TaskHandle=wrong)
    for missing in (f"{source}-absent", "nonsense"):
        with pytest.raises(ClientError) as caught:
            sqs.list_message_move_tasks(SourceArn=missing)
        assert code_of(caught) == "ResourceNotFoundException"


def ended(sqs: Any, source_arn: str) -> Any:
    [task] = sqs.list_message_move_tasks(SourceArn=source_arn)["Results"]
    return task if task["Status"] != "RUNNING" else None


# -- too much, and no room

BACKLOG_MB, DISK_MB = 4, 96
SLEEPER = """
import time
def handler(event, context):
    time.sleep(event.get("s", 0))
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A Paddock whose data directory is a small disk of its own."""
    home = tmp_path_factory.mktemp("small")
    (home / "data").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=755", "tmpfs", home / "data"], check=True)
    try:
        with RunningServer(home, event_backlog_mb_max=BACKLOG_MB) as running:
            yield running
    finally:
        subprocess.run(["umount", "-l", home / "data"], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_flood_of_one_function_is_refused_and_no_other_is(small: RunningServer, name: str) -> None:
    small.create(name, SLEEPER)
    small.create(f"{name[:50]}-other", KEEPER)
    lambda_ = small.client("lambda")
    large = json.dumps({"s": 8, "x": "y" * 1_000_000}).encode()
    error = refusal(lambda _: lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=large))
    assert error.response["Error"]["Code"] == "TooManyRequestsException"
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert health(small)["events"]["queued"] == BACKLOG_MB
    assert health(small)["events"]["queued_bytes"] > BACKLOG_MB * 900_000
    lambda_.invoke(FunctionName=f"{name[:50]}-other", InvocationType="Event", Payload=large)
    until(lambda: health(small)["events"] == {**health(small)["events"], "queued": 0, "queued_bytes": 0})
    assert lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")["StatusCode"] == 202


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_refuses_and_loses_nothing(small: RunningServer, name: str) -> None:
    sqs, lambda_ = small.client("sqs"), small.client("lambda")
    told, jobs = made(sqs, f"{name[:50]}-told"), made(sqs, f"{name[:50]}-jobs")
    small.create(name, "def handler(event, context):\n    return event['n']\n")
    lambda_.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": arn_of(sqs, told)}}
    )
    filler = small.data_dir / "filler"
    fill(filler)
    sent, accepted = set[str](), set[int]()

    def send(number: int) -> None:
        body = f"{number}:" + "x" * 50_000
        sqs.send_message(QueueUrl=jobs, MessageBody=body)
        sent.add(body)

    def invoke(number: int) -> None:
        event = json.dumps({"n": number, "x": "x" * 50_000}).encode()
        lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=event)
        accepted.add(number)

    assert refusal(send).response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    assert refusal(invoke).response["ResponseMetadata"]["HTTPStatusCode"] >= 429
    assert json.loads(lambda_.invoke(FunctionName=name, Payload=b'{"n": 7}')["Payload"].read()) == 7  # it still runs
    filler.unlink()
    event = json.dumps({"n": -1}).encode()
    until(lambda: resumed(lambda_, name, event))
    sqs.send_message(QueueUrl=jobs, MessageBody="after")
    assert collected(sqs, jobs, sent | {"after"}) >= sent | {"after"}
    answers = collected(
        sqs, told, {str(number) for number in (*accepted, -1)}, lambda body: str(json.loads(body)["responsePayload"])
    )
    assert answers >= {str(number) for number in (*accepted, -1)}


def refusal(call: Callable[[int], object]) -> ClientError:
    """The first one, of calls that go on until then."""
    for number in range(2_000):
        try:
            call(number)
        except ClientError as error:
            return error
    raise AssertionError("nothing was refused")


def fill(path: Path) -> None:
    """To the last byte, but for what the file system keeps to itself."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(b"f" * size)
            except OSError:
                continue


def resumed(lambda_: Any, name: str, event: bytes) -> bool:
    try:
        return bool(lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=event)["StatusCode"] == 202)
    except ClientError:
        return False


def collected(sqs: Any, url: str, wanted: set[str], read: Any = str) -> set[str]:
    """What the queue gives until it has given all that is wanted."""
    found = set[str]()
    deadline = time.monotonic() + 90
    while not wanted <= found and time.monotonic() < deadline:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        found |= {read(one["Body"]) for one in answer.get("Messages", ())}
    return found
