"""Temporary credentials as SDKs use them: assumed roles, root's sessions, and the session that a function has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.support.calls import refused
from tests.support.cli import Cli
from tests.support.server import RunningServer

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::000000000000:root", "Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
INSIDE = """
import os
import boto3

def handler(event, context):
    sts = boto3.client("sts")
    who = sts.get_caller_identity()
    assumed = sts.assume_role(RoleArn=event["role"], RoleSessionName="inner")["Credentials"]
    second = boto3.client(
        "sts",
        aws_access_key_id=assumed["AccessKeyId"],
        aws_secret_access_key=assumed["SecretAccessKey"],
        aws_session_token=assumed["SessionToken"],
    )
    return [who, second.get_caller_identity()["Arn"], os.environ["AWS_ACCESS_KEY_ID"]]
"""


@pytest.fixture(scope="module")
def role(server: RunningServer) -> dict[str, Any]:
    iam = server.client("iam")
    made: dict[str, Any] = iam.create_role(
        RoleName="assumed", Path="/team/", AssumeRolePolicyDocument=json.dumps(TRUST)
    )["Role"]
    return made


def with_keys(server: RunningServer, service: str, keys: dict[str, Any]) -> Any:
    return boto3.client(
        service,
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_an_assumed_role_is_who_calls(server: RunningServer, role: dict[str, Any]) -> None:
    answer = server.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me")
    found = with_keys(server, "sts", answer["Credentials"]).get_caller_identity()
    assert found["Arn"] == answer["AssumedRoleUser"]["Arn"] == "arn:aws:sts::000000000000:assumed-role/assumed/me"
    assert found["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"] == f"{role['RoleId']}:me"
    key = answer["Credentials"]["AccessKeyId"]
    assert server.client("sts").get_access_key_info(AccessKeyId=key)["Account"] == "000000000000"


def test_an_account_is_left_for_a_role_that_trusts_it(server: RunningServer) -> None:
    """The session belongs to the role's account, and finds what that account has."""
    there, here = server.client("iam", account="111111111111"), server.client("sts", account="222222222222")
    trust = {**TRUST, "Statement": [{**TRUST["Statement"][0], "Principal": {"AWS": "222222222222"}}]}
    arn = there.create_role(RoleName="crossed", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    server.client("sqs", account="111111111111").create_queue(QueueName="theirs")
    keys = here.assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    assert with_keys(server, "sqs", keys).list_queues()["QueueUrls"] == [
        f"{server.endpoint}/111111111111/theirs",
    ]
    with refused("AccessDenied", "is not authorized to perform: sts:AssumeRole", 403):
        server.client("sts", account="333333333333").assume_role(RoleArn=arn, RoleSessionName="me")


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("lambda", "list_functions", "UnrecognizedClientException"),
        ("sqs", "list_queues", "UnrecognizedClientException"),
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
        ("s3", "list_buckets", "InvalidToken"),
    ],
)
def test_a_forged_token_is_nobodys(server: RunningServer, service: str, operation: str, code: str) -> None:
    keys = server.client("sts").get_session_token()["Credentials"]
    other = server.client("sts").get_session_token()["Credentials"]
    getattr(with_keys(server, service, keys), operation)()
    with refused(code, "^The (security|provided) token"):
        getattr(with_keys(server, service, {**keys, "SessionToken": other["SessionToken"]}), operation)()


def test_a_function_is_a_session_of_its_role(server: RunningServer, role: dict[str, Any], name: str) -> None:
    server.create(name, INSIDE, Role=role["Arn"])
    who, second, key = server.invoke(name, {"role": role["Arn"]})[0]
    assert who["Arn"] == f"arn:aws:sts::000000000000:assumed-role/assumed/{name}"
    assert (who["Account"], who["UserId"]) == ("000000000000", f"{role['RoleId']}:{name}")
    assert second == "arn:aws:sts::000000000000:assumed-role/assumed/inner"
    assert key.startswith("ASIA")


def test_credentials_survive_a_restart_and_work_in_the_cli(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        server.client("iam").create_role(RoleName="kept", AssumeRolePolicyDocument=json.dumps(TRUST))
        keys = server.client("sts").assume_role(RoleArn="arn:aws:iam::000000000000:role/kept", RoleSessionName="me")[
            "Credentials"
        ]
    with RunningServer(tmp_path) as server:
        shown = {
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": keys["SessionToken"],
        }
        with Cli(server, tmp_path, shown) as cli:
            arn = cli("sts", "get-caller-identity", "--query", "Arn", "--output", "text")
        assert arn == "arn:aws:sts::000000000000:assumed-role/kept/me"
