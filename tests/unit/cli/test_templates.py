"""Event templates: every file makes an event without a hole, and what is set arrives where it belongs."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from paddock.cli import templates
from paddock.cli.templates import Surroundings, Unset, event_of, load

NOW = datetime(2026, 3, 1, 7, 8, 9, 123_000, tzinfo=UTC)


class Counted:
    """Identity without chance."""

    def uuid(self) -> str:
        return "00000000-0000-4000-8000-000000000001"

    def hex(self, digits: int) -> str:
        return "0123456789abcdef"[:digits].ljust(digits, "f")


def event(name: str, *sets: str) -> Any:
    return event_of(load(name), sets, Surroundings(account="111122223333", region="eu-west-1", now=NOW, ids=Counted()))


@pytest.mark.parametrize("name", templates.names())
def test_each_template_makes_a_whole_event(name: str) -> None:
    made = json.dumps(event(name))
    assert "${" not in made
    assert not re.search(r'"\$(base64|gzip|json|urlencoded|md5|bytes)"', made)
    template = load(name)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert template.source
    assert template.about
    used = set(re.findall(r"\$\{([a-z0-9_]+)", json.dumps(template.event)))
    assert set(template.parameters) <= used, "a parameter that nothing uses"


@pytest.mark.parametrize("name", [name for name in templates.names() if load(name).parameters])
def test_each_parameter_arrives(name: str) -> None:
    for parameter, default in load(name).parameters.items():
        value = "another" if isinstance(default, str) else "77"
        assert event(name, f"{parameter}={value}") != event(name), parameter


def test_every_source_of_lambda_has_a_template() -> None:
    sources = {load(name).source for name in templates.names()}
    assert sources >= {
        "Alexa", "Amazon Connect", "Amazon Lex", "Amazon MQ", "Amazon MSK", "Amazon S3", "API Gateway", "Apache Kafka",
        "AppSync", "AWS Config", "AWS IoT", "CloudFormation", "CloudFront", "CloudWatch Logs", "CodeCommit",
        "CodePipeline", "Cognito", "DocumentDB", "DynamoDB", "Elastic Load Balancing", "EventBridge",
        "EventBridge Scheduler", "Kinesis", "Lambda", "Secrets Manager", "SES", "SNS", "SQS", "Step Functions",
    }  # fmt: skip


def test_where_and_when() -> None:
    made = event("eventbridge", "source=com.mine")
    assert (made["account"], made["region"], made["time"]) == ("111122223333", "eu-west-1", "2026-03-01T07:08:09Z")
    assert made["source"] == "com.mine"
    record = event("s3-put", "bucket=mine", "key=a b@c/d+e.jpg", "size=7")["Records"][0]
    assert record["eventTime"] == "2026-03-01T07:08:09.123Z"
    assert record["s3"]["bucket"]["arn"] == "arn:aws:s3:::mine"
    assert record["s3"]["object"]["key"] == "a+b%40c/d%2Be.jpg"
    assert record["s3"]["object"]["size"] == 7
    assert event("apigateway-http")["requestContext"]["timeEpoch"] == int(NOW.timestamp() * 1000)
    assert event("dynamodb-stream")["Records"][0]["dynamodb"]["ApproximateCreationDateTime"] == NOW.timestamp()


def test_what_is_encoded_is_really_encoded() -> None:
    data = event("cloudwatch-logs", "message=see here", "awslogs.data.logEvents.1.message=2")["awslogs"]["data"]
    inside = json.loads(gzip.decompress(base64.b64decode(data)))
    assert [one["message"] for one in inside["logEvents"]] == ["see here", "2"]
    assert (inside["owner"], len(inside["logEvents"][0]["id"])) == ("111122223333", 56)
    message = event("sqs", "body=hear me")["Records"][0]
    assert message["md5OfBody"] == hashlib.md5(b"hear me").hexdigest()
    assert message["attributes"]["SentTimestamp"] == str(int(NOW.timestamp() * 1000))
    (record,) = event("msk", "topic=t", "value=v")["records"]["t-0"]
    assert (base64.b64decode(record["value"]), record["headers"]) == (b"v", [{"colour": [98, 97, 121]}])
    assert json.loads(event("config-rule")["invokingEvent"])["messageType"] == "ConfigurationItemChangeNotification"


def test_a_place_in_the_event() -> None:
    made = event(
        "sqs", "Records.0.attributes.ApproximateReceiveCount=3", "Records.0.messageAttributes={}", "Records.0.new=[1]"
    )["Records"][0]
    assert made["attributes"]["ApproximateReceiveCount"] == "3", "text stands there, so text it stays"
    assert (made["messageAttributes"], made["new"]) == ({}, [1])
    assert event("kinesis", "Records.0.kinesis.data=raw")["Records"][0]["kinesis"]["data"] == "cmF3"
    assert event("codepipeline", r"CodePipeline\.job.id=7")["CodePipeline.job"]["id"] == "7"
    assert event("hello", 'name="quoted"') == {"name": "quoted"}
    assert event("s3-put", "Records.0.s3.object.size=5")["Records"][0]["s3"]["object"]["size"] == 5
    assert event("sqs", "Records.0.attributes.SentTimestamp=5")["Records"][0]["attributes"]["SentTimestamp"] == "5"
    assert event("hello", "name=7") == {"name": "7"}
    assert event("eventbridge", "resources.0=arn:x")["resources"] == ["arn:x"]


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ("bucket", "PATH=VALUE"),
        ("=x", "PATH=VALUE"),
        ("Records.1.s3=x", "there is no '1' in the event; there is 0"),
        ("Record.0.s3=x", "there is Records. The template's parameters: bucket, key"),
        ("Records.0.awsRegion.x.y=1", "it is a value"),
        ("Records.5=1", "there is 0"),
    ],
)
def test_what_cannot_be_set_is_told(sets: str, said: str) -> None:
    with pytest.raises(Unset, match=re.escape(said)):
        event("s3-put", sets)


def test_a_name_that_is_none_is_told_with_those_near() -> None:
    with pytest.raises(Unset, match=r"no template 'sq'.*sqs, sqs-fifo"):
        load("sq")
    with pytest.raises(Unset, match="no template"):
        load("../arguments")


def test_the_list_shows_all() -> None:
    text = "\n".join(templates.listed())
    assert all(f"  {name} " in text for name in templates.names())
    assert "an object was put  [bucket, key, size, etag]" in text
