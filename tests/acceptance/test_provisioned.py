"""Provisioned concurrency through boto3: environments that wait, are replaced, moved, and counted."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import refused, settled, until
from tests.support.server import RunningServer, zipped

SOURCE = """
import os, time
BORN = time.time()

def handler(event, context):
    if isinstance(event, dict) and event.get("exit"):
        os._exit(1)
    time.sleep(event.get("sleep", 0) if isinstance(event, dict) else 0)
    return {
        "kind": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "stream": context.log_stream_name,
        "namespace": os.readlink("/proc/self/ns/pid"),
        "born": BORN,
        "now": time.time(),
    }
"""
BROKEN = "raise SystemError('never')\ndef handler(event, context): ...\n"


def ready(aws: Any, name: str, qualifier: str) -> dict[str, Any]:
    """As waiters do: look until it is READY."""

    def look() -> dict[str, Any]:
        found: dict[str, Any] = aws.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
        assert found["Status"] != "FAILED", found
        return found if found["Status"] == "READY" else {}

    return until(look)


def put(aws: Any, name: str, qualifier: str, count: int) -> dict[str, Any]:
    answer: dict[str, Any] = aws.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )
    return answer


@pytest.fixture
def published(server: RunningServer, aws: Any, name: str) -> str:
    server.create(name, SOURCE)
    assert aws.publish_version(FunctionName=name)["Version"] == "1"
    return name


def test_an_event_finds_an_environment_that_was_initialised_before_it(
    server: RunningServer, aws: Any, published: str
) -> None:
    told = put(aws, published, "1", 2)
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert (told["Status"], told["RequestedProvisionedConcurrentExecutions"]) == ("IN_PROGRESS", 2)
    assert told["AllocatedProvisionedConcurrentExecutions"] == told["AvailableProvisionedConcurrentExecutions"] == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", told["LastModified"])
    found = ready(aws, published, "1")
    assert found["AllocatedProvisionedConcurrentExecutions"] == found["AvailableProvisionedConcurrentExecutions"] == 2
    result, answer = server.invoke(published, Qualifier="1", LogType="Tail")
    assert result["kind"] == "provisioned-concurrency"
    assert result["now"] - result["born"] > 0
    assert b"Init Duration" not in base64.b64decode(answer["LogResult"])
    assert server.invoke(published)[0]["kind"] == "on-demand", "$LATEST has none"
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(server.invoke, published, {"sleep": 1.5}, Qualifier="1") for _ in range(3)]
        kinds = sorted(call.result()[0]["kind"] for call in calls)
    assert kinds == ["on-demand", "provisioned-concurrency", "provisioned-concurrency"], "the third one spills over"
    listed = aws.list_provisioned_concurrency_configs(FunctionName=published)["ProvisionedConcurrencyConfigs"]
    assert [one["FunctionArn"].rsplit(":", 1)[1] for one in listed] == ["1"]
    aws.delete_provisioned_concurrency_config(FunctionName=published, Qualifier="1")
    with refused("ProvisionedConcurrencyConfigNotFoundException", "^No Provisioned Concurrency Config found", 404):
        aws.get_provisioned_concurrency_config(FunctionName=published, Qualifier="1")
    assert server.invoke(published, Qualifier="1")[0]["kind"] == "on-demand"


def test_what_is_lost_is_replaced(server: RunningServer, aws: Any, published: str) -> None:
    put(aws, published, "1", 1)
    ready(aws, published, "1")
    first, _ = server.invoke(published, Qualifier="1")
    assert server.invoke(published, {"exit": True}, Qualifier="1")[1]["FunctionError"] == "Unhandled"

    def replaced() -> dict[str, Any]:
        result: dict[str, Any] = server.invoke(published, Qualifier="1")[0]
        return result if result.get("kind") == "provisioned-concurrency" else {}  # one event may meet the death itself

    second = until(replaced)
    assert second["stream"] != first["stream"], "not the old one, initialised again"
    end(second["namespace"])  # and one that is killed while it waits
    third = until(lambda: (found := replaced()) and found["stream"] != second["stream"] and found)
    assert third["born"] < third["now"]
    ready(aws, published, "1")


def end(namespace: str) -> None:
    """Kill every process of that pid namespace."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may be gone, or another user's
            if os.readlink(process / "ns/pid") == namespace:
                os.kill(int(process.name), signal.SIGKILL)


def test_an_alias_takes_its_environments_to_another_version(server: RunningServer, aws: Any, published: str) -> None:
    aws.create_alias(FunctionName=published, Name="live", FunctionVersion="1")
    put(aws, published, "live", 2)
    ready(aws, published, "live")
    with refused("ResourceConflictException", "^Version is pointed by a Provisioned Concurrency alias$", 409):
        put(aws, published, "1", 1)
    first, _ = server.invoke(published, Qualifier="live")
    assert first["kind"] == "provisioned-concurrency"
    assert server.invoke(published, Qualifier="1")[0]["kind"] == "on-demand", "they are the alias's alone"
    aws.update_function_code(FunctionName=published, ZipFile=zipped({"app.py": SOURCE + "# two"}))
    settled(aws, published)
    assert aws.publish_version(FunctionName=published)["Version"] == "2"
    aws.update_alias(FunctionName=published, Name="live", FunctionVersion="2")
    ready(aws, published, "live")
    second, answer = server.invoke(published, Qualifier="live")
    assert (second["kind"], answer["ExecutedVersion"]) == ("provisioned-concurrency", "2")
    with refused("InvalidParameterValueException", "^Provisioned Concurrency Configs cannot be applied to unpublished"):
        aws.update_alias(FunctionName=published, Name="live", FunctionVersion="$LATEST")
    weights = {"AdditionalVersionWeights": {"1": 0.5}}
    aws.update_alias(FunctionName=published, Name="live", RoutingConfig=weights)
    assert ready(aws, published, "live")["AvailableProvisionedConcurrentExecutions"] == 2
    kinds = {server.invoke(published, Qualifier="live")[0]["kind"] for _ in range(10)}
    assert kinds == {"provisioned-concurrency"}, "each version has one"
    aws.delete_alias(FunctionName=published, Name="live")
    assert aws.list_provisioned_concurrency_configs(FunctionName=published)["ProvisionedConcurrencyConfigs"] == []


def test_a_function_that_does_not_initialise_has_failed(server: RunningServer, aws: Any, name: str) -> None:
    server.create(name, BROKEN)
    aws.publish_version(FunctionName=name)
    put(aws, name, "1", 1)

    def failed() -> dict[str, Any]:
        found: dict[str, Any] = aws.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
        return found if found["Status"] == "FAILED" else {}

    found = until(failed)
    assert found["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert found["AvailableProvisionedConcurrentExecutions"] == 0
    aws.delete_function(FunctionName=name, Qualifier="1")
    assert aws.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []


def test_reserved_and_provisioned(server: RunningServer, aws: Any, published: str) -> None:
    limit = aws.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    put(aws, published, "1", 1)
    assert aws.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == limit - 1
    aws.put_function_concurrency(FunctionName=published, ReservedConcurrentExecutions=1)
    assert aws.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == limit - 1
    with refused("InvalidParameterValueException", r"ReservedConcurrentExecutions  0 should not be lower than .*\[1\]"):
        aws.put_function_concurrency(FunctionName=published, ReservedConcurrentExecutions=0)
    with refused("InvalidParameterValueException", "^Requested Provisioned Concurrency should not be greater than"):
        put(aws, published, "1", 2)
    ready(aws, published, "1")
    with refused("TooManyRequestsException"):
        aws.invoke(FunctionName=published)  # all that is reserved is provisioned for another version
    assert server.invoke(published, Qualifier="1")[0]["kind"] == "provisioned-concurrency"


def test_they_are_there_again_after_a_restart(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        aws = server.client("lambda")
        server.create("kept", SOURCE)
        aws.publish_version(FunctionName="kept")
        put(aws, "kept", "1", 1)
        ready(aws, "kept", "1")
        modified = aws.get_provisioned_concurrency_config(FunctionName="kept", Qualifier="1")["LastModified"]
        server.kill()
        server.start()
        aws = server.client("lambda")
        assert ready(aws, "kept", "1")["LastModified"] == modified
        assert server.invoke("kept", Qualifier="1")[0]["kind"] == "provisioned-concurrency"
