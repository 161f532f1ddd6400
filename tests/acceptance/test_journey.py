"""One application from nothing to nothing, by boto3 with its waiters and by the AWS CLI: what Terraform's test applies.

Role, log group, layer, function, versions, an alias with weights, a permission, a URL, an event-invoke configuration.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name

from tests.support.calls import refused
from tests.support.cli import Cli
from tests.support.server import RunningServer, default_runtime, zipped

SOURCE = "import os, shared\ndef handler(event, context):\n    return [shared.X, os.environ['GREETING'], '{}']\n"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
QUICK = {"Delay": 0.05, "MaxAttempts": 400}
Ask = Callable[..., Any]
"""(service, operation, members) -> the answer; ("wait", waiter's name, members) waits."""


def by_boto3(server: RunningServer) -> Ask:
    def ask(service: str, operation: str, **params: Any) -> Any:
        if service == "wait":
            server.client("lambda").get_waiter(xform_name(operation)).wait(**params, WaiterConfig=QUICK)
            return None
        return getattr(server.client(service), xform_name(operation))(**params)

    return ask


def by_cli(cli: Cli, directory: Path) -> Ask:
    """Members go in as the CLI takes whole requests, as JSON; a zip is a file."""

    def ask(service: str, operation: str, **params: Any) -> Any:
        words = [service, xform_name(operation, "-")]
        if service == "wait":
            words = ["lambda", "wait", xform_name(operation, "-")]
        for member in ("ZipFile", "Code", "Content"):
            if (sent := params.pop(member, None)) is not None:
                (directory / "sent.zip").write_bytes(sent if isinstance(sent, bytes) else sent["ZipFile"])
                words += ["--zip-file", "fileb://sent.zip"]
        if operation == "Invoke":
            words += ["--function-name", params.pop("FunctionName"), "answer.json"]
            words += ["--qualifier", params.pop("Qualifier")]
        if params:
            words += ["--cli-input-json", json.dumps(params)]
        return json.loads(cli(*words) or "{}")

    return ask


@pytest.fixture(params=["boto3", "cli"])
def ask(request: pytest.FixtureRequest, server: RunningServer, tmp_path: Path) -> Iterator[Ask]:
    if request.param == "boto3":
        yield by_boto3(server)
        return
    with Cli(server, tmp_path) as cli:
        yield by_cli(cli, tmp_path)


def test_from_nothing_to_nothing(ask: Ask, server: RunningServer, request: pytest.FixtureRequest) -> None:
    name = f"journey-{request.node.callspec.id}"
    whole = {"FunctionName": name}
    role = ask("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    ask("logs", "CreateLogGroup", logGroupName=f"/{name}")
    layer = ask(
        "lambda", "PublishLayerVersion", LayerName=name, Content={"ZipFile": zipped({"python/shared.py": "X=1"})}
    )
    made = ask(
        "lambda", "CreateFunction", **whole, Runtime=default_runtime(), Role=role, Handler="app.handler",
        Code={"ZipFile": zipped({"app.py": SOURCE.format("one")})}, Layers=[layer["LayerVersionArn"]],
        Environment={"Variables": {"GREETING": "hello"}}, LoggingConfig={"LogGroup": f"/{name}"}, Publish=True,
    )  # fmt: skip
    assert (made["State"], made["Version"]) == ("Pending", "1")
    ask("wait", "FunctionExists", **whole)
    ask("wait", "FunctionActiveV2", **whole)
    ask("wait", "PublishedVersionActive", **whole, Qualifier="1")
    code = zipped({"app.py": SOURCE.format("two")})
    assert ask("lambda", "UpdateFunctionCode", **whole, ZipFile=code)["LastUpdateStatus"] == "InProgress"
    ask("wait", "FunctionUpdatedV2", **whole)
    ask("lambda", "UpdateFunctionConfiguration", **whole, Timeout=20)
    ask("wait", "FunctionUpdated", **whole)
    assert ask("lambda", "PublishVersion", **whole)["Version"] == "2"
    ask(
        "lambda", "CreateAlias", **whole, Name="live", FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}},
    )  # fmt: skip
    ask(
        "lambda", "AddPermission", **whole, Qualifier="live", StatementId="bucket", Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com", SourceArn="arn:aws:s3:::pictures",
    )  # fmt: skip
    url = ask("lambda", "CreateFunctionUrlConfig", **whole, Qualifier="live", AuthType="NONE")["FunctionUrl"]
    assert ask("lambda", "GetFunctionUrlConfig", **whole, Qualifier="live")["FunctionUrl"] == url
    ask("lambda", "PutFunctionEventInvokeConfig", **whole, MaximumRetryAttempts=1)
    answer = ask("lambda", "Invoke", **whole, Qualifier="live")
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "2")
    assert server.invoke(name, Qualifier="1")[0] == [1, "hello", "one"]
    found = ask("lambda", "GetFunction", **whole)["Configuration"]
    assert (found["State"], found["LastUpdateStatus"], found["Timeout"]) == ("Active", "Successful", 20)
    policy = json.loads(ask("lambda", "GetPolicy", **whole, Qualifier="live")["Policy"])
    assert [one["Sid"] for one in policy["Statement"]] == ["bucket"]
    ask("lambda", "DeleteFunctionUrlConfig", **whole, Qualifier="live")
    ask("lambda", "DeleteAlias", **whole, Name="live")
    ask("lambda", "DeleteFunction", **whole)
    ask("lambda", "DeleteLayerVersion", LayerName=name, VersionNumber=1)
    ask("logs", "DeleteLogGroup", logGroupName=f"/{name}")
    ask("iam", "DeleteRole", RoleName=name)
    with refused("ResourceNotFoundException", f"^Function not found: .*:{name}$", 404):
        server.client("lambda").get_function(**whole)
