"""Resource policies as a caller sees them: statements, errors, RevisionIds, and what becomes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from paddock.model.errors import (
    InvalidParameterValue,
    PolicyLengthExceeded,
    PreconditionFailed,
    ResourceConflict,
    ResourceNotFound,
)
from paddock.model.permission import Asker
from tests.unit.control.world import ACCOUNT
from tests.unit.services.lambda_.test_lambda import ARN, Client, refusal, tell

S3: dict[str, Any] = {
    "FunctionName": "f",
    "StatementId": "s3",
    "Action": "lambda:InvokeFunction",
    "Principal": "s3.amazonaws.com",
}
BUCKET = "arn:aws:s3:::b"
STALE = (
    "The Revision Id provided does not match the latest Revision Id. Call the {} API to retrieve the latest Revision Id"
)


async def published(client: Client) -> None:
    """f with version 1 and the alias live."""
    await client.created()
    await client("PublishVersion", FunctionName="f")
    await client("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")


async def statements(client: Client, **which: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((await client("GetPolicy", FunctionName="f", **which)).json["Policy"])[
        "Statement"
    ]
    return found


def test_a_statement_is_rendered_as_aws_does(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        answer = await client(
            "AddPermission", **S3, SourceArn=BUCKET, SourceAccount=ACCOUNT, EventSourceToken="t",
            FunctionUrlAuthType="NONE", PrincipalOrgID="o-1234567890", InvokedViaFunctionUrl=True,
        )  # fmt: skip
        assert answer.status == 201
        statement = {
            "Sid": "s3",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": ARN,
            "Condition": {
                "StringEquals": {
                    "AWS:SourceAccount": ACCOUNT,
                    "lambda:FunctionUrlAuthType": "NONE",
                    "aws:PrincipalOrgID": "o-1234567890",
                    "lambda:EventSourceToken": "t",
                },
                "Bool": {"lambda:InvokedViaFunctionUrl": "true"},
                "ArnLike": {"AWS:SourceArn": BUCKET},
            },
        }
        assert answer.json["Statement"] == json.dumps(statement, separators=(",", ":"))
        policy = (await client("GetPolicy", FunctionName="f")).json
        whole = {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}
        assert policy["Policy"] == json.dumps(whole, separators=(",", ":"))
        shown = (await client("GetFunctionConfiguration", FunctionName="f")).json
        assert policy["RevisionId"] == shown["RevisionId"]
        assert (await client("GetResourcePolicy", ResourceArn=ARN)).json == policy

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("*", "*"),
        ("210987654321", {"AWS": "arn:aws:iam::210987654321:root"}),
        ("arn:aws:iam::210987654321:role/r", {"AWS": "arn:aws:iam::210987654321:role/r"}),
        ("events.amazonaws.com", {"Service": "events.amazonaws.com"}),
    ],
)
def test_principals(tmp_path: Path, sent: str, shown: Any) -> None:
    async def story(client: Client) -> None:
        await client.created()
        await client("AddPermission", **{**S3, "Principal": sent})
        (statement,) = await statements(client)
        assert statement["Principal"] == shown
        assert "Condition" not in statement

    tell(tmp_path, story)


@pytest.mark.parametrize("sent", ["s3", "12345", "arn:aws:s3:::b", "amazonaws.com.evil", "arn:aws:iam::1:root"])
def test_principals_that_are_none(tmp_path: Path, sent: str) -> None:
    async def story(client: Client) -> None:
        await client.created()
        call = client("AddPermission", **{**S3, "Principal": sent})
        message = "The provided principal was invalid. Please check the principal and try again."
        assert await refusal(call, InvalidParameterValue) == message

    tell(tmp_path, story)


def test_policies_hang_on_what_they_were_added_to_and_go_with_it(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await published(client)
        for qualifier in ({}, {"Qualifier": "1"}, {"Qualifier": "live"}):
            await client("AddPermission", **S3, **qualifier)
        assert [s["Resource"] for s in await statements(client)] == [ARN]
        assert [s["Resource"] for s in await statements(client, Qualifier="1")] == [f"{ARN}:1"]
        assert [s["Resource"] for s in await statements(client, Qualifier="live")] == [f"{ARN}:live"]
        permits, service = client.desk.permissions.permits, Asker(service="s3.amazonaws.com")
        assert all(permits(arn, service) for arn in (ARN, f"{ARN}:1", f"{ARN}:live"))
        assert not any(permits(arn, service) for arn in (f"{ARN}:$LATEST", f"{ARN}x", "arn:x", f"{ARN}:2"))
        await client("DeleteAlias", FunctionName="f", Name="live")
        await client("DeleteFunction", FunctionName="f", Qualifier="1")
        await client("CreateAlias", FunctionName="f", Name="live", FunctionVersion="$LATEST")
        gone = client("GetPolicy", FunctionName="f", Qualifier="live")
        assert await refusal(gone, ResourceNotFound) == "The resource you requested does not exist."
        await client("DeleteFunction", FunctionName="f")
        await client.created()
        await refusal(client("GetPolicy", FunctionName="f"), ResourceNotFound)

    tell(tmp_path, story)


def test_policies_survive_a_restart(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await published(client)
        await client("AddPermission", **S3, Qualifier="live")
        await client("AddPermission", **{**S3, "StatementId": "other"}, Qualifier="live")
        await client("RemovePermission", FunctionName="f", StatementId="s3", Qualifier="live")
        before = (await client("GetPolicy", FunctionName="f", Qualifier="live")).json
        await client.world.restart()
        again = Client(client.world)
        assert (await again("GetPolicy", FunctionName="f", Qualifier="live")).json == before
        assert [s["Sid"] for s in await statements(again, Qualifier="live")] == ["other"]

    tell(tmp_path, story)


def test_what_is_not_there(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        absent = "The resource you requested does not exist."
        assert await refusal(client("AddPermission", **S3), ResourceNotFound) == f"Function not found: {ARN}"
        removal = {"FunctionName": "f", "StatementId": "s3"}
        assert await refusal(client("RemovePermission", **removal), ResourceNotFound) == f"No policy found for: {ARN}"
        await client.created()
        none = "No policy is associated with the given resource."
        assert await refusal(client("RemovePermission", **removal), ResourceNotFound) == none
        assert await refusal(client("GetPolicy", FunctionName="f"), ResourceNotFound) == absent
        await client("AddPermission", **S3)
        unknown = client("RemovePermission", FunctionName="f", StatementId="x")
        assert await refusal(unknown, ResourceNotFound) == "Statement x is not found in resource policy."
        for operation in ("AddPermission", "RemovePermission", "GetPolicy"):
            sent = S3 if operation == "AddPermission" else removal if operation == "RemovePermission" else {}
            params = {"FunctionName": "f", **sent}
            version = await refusal(client(operation, **params, Qualifier="7"), ResourceNotFound)
            assert version == f"Function not found: {ARN}:7"
            alias = await refusal(client(operation, **params, Qualifier="live"), ResourceNotFound)
            assert alias == f"Cannot find alias arn: {ARN}:live"
            latest = await refusal(client(operation, **params, Qualifier="$LATEST"), InvalidParameterValue)
            assert latest == "We currently do not support adding policies for $LATEST."

    tell(tmp_path, story)


def test_a_statement_id_is_given_once(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        await client("AddPermission", **S3)
        message = await refusal(client("AddPermission", **S3), ResourceConflict)
        assert message == (
            "The statement id (s3) provided already exists. "
            "Please provide a new statement id, or remove the existing statement."
        )
        await client("RemovePermission", FunctionName="f", StatementId="s3")
        await client("AddPermission", **S3)

    tell(tmp_path, story)


def test_revision_ids_guard_and_change(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await published(client)
        for qualifier in ({}, {"Qualifier": "1"}, {"Qualifier": "live"}):
            await client("AddPermission", **S3, **qualifier)
            first = (await client("GetPolicy", FunctionName="f", **qualifier)).json["RevisionId"]
            await client("AddPermission", **{**S3, "StatementId": "b"}, **qualifier, RevisionId=first)
            second = (await client("GetPolicy", FunctionName="f", **qualifier)).json["RevisionId"]
            assert second != first
            stale = client("AddPermission", **{**S3, "StatementId": "c"}, **qualifier, RevisionId=first)
            assert await refusal(stale, PreconditionFailed) == STALE.format("GetPolicy")
            removal = {"FunctionName": "f", "StatementId": "b", **qualifier}
            stale = client("RemovePermission", **removal, RevisionId=first)
            assert await refusal(stale, PreconditionFailed) == STALE.format("GetFunction/GetAlias")
            await client("RemovePermission", **removal, RevisionId=second)
        alias = (await client("GetAlias", FunctionName="f", Name="live")).json
        policy = (await client("GetPolicy", FunctionName="f", Qualifier="live")).json
        assert alias["RevisionId"] == policy["RevisionId"]
        version = (await client("GetFunctionConfiguration", FunctionName="f", Qualifier="1")).json
        assert version["RevisionId"] == (await client("GetPolicy", FunctionName="f", Qualifier="1")).json["RevisionId"]
        again = (await client("PublishVersion", FunctionName="f")).json
        assert again["Version"] == "1", "a policy is no change of what was published"

    tell(tmp_path, story)


def test_the_size_is_limited(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        long = {**S3, "Principal": "arn:aws:iam::210987654321:role/" + "r" * 1900}
        for number in range(9):
            await client("AddPermission", **{**long, "StatementId": f"s{number}"})
        before = (await client("GetPolicy", FunctionName="f")).json
        message = await refusal(client("AddPermission", **{**long, "StatementId": "last"}), PolicyLengthExceeded)
        assert message.startswith("The final policy size (")
        assert message.endswith("bigger than the limit (20480).")
        assert (await client("GetPolicy", FunctionName="f")).json == before

    tell(tmp_path, story)


def test_whole_policies(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await published(client)
        await client("AddPermission", **S3)
        statement = {"Effect": "Allow", "Principal": "*", "Action": "lambda:*", "Resource": ARN}
        text = json.dumps({"Version": "2012-10-17", "Statement": statement})
        put = await client("PutResourcePolicy", ResourceArn=ARN, Policy=text)
        assert (put.status, put.json["Policy"]) == (200, text)
        assert (await client("GetPolicy", FunctionName="f")).json == put.json
        await client("AddPermission", **S3)
        assert [s.get("Sid") for s in await statements(client)] == [None, "s3"]
        stale = client("PutResourcePolicy", ResourceArn=ARN, Policy=text, RevisionId=put.json["RevisionId"])
        await refusal(stale, PreconditionFailed)
        stale = client("DeleteResourcePolicy", ResourceArn=ARN, RevisionId=put.json["RevisionId"])
        await refusal(stale, PreconditionFailed)
        current = (await client("GetResourcePolicy", ResourceArn=ARN)).json["RevisionId"]
        assert (await client("DeleteResourcePolicy", ResourceArn=ARN, RevisionId=current)).status == 204
        for operation in ("GetResourcePolicy", "DeleteResourcePolicy"):
            await refusal(client(operation, ResourceArn=ARN), ResourceNotFound)

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "policy",
    [
        "{}",
        "no JSON",
        '{"Version":"2012-10-17","Statement":[]}',
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"lambda:*","Resource":"*"}}',
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"lambda:*",'
        '"Resource":"arn:aws:lambda:us-east-1:000000000000:function:g"}}',
    ],
)
def test_what_is_no_policy_for_the_function(tmp_path: Path, policy: str) -> None:
    async def story(client: Client) -> None:
        await client.created()
        await refusal(client("PutResourcePolicy", ResourceArn=ARN, Policy=policy), InvalidParameterValue)
        await refusal(client("GetPolicy", FunctionName="f"), ResourceNotFound)
        runtime = "arn:aws:lambda:us-east-1:000000000000:runtime/r"
        await refusal(client("GetResourcePolicy", ResourceArn=runtime), ResourceNotFound)

    tell(tmp_path, story)
