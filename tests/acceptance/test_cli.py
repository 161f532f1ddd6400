"""The AWS CLI, as one would type it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.server import ROLE, RunningServer, default_runtime, zipped

AWS = Path(sys.executable).parent / "aws"

pytestmark = pytest.mark.skipif(not AWS.exists(), reason="the AWS CLI is not installed beside this Python")

Cli = Callable[..., str]


@pytest.fixture
def cli(server: RunningServer, tmp_path: Path) -> Cli:
    """Runs `aws ...`, expects success unless told otherwise, and returns what it printed."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "127.0.0.1",
    }

    def run(*arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, AWS, *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode in (254, 255)) if fails else done.returncode == 0, done.stderr
        return done.stderr if fails else done.stdout

    return run


def test_a_function_from_the_command_line(cli: Cli, tmp_path: Path) -> None:
    def package(text: str) -> None:
        source = f"def handler(event, context):\n    print('at work')\n    return ['{text}', event]\n"
        (tmp_path / "function.zip").write_bytes(zipped({"app.py": source}))

    package("one")
    name = ("--function-name", "typed")
    made = json.loads(
        cli("lambda", "create-function", *name, "--runtime", default_runtime(), "--handler", "app.handler",
            "--role", ROLE, "--zip-file", "fileb://function.zip", "--environment", "Variables={COLOUR=bay}")
    )  # fmt: skip
    assert made["State"] == "Pending"
    assert cli("lambda", "wait", "function-active-v2", *name) == ""
    shown = cli("lambda", "invoke", *name, "--payload", '{"k": "v"}', "--log-type", "Tail", "out.json")
    answer = json.loads(shown)
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    log = base64.b64decode(answer["LogResult"]).decode()
    assert log.startswith("START RequestId: ")
    assert "\nat work\n" in log
    assert "\nREPORT RequestId: " in log
    assert json.loads((tmp_path / "out.json").read_text()) == ["one", {"k": "v"}]
    package("two")
    begun = json.loads(cli("lambda", "update-function-code", *name, "--zip-file", "fileb://function.zip"))
    assert begun["LastUpdateStatus"] == "InProgress"
    cli("lambda", "wait", "function-updated-v2", *name)
    cli("lambda", "invoke", *name, "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == ["two", {}]
    found = cli("logs", "filter-log-events", "--log-group-name", "/aws/lambda/typed", "--filter-pattern", "work")
    assert [event["message"] for event in json.loads(found)["events"]] == ["at work\n"] * 2
    assert json.loads(cli("lambda", "publish-version", *name))["Version"] == "1"
    one = (*name, "--qualifier", "1")
    put = cli("lambda", "put-provisioned-concurrency-config", *one, "--provisioned-concurrent-executions", "1")
    assert json.loads(put)["Status"] == "IN_PROGRESS"
    listed = json.loads(cli("lambda", "list-provisioned-concurrency-configs", *name))
    assert [one["FunctionArn"][-7:] for one in listed["ProvisionedConcurrencyConfigs"]] == ["typed:1"]
    assert cli("lambda", "delete-provisioned-concurrency-config", *one) == ""
    cli("lambda", "delete-function", *name)
    refusal = cli("lambda", "get-function", *name, fails=True)
    assert "(ResourceNotFoundException)" in refusal
    assert "Function not found: arn:aws:lambda:us-east-1:000000000000:function:typed" in refusal


def test_who_am_i_and_a_role(cli: Cli) -> None:
    assert json.loads(cli("sts", "get-caller-identity"))["Account"] == "000000000000"
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    made = cli("iam", "create-role", "--role-name", "typed", "--assume-role-policy-document", json.dumps(trust))
    assert json.loads(made)["Role"]["Arn"] == "arn:aws:iam::000000000000:role/typed"
    policy = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    assert cli("iam", "attach-role-policy", "--role-name", "typed", "--policy-arn", policy) == ""
    attached = json.loads(cli("iam", "list-attached-role-policies", "--role-name", "typed"))["AttachedPolicies"]
    assert [each["PolicyArn"] for each in attached] == [policy]


def test_following_the_log(server: RunningServer, cli: Cli) -> None:
    help_text = subprocess.run(
        [sys.executable, AWS, "logs", "tail", "help"], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    if "invalid choice" in help_text.stderr.lower():
        pytest.skip("this AWS CLI has no `logs tail` (it came with version 2)")
    server.create("followed", "def handler(event, context):\n    print('hear me')\n")
    server.invoke("followed")
    assert "hear me" in cli("logs", "tail", "/aws/lambda/followed")


def test_what_is_missing_is_named(cli: Cli) -> None:
    assert "ListCapacityProviders" in cli("lambda", "list-capacity-providers", fails=True)
    assert "dynamodb" in cli("dynamodb", "list-tables", fails=True).lower()
