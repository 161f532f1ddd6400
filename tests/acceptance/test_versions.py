"""Versions, aliases and reserved concurrency through boto3, with functions that really run."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import TOOLBOX, refused, settled, until
from tests.support.server import ROLE, RunningServer, default_runtime, zipped

WHO = """
import os
COUNT = 0

def handler(event, context):
    global COUNT
    COUNT += 1
    return {
        "release": RELEASE,
        "count": COUNT,
        "pid": os.getpid(),
        "version": context.function_version,
        "variable": os.environ["AWS_LAMBDA_FUNCTION_VERSION"],
        "arn": context.invoked_function_arn,
        "stream": context.log_stream_name,
    }
"""


def release(number: int) -> bytes:
    return zipped({"app.py": f"RELEASE = {number}\n{WHO}"})


def update(aws: Any, name: str, number: int, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = aws.update_function_code(FunctionName=name, ZipFile=release(number), **more)
    settled(aws, name)
    return answer


@pytest.fixture
def released(server: RunningServer, aws: Any, name: str) -> str:
    """A function with versions 1 and 2, each with a release of its own, and $LATEST that is as 2."""
    server.create(name, f"RELEASE = 1\n{WHO}")
    assert aws.publish_version(FunctionName=name)["Version"] == "1"
    update(aws, name, 2)
    assert aws.publish_version(FunctionName=name)["Version"] == "2"
    return name


def ask(aws: Any, name: str, qualifier: str = "") -> tuple[dict[str, Any], str]:
    """(what the function says, the executed version)."""
    given = {"Qualifier": qualifier} if qualifier else {}
    answer = aws.invoke(FunctionName=name, **given)
    return json.loads(answer["Payload"].read()), answer["ExecutedVersion"]


def test_each_version_runs_its_own_code_for_ever(aws: Any, released: str) -> None:
    update(aws, released, 3)
    for qualifier, number, version in (("", 3, "$LATEST"), ("$LATEST", 3, "$LATEST"), ("1", 1, "1"), ("2", 2, "2")):
        said, executed = ask(aws, released, qualifier)
        assert (said["release"], executed) == (number, version)
        assert said["version"] == said["variable"] == version
        assert said["arn"].endswith(f":function:{released}" + (f":{qualifier}" if qualifier else ""))
        assert f"[{version}]" in said["stream"]
    said, _ = ask(aws, f"{released}:1")
    assert said["release"] == 1


def test_an_update_leaves_the_environments_of_versions_alone(aws: Any, released: str) -> None:
    first, _ = ask(aws, released, "1")
    update(aws, released, 3)
    again, _ = ask(aws, released, "1")
    assert (again["pid"], again["count"]) == (first["pid"], first["count"] + 1)


def test_aliases_of_one_version_share_its_environments(aws: Any, released: str) -> None:
    for alias in ("blue", "green"):
        aws.create_alias(FunctionName=released, Name=alias, FunctionVersion="1")
    seen = [ask(aws, released, qualifier) for qualifier in ("blue", "green", "1")]
    assert {executed for _, executed in seen} == {"1"}
    assert [said["count"] for said, _ in seen] == [1, 2, 3]
    assert [said["arn"].rpartition(":")[2] for said, _ in seen] == ["blue", "green", "1"]
    assert {said["version"] for said, _ in seen} == {"1"}


def test_moving_an_alias_moves_what_it_runs(aws: Any, released: str) -> None:
    made = aws.create_alias(FunctionName=released, Name="live", FunctionVersion="1", Description="d")
    assert ask(aws, released, "live")[0]["release"] == 1
    moved = aws.update_alias(FunctionName=released, Name="live", FunctionVersion="2", RevisionId=made["RevisionId"])
    assert (moved["FunctionVersion"], moved["Description"]) == ("2", "d")
    said, executed = ask(aws, released, "live")
    assert (said["release"], executed) == (2, "2")
    with refused("PreconditionFailedException", "does not match the latest Revision Id", 412):
        aws.update_alias(FunctionName=released, Name="live", FunctionVersion="1", RevisionId=made["RevisionId"])
    aws.delete_alias(FunctionName=released, Name="live")
    with refused("ResourceNotFoundException", f"Function not found: .*:{released}:live$", 404):
        aws.invoke(FunctionName=released, Qualifier="live")


def test_weights_share_the_invocations_out(aws: Any, released: str) -> None:
    aws.create_alias(
        FunctionName=released,
        Name="canary",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}},
    )
    drawn: Counter[str] = Counter()
    for _ in range(60):
        said, executed = ask(aws, released, "canary")
        assert said["version"] == executed == str(said["release"])
        drawn[executed] += 1
    # Fewer than 5 of 60 by chance: one in 10^11.
    assert min(drawn["1"], drawn["2"]) >= 5
    aws.update_alias(FunctionName=released, Name="canary", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
    assert {ask(aws, released, "canary")[1] for _ in range(5)} == {"2"}
    answer = aws.update_alias(FunctionName=released, Name="canary", RoutingConfig={"AdditionalVersionWeights": {}})
    assert "RoutingConfig" not in answer
    assert {ask(aws, released, "canary")[1] for _ in range(5)} == {"1"}


def test_the_same_is_published_once_and_waiters_agree(aws: Any, released: str) -> None:
    waiter = aws.get_waiter("published_version_active")
    waiter.wait(FunctionName=released, Qualifier="2", WaiterConfig={"Delay": 0.05, "MaxAttempts": 100})
    again = aws.publish_version(FunctionName=released, Description="another")
    assert (again["Version"], again["Description"]) == ("2", "")
    updated = update(aws, released, 3, Publish=True)
    assert (updated["Version"], updated["FunctionArn"].rpartition(":")[2]) == ("3", "3")
    waiter.wait(FunctionName=released, Qualifier="3", WaiterConfig={"Delay": 0.05, "MaxAttempts": 100})
    assert ask(aws, released, "3")[0]["release"] == 3
    pages = aws.get_paginator("list_versions_by_function").paginate(
        FunctionName=released, PaginationConfig={"PageSize": 2}
    )
    hashes = {one["Version"]: one["CodeSha256"] for page in pages for one in page["Versions"]}
    assert list(hashes) == ["$LATEST", "1", "2", "3"]
    assert hashes["$LATEST"] == hashes["3"] != hashes["1"]
    with refused("InvalidParameterValueException", r"CodeSHA256 \(wrong\) is different from current CodeSHA256"):
        aws.publish_version(FunctionName=released, CodeSha256="wrong")


def test_created_and_published_at_once(aws: Any, name: str) -> None:
    made = aws.create_function(
        FunctionName=name,
        Runtime=default_runtime(),
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": release(1)},
        Publish=True,
    )
    assert (made["Version"], made["State"]) == ("1", "Pending")
    assert made["FunctionArn"].endswith(f":function:{name}")
    aws.get_waiter("published_version_active").wait(
        FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 0.05, "MaxAttempts": 400}
    )
    said, executed = ask(aws, name, "1")
    assert (said["count"], executed) == (1, "1")


def test_deleting_versions(aws: Any, released: str) -> None:
    aws.create_alias(FunctionName=released, Name="live", FunctionVersion="1")
    text = r"Unable to delete version because the following aliases reference it: \[live\]"
    with refused("ResourceConflictException", text, 409):
        aws.delete_function(FunctionName=released, Qualifier="1")
    with refused("InvalidParameterValueException", "Deletion of aliases is not currently supported"):
        aws.delete_function(FunctionName=released, Qualifier="live")
    with refused("InvalidParameterValueException", r"\$LATEST version cannot be deleted without deleting the function"):
        aws.delete_function(FunctionName=released, Qualifier="$LATEST")
    aws.delete_alias(FunctionName=released, Name="live")
    assert aws.delete_function(FunctionName=released, Qualifier="1")["StatusCode"] == 204
    with refused("ResourceNotFoundException", f"Function not found: .*:{released}:1$", 404):
        aws.invoke(FunctionName=released, Qualifier="1")
    assert ask(aws, released, "2")[0]["release"] == 2
    update(aws, released, 1)
    assert aws.publish_version(FunctionName=released)["Version"] == "3"


# Reserved concurrency, and what outlives a server: one of their own.


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Little concurrency, and four new environments in ten seconds at most."""
    directory = tmp_path_factory.mktemp("small")
    with RunningServer(directory, concurrency_limit=103, scaling_rate_per_10_s=4) as running:
        yield running


def held(pool: ThreadPoolExecutor, server: RunningServer, name: str) -> Any:
    """An invocation that takes two seconds."""
    return pool.submit(server.invoke, name, {"do": "time.sleep(2)\nreturn 'done'"})


def test_reserved_concurrency_is_a_pool_of_its_own(small: RunningServer, name: str) -> None:
    aws = small.client("lambda")
    small.create(name, TOOLBOX)
    text = r"below its minimum value of \[100\]"
    with refused("InvalidParameterValueException", text, 400):
        aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=4)
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    assert aws.get_function(FunctionName=name)["Concurrency"] == {"ReservedConcurrentExecutions": 1}
    limits = aws.get_account_settings()["AccountLimit"]
    assert (limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]) == (103, 102)
    with ThreadPoolExecutor(1) as pool:
        running = held(pool, small, name)
        until(lambda: busy(small))
        assert throttle_reason(aws, name) == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert running.result()[0] == "done"
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    assert throttle_reason(aws, name) == "ReservedFunctionConcurrentInvocationLimitExceeded"
    aws.delete_function_concurrency(FunctionName=name)
    assert aws.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions") is None
    assert throttle_reason(aws, name) == ""


def busy(server: RunningServer) -> int:
    """Environments with an event inside, or on their way to one."""
    with urllib.request.urlopen(f"{server.endpoint}/health") as answer:
        health = json.load(answer)
    return int(health["environments"]) - int(health["idle"])


def throttle_reason(aws: Any, name: str) -> str:
    """The Reason of the refusal of a short invocation, "" when it ran."""
    try:
        aws.invoke(FunctionName=name, Payload=b'{"do": "return 1"}')
    except aws.exceptions.TooManyRequestsException as error:
        return str(error.response["Reason"])
    return ""


def test_a_function_that_grows_too_fast_is_throttled(small: RunningServer, name: str) -> None:
    aws = small.client("lambda")
    small.create(name, TOOLBOX)
    with ThreadPoolExecutor(12) as pool:
        running = [held(pool, small, name) for _ in range(12)]
        outcomes = [one.exception() for one in running]
    throttled = [one for one in outcomes if one is not None]
    assert len(outcomes) - len(throttled) >= 4, "so many at once"
    assert throttled, "and no more"
    reasons = {one.response["Reason"] for one in throttled}
    assert reasons == {"ConcurrentInvocationLimitExceeded"}
    assert throttle_reason(aws, name) == "", "an idle environment serves on"


def test_a_kill_loses_no_version_and_no_alias(tmp_path: Path) -> None:
    server = RunningServer(tmp_path).start()
    try:
        aws = server.client("lambda")
        server.create("f", f"RELEASE = 1\n{WHO}")
        aws.publish_version(FunctionName="f", Description="first")
        update(aws, "f", 2, Publish=True)
        weights = {"AdditionalVersionWeights": {"2": 0.25}}
        made = aws.create_alias(FunctionName="f", Name="live", FunctionVersion="1", RoutingConfig=weights)
        aws.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=9)
        before = aws.list_versions_by_function(FunctionName="f")["Versions"]
        server.kill()
        server.start()
        aws = server.client("lambda")
        assert aws.list_versions_by_function(FunctionName="f")["Versions"] == before
        found = aws.get_alias(FunctionName="f", Name="live")
        assert {key: found[key] for key in made if key != "ResponseMetadata"} == {
            key: made[key] for key in made if key != "ResponseMetadata"
        }
        assert aws.get_function_concurrency(FunctionName="f")["ReservedConcurrentExecutions"] == 9
        assert ask(aws, "f", "1")[0]["release"] == 1
        aws.delete_function(FunctionName="f")
        server.create("f", f"RELEASE = 3\n{WHO}")
        assert aws.publish_version(FunctionName="f")["Version"] == "3"
    finally:
        server.stop()
