"""SQS through boto3, and queues that start functions and take what they could not do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.test_event_mode import KEEPER, kept, until
from tests.support.server import RunningServer


@pytest.fixture
def sqs(server: RunningServer) -> Any:
    return server.client("sqs")


def made(sqs: Any, name: str, **attributes: Any) -> str:
    given = {key: value if isinstance(value, str) else json.dumps(value) for key, value in attributes.items()}
    url: str = sqs.create_queue(QueueName=name[-60:], Attributes=given)["QueueUrl"]
    return url


def arn_of(sqs: Any, url: str) -> str:
    arn: str = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return arn


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    code: str = error.value.response["Error"]["Code"]
    return code


def test_sent_received_deleted(sqs: Any, name: str) -> None:
    url = made(sqs, name)
    sent = sqs.send_message(
        QueueUrl=url, MessageBody="hallo ☃", MessageAttributes={"n": {"DataType": "Number", "StringValue": "6"}}
    )
    [one] = sqs.receive_message(QueueUrl=url, AttributeNames=["All"], MessageAttributeNames=["All"])["Messages"]
    assert (one["Body"], one["MessageId"]) == ("hallo ☃", sent["MessageId"])
    assert one["MD5OfBody"] == sent["MD5OfMessageBody"]
    # Of {"n": Number 6}, computed from the developer guide's description by hand.
    assert one["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert one["Attributes"]["ApproximateReceiveCount"] == "1"
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessages"] == "0"
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "1"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_hidden_and_shown_again(sqs: Any, name: str) -> None:
    url = made(sqs, name, VisibilityTimeout="0")
    sqs.send_message(QueueUrl=url, MessageBody="a")
    [first] = sqs.receive_message(QueueUrl=url)["Messages"]
    [second] = sqs.receive_message(QueueUrl=url, VisibilityTimeout=600)["Messages"]
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])  # no longer its holder: no error, no effect
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"], VisibilityTimeout=0)
    [third] = sqs.receive_message(QueueUrl=url, AttributeNames=["ApproximateReceiveCount"])["Messages"]
    assert third["Attributes"] == {"ApproximateReceiveCount": "3"}
    with pytest.raises(ClientError) as caught:
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"], VisibilityTimeout=10)
    assert code_of(caught) == "InvalidParameterValue"


def test_a_long_poll_ends_with_the_first_message(sqs: Any, name: str) -> None:
    url = made(sqs, name, ReceiveMessageWaitTimeSeconds="20")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(sqs.receive_message, QueueUrl=url)
        sqs.send_message(QueueUrl=url, MessageBody="a")
        assert waiting.result(15)["Messages"][0]["Body"] == "a"


def test_batches_tell_each_entry_s_outcome(sqs: Any, name: str) -> None:
    url = made(sqs, name)
    answer = sqs.send_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "a", "MessageBody": "one"},
            {"Id": "b", "MessageBody": "\x00"},
            {"Id": "c", "MessageBody": "three"},
        ],
    )
    assert [one["Id"] for one in answer["Successful"]] == ["a", "c"]
    assert [(one["Id"], one["Code"]) for one in answer["Failed"]] == [("b", "InvalidMessageContents")]
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    handles = [{"Id": str(number), "ReceiptHandle": one["ReceiptHandle"]} for number, one in enumerate(received)]
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=[*handles, {"Id": "x", "ReceiptHandle": "nonsense"}])
    assert len(answer["Successful"]) == 2
    assert answer["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"
    for entries, code in (
        ([], "EmptyBatchRequest"),
        ([{"Id": str(number), "MessageBody": "x"} for number in range(11)], "TooManyEntriesInBatchRequest"),
        ([{"Id": "same", "MessageBody": "x"}] * 2, "BatchEntryIdsNotDistinct"),
        ([{"Id": "not valid", "MessageBody": "x"}], "InvalidBatchEntryId"),
    ):
        with pytest.raises(ClientError) as caught:
            sqs.send_message_batch(QueueUrl=url, Entries=entries)
        assert code_of(caught) == f"AWS.SimpleQueueService.{code}"


def test_fifo_keeps_order_within_a_group_and_takes_nothing_twice(sqs: Any, name: str) -> None:
    url = made(sqs, f"{name[:50]}.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    for body, group in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("a1", "a")):
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group)
    first = sqs.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"]
    assert [one["Body"] for one in first] == ["a1"]
    rest = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [one["Body"] for one in rest] == ["b1"]  # a is held as a whole
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first[0]["ReceiptHandle"])
    [next_one] = sqs.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"]
    assert next_one["Body"] == "a2"
    assert next_one["Attributes"]["SequenceNumber"] > first[0]["Attributes"]["SequenceNumber"]
    with pytest.raises(ClientError) as caught:
        sqs.send_message(QueueUrl=url, MessageBody="no group")
    assert code_of(caught) == "MissingParameter"


def test_poison_goes_to_the_dead_letters_and_its_group_goes_on(sqs: Any, name: str) -> None:
    letters = made(sqs, f"{name[:40]}-dead.fifo", FifoQueue="true")
    redrive = {"deadLetterTargetArn": arn_of(sqs, letters), "maxReceiveCount": 2}
    url = made(sqs, f"{name[:40]}.fifo", FifoQueue="true", VisibilityTimeout="0", RedrivePolicy=redrive)
    for body in ("poison", "good"):
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="g", MessageDeduplicationId=body)
    seen = [sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] for _ in range(3)]
    assert seen == ["poison", "poison", "good"]
    [letter] = sqs.receive_message(QueueUrl=letters, AttributeNames=["All"])["Messages"]
    assert letter["Body"] == "poison"
    assert letter["Attributes"]["DeadLetterQueueSourceArn"] == arn_of(sqs, url)
    assert sqs.list_dead_letter_source_queues(QueueUrl=letters)["queueUrls"] == [url]


def test_queues_are_found_set_tagged_purged_and_deleted(sqs: Any, name: str) -> None:
    url = made(sqs, name, DelaySeconds="1")
    assert made(sqs, name, DelaySeconds="1") == url
    with pytest.raises(ClientError) as caught:
        made(sqs, name, DelaySeconds="2")
    assert code_of(caught) == "QueueAlreadyExists"
    assert sqs.get_queue_url(QueueName=name[-60:])["QueueUrl"] == url
    assert url in sqs.list_queues(QueueNamePrefix=name[-60:])["QueueUrls"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "0"})
    sqs.tag_queue(QueueUrl=url, Tags={"a": "1", "b": "2"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["a"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"b": "2"}
    sqs.add_permission(QueueUrl=url, Label="l", AWSAccountIds=["111111111111"], Actions=["SendMessage"])
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    assert json.loads(policy)["Statement"][0]["Action"] in ("SQS:SendMessage", ["SQS:SendMessage"])
    sqs.remove_permission(QueueUrl=url, Label="l")
    sqs.send_message(QueueUrl=url, MessageBody="a")
    sqs.purge_queue(QueueUrl=url)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    with pytest.raises(ClientError) as caught:
        sqs.purge_queue(QueueUrl=url)
    assert code_of(caught) == "AWS.SimpleQueueService.PurgeQueueInProgress"
    sqs.delete_queue(QueueUrl=url)
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as gone:
        sqs.receive_message(QueueUrl=url)
    assert code_of(gone) == "AWS.SimpleQueueService.NonExistentQueue"


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"VisibilityTimeout": "43201"}, "InvalidAttributeValue"),
        ({"Nonsense": "1"}, "InvalidAttributeName"),
        ({"RedrivePolicy": "{"}, "InvalidAttributeValue"),
        ({"RedrivePolicy": '{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:0:x","maxReceiveCount":1}'},
         "InvalidParameterValue"),
        ({"ContentBasedDeduplication": "true"}, "InvalidAttributeName"),
        ({"FifoQueue": "true"}, "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_what_a_queue_may_not_be(sqs: Any, name: str, attributes: dict[str, str], code: str) -> None:
    with pytest.raises(ClientError) as caught:
        sqs.create_queue(QueueName=name[:60], Attributes=attributes)
    assert code_of(caught) == code


def test_a_queue_starts_a_function_and_failures_come_again(server: RunningServer, sqs: Any, name: str) -> None:
    url = made(sqs, name, VisibilityTimeout="30")
    server.create(name, KEEPER, Timeout=5)
    server.client("lambda").create_event_source_mapping(
        FunctionName=name, EventSourceArn=arn_of(sqs, url), BatchSize=10
    )
    for number in range(5):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    bodies = until(lambda: sorted(seen) if len(seen := records(server, name)) >= 5 else None)
    assert bodies == ["0", "1", "2", "3", "4"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = {"0"}
    until(lambda: set(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()) == left)


def records(server: RunningServer, name: str) -> list[str]:
    return [record["body"] for one in kept(server, name) for record in one["event"]["Records"]]


def test_a_failed_event_becomes_a_dead_letter(server: RunningServer, aws: Any, sqs: Any, name: str) -> None:
    url = made(sqs, name)
    server.create(name, KEEPER, DeadLetterConfig={"TargetArn": arn_of(sqs, url)})
    aws.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    answer = aws.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"fail": 1}')
    [letter] = until(
        lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5, MessageAttributeNames=["All"]).get("Messages")
    )
    assert json.loads(letter["Body"]) == {"fail": 1}
    assert {key: (value["DataType"], value["StringValue"]) for key, value in letter["MessageAttributes"].items()} == {
        "RequestID": ("String", answer["ResponseMetadata"]["RequestId"]),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "told to fail"),
    }


def test_another_account_may_do_what_the_policy_lets_it_and_nothing_else(
    server: RunningServer, sqs: Any, name: str
) -> None:
    url, other = made(sqs, name), server.client("sqs", account="111111111111")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "111111111111"},
        "Action": "sqs:SendMessage",
        "Resource": arn_of(sqs, url),
    }
    refusals = {**statement, "Effect": "Deny"}
    for statements, allowed in (((), False), ((statement,), True), ((statement, refusals), False)):
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements}) if statements else ""
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        if allowed:
            other.send_message(QueueUrl=url, MessageBody="a")
        else:
            with pytest.raises(ClientError) as caught:
                other.send_message(QueueUrl=url, MessageBody="a")
            assert code_of(caught) == "AccessDenied"
        with pytest.raises(ClientError):
            other.delete_queue(QueueUrl=url)


def test_a_fifo_queue_with_a_delay_is_not_starved_by_newer_messages(sqs: Any, name: str) -> None:
    url = made(sqs, f"{name[:50]}.fifo", FifoQueue="true", ContentBasedDeduplication="true", DelaySeconds="1")
    sqs.send_message(QueueUrl=url, MessageBody="first", MessageGroupId="g")
    number = 0

    def received() -> Any:
        nonlocal number
        number += 1
        sqs.send_message(QueueUrl=url, MessageBody=f"later {number}", MessageGroupId="g")
        return sqs.receive_message(QueueUrl=url).get("Messages")

    assert until(received)[0]["Body"] == "first"


def test_loops_through_destinations_are_stopped(server: RunningServer, aws: Any, name: str) -> None:
    end = server.create(f"{name[:50]}-end", KEEPER)["FunctionArn"]
    first, second = f"{name[:50]}-1", f"{name[:50]}-2"
    # Its answer is short: a record holds event and answer, and would double at each hop otherwise.
    brief = KEEPER.replace('return {"kept": event}', "return 1")
    arns = {one: server.create(one, brief)["FunctionArn"] for one in (first, second)}
    for one, other in ((first, second), (second, first)):
        aws.put_function_event_invoke_config(
            FunctionName=one,
            MaximumRetryAttempts=0,
            DestinationConfig={"OnSuccess": {"Destination": arns[other]}, "OnFailure": {"Destination": end}},
        )
    aws.invoke(FunctionName=first, InvocationType="Event", Payload=b"{}")
    [record] = until(lambda: kept(server, f"{name[:50]}-end"))
    assert record["event"]["requestContext"]["condition"] == "RecursiveInvocation"
    assert len(kept(server, first)) == len(kept(server, second)) == 16


def test_from_the_command_line(server: RunningServer, name: str, tmp_path: Path) -> None:
    """With --endpoint-url: the AWS CLI (v1) does not heed AWS_ENDPOINT_URL for SQS."""
    tool = Path(sys.executable).parent / "aws"
    if not tool.exists():
        pytest.skip("the AWS CLI is not installed beside this Python")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }

    def cli(*arguments: str) -> Any:
        command = [sys.executable, tool, "--endpoint-url", server.endpoint, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")

    server.create(name, KEEPER)
    url = cli("sqs", "create-queue", "--queue-name", name[:60])["QueueUrl"]
    arn = cli("sqs", "get-queue-attributes", "--queue-url", url, "--attribute-names", "QueueArn")
    source = ("--event-source-arn", arn["Attributes"]["QueueArn"])
    made_one = cli("lambda", "create-event-source-mapping", "--function-name", name, *source)
    sent = cli("sqs", "send-message", "--queue-url", url, "--message-body", "typed")
    [one] = until(lambda: kept(server, name))
    assert one["event"]["Records"][0]["messageId"] == sent["MessageId"]
    cli("lambda", "delete-event-source-mapping", "--uuid", made_one["UUID"])
    cli("sqs", "delete-queue", "--queue-url", url)


def test_a_destination_that_is_gone_holds_up_nobody(server: RunningServer, aws: Any, sqs: Any, name: str) -> None:
    gone, there = made(sqs, f"{name[:40]}-gone"), made(sqs, f"{name[:40]}-there")
    server.create(name, KEEPER)
    for number, url in enumerate((gone, there), 1):
        destination = {"OnSuccess": {"Destination": arn_of(sqs, url)}}
        aws.put_function_event_invoke_config(FunctionName=name, DestinationConfig=destination)
        if url == gone:
            sqs.delete_queue(QueueUrl=gone)
        aws.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
        until(partial(lambda count: len(kept(server, name)) == count, number))
    [record] = until(lambda: sqs.receive_message(QueueUrl=there, WaitTimeSeconds=5).get("Messages"))
    assert json.loads(record["Body"])["requestContext"]["condition"] == "Success"


def test_messages_survive_a_kill(tmp_path: Path) -> None:
    server = RunningServer(tmp_path).start()
    try:
        sqs = server.client("sqs")
        url = sqs.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
        sent = {sqs.send_message(QueueUrl=url, MessageBody=str(number))["MessageId"] for number in range(25)}
        [held] = sqs.receive_message(QueueUrl=url)["Messages"]
        server.kill()
        server.start()
        sqs = server.client("sqs")
        url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
        found: set[str] = set()

        def drained() -> bool:
            for one in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", ()):
                found.add(one["MessageId"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
            return found == sent

        until(drained)
        assert held["MessageId"] in found
    finally:
        server.stop()
