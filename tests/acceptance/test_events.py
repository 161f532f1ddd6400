"""EventBridge and its Scheduler with boto3 and the AWS CLI: events and ticks start real functions."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.calls import refused, until
from tests.support.server import ROLE, RunningServer

KEEPER = """
import json
def handler(event, context):
    print("KEPT " + json.dumps(event))
"""
ACCOUNT = "000000000000"
AWS = Path(sys.executable).parent / "aws"


def kept(server: RunningServer, name: str, count: int = 1) -> list[Any]:
    """The first so many events that the function was started with, once there are as many."""

    def look() -> list[Any]:
        try:
            found = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="KEPT")
        except ClientError:  # no log group yet
            return []
        events = [json.loads(one["message"].partition("KEPT ")[2]) for one in found["events"]]
        return events if len(events) >= count else []

    return until(look, 60.0)


def let_in(server: RunningServer, name: str, rule: str) -> None:
    server.client("lambda").add_permission(
        FunctionName=name,
        StatementId="events",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule,
    )


def test_an_event_starts_a_function_through_two_buses(server: RunningServer, name: str) -> None:
    function = server.create(name, KEEPER)["FunctionArn"]
    events = server.client("events")
    bus = events.create_event_bus(Name=name)["EventBusArn"]
    first = events.put_rule(
        Name=name, EventPattern='{"source":[{"prefix":"shop"}],"detail":{"n":[{"numeric":[">",1]}]}}'
    )
    events.put_targets(Rule=name, Targets=[{"Id": "bus", "Arn": bus, "RoleArn": ROLE}])
    second = events.put_rule(Name=name, EventBusName=name, EventPattern='{"detail-type":["Order"]}')
    transformer = {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": '{"n": <n>, "by": "<aws.events.rule-name>"}'}
    targets = [{"Id": "1", "Arn": function}, {"Id": "2", "Arn": function, "InputTransformer": transformer}]
    events.put_targets(Rule=name, EventBusName=name, Targets=targets)
    assert first["RuleArn"] != second["RuleArn"]
    let_in(server, name, second["RuleArn"])
    entries = [{"Source": "shop.eu", "DetailType": "Order", "Detail": json.dumps({"n": number})} for number in (1, 2)]
    answer = events.put_events(Entries=[*entries, {"Source": "aws.ec2", "DetailType": "d", "Detail": "{}"}])
    assert answer["FailedEntryCount"] == 1
    assert answer["Entries"][2]["ErrorCode"] == "NotAuthorizedForSourceException"
    found = sorted(kept(server, name, 2), key=len)
    assert found[0] == {"n": 2, "by": name}
    assert found[1]["source"] == "shop.eu"
    assert found[1]["detail"] == {"n": 2}
    assert len(kept(server, name)) == 2


def test_schedules_start_functions(server: RunningServer, name: str) -> None:
    function = server.create(name, KEEPER)["FunctionArn"]
    scheduler = server.client("scheduler")
    soon = datetime.now(UTC) + timedelta(seconds=2)
    given: dict[str, Any] = {"FlexibleTimeWindow": {"Mode": "OFF"}, "ActionAfterCompletion": "DELETE"}
    target = {"Arn": function, "RoleArn": ROLE}
    once = scheduler.create_schedule(
        Name=f"{name}-once",
        ScheduleExpression=f"at({soon:%Y-%m-%dT%H:%M:%S})",
        Target={**target, "Input": '{"at": "<aws.scheduler.scheduled-time>"}'},
        **given,
    )
    rate = scheduler.create_schedule(Name=f"{name}-rate", ScheduleExpression="rate(1 hour)", Target=target, **given)
    found = sorted(kept(server, name, 2), key=len)
    assert found[0] == {"at": f"{soon:%Y-%m-%dT%H:%M:%SZ}"}
    assert found[1]["resources"] == [rate["ScheduleArn"]]
    assert once["ScheduleArn"].endswith(f":schedule/default/{name}-once")
    with refused("ResourceNotFoundException"):
        scheduler.get_schedule(Name=f"{name}-once")
    scheduler.delete_schedule(Name=f"{name}-rate")
    with refused("ValidationException", "Invalid Schedule Expression"):
        scheduler.create_schedule(Name=name, ScheduleExpression="cron(0 0 * * * *)", Target=target, **given)


@pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI is not installed beside this Python")
def test_with_the_aws_cli(server: RunningServer, name: str) -> None:
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
            [sys.executable, AWS, *words], env=environment, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout or "null")

    made = cli("events", "put-rule", "--name", name, "--schedule-expression", "cron(0 9 ? * MON-FRI *)")
    assert made["RuleArn"] == f"arn:aws:events:us-east-1:{ACCOUNT}:rule/{name}"
    target = f"Id=1,Arn=arn:aws:lambda:us-east-1:{ACCOUNT}:function:{name}"
    assert cli("events", "put-targets", "--rule", name, "--targets", target)["FailedEntryCount"] == 0
    assert cli("events", "list-targets-by-rule", "--rule", name)["Targets"][0]["Id"] == "1"
    cli("events", "remove-targets", "--rule", name, "--ids", "1")
    cli("events", "delete-rule", "--name", name)
    bus = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
    archive = cli("events", "create-archive", "--archive-name", name[-40:], "--event-source-arn", bus)
    assert archive["State"] == "ENABLED"
    cli("events", "delete-archive", "--archive-name", name[-40:])
    group = cli("scheduler", "create-schedule-group", "--name", name)
    assert group["ScheduleGroupArn"].endswith(f":schedule-group/{name}")
    cli("scheduler", "delete-schedule-group", "--name", name)


def test_what_was_put_survives_a_kill(tmp_path: Path) -> None:
    """kill -9 right after PutEvents answered, before anything was sent: the function starts after the restart."""
    with RunningServer(tmp_path) as server:
        function = server.create("f", KEEPER)["FunctionArn"]
        events = server.client("events")
        rule = events.put_rule(Name="r", EventPattern='{"source":["s"]}')["RuleArn"]
        events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": function}])
        let_in(server, "f", rule)
        entry = {"Source": "s", "DetailType": "d", "Detail": "{}"}
        ids = {one["EventId"] for one in events.put_events(Entries=[entry] * 10)["Entries"]}
        server.kill()
        server.start()
        assert {event["id"] for event in kept(server, "f", 10)} >= ids
        assert server.client("events").list_targets_by_rule(Rule="r")["Targets"] == [{"Id": "1", "Arn": function}]


def test_a_replay_goes_on_after_a_kill(tmp_path: Path) -> None:
    """kill -9 while an archive is replayed: every event arrives again, with the replay's name."""
    with RunningServer(tmp_path) as server:
        events, sqs, count = server.client("events"), server.client("sqs"), 500
        bus = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
        archive = events.create_archive(ArchiveName="a", EventSourceArn=bus)["ArchiveArn"]
        entry = {"Source": "s", "DetailType": "d"}
        for first in range(0, count, 10):
            details = [{**entry, "Detail": json.dumps({"n": number})} for number in range(first, first + 10)]
            assert events.put_events(Entries=details)["FailedEntryCount"] == 0
        allowed = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        sqs.create_queue(QueueName="q", Attributes={"Policy": policy})
        events.put_rule(Name="r", EventPattern='{"source":["s"]}')
        events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"}])
        day = timedelta(days=1)
        began = datetime.now(UTC)
        events.start_replay(
            ReplayName="again", EventSourceArn=archive, EventStartTime=began - day, EventEndTime=began + day,
            Destination={"Arn": bus},
        )  # fmt: skip
        server.kill()
        server.start()
        events, sqs = server.client("events"), server.client("sqs")
        url, got = f"{server.endpoint}/{ACCOUNT}/q", set()

        def look() -> bool:
            for one in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                event = json.loads(one["Body"])
                assert event["replay-name"] == "again"
                got.add(event["detail"]["n"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
            return len(got) == count

        until(look, 120.0)
        until(lambda: events.describe_replay(ReplayName="again")["State"] == "COMPLETED")
        assert events.describe_archive(ArchiveName="a")["EventCount"] == count


def test_a_finished_event_is_told_to_a_bus(server: RunningServer, name: str) -> None:
    """Lambda's destination EventBridge: a rule starts another function with the record."""
    server.create(name, KEEPER)
    listener = server.create(f"{name[:50]}-listener", KEEPER)["FunctionArn"]
    events = server.client("events")
    pattern = '{"source":["lambda"],"detail-type":["Lambda Function Invocation Result - Success"]}'
    rule = events.put_rule(Name=name, EventPattern=pattern)["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": listener}])
    let_in(server, listener, rule)
    bus = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
    aws = server.client("lambda")
    aws.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": bus}, "OnFailure": {}}
    )
    aws.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n": 1}')
    [event] = kept(server, f"{name[:50]}-listener")
    assert event["resources"] == [bus, f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{name}:$LATEST"]
    assert event["detail"]["requestPayload"] == {"n": 1}
    assert event["detail"]["requestContext"]["condition"] == "Success"
