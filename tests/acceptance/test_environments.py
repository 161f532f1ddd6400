"""Execution environments: reused, never shared, as many as are needed, frozen, reaped, limited; and every runtime."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.calls import TOOLBOX, until
from tests.support.server import ROOT, RunningServer, zipped

Tool = Callable[..., tuple[Any, dict[str, Any]]]

# A function that meets others: it marks its arrival on its own function's tags, through Paddock's own API.
MEETING = """
import json, os, time, urllib.parse, urllib.request

def tags(arn, more=None):
    address = os.environ["AWS_ENDPOINT_URL"] + "/2017-03-31/tags/" + urllib.parse.quote(arn, safe="")
    data = None if more is None else json.dumps({"Tags": more}).encode()
    with urllib.request.urlopen(urllib.request.Request(address, data=data)) as answer:
        return json.loads(answer.read() or b"{}").get("Tags", {})

def handler(event, context):
    arn, deadline = event["meet"], time.monotonic() + 20
    tags(arn, {event["me"]: "here"})
    while not set(event["expected"]) <= set(tags(arn)):
        if time.monotonic() > deadline:
            return "nobody came"
        time.sleep(0.02)
    return {"stream": context.log_stream_name, "name": context.function_name}
"""

ROOMY = {"MemorySize": 1769}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Environments end after a second, and two invocations may run at once."""
    directory = tmp_path_factory.mktemp("strict")
    with RunningServer(
        directory,
        keep_alive="fixed",
        environment_idle_timeout_s=1,
        concurrency_limit=2,
        freeze_after_idle_ms=0,
        cells_ready_per_runtime=0,
    ) as running:
        yield running


def health(server: RunningServer) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.endpoint}/health") as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def meet(server: RunningServer, names: list[str]) -> list[dict[str, str]]:
    """Invoke all at once; each invocation ends only when all of them have begun."""
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{names[0]}"
    expected = [f"guest-{number}" for number in range(len(names))]
    server.client("lambda").untag_resource(Resource=arn, TagKeys=expected)

    def go(number: int) -> Any:
        event = {"meet": arn, "me": expected[number], "expected": expected}
        return server.invoke(names[number], event)[0]

    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(go, range(len(names))))


# -- reuse


def test_an_environment_is_used_again(tool: Tool) -> None:
    do = "KEPT.setdefault('born', time.monotonic())\nreturn [CALLS, KEPT['born'], context.log_stream_name]"
    first = tool(do)[0]
    for number in range(2, 6):
        assert tool(do)[0] == [number, *first[1:]]


def test_tmp_is_kept_and_belongs_to_one_environment(server: RunningServer, tool: Tool, name: str) -> None:
    assert tool("open('/tmp/x', 'w').write('mine')\nreturn os.listdir('/tmp')")[0] == ["x"]
    assert tool("return open('/tmp/x').read()")[0] == "mine"
    server.create(f"{name[:50]}-other", TOOLBOX)
    assert server.invoke(f"{name[:50]}-other", {"do": "return os.listdir('/tmp')"})[0] == []


def test_a_new_configuration_means_a_new_environment(server: RunningServer, tool: Tool, name: str) -> None:
    stream = tool("KEPT['x'] = 1\nreturn context.log_stream_name")[0]
    client = server.client("lambda")
    client.update_function_configuration(FunctionName=name, Description="new")
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    kept, other_stream = tool("return [KEPT, context.log_stream_name]")[0]
    assert kept == {}
    assert other_stream != stream


# -- concurrency


def test_one_invocation_at_a_time_in_each_environment(server: RunningServer, name: str) -> None:
    source = """
import time
inside = 0
def handler(event, context):
    global inside
    inside += 1
    begun, alone = time.monotonic(), inside == 1
    sum(range(20000))
    alone = alone and inside == 1
    inside -= 1
    return [context.log_stream_name, begun, time.monotonic(), alone]
"""
    server.create(name, source, **ROOMY)

    def several(_: int) -> list[Any]:
        client = server.client("lambda")
        return [json.loads(client.invoke(FunctionName=name)["Payload"].read()) for _ in range(15)]

    with ThreadPoolExecutor(4) as pool:
        found = [each for batch in pool.map(several, range(4)) for each in batch]
    assert all(alone for *_, alone in found)
    by_stream = defaultdict(list)
    for stream, begun, ended, _ in found:
        by_stream[stream].append((begun, ended))
    for spans in by_stream.values():
        spans.sort()
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    assert 1 <= len(by_stream) <= 4


def test_as_many_environments_as_concurrent_invocations(server: RunningServer, name: str) -> None:
    server.create(name, MEETING, **ROOMY)
    found = meet(server, [name] * 5)
    assert len({each["stream"] for each in found}) == 5
    again = meet(server, [name] * 5)  # the same ones, warm
    assert {each["stream"] for each in again} == {each["stream"] for each in found}


def test_many_functions_at_once(server: RunningServer, name: str) -> None:
    names = [f"{name[:50]}-{number}" for number in range(6)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda each: server.create(each, MEETING, **ROOMY), names))
    assert [each["name"] for each in meet(server, names)] == names


def test_the_account_has_a_concurrency_limit(strict: RunningServer, name: str) -> None:
    made = strict.create(name, MEETING, **ROOMY)
    client = strict.client("lambda")
    arn = made["FunctionArn"]

    def hold(number: int) -> Any:
        return strict.invoke(name, {"meet": arn, "me": f"held-{number}", "expected": ["go"]})[0]

    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(hold, number) for number in range(2)]
        try:
            until(lambda: {"held-0", "held-1"} <= set(client.list_tags(Resource=arn)["Tags"]))
            with pytest.raises(client.exceptions.TooManyRequestsException) as caught:
                client.invoke(FunctionName=name)
        finally:
            client.tag_resource(Resource=arn, Tags={"go": "1"})
        assert all(isinstance(each.result(), dict) for each in held)
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert answer["Reason"] == "ConcurrentInvocationLimitExceeded"
    assert answer["Error"]["Message"] == "Rate Exceeded."
    assert isinstance(strict.invoke(name, {"meet": arn, "me": "later", "expected": ["go"]})[0], dict)


# -- idle


def test_frozen_between_invocations(strict: RunningServer, name: str) -> None:
    """A thread ticks every millisecond. Through most of the time between two events it must not have ticked."""
    source = """
import threading, time
ticks = []
def tick():
    while True:
        ticks.append(time.monotonic())
        time.sleep(0.001)
threading.Thread(target=tick, daemon=True).start()
def handler(event, context):
    now = time.monotonic()
    if event["first"]:
        while len(ticks) < 100:
            time.sleep(0.001)
        return time.monotonic()
    since = [event["end"], *[tick for tick in ticks if event["end"] < tick < now], now]
    return [now - event["end"], max(later - earlier for earlier, later in zip(since, since[1:])), len(ticks)]
"""
    strict.create(name, source, **ROOMY)
    strict.create("other", "def handler(event, context):\n    return 1\n", **ROOMY)
    end, _ = strict.invoke(name, {"first": True})
    for _ in range(20):  # others are served meanwhile
        assert strict.invoke("other")[0] == 1
    (idle_s, longest_silence_s, ticks), _ = strict.invoke(name, {"first": False, "end": end})
    assert ticks >= 100
    assert longest_silence_s > 0.5 * idle_s


def test_idle_environments_are_reaped(strict: RunningServer, name: str) -> None:
    strict.create(name, TOOLBOX)
    assert strict.invoke(name, {"do": "return CALLS"})[0] == 1
    until(lambda: health(strict)["environments"] == 0)
    assert strict.invoke(name, {"do": "return CALLS"})[0] == 1


def test_an_environment_in_use_is_not_reaped(strict: RunningServer, name: str) -> None:
    strict.create(name, TOOLBOX)
    do = "deadline = time.monotonic() + 2\nwhile time.monotonic() < deadline: time.sleep(0.05)\nreturn CALLS"
    assert strict.invoke(name, {"do": do})[0] == 1


# -- every runtime


def runtimes() -> list[str]:
    """As `paddock runtimes` lists them: discovery, without a server."""
    command = [sys.executable, "-m", "paddock", "runtimes"]
    environment = {**os.environ, "PADDOCK_USERLAND": "host"}  # as RunningServer's
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    lines = done.stdout.splitlines()
    return [line.split()[0] for line in lines if line.startswith("python") and "ready" in line]


def test_the_runtimes_found_are_the_runtimes_offered(server: RunningServer) -> None:
    assert [each for each in health(server)["runtimes"] if each.startswith("python")] == runtimes()


@pytest.mark.parametrize("runtime", runtimes())
def test_each_runtime(server: RunningServer, runtime: str) -> None:
    source = """
import sys, boto3, botocore
def handler(event, context):
    who = boto3.client("sts").get_caller_identity()
    forged = boto3.client("sts", aws_access_key_id="999988887777", aws_secret_access_key="x")
    try:
        other = forged.get_caller_identity()["Account"]
    except botocore.exceptions.ClientError as error:
        other = error.response["Error"]["Code"]
    names = [each["FunctionName"] for each in boto3.client("lambda").list_functions()["Functions"]]
    return [".".join(map(str, sys.version_info[:3])), who["Account"], other, names, boto3.__version__]
"""
    name = runtime.replace(".", "-")
    own = server.client("lambda", account="121212121212")
    fixed = {"Runtime": runtime, "Handler": "app.handler", "Role": "arn:aws:iam::121212121212:role/test"}
    own.create_function(
        FunctionName=name, Code={"ZipFile": zipped({"app.py": source})}, Timeout=60, MemorySize=1769, **fixed
    )
    own.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
    answer = own.invoke(FunctionName=name)
    found = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, found
    version, account, other, names, _ = found
    assert version.startswith(runtime.removeprefix("python") + ".")
    assert account == "121212121212"
    assert other in ("121212121212", "AccessDenied", "AccessDeniedException")
    assert name in names
    assert all(each.startswith("python3-") for each in names)
    events = server.client("logs", account="121212121212").filter_log_events(logGroupName=f"/aws/lambda/{name}")
    first = events["events"][0]["message"]
    assert first.startswith(f"INIT_START Runtime Version: python:{version}\tRuntime Version ARN: arn:aws:lambda:")
