"""SNS through boto3: topics, filters, functions, signed HTTP deliveries with confirmation, retries that end, FIFO."""

from __future__ import annotations

import base64
import json
import queue
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.support.server import RunningServer

WAIT_S = 60

RECORDER = """
import boto3, json, os
s3 = boto3.client("s3")
def handler(event, context):
    s3.put_object(Bucket=os.environ["BUCKET"], Key=context.aws_request_id, Body=json.dumps(event).encode())
"""


class Subscriber:
    """An HTTP endpoint. `answer`: the status it gives."""

    def __init__(self) -> None:
        self.received: queue.Queue[tuple[dict[str, str], Any]] = queue.Queue()
        self.answer = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.received.put(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(outer.answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/inbox?x=1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def next(self) -> tuple[dict[str, str], Any]:
        headers, body = self.received.get(timeout=WAIT_S)
        return headers, json.loads(body) if body.startswith("{") else body

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    made = Subscriber()
    yield made
    made.close()


@pytest.fixture
def sns(server: RunningServer) -> Any:
    return server.client("sns")


def refused(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def check_signature(message: dict[str, str], names: tuple[str, ...], digest: Any) -> None:
    """As a subscriber does: the certificate by its URL, the signature over the named members."""
    with urllib.request.urlopen(message["SigningCertURL"], timeout=30) as answer:
        key = x509.load_pem_x509_certificate(answer.read()).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
    key.verify(base64.b64decode(message["Signature"]), text.encode(), padding.PKCS1v15(), digest)


def test_an_http_subscriber_confirms_and_gets_signed_messages(sns: Any, subscriber: Subscriber) -> None:
    topic = sns.create_topic(Name="by-http", Attributes={"SignatureVersion": "2"})["TopicArn"]
    answer = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=subscriber.url)
    assert answer["SubscriptionArn"] == "pending confirmation"
    headers, asked = subscriber.next()
    assert headers["x-amz-sns-message-type"] == asked["Type"] == "SubscriptionConfirmation"
    names = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    check_signature(asked, names, hashes.SHA256())
    sns.publish(TopicArn=topic, Message="too early")
    assert refused(sns.confirm_subscription, TopicArn=topic, Token="wrong") == "InvalidParameter"
    with urllib.request.urlopen(asked["SubscribeURL"], timeout=30) as confirmed:
        assert b"<SubscriptionArn>" + topic.encode() in confirmed.read()

    sent = sns.publish(
        TopicArn=topic, Message="hello", Subject="greeting",
        MessageAttributes={"n": {"DataType": "Number", "StringValue": "3"}},
    )  # fmt: skip
    headers, got = subscriber.next()
    assert headers["x-amz-sns-message-type"] == "Notification"
    assert headers["x-amz-sns-topic-arn"] == topic
    assert (got["Message"], got["Subject"], got["MessageId"]) == ("hello", "greeting", sent["MessageId"])
    assert got["MessageAttributes"] == {"n": {"Type": "Number", "Value": "3"}}
    check_signature(got, ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"), hashes.SHA256())

    (listed,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.set_subscription_attributes(
        SubscriptionArn=listed["SubscriptionArn"], AttributeName="RawMessageDelivery", AttributeValue="true"
    )
    sns.publish(TopicArn=topic, Message="as it is")
    headers, raw = subscriber.next()
    assert (raw, headers["x-amz-sns-rawdelivery"]) == ("as it is", "true")
    with urllib.request.urlopen(got["UnsubscribeURL"], timeout=30):
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []


def test_filters_by_attributes_and_body(sns: Any, subscriber: Subscriber) -> None:
    topic = sns.create_topic(Name="filtered")["TopicArn"]
    policy = json.dumps({"kind": ["order"], "total": [{"numeric": [">", 100]}]})
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=subscriber.url, Attributes={"FilterPolicy": policy})
    sns.confirm_subscription(TopicArn=topic, Token=subscriber.next()[1]["Token"])

    def publish(text: str, kind: str, total: str) -> None:
        attributes = {
            "kind": {"DataType": "String", "StringValue": kind},
            "total": {"DataType": "Number", "StringValue": total},
        }
        sns.publish(TopicArn=topic, Message=text, MessageAttributes=attributes)

    publish("not this", "refund", "500")
    publish("nor this", "order", "99")
    publish("this", "order", "101")
    assert subscriber.next()[1]["Message"] == "this"
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    arn = listed["SubscriptionArn"]
    for name, value in (("FilterPolicyScope", "MessageBody"), ("FilterPolicy", '{"a": {"b": ["c"]}}')):
        sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName=name, AttributeValue=value)
    for text in ("no json", '{"a": {"b": "x"}}', '{"a": {"b": "c"}}'):
        sns.publish(TopicArn=topic, Message=text)
    assert subscriber.next()[1]["Message"] == '{"a": {"b": "c"}}'
    assert subscriber.received.empty()
    bad = {"SubscriptionArn": arn, "AttributeName": "FilterPolicy", "AttributeValue": '{"a": "b"}'}
    assert refused(sns.set_subscription_attributes, **bad) == "InvalidParameter"


def test_a_function_gets_the_record_of_aws(server: RunningServer, sns: Any) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="sns-log")
    server.create("listening", RECORDER, Environment={"Variables": {"BUCKET": "sns-log"}})
    topic = sns.create_topic(Name="to-function")["TopicArn"]
    function = "arn:aws:lambda:us-east-1:000000000000:function:listening"
    server.client("lambda").add_permission(
        FunctionName="listening", StatementId="sns", Action="lambda:InvokeFunction", Principal="sns.amazonaws.com",
        SourceArn=topic,
    )  # fmt: skip
    subscription = sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=function)["SubscriptionArn"]
    sns.publish(TopicArn=topic, Message="hello")
    deadline = time.monotonic() + WAIT_S
    while not (found := s3.list_objects_v2(Bucket="sns-log").get("Contents")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (record,) = json.loads(s3.get_object(Bucket="sns-log", Key=found[0]["Key"])["Body"].read())["Records"]
    assert (record["EventSource"], record["EventVersion"]) == ("aws:sns", "1.0")
    assert record["EventSubscriptionArn"] == subscription
    assert set(record["Sns"]) == {
        "Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature",
        "SigningCertUrl", "UnsubscribeUrl", "MessageAttributes",
    }  # fmt: skip
    assert (record["Sns"]["Message"], record["Sns"]["Subject"]) == ("hello", None)


def test_topics_of_buckets_are_told_by_policy(server: RunningServer, sns: Any, subscriber: Subscriber) -> None:
    """An object's event to a topic, and on to its subscriber; the topic's policy must let the bucket in."""
    topic = sns.create_topic(Name="of-bucket")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=subscriber.url)
    sns.confirm_subscription(TopicArn=topic, Token=subscriber.next()[1]["Token"])
    s3 = server.client("s3")
    s3.create_bucket(Bucket="tells-topic")
    rule = {"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}
    put = {"Bucket": "tells-topic", "NotificationConfiguration": {"TopicConfigurations": [rule]}}
    assert refused(s3.put_bucket_notification_configuration, **put) == "InvalidArgument"
    statement = {
        "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "SNS:Publish", "Resource": topic,
        "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::tells-topic"}},
    }  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    s3.put_bucket_notification_configuration(**put)
    assert json.loads(subscriber.next()[1]["Message"])["Event"] == "s3:TestEvent"
    s3.put_object(Bucket="tells-topic", Key="k", Body=b"x")
    record = json.loads(subscriber.next()[1]["Message"])["Records"][0]
    assert (record["eventName"], record["s3"]["object"]["key"]) == ("ObjectCreated:Put", "k")


def test_an_endpoint_that_refuses_is_given_up(server: RunningServer, sns: Any, subscriber: Subscriber) -> None:
    topic = sns.create_topic(Name="refusing")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=subscriber.url)
    sns.confirm_subscription(TopicArn=topic, Token=subscriber.next()[1]["Token"])
    subscriber.answer = 403
    sns.publish(TopicArn=topic, Message="unwanted")
    subscriber.next()
    deadline = time.monotonic() + WAIT_S
    while "answered 403" not in server.log:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_fifo_topics_answer_a_message_once(sns: Any) -> None:
    assert refused(sns.create_topic, Name="x.fifo") == "InvalidParameter"
    topic = sns.create_topic(Name="x.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    assert refused(sns.publish, TopicArn=topic, Message="m", MessageGroupId="g") == "InvalidParameter"
    one = sns.publish(TopicArn=topic, Message="m", MessageGroupId="g", MessageDeduplicationId="d")
    again = sns.publish(TopicArn=topic, Message="m", MessageGroupId="g", MessageDeduplicationId="d")
    other = sns.publish(TopicArn=topic, Message="m", MessageGroupId="g", MessageDeduplicationId="e")
    assert (one["MessageId"], one["SequenceNumber"]) == (again["MessageId"], again["SequenceNumber"])
    assert other["SequenceNumber"] > one["SequenceNumber"]
    lambda_arn = "arn:aws:lambda:us-east-1:000000000000:function:f"
    assert refused(sns.subscribe, TopicArn=topic, Protocol="lambda", Endpoint=lambda_arn) == "InvalidParameter"


def test_topics_batches_tags_and_errors(server: RunningServer, sns: Any) -> None:
    topic = sns.create_topic(Name="plain", Tags=[{"Key": "k", "Value": "v"}])["TopicArn"]
    assert sns.create_topic(Name="plain")["TopicArn"] == topic
    assert topic in [each["TopicArn"] for each in sns.list_topics()["Topics"]]
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == [{"Key": "k", "Value": "v"}]
    sns.untag_resource(ResourceArn=topic, TagKeys=["k"])
    sns.set_topic_attributes(TopicArn=topic, AttributeName="DisplayName", AttributeValue="Plain")
    attributes = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert (attributes["DisplayName"], attributes["Owner"]) == ("Plain", "000000000000")
    sns.add_permission(TopicArn=topic, Label="other", AWSAccountId=["111122223333"], ActionName=["Publish"])
    other = server.client("sns", account="111122223333")
    assert other.publish(TopicArn=topic, Message="from next door")["MessageId"]
    sns.remove_permission(TopicArn=topic, Label="other")
    assert refused(other.publish, TopicArn=topic, Message="x") == "AuthorizationError"
    entries = [{"Id": "a", "Message": "m"}, {"Id": "b", "Message": "m", "Subject": "line\nbreak"}]
    batch = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    assert [each["Id"] for each in batch["Successful"]] == ["a"]
    assert [(each["Id"], each["Code"]) for each in batch["Failed"]] == [("b", "InvalidParameter")]
    twice = [entries[0], entries[0]]
    assert refused(sns.publish_batch, TopicArn=topic, PublishBatchRequestEntries=twice) == "BatchEntryIdsNotDistinct"
    assert refused(sns.publish, TopicArn=topic, Message="x" * 262_145) == "InvalidParameter"
    assert refused(sns.publish, TopicArn=topic + "x", Message="x") == "NotFound"
    assert (
        refused(sns.subscribe, TopicArn=topic, Protocol="email", Endpoint="a@example.com") == "NotImplementedException"
    )
    assert refused(sns.subscribe, TopicArn=topic, Protocol="http", Endpoint="ftp://x") == "InvalidParameter"
    sns.delete_topic(TopicArn=topic)
    assert refused(sns.get_topic_attributes, TopicArn=topic) == "NotFound"
