"""Versions, aliases and reserved concurrency as a caller sees them: shapes, members and pages."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from paddock.model.errors import (
    InvalidParameterValue,
    NotYet,
    PreconditionFailed,
    ResourceConflict,
    ResourceNotFound,
    TooManyRequests,
)
from paddock.model.invocation import InvocationResult
from paddock.wire.constraints import message, violations
from tests.unit.control.world import package
from tests.unit.services.lambda_.test_lambda import ARN, MINIMAL, MODEL, Client, refusal, tell


def test_publish_version_is_rendered_as_a_configuration(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created(Description="d")
        latest = (await client("GetFunctionConfiguration", FunctionName="f")).json
        answer = await client(
            "PublishVersion", FunctionName="f", Description="release", CodeSha256=latest["CodeSha256"]
        )
        assert answer.status == 201
        published = answer.json
        assert published == {
            **latest,
            "FunctionArn": f"{ARN}:1",
            "Version": "1",
            "Description": "release",
            "RevisionId": published["RevisionId"],
        }
        read = (await client("GetFunction", FunctionName="f", Qualifier="1")).json
        assert read["Configuration"] == published
        assert (await client("GetFunctionConfiguration", FunctionName="f:1")).json == published
        for guard in ({"RevisionId": latest["RevisionId"]}, {"RevisionId": "x"}):
            await refusal(client("PublishVersion", FunctionName="f", **guard), PreconditionFailed)
        assert "PublishTo" in await refusal(
            client("PublishVersion", FunctionName="f", PublishTo="LATEST_PUBLISHED"), NotYet
        )

    tell(tmp_path, story)


def test_create_with_publish_shows_the_version_under_the_functions_own_arn(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        client.world.fleet.gate = asyncio.Event()
        body = (await client("CreateFunction", **MINIMAL, Publish=True)).json
        assert (body["FunctionArn"], body["Version"], body["State"]) == (ARN, "1", "Pending")
        assert "LastUpdateStatus" not in body
        client.world.fleet.gate.set()
        await client.world.settled()
        settled = (await client("GetFunctionConfiguration", FunctionName="f", Qualifier="1")).json
        assert (settled["FunctionArn"], settled["State"]) == (f"{ARN}:1", "Active")
        assert settled["LastUpdateStatus"] == "Successful"

    tell(tmp_path, story)


def test_update_code_with_publish_shows_the_version(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        client.world.fleet.gate = asyncio.Event()
        dry = await client("UpdateFunctionCode", FunctionName="f", ZipFile=package("2"), Publish=True, DryRun=True)
        assert dry.json["Version"] == "$LATEST"
        body = (await client("UpdateFunctionCode", FunctionName="f", ZipFile=package("2"), Publish=True)).json
        assert (body["FunctionArn"], body["Version"], body["State"]) == (f"{ARN}:1", "1", "Pending")
        assert "LastUpdateStatus" not in body
        client.world.fleet.gate.set()
        await client.world.settled()
        body = (await client("UpdateFunctionCode", FunctionName="f", ZipFile=package("2"), Publish=True)).json
        assert (body["FunctionArn"], body["State"]) == (f"{ARN}:1", "Active"), "published already"

    tell(tmp_path, story)


async def versions(client: Client, count: int, name: str = "f") -> None:
    """So many versions of f, each with a timeout of its own."""
    for number in range(count):
        await client("UpdateFunctionConfiguration", FunctionName=name, Timeout=number + 10)
        await client.world.settled(name)
        await client("PublishVersion", FunctionName=name)


async def pages(client: Client, operation: str, member: str, shown: str, **params: Any) -> list[list[str]]:
    found, marker = [], {}
    while True:
        page = (await client(operation, **params, **marker)).json
        found.append([one[shown] for one in page[member]])
        if "NextMarker" not in page:
            return found
        marker = {"Marker": page["NextMarker"]}


def test_pages_of_versions(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        await versions(client, 3)
        listed = (await client("ListVersionsByFunction", FunctionName="f")).json["Versions"]
        assert [one["FunctionArn"] for one in listed] == [f"{ARN}:{v}" for v in ("$LATEST", 1, 2, 3)]
        assert not {"State", "LastUpdateStatus"} & set(listed[1])
        two = await pages(client, "ListVersionsByFunction", "Versions", "Version", FunctionName="f", MaxItems=2)
        assert two == [["$LATEST", "1"], ["2", "3"]]
        one = await pages(client, "ListVersionsByFunction", "Versions", "Version", FunctionName="f", MaxItems=1)
        assert one == [["$LATEST"], ["1"], ["2"], ["3"]]
        for marker in ("ü!", "ZnJvZw=="):
            call = client("ListVersionsByFunction", FunctionName="f", Marker=marker)
            assert await refusal(call, InvalidParameterValue) == f"Invalid Marker: {marker}"
        await client("CreateFunction", **{**MINIMAL, "FunctionName": "g"})
        every = await pages(client, "ListFunctions", "Functions", "FunctionArn", FunctionVersion="ALL", MaxItems=3)
        assert every == [
            [f"{ARN}:$LATEST", f"{ARN}:1", f"{ARN}:2"],
            [f"{ARN}:3", f"{ARN[:-1]}g:$LATEST"],
        ]
        assert await pages(client, "ListFunctions", "Functions", "Version", MaxItems=1) == [["$LATEST"], ["$LATEST"]]
        bad = client("ListFunctions", FunctionVersion="ALL", Marker="Zjp4")
        assert "Invalid Marker" in await refusal(bad, InvalidParameterValue)

    tell(tmp_path, story)


def test_aliases_over_the_wire(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        await versions(client, 2)
        created = await client("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
        assert created.status == 201
        assert created.json == {
            "AliasArn": f"{ARN}:live",
            "Name": "live",
            "FunctionVersion": "1",
            "Description": "",
            "RevisionId": created.json["RevisionId"],
        }
        assert (await client("GetAlias", FunctionName="f", Name="live")).json == created.json
        routed = await client(
            "UpdateAlias",
            FunctionName="f",
            Name="live",
            Description="canary",
            RoutingConfig={"AdditionalVersionWeights": {"2": 0.25}},
            RevisionId=created.json["RevisionId"],
        )
        assert (routed.status, routed.json) == (
            200,
            {
                **created.json,
                "Description": "canary",
                "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.25}},
                "RevisionId": routed.json["RevisionId"],
            },
        )
        listed = (await client("ListAliases", FunctionName="f")).json
        assert listed == {"Aliases": [routed.json]}
        for empty in ({}, {"AdditionalVersionWeights": {}}):
            await client(
                "UpdateAlias", FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}}
            )
            cleared = (await client("UpdateAlias", FunctionName="f", Name="live", RoutingConfig=empty)).json
            assert "RoutingConfig" not in cleared
        again = client("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
        assert await refusal(again, ResourceConflict) == f"Alias already exists: {ARN}:live"
        await client("CreateAlias", FunctionName="f", Name="b", FunctionVersion="2")
        named = await pages(client, "ListAliases", "Aliases", "Name", FunctionName="f", MaxItems=1)
        assert named == [["b"], ["live"]]
        assert await pages(client, "ListAliases", "Aliases", "Name", FunctionName="f", FunctionVersion="2") == [["b"]]
        deleted = await client("DeleteAlias", FunctionName="f", Name="live")
        assert (deleted.status, deleted.body) == (204, b"")
        assert (await client("DeleteAlias", FunctionName="f", Name="live")).status == 204
        gone = client("GetAlias", FunctionName="f", Name="live")
        assert await refusal(gone, ResourceNotFound) == f"Cannot find alias arn: {ARN}:live"

    tell(tmp_path, story)


def test_the_model_refuses_weights_that_are_none_and_versions_that_are_no_numbers() -> None:
    def refused(weights: dict[str, float]) -> str:
        params = {
            "FunctionName": "f",
            "Name": "a",
            "FunctionVersion": "1",
            "RoutingConfig": {"AdditionalVersionWeights": weights},
        }
        return message(violations(MODEL.operation("CreateAlias"), params))

    assert "Value '{2=-1.0}' at 'routingConfig.additionalVersionWeights'" in refused({"2": -1.0})
    assert "Map keys must satisfy constraint" in refused({"$LATEST": 0.5})


def test_reading_through_an_alias(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        await versions(client, 2)
        await client("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
        version = (await client("GetFunction", FunctionName="f", Qualifier="1")).json["Configuration"]
        read = (await client("GetFunction", FunctionName="f", Qualifier="live")).json["Configuration"]
        assert read == {**version, "FunctionArn": f"{ARN}:live"}
        assert (await client("GetFunctionConfiguration", FunctionName=f"{ARN}:live")).json == read
        for operation in ("GetFunction", "GetFunctionConfiguration", "Invoke"):
            for unknown in ("7", "dead"):
                missing = client(operation, FunctionName="f", Qualifier=unknown)
                assert await refusal(missing, ResourceNotFound) == f"Function not found: {ARN}:{unknown}"

    tell(tmp_path, story)


def test_an_alias_is_invoked_under_its_own_arn_and_runs_its_version(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        await versions(client, 2)
        await client("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
        client.world.fleet.result = InvocationResult(payload=b"null", executed_version="1")
        answer = await client("Invoke", FunctionName="f", Qualifier="live")
        assert answer.headers["x-amz-executed-version"] == "1"
        await client("Invoke", FunctionName="f", Qualifier="1")
        by_alias, by_number = client.world.fleet.invocations
        assert (by_alias.invoked_arn, by_number.invoked_arn) == (f"{ARN}:live", f"{ARN}:1")
        assert (by_alias.version.version, by_alias.version.timeout_s) == ("1", 10)
        assert by_alias.version.environment_key == by_number.version.environment_key

    tell(tmp_path, story)


def test_deleting_one_version(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        await versions(client, 1)
        deleted = await client("DeleteFunction", FunctionName="f", Qualifier="1")
        assert (deleted.status, deleted.body) == (204, b"")
        assert (await client("DeleteFunction", FunctionName="f", Qualifier="1")).status == 204
        await refusal(client("GetFunction", FunctionName="f", Qualifier="1"), ResourceNotFound)
        assert (await client("GetFunction", FunctionName="f")).status == 200

    tell(tmp_path, story)


def test_reserved_concurrency_over_the_wire(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        assert (await client("GetFunctionConcurrency", FunctionName="f")).json == {}
        assert "Concurrency" not in (await client("GetFunction", FunctionName="f")).json
        put = await client("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=0)
        assert (put.status, put.json) == (200, {"ReservedConcurrentExecutions": 0})
        with pytest.raises(TooManyRequests) as caught:
            await client("Invoke", FunctionName="f")
        assert caught.value.members == {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}
        assert caught.value.message == "Rate Exceeded."
        await client("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=300)
        reserved = {"ReservedConcurrentExecutions": 300}
        assert (await client("GetFunctionConcurrency", FunctionName="f")).json == reserved
        assert (await client("GetFunction", FunctionName="f")).json["Concurrency"] == reserved
        limits = (await client("GetAccountSettings")).json["AccountLimit"]
        assert (limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]) == (1000, 700)
        deleted = await client("DeleteFunctionConcurrency", FunctionName="f")
        assert (deleted.status, deleted.body) == (204, b"")
        assert (await client("GetFunctionConcurrency", FunctionName="f")).json == {}
        assert (await client("Invoke", FunctionName="f")).status == 200
        limits = (await client("GetAccountSettings")).json["AccountLimit"]
        assert limits["UnreservedConcurrentExecutions"] == 1000

    tell(tmp_path, story)


def test_reserved_concurrency_of_what_is_not_there(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        put = client("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=1)
        assert await refusal(put, ResourceNotFound) == f"Function not found: {ARN}:$LATEST"
        for operation in ("GetFunctionConcurrency", "DeleteFunctionConcurrency"):
            assert await refusal(client(operation, FunctionName="f"), ResourceNotFound) == f"Function not found: {ARN}"
        await client.created()
        put = client("PutFunctionConcurrency", FunctionName="f:$LATEST", ReservedConcurrentExecutions=1)
        assert "Aliases and versions do not support" in await refusal(put, InvalidParameterValue)

    tell(tmp_path, story)
