"""Changes of buckets start functions: the thumbnail example, exact events, filters, loops that end, refused targets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.server import ROOT, RunningServer

WAIT_S = 60

RECORDER = """
import boto3, json, os
s3 = boto3.client("s3")
def handler(event, context):
    s3.put_object(Bucket=os.environ["BUCKET"], Key=context.aws_request_id, Body=json.dumps(event).encode())
"""

LOOPER = """
import boto3
from urllib.parse import unquote_plus
s3 = boto3.client("s3")
def handler(event, context):
    record = event["Records"][0]["s3"]
    number = int(unquote_plus(record["object"]["key"]))
    s3.put_object(Bucket=record["bucket"]["name"], Key=str(number + 1), Body=b"x")
"""


def arn_of(function: str) -> str:
    return f"arn:aws:lambda:us-east-1:000000000000:function:{function}"


def notify(server: RunningServer, bucket: str, function: str, events: list[str], **affixes: str) -> None:
    """Let the bucket's events invoke the function."""
    server.client("lambda").add_permission(
        FunctionName=function, StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{bucket}", SourceAccount="000000000000",
    )  # fmt: skip
    rules = [{"Name": name, "Value": value} for name, value in affixes.items()]
    rule: dict[str, Any] = {"Id": "rule", "LambdaFunctionArn": arn_of(function), "Events": events}
    if rules:
        rule["Filter"] = {"Key": {"FilterRules": rules}}
    server.client("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [rule]}
    )


def wait_for(s3: Any, bucket: str, count: int) -> list[str]:
    """The bucket's keys, once there are so many."""
    deadline = time.monotonic() + WAIT_S
    while True:
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
        if len(keys) >= count:
            return keys
        assert time.monotonic() < deadline, f"only {keys}"
        time.sleep(0.05)


def recorded(s3: Any, bucket: str, count: int) -> list[dict[str, Any]]:
    """The records of all events that a recorder stored."""
    events = [json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in wait_for(s3, bucket, count)]
    assert all(len(event["Records"]) == 1 for event in events)
    return sorted((event["Records"][0] for event in events), key=lambda record: record["eventTime"])


def recorder(server: RunningServer, name: str, bucket: str) -> None:
    server.create(name, RECORDER, Environment={"Variables": {"BUCKET": bucket}})


def test_a_picture_that_is_copied_in_gets_its_thumbnail(server: RunningServer, tmp_path: Path) -> None:
    """examples/s3_thumbnail, with the AWS CLI as in its README."""
    example = ROOT / "examples" / "s3_thumbnail"
    package = tmp_path / "package"
    install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(package), "--only-binary=:all:"]
    done = subprocess.run([*install, "-r", str(example / "requirements.txt")], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("Pillow can not be installed here: " + done.stderr.decode()[-200:])
    files = {str(path.relative_to(package)): path.read_bytes() for path in package.rglob("*") if path.is_file()}
    files["handler.py"] = (example / "handler.py").read_bytes()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="thumbs-in")
    s3.create_bucket(Bucket="thumbs-out")
    server.create(
        "thumbnails", files, Handler="handler.handler", MemorySize=1024, Timeout=60,
        Environment={"Variables": {"BUCKET": "thumbs-out"}},
    )  # fmt: skip
    notify(server, "thumbs-in", "thumbnails", ["s3:ObjectCreated:*"], suffix=".jpg")
    picture = tmp_path / "picture.jpg"
    draw = [sys.executable, str(ROOT / "examples" / "photograph.py"), str(picture)]
    subprocess.run(draw, check=True, env={**os.environ, "PYTHONPATH": str(package)})
    environment = {
        **os.environ, "AWS_ENDPOINT_URL": server.endpoint, "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    aws = Path(sys.executable).parent / "aws"
    subprocess.run([aws, "s3", "cp", picture, "s3://thumbs-in/"], check=True, env=environment, capture_output=True)
    assert wait_for(s3, "thumbs-out", 1) == ["picture.jpg"]
    small = s3.get_object(Bucket="thumbs-out", Key="picture.jpg")
    content = small["Body"].read()
    assert small["ContentType"] == "image/jpeg"
    assert content[:2] == b"\xff\xd8"
    assert len(content) < picture.stat().st_size


def test_an_event_is_as_on_aws(server: RunningServer) -> None:
    s3 = server.client("s3")
    for bucket in ("seen", "seen-log"):
        s3.create_bucket(Bucket=bucket)
    recorder(server, "seeing", "seen-log")
    notify(server, "seen", "seeing", ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"], prefix="a b/", suffix=".jpg")
    s3.put_object(Bucket="seen", Key="a b/c@d.JPG", Body=b"not this one")
    s3.put_object(Bucket="seen", Key="other.jpg", Body=b"nor this one")
    etag = s3.put_object(Bucket="seen", Key="a b/c@d.jpg", Body=b"this one")["ETag"].strip('"')
    (created,) = recorded(s3, "seen-log", 1)
    sequencer = created["s3"]["object"].pop("sequencer")
    answer = created.pop("responseElements")
    assert set(answer) == {"x-amz-request-id", "x-amz-id-2"}
    assert created.pop("eventTime").endswith("Z")
    assert created == {
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:test"}, "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "rule",
            "bucket": {
                "name": "seen", "arn": "arn:aws:s3:::seen",
                "ownerIdentity": created["s3"]["bucket"]["ownerIdentity"],
            },
            "object": {"key": "a+b/c%40d.jpg", "size": 8, "eTag": etag},
        },
    }  # fmt: skip
    s3.delete_object(Bucket="seen", Key="a b/c@d.jpg")
    removed = recorded(s3, "seen-log", 2)[1]
    assert removed["eventName"] == "ObjectRemoved:Delete"
    assert set(removed["s3"]["object"]) == {"key", "sequencer"}
    assert removed["s3"]["object"]["sequencer"] > sequencer


def test_a_loop_ends_by_itself(server: RunningServer) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="loop")
    server.create("looping", LOOPER)
    notify(server, "loop", "looping", ["s3:ObjectCreated:*"])
    s3.put_object(Bucket="loop", Key="0", Body=b"x")
    assert len(wait_for(s3, "loop", 17)) == 17
    deadline = time.monotonic() + WAIT_S
    while "is dropped: Recurs" not in server.log:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(s3.list_objects_v2(Bucket="loop")["Contents"]) == 17


def test_destinations_are_validated(server: RunningServer) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="checked")

    def put(*rules: dict[str, Any], **more: Any) -> str:
        configuration = {"LambdaFunctionConfigurations": list(rules)}
        try:
            s3.put_bucket_notification_configuration(Bucket="checked", NotificationConfiguration=configuration, **more)
        except ClientError as error:
            return str(error.response["Error"]["Message"])
        return ""

    rule: dict[str, Any] = {"LambdaFunctionArn": arn_of("nobody"), "Events": ["s3:ObjectCreated:*"]}
    assert put(rule) == "Unable to validate the following destination configurations"
    assert put({**rule, "LambdaFunctionArn": "nonsense"}) == "The ARN could not be parsed"
    assert "ambiguously defined" in put(rule, {**rule, "Events": ["s3:ObjectCreated:Put"]})
    assert "do not happen" in put({**rule, "Events": ["s3:Replication:*"]})
    assert s3.get_bucket_notification_configuration(Bucket="checked").keys() == {"ResponseMetadata"}
    assert put(rule, SkipDestinationValidation=True) == ""
    kept = s3.get_bucket_notification_configuration(Bucket="checked")["LambdaFunctionConfigurations"]
    assert [each["LambdaFunctionArn"] for each in kept] == [arn_of("nobody")]
    assert put() == ""
    assert s3.get_bucket_notification_configuration(Bucket="checked").keys() == {"ResponseMetadata"}


def test_events_survive_a_kill(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every acknowledged object's event arrives, though the server was killed right after the last answer."""
    with RunningServer(tmp_path_factory.mktemp("paddock")) as own:
        s3 = own.client("s3")
        for bucket in ("held", "held-log"):
            s3.create_bucket(Bucket=bucket)
        recorder(own, "holding", "held-log")
        notify(own, "held", "holding", ["s3:ObjectCreated:*"])
        for number in range(12):
            s3.put_object(Bucket="held", Key=str(number), Body=b"x")
        own.kill()
        own.start()
        s3 = own.client("s3")
        deadline = time.monotonic() + WAIT_S
        while True:
            found = {record["s3"]["object"]["key"] for record in recorded(s3, "held-log", 1)}
            if found == {str(number) for number in range(12)}:
                break
            assert time.monotonic() < deadline, f"only {found}"
            time.sleep(0.1)
