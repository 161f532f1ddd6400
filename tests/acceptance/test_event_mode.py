"""Event invokes through boto3: accepted at once, run later, tried again, told to destinations, and never lost."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.server import ROLE, RunningServer

KEEPER = """
import json, os
def handler(event, context):
    print("KEPT " + json.dumps({"event": event, "id": context.aws_request_id, "pid": os.getpid()}))
    if isinstance(event, dict) and event.get("fail"):
        raise ValueError("told to fail")
    return {"kept": event}
"""
PATIENCE_S = 60.0


def kept(server: RunningServer, name: str) -> list[dict[str, Any]]:
    """What a keeper function has printed so far."""
    try:
        found = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="KEPT")
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return []
        raise
    return [json.loads(one["message"].partition("KEPT ")[2]) for one in found["events"]]


def until(look: Callable[[], Any]) -> Any:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("nothing was found in time")


def test_accepted_and_run_with_the_request_id_of_the_answer(server: RunningServer, aws: Any, name: str) -> None:
    server.create(name, KEEPER)
    answer = aws.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 1}')
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    assert "ExecutedVersion" not in answer
    assert "FunctionError" not in answer
    [one] = until(lambda: kept(server, name))
    assert one["event"] == {"n": 1}
    assert one["id"] == answer["ResponseMetadata"]["RequestId"]


@pytest.mark.filterwarnings("ignore")  # boto3 says that the operation is deprecated
def test_the_old_form(server: RunningServer, aws: Any, name: str) -> None:
    server.create(name, KEEPER)
    assert aws.invoke_async(FunctionName=name, InvokeArgs=b'{"old": true}')["Status"] == 202
    assert until(lambda: kept(server, name))[0]["event"] == {"old": True}


def test_destinations_get_the_records(server: RunningServer, aws: Any, name: str) -> None:
    server.create(name, KEEPER)
    arns = {}
    for outcome in ("good", "bad"):
        arns[outcome] = server.create(f"{name[:50]}-{outcome}", KEEPER)["FunctionArn"]
    put = aws.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": arns["good"]}, "OnFailure": {"Destination": arns["bad"]}},
    )
    assert put["FunctionArn"].endswith(f":function:{name}:$LATEST")
    good = aws.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 1}')
    bad = aws.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"fail": true}')
    [success] = until(lambda: kept(server, f"{name[:50]}-good"))
    [failure] = until(lambda: kept(server, f"{name[:50]}-bad"))
    assert success["event"]["requestContext"] == {
        "requestId": good["ResponseMetadata"]["RequestId"],
        "functionArn": put["FunctionArn"],
        "condition": "Success",
        "approximateInvokeCount": 1,
    }
    assert success["event"]["responsePayload"] == {"kept": {"n": 1}}
    assert failure["event"]["requestContext"]["requestId"] == bad["ResponseMetadata"]["RequestId"]
    assert failure["event"]["requestContext"]["condition"] == "RetriesExhausted"
    assert failure["event"]["responseContext"]["functionError"] == "Unhandled"
    assert failure["event"]["responsePayload"]["errorMessage"] == "told to fail"


def test_a_bucket_gets_the_record_of_a_failure(server: RunningServer, aws: Any, name: str) -> None:
    server.create(name, KEEPER)
    s3, bucket = server.client("s3"), "failed-events"
    s3.create_bucket(Bucket=bucket)
    aws.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}},
    )  # fmt: skip
    sent = aws.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"fail": true}')
    [stored] = until(lambda: s3.list_objects_v2(Bucket=bucket).get("Contents"))
    request_id = sent["ResponseMetadata"]["RequestId"]
    day, moment = r"(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3T\d\d\.\d\d\.\d\d"
    assert re.fullmatch(f"aws/lambda/async/{name}/{day}/{moment}-{request_id}", stored["Key"])
    record = json.loads(s3.get_object(Bucket=bucket, Key=stored["Key"])["Body"].read())
    assert (record["requestPayload"], record["responsePayload"]["errorMessage"]) == ({"fail": True}, "told to fail")
    assert record["requestContext"]["condition"] == "RetriesExhausted"


def test_configurations_as_aws_shows_them(server: RunningServer, aws: Any, name: str) -> None:
    server.create(name, KEEPER)
    with pytest.raises(aws.exceptions.ResourceNotFoundException, match="doesn't have an EventInvokeConfig"):
        aws.get_function_event_invoke_config(FunctionName=name)
    with pytest.raises(aws.exceptions.InvalidParameterValueException, match="at least one of"):
        aws.put_function_event_invoke_config(FunctionName=name)
    put = aws.put_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=60)
    assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    assert "MaximumRetryAttempts" not in put
    updated = aws.update_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    assert (updated["MaximumRetryAttempts"], updated["MaximumEventAgeInSeconds"]) == (1, 60)
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    for destination, message in (
        (arn, "can't specify the function as a destination for itself"),
        (f"{arn}-absent", "destination ARN .* is invalid"),
        ("arn:aws:kinesis:us-east-1:000000000000:stream/s", "OnSuccess.destination=arn:aws:kinesis.*onFailure=null"),
    ):
        with pytest.raises(aws.exceptions.InvalidParameterValueException, match=message):
            aws.put_function_event_invoke_config(
                FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": destination}}
            )
    assert len(aws.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]) == 1
    aws.delete_function_event_invoke_config(FunctionName=name)
    assert aws.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"] == []


def test_a_function_that_invokes_itself_is_stopped(server: RunningServer, aws: Any, name: str) -> None:
    source = """
import boto3, json, os
def handler(event, context):
    print("KEPT " + json.dumps({"event": event}))
    more = json.dumps(event + 1)
    boto3.client("lambda").invoke(FunctionName=context.function_name, InvocationType="Event", Payload=more)
"""
    server.create(name, source, MemorySize=512)
    assert aws.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Terminate"
    aws.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": server.create(f"{name[:50]}-end", KEEPER)["FunctionArn"]}},
    )
    aws.invoke(FunctionName=name, InvocationType="Event", Payload=b"1")
    [record] = until(lambda: kept(server, f"{name[:50]}-end"))
    assert record["event"]["requestContext"]["condition"] == "RecursiveInvocation"
    assert record["event"]["responseContext"]["statusCode"] == 400
    assert sorted(one["event"] for one in kept(server, name)) == list(range(1, 17))


def test_too_large_and_not_json(server: RunningServer, aws: Any, name: str) -> None:
    server.create(name, KEEPER)
    with pytest.raises(ClientError, match="limit 1048576 bytes") as caught:
        aws.invoke(FunctionName=name, InvocationType="Event", Payload=b'"' + b"x" * 1_048_576 + b'"')
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    with pytest.raises(aws.exceptions.InvalidRequestContentException):
        aws.invoke(FunctionName=name, InvocationType="Event", Payload=b"{")
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.invoke(FunctionName="never", InvocationType="Event")


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    server = RunningServer(tmp_path).start()
    try:
        # Each takes longer than all take to be accepted: none has ended, and told so, when the server dies.
        server.create("f", KEEPER.replace("    print", "    __import__('time').sleep(4)\n    print", 1), Role=ROLE)
        lambda_ = server.client("lambda")
        accepted = {
            lambda_.invoke(FunctionName="f", InvocationType="Event", Payload=json.dumps({"n": number}).encode())[
                "ResponseMetadata"
            ]["RequestId"]
            for number in range(8)
        }
        server.kill()
        server.start()
        until(lambda: accepted <= {one["id"] for one in kept(server, "f")})
    finally:
        server.stop()
