"""What a function's life leaves in CloudWatch Logs: text and JSON, levels, groups, streams."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.calls import TOOLBOX, refused
from tests.support.server import RunningServer

Tool = Callable[..., tuple[Any, dict[str, Any]]]

LOGGING = """
import logging
log = logging.getLogger("field")
def handler(event, context):
    print("printed")
    for level in ("debug", "info", "warning", "error"):
        getattr(log, level)(f"said at {level}")
    if event:
        raise ValueError("as told")
"""


def messages(server: RunningServer, group: str, **options: Any) -> list[str]:
    pages = server.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group, **options)
    return [event["message"] for page in pages for event in page["events"]]


def test_text(server: RunningServer, name: str) -> None:
    server.create(name, LOGGING)
    ids = [server.invoke(name, fails)[1]["ResponseMetadata"]["RequestId"] for fails in (False, True)]
    found = messages(server, f"/aws/lambda/{name}")
    version = r"\d+\.\d+\.\d+"
    arn = "arn:aws:lambda:us-east-1::runtime:[0-9a-f]{64}"
    expected = [
        rf"INIT_START Runtime Version: python:{version}\tRuntime Version ARN: {arn}",
        rf"START RequestId: {ids[0]} Version: \$LATEST",
        "printed",
        rf"\[WARNING\]\t\d{{4}}-\d\d-\d\dT[0-9:.]+Z\t{ids[0]}\tsaid at warning",
        rf"\[ERROR\]\t\d{{4}}-\d\d-\d\dT[0-9:.]+Z\t{ids[0]}\tsaid at error",
        f"END RequestId: {ids[0]}",
        rf"REPORT RequestId: {ids[0]}\tDuration: .* ms\tBilled .*\tMax Memory Used: \d+ MB\tInit Duration: .* ms\t",
        rf"START RequestId: {ids[1]} Version: \$LATEST",
    ]
    # What is printed and what is logged come by two pipes: within a millisecond, either may be taken for the earlier.
    printed = next(at for at, message in enumerate(found) if message.startswith("printed"))
    assert 2 <= printed <= 4
    found.insert(2, found.pop(printed))
    for pattern, message in zip(expected, found, strict=False):
        assert re.fullmatch(pattern + r"\n?", message), (pattern, message)
    (error,) = [message for message in found if message.startswith("[ERROR] ValueError: as told")]
    assert "Traceback (most recent call last):" in error  # one event, for all its lines


def test_json(server: RunningServer, name: str) -> None:
    server.create(name, LOGGING, LoggingConfig={"LogFormat": "JSON"})
    found = server.client("lambda").get_function_configuration(FunctionName=name)["LoggingConfig"]
    assert (found["ApplicationLogLevel"], found["SystemLogLevel"]) == ("INFO", "INFO")
    _, answer = server.invoke(name, True)
    request_id = answer["ResponseMetadata"]["RequestId"]
    records = [json.loads(message) for message in messages(server, f"/aws/lambda/{name}") if message[0] == "{"]
    platform = {record["type"]: record["record"] for record in records if "type" in record}
    assert list(platform) == ["platform.initStart", "platform.start", "platform.report"]
    assert platform["platform.initStart"]["functionName"] == name
    assert platform["platform.start"] == {"requestId": request_id, "version": "$LATEST"} | platform["platform.start"]
    assert platform["platform.report"]["metrics"]["memorySizeMB"] == 128
    said = {record["message"]: record for record in records if "message" in record}
    assert list(said) == ["said at info", "said at warning", "said at error"]
    assert said["said at info"]["level"] == "INFO"
    assert said["said at info"]["logger"] == "field"
    assert said["said at info"]["requestId"] == request_id
    (error,) = [record for record in records if record.get("errorType") == "ValueError"]
    assert error["errorMessage"] == "as told"
    assert error["requestId"] == request_id


@pytest.mark.parametrize(
    ("application", "system", "said", "platform"),
    [
        ("ERROR", "WARN", {"said at error"}, set()),
        (
            "DEBUG",
            "DEBUG",
            {"said at debug", "said at info", "said at warning", "said at error"},
            {"initStart", "initRuntimeDone", "initReport", "start", "runtimeDone", "report"},
        ),
    ],
)
def test_levels(server: RunningServer, application: str, system: str, said: set[str], platform: set[str]) -> None:
    name = f"levels-{application}"
    levels = {"LogFormat": "JSON", "ApplicationLogLevel": application, "SystemLogLevel": system}
    server.create(name, LOGGING, LoggingConfig=levels)
    server.invoke(name, False)
    server.create(f"{name}-text", "def handler(event, context):\n    return 1\n")
    group = f"/aws/lambda/{name}"
    records = [json.loads(message) for message in messages(server, group) if message[0] == "{"]
    assert {record["message"] for record in records if "message" in record} == said
    kinds = {record["type"].removeprefix("platform.") for record in records if "type" in record}
    assert kinds == platform


def test_from_json_to_text(server: RunningServer, name: str) -> None:
    server.create(name, LOGGING, LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "ERROR"})
    client = server.client("lambda")
    client.update_function_configuration(FunctionName=name, LoggingConfig={"LogFormat": "Text"})
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    config = client.get_function_configuration(FunctionName=name)["LoggingConfig"]
    assert config == {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}
    server.invoke(name, False)
    assert any(message.startswith("[WARNING]\t") for message in messages(server, f"/aws/lambda/{name}"))


def test_a_group_of_ones_own(server: RunningServer, name: str) -> None:
    for each in (f"{name}-a", f"{name}-b"):
        server.create(each, LOGGING, LoggingConfig={"LogGroup": "shared"})
        server.invoke(each, False)
    streams = [
        each["logStreamName"]
        for each in server.client("logs").describe_log_streams(logGroupName="shared")["logStreams"]
    ]
    pattern = rf"\d{{4}}/\d\d/\d\d/{name}-(a|b)\[\$LATEST\][0-9a-f]{{32}}"
    assert sorted(re.fullmatch(pattern, stream)[1] for stream in streams) == ["a", "b"]  # type: ignore[index]
    with refused("ResourceNotFoundException", "log group"):
        messages(server, f"/aws/lambda/{name}-a")


def test_one_stream_for_each_environment(server: RunningServer, name: str) -> None:
    server.create(name, TOOLBOX)
    first = server.invoke(name, {"do": "print('one')\nreturn context.log_stream_name"})[0]
    assert server.invoke(name, {"do": "print('two')\nreturn context.log_stream_name"})[0] == first
    client = server.client("lambda")
    client.update_function_configuration(FunctionName=name, Description="another")
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    second = server.invoke(name, {"do": "print('three')\nreturn context.log_stream_name"})[0]
    group, logs = f"/aws/lambda/{name}", server.client("logs")
    streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert {each["logStreamName"] for each in streams} == {first, second}
    lines = logs.get_log_events(logGroupName=group, logStreamName=first, startFromHead=True)["events"]
    assert [each["message"].strip() for each in lines if each["message"].startswith(("one", "two", "three"))] == [
        "one",
        "two",
    ]
    times = [each["timestamp"] for each in lines]
    assert times == sorted(times)


def test_filters(server: RunningServer, tool: Tool, name: str) -> None:
    tool('for n in range(30): print(f\'line {n} of the tale\')\nprint(\'{"animal": "horse", "legs": 4}\')')
    group = f"/aws/lambda/{name}"
    assert len(messages(server, group, filterPattern="tale")) == 30
    assert messages(server, group, filterPattern='"line 7 of"') == ["line 7 of the tale\n"]
    assert len(messages(server, group, filterPattern='{ $.animal = "horse" && $.legs > 3 }')) == 1
    assert messages(server, group, filterPattern="cow") == []
    pages = (
        server.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=group, filterPattern="tale", PaginationConfig={"PageSize": 7})
    )
    assert [e["message"] for page in pages for e in page["events"]] == [f"line {n} of the tale\n" for n in range(30)]


def test_a_print_without_an_end_of_line(server: RunningServer, tool: Tool, name: str) -> None:
    tool("sys.stdout.write('no end')\nsys.stdout.flush()")
    found = messages(server, f"/aws/lambda/{name}")
    at = next(number for number, message in enumerate(found) if message.strip() == "no end")
    assert found[at + 1].startswith("END RequestId: ")


def test_logs_stay_when_the_function_goes(server: RunningServer, tool: Tool, name: str) -> None:
    tool("print('remember me')")
    server.client("lambda").delete_function(FunctionName=name)
    group = f"/aws/lambda/{name}"
    assert messages(server, group, filterPattern="remember") == ["remember me\n"]
    server.client("logs").delete_log_group(logGroupName=group)
    with refused("ResourceNotFoundException", "log group"):
        messages(server, group)
