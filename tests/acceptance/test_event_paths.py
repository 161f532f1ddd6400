"""Events across services: every road, and what becomes of those whose target is gone, closed, slow or broken."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from paddock.backends.http.post import Poster
from tests.support.calls import refused, until
from tests.support.server import ROLE, RunningServer

ACCOUNT = "000000000000"
AWS = Path(sys.executable).parent / "aws"
ANYBODY = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
TELLER = """
import boto3, json, os
sqs = boto3.client("sqs")
def handler(event, context):
    url = sqs.get_queue_url(QueueName=os.environ["QUEUE"])["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(event))
    return event
"""
LOOPER = """
import boto3, json, os
sns = boto3.client("sns")
def handler(event, context):
    print("KEPT")
    sns.publish(TopicArn=event["Records"][0]["Sns"]["TopicArn"], Message="again")
"""


def arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:us-east-1:{ACCOUNT}:{rest}"


class Inbox:
    """A queue that anybody may send to, unless it is closed."""

    def __init__(self, server: RunningServer, name: str, *, closed: bool = False, **attributes: str) -> None:
        self._sqs = server.client("sqs")
        policy = json.dumps({"Version": "2012-10-17", "Statement": [ANYBODY]})
        given = attributes if closed else {"Policy": policy, **attributes}
        self.url = self._sqs.create_queue(QueueName=name, Attributes=given)["QueueUrl"]
        self.arn = arn("sqs", name)

    def next(self, count: int = 1) -> list[dict[str, Any]]:
        """The next so many messages."""
        found: list[dict[str, Any]] = []

        def look() -> list[dict[str, Any]]:
            answer = self._sqs.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=2, MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )  # fmt: skip
            for one in answer.get("Messages", []):
                self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=one["ReceiptHandle"])
                found.append(one)
            return found if len(found) >= count else []

        return until(look, 60.0)

    def body(self) -> Any:
        return json.loads(self.next()[0]["Body"])


def text(value: str, kind: str = "String") -> dict[str, Any]:
    return {"DataType": kind, "StringValue": value}


def told(message: dict[str, Any]) -> dict[str, str]:
    """The attributes of a message as text."""
    return {name: one.get("StringValue", "") for name, one in message.get("MessageAttributes", {}).items()}


def let_in(server: RunningServer, name: str, principal: str, source: str, **more: str) -> None:
    server.client("lambda").add_permission(
        FunctionName=name, StatementId=principal.partition(".")[0], Action="lambda:InvokeFunction",
        Principal=principal, SourceArn=source, **more,
    )  # fmt: skip


class Endpoint:
    """An HTTP subscriber: answers with `status`, once `gate` is open."""

    def __init__(self) -> None:
        self.status, self.gate = 200, threading.Event()
        self.gate.set()
        self.got: list[tuple[dict[str, str], str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                outer.gate.wait()
                with contextlib.suppress(OSError):
                    self.send_response(outer.status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def subscribe(self, sns: Any, topic: str, **attributes: str) -> None:
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=self.url, Attributes=attributes)
        body = until(lambda: self.got and self.got.pop()[1], 60.0)
        sns.confirm_subscription(TopicArn=topic, Token=json.loads(body)["Token"])

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def endpoints() -> Iterator[list[Endpoint]]:
    made = [Endpoint(), Endpoint()]
    yield made
    for one in made:
        one.close()


def test_a_raw_message_keeps_its_attributes(server: RunningServer, name: str) -> None:
    sns, inbox, letters = server.client("sns"), Inbox(server, name), Inbox(server, f"{name}-letters")
    topic = sns.create_topic(Name=name)["TopicArn"]
    attributes = {
        "RawMessageDelivery": "true", "RedrivePolicy": json.dumps({"deadLetterTargetArn": letters.arn})
    }  # fmt: skip
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=inbox.arn, Attributes=attributes)
    given = {
        "s": text("ünï"), "n": text("12.5", "Number"), "list": text('["a", 1]', "String.Array"),
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }  # fmt: skip
    sns.publish(TopicArn=topic, Message="as it is", MessageAttributes=given)
    [message] = inbox.next()
    assert message["Body"] == "as it is"
    assert message["MessageAttributes"] == given
    # A queue takes ten attributes: a raw message with more is a letter nobody can deliver.
    many = {f"a{number}": text("v") for number in range(11)}
    sns.publish(TopicArn=topic, Message="too many", MessageAttributes=many)
    [letter] = letters.next()
    assert letter["Body"] == "too many"
    assert told(letter)["ERROR_CODE"] == "InvalidParameterValue"


def test_ordered_from_topic_to_queue(server: RunningServer, name: str) -> None:
    fifo, name = {"FifoQueue": "true"}, name[-60:]
    inbox, sns = Inbox(server, f"{name}.fifo", **fifo), server.client("sns")
    plain = Inbox(server, f"{name}-plain")
    attributes = {"FifoTopic": "true", "ContentBasedDeduplication": "true"}
    topic = sns.create_topic(Name=f"{name}.fifo", Attributes=attributes)["TopicArn"]
    for one in (inbox, plain):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=one.arn, Attributes={"RawMessageDelivery": "true"})
    for first in range(0, 60, 10):
        entries = [
            {"Id": str(number), "Message": str(number), "MessageGroupId": f"g{number % 3}"}
            for number in range(first, first + 10)
        ]
        assert not sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries).get("Failed")
    sns.publish(TopicArn=topic, Message="59", MessageGroupId="g2")  # known within five minutes
    got = inbox.next(60)
    for group in range(3):
        of_group = [int(one["Body"]) for one in got if one["Attributes"]["MessageGroupId"] == f"g{group}"]
        assert of_group == list(range(group, 60, 3))
    assert {int(one["Body"]) for one in plain.next(60)} == set(range(60))
    standard = sns.create_topic(Name=name)["TopicArn"]
    with refused("InvalidParameter", "FIFO SQS Queues can not be subscribed to standard SNS topics"):
        sns.subscribe(TopicArn=standard, Protocol="sqs", Endpoint=inbox.arn)


def test_objects_reach_functions_through_topics_buses_and_queues(server: RunningServer, name: str) -> None:
    """S3 -> SNS -> Lambda, S3 -> EventBridge -> Lambda, S3 -> SQS."""
    bucket = name.lower().replace("_", "-")[-50:].strip("-")
    s3, sns, events = server.client("s3"), server.client("sns"), server.client("events")
    direct, through = Inbox(server, f"{name}-d"), Inbox(server, f"{name}-t")
    server.create(name, TELLER, Environment={"Variables": {"QUEUE": f"{name}-t"}})
    topic = sns.create_topic(Name=name)["TopicArn"]
    statement = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "SNS:Publish",
                 "Resource": topic}  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    let_in(server, name, "sns.amazonaws.com", topic)
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn("lambda", f"function:{name}"))
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}, "object": {"key": [{"suffix": "é.jpg"}]}}}
    rule = events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
    let_in(server, name, "events.amazonaws.com", rule)
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn("lambda", f"function:{name}")}])
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}],
            "QueueConfigurations": [{"QueueArn": direct.arn, "Events": ["s3:ObjectRemoved:*"]}],
            "EventBridgeConfiguration": {},
        },
    )
    s3.put_object(Bucket=bucket, Key="a é.jpg", Body=b"12345")
    s3.delete_object(Bucket=bucket, Key="a é.jpg")
    got = [json.loads(one["Body"]) for one in through.next(4)]  # with the configuration's test event
    records = [one["Records"][0]["Sns"]["Message"] for one in got if "Records" in one]
    assert {json.loads(one).get("Event") for one in records} == {"s3:TestEvent", None}
    [record] = [json.loads(one)["Records"][0] for one in records if "Records" in json.loads(one)]
    assert (record["eventName"], record["s3"]["object"]["key"]) == ("ObjectCreated:Put", "a+%C3%A9.jpg")
    bridged = {one["detail-type"]: one["detail"]["object"]["key"] for one in got if "detail-type" in one}
    assert bridged == {"Object Created": "a é.jpg", "Object Deleted": "a é.jpg"}
    tests, removed = sorted((json.loads(one["Body"]) for one in direct.next(2)), key=lambda one: "Records" in one)
    assert tests["Event"] == "s3:TestEvent"
    assert removed["Records"][0]["eventName"] == "ObjectRemoved:Delete"


def test_buses_send_to_topics_and_ordered_queues(server: RunningServer, name: str) -> None:
    name = name[-60:]
    events, sns, plain = server.client("events"), server.client("sns"), Inbox(server, name)
    ordered = Inbox(server, f"{name}.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    letters = Inbox(server, f"{name}-letters")
    topic, closed = (sns.create_topic(Name=f"{name}{suffix}")["TopicArn"] for suffix in ("", "-closed"))
    statement = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "SNS:Publish",
                 "Resource": topic}  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=plain.arn)
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
    dead = {"DeadLetterConfig": {"Arn": letters.arn}}
    targets = [
        {"Id": "topic", "Arn": topic, "InputPath": "$.detail"},
        {"Id": "ordered", "Arn": ordered.arn, "SqsParameters": {"MessageGroupId": "g"}},
        {"Id": "closed", "Arn": closed, **dead},
        {"Id": "gone", "Arn": arn("lambda", "function:nobody-here"), **dead},
    ]
    events.put_targets(Rule=name, Targets=targets)
    events.put_events(Entries=[{"Source": name, "DetailType": "d", "Detail": '{"n": 1}'}])
    notification = plain.body()
    assert (notification["Type"], notification["Message"]) == ("Notification", '{"n":1}')
    [message] = ordered.next()
    assert message["Attributes"]["MessageGroupId"] == "g"
    assert json.loads(message["Body"])["detail"] == {"n": 1}
    found = {one["TARGET_ARN"]: one for one in map(told, letters.next(2))}
    assert {one["RULE_ARN"] for one in found.values()} == {rule}
    assert found[closed]["ERROR_CODE"] == "AuthorizationError"
    assert found[arn("lambda", "function:nobody-here")]["ERROR_CODE"] in ("AccessDeniedException", "ResourceNotFound")


def test_a_finished_event_is_told_to_a_topic(server: RunningServer, name: str) -> None:
    sns, inbox = server.client("sns"), Inbox(server, name)
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=inbox.arn, Attributes={"RawMessageDelivery": "true"})
    server.create(name, "def handler(event, context):\n    return {'got': event}\n")
    aws = server.client("lambda")
    aws.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": topic}, "OnFailure": {}}
    )
    aws.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 1}')
    record = inbox.body()
    assert record["requestContext"]["condition"] == "Success"
    assert record["responsePayload"] == {"got": {"n": 1}}


def test_what_a_topic_cannot_deliver_goes_to_its_dead_letters(server: RunningServer, name: str) -> None:
    """A queue that is closed, one that is gone, a function that is gone: none is tried for ever."""
    name = name[-60:]
    sns, closed = server.client("sns"), Inbox(server, f"{name}-closed", closed=True)
    letters, ordered = Inbox(server, f"{name}-letters"), Inbox(server, f"{name}.fifo", FifoQueue="true")
    topic = sns.create_topic(Name=name)["TopicArn"]
    redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": letters.arn})}
    gone, nobody = arn("sqs", "nothing-here"), arn("lambda", "function:nobody-here")
    for protocol, endpoint in (("sqs", closed.arn), ("sqs", gone), ("lambda", nobody)):
        sns.subscribe(TopicArn=topic, Protocol=protocol, Endpoint=endpoint, Attributes=redrive)
    sent = sns.publish(TopicArn=topic, Message="lost?")["MessageId"]
    got = letters.next(3)
    assert {told(one)["TARGET_ARN"] for one in got} == {closed.arn, gone, nobody}
    bodies = [json.loads(one["Body"]) for one in got]
    assert {body.get("MessageId") or body["Records"][0]["Sns"]["MessageId"] for body in bodies} == {sent}

    fifo = sns.create_topic(Name=f"{name}.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": ordered.arn})}
    sns.subscribe(TopicArn=fifo, Protocol="sqs", Endpoint=arn("sqs", "nothing.fifo"), Attributes=redrive)
    sns.publish(TopicArn=fifo, Message="m", MessageGroupId="g", MessageDeduplicationId="d")
    assert ordered.next()[0]["Attributes"]["MessageGroupId"] == "g"


def test_a_broken_endpoint_is_tried_as_its_policy_says(
    server: RunningServer, name: str, endpoints: list[Endpoint]
) -> None:
    sns, letters, broken = server.client("sns"), Inbox(server, name), endpoints[0]
    topic = sns.create_topic(Name=name)["TopicArn"]
    retries = {"numRetries": 3, "numNoDelayRetries": 2, "minDelayTarget": 1, "maxDelayTarget": 1}
    policy = {"healthyRetryPolicy": retries, "requestPolicy": {"headerContentType": "application/json"}}
    redrive = json.dumps({"deadLetterTargetArn": letters.arn})
    broken.subscribe(sns, topic, DeliveryPolicy=json.dumps(policy), RedrivePolicy=redrive)
    broken.status = 500
    sns.publish(TopicArn=topic, Message="m")
    [letter] = letters.next()
    assert len(broken.got) == 4
    assert {headers["content-type"] for headers, _ in broken.got} == {"application/json"}
    assert told(letter)["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"
    assert told(letter)["RETRY_ATTEMPTS"] == "3"
    [one] = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    shown = sns.get_subscription_attributes(SubscriptionArn=one["SubscriptionArn"])["Attributes"]
    assert json.loads(shown["EffectiveDeliveryPolicy"])["healthyRetryPolicy"]["numRetries"] == 3
    bad = {"AttributeName": "DeliveryPolicy", "AttributeValue": '{"healthyRetryPolicy": {"numRetries": 101}}'}
    with refused("InvalidParameter", "numRetries must be between 0 and 100"):
        sns.set_subscription_attributes(SubscriptionArn=one["SubscriptionArn"], **bad)


def test_an_endpoint_that_hangs_delays_no_other(server: RunningServer, name: str, endpoints: list[Endpoint]) -> None:
    """While every connection to one subscriber hangs, another one and a queue get all messages."""
    sns, inbox = server.client("sns"), Inbox(server, name)
    hanging, healthy = endpoints
    topic = sns.create_topic(Name=name)["TopicArn"]
    for one in endpoints:
        one.subscribe(sns, topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=inbox.arn)
    hanging.gate.clear()
    for first in range(0, 80, 10):
        entries = [{"Id": str(number), "Message": str(number)} for number in range(first, first + 10)]
        sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    until(lambda: len(healthy.got) >= 80, 60.0)
    inbox.next(80)
    assert len(hanging.got) <= 24  # a few at once, then one at a time as each is given up on
    hanging.gate.set()
    until(lambda: len({body for _, body in hanging.got}) >= 80, 100.0)


def test_a_topic_loop_ends(server: RunningServer, name: str) -> None:
    sns = server.client("sns")
    topic = sns.create_topic(Name=name)["TopicArn"]
    server.create(name, LOOPER)
    inbox = Inbox(server, name)
    server.client("lambda").put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": inbox.arn}}
    )
    let_in(server, name, "sns.amazonaws.com", topic)
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=arn("lambda", f"function:{name}"))
    sns.publish(TopicArn=topic, Message="first")
    record = inbox.body()
    assert record["responseContext"]["functionError"] == "RecursiveInvocationException"
    logs = server.client("logs")
    kept = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="KEPT")["events"]
    assert len(kept) == 16


def test_posting_ends_when_it_is_cancelled() -> None:
    """The server does not wait for a subscriber that hangs: its connection is closed at once."""

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            port = listening.getsockname()[1]
            posting = asyncio.ensure_future(Poster()(f"http://127.0.0.1:{port}/", {}, b"x"))
            loop = asyncio.get_running_loop()
            connection, _ = await loop.sock_accept(listening)
            connection.setblocking(False)
            with connection:
                assert await loop.sock_recv(connection, 4)
                posting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await posting
                while await loop.sock_recv(connection, 65_536):
                    """Until the other side has closed it."""

    asyncio.run(asyncio.wait_for(story(), 60))


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 20\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: y\r\n"])
def test_what_is_no_answer_is_no_success(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"x")
        writer.write(answer)
        writer.close()

    async def story() -> None:
        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(OSError, match=r"answer|closed|end"):
                await Poster()(f"http://127.0.0.1:{port}/", {}, b"x")

    asyncio.run(asyncio.wait_for(story(), 60))


@pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI is not installed beside this Python")
def test_topics_with_the_aws_cli(server: RunningServer, name: str) -> None:
    environment = {
        "PATH": "/usr/bin:/bin", "AWS_ENDPOINT_URL": server.endpoint, "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip

    def cli(*words: str) -> Any:
        done = subprocess.run(
            [sys.executable, AWS, "sns", *words], env=environment, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout or "null")

    inbox = Inbox(server, name)
    topic = cli("create-topic", "--name", name, "--tags", "Key=k,Value=v")["TopicArn"]
    made = cli(
        "subscribe", "--topic-arn", topic, "--protocol", "sqs", "--notification-endpoint", inbox.arn,
        "--attributes", json.dumps({"FilterPolicy": json.dumps({"kind": ["order"]})}),
    )  # fmt: skip
    kind = json.dumps({"kind": {"DataType": "String", "StringValue": "order"}})
    cli("publish", "--topic-arn", topic, "--message", "no")
    sent = cli("publish", "--topic-arn", topic, "--message", "yes", "--subject", "s", "--message-attributes", kind)
    notification = inbox.body()
    assert (notification["Message"], notification["MessageId"]) == ("yes", sent["MessageId"])
    assert cli("list-tags-for-resource", "--resource-arn", topic)["Tags"] == [{"Key": "k", "Value": "v"}]
    cli("unsubscribe", "--subscription-arn", made["SubscriptionArn"])
    cli("delete-topic", "--topic-arn", topic)
    with refused("NotFound"):
        server.client("sns").get_topic_attributes(TopicArn=topic)


def test_schedules_send_to_topics_buses_and_ordered_queues(server: RunningServer, name: str) -> None:
    name = name[-50:]
    scheduler, sns, inbox = server.client("scheduler"), server.client("sns"), Inbox(server, name)
    ordered = Inbox(server, f"{name}.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    letters = Inbox(server, f"{name}-letters")
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=inbox.arn, Attributes={"RawMessageDelivery": "true"})
    bus = arn("events", "event-bus/default")
    server.client("events").put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    server.client("events").put_targets(Rule=name, Targets=[{"Id": "1", "Arn": inbox.arn}])
    given: dict[str, Any] = {"FlexibleTimeWindow": {"Mode": "OFF"}, "ScheduleExpression": "rate(1 hour)"}
    targets: dict[str, dict[str, Any]] = {
        "topic": {"Arn": topic, "Input": "to the topic"},
        "bus": {"Arn": bus, "EventBridgeParameters": {"Source": name, "DetailType": "d"}, "Input": '{"n": 1}'},
        "ordered": {"Arn": ordered.arn, "SqsParameters": {"MessageGroupId": "g"}, "Input": "in order"},
        "gone": {"Arn": arn("sqs", "nothing-here"), "DeadLetterConfig": {"Arn": letters.arn}},
    }
    for key, target in targets.items():
        scheduler.create_schedule(Name=f"{name}-{key}", Target={"RoleArn": ROLE, **target}, **given)
    got = sorted((one["Body"] for one in inbox.next(2)), key=len)
    assert got[0] == "to the topic"
    assert json.loads(got[1])["detail"] == {"n": 1}
    assert ordered.next()[0]["Body"] == "in order"
    assert told(letters.next()[0])["SCHEDULE_ARN"].endswith(f"{name}-gone")
    for key in targets:
        scheduler.delete_schedule(Name=f"{name}-{key}")
