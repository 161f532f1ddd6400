"""Settings of function URLs as a caller sees them: what is shown, refused, kept, and what ends with what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paddock.model.errors import InvalidParameterValue, ResourceConflict, ResourceNotFound
from paddock.wire.constraints import violations
from tests.unit.services.lambda_.test_lambda import ARN, MODEL, Client, refusal, tell

CORS: dict[str, Any] = {
    "AllowCredentials": True,
    "AllowHeaders": ["x-one"],
    "AllowMethods": ["GET", "POST"],
    "AllowOrigins": ["https://example.com"],
    "ExposeHeaders": ["x-two"],
    "MaxAge": 0,
}
NO_FUNCTION, ABSENT = "Function does not exist", "The resource you requested does not exist."


async def published(client: Client) -> None:
    """f with version 1 and the alias live."""
    await client.created()
    await client("PublishVersion", FunctionName="f")
    await client("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")


def test_a_url_is_made_shown_changed_and_deleted(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        answer = await client("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
        assert answer.status == 201
        made = answer.json
        assert made.keys() == {"FunctionUrl", "FunctionArn", "AuthType", "CreationTime"}  # no mode: none was sent
        assert made["FunctionArn"] == ARN
        url_id, _, rest = made["FunctionUrl"].removeprefix("http://").partition(".")
        assert len(url_id) == 32
        assert rest == "lambda-url.us-east-1.localhost:4566/"
        shown = (await client("GetFunctionUrlConfig", FunctionName="f")).json
        assert shown == {**made, "InvokeMode": "BUFFERED", "LastModifiedTime": made["CreationTime"]}
        changes = {"AuthType": "AWS_IAM", "Cors": CORS, "InvokeMode": "RESPONSE_STREAM"}
        changed = (await client("UpdateFunctionUrlConfig", FunctionName="f", **changes)).json
        assert changed["LastModifiedTime"] > made["CreationTime"]
        assert {name: changed[name] for name in changes} == changes
        assert changed["FunctionUrl"] == made["FunctionUrl"]
        only_mode = (await client("UpdateFunctionUrlConfig", FunctionName="f", InvokeMode="BUFFERED")).json
        assert (only_mode["AuthType"], only_mode["Cors"]) == ("AWS_IAM", CORS)
        without = (await client("UpdateFunctionUrlConfig", FunctionName="f", Cors={})).json
        assert "Cors" not in without
        assert "InvokeMode" not in without
        assert (await client("DeleteFunctionUrlConfig", FunctionName="f")).status == 204
        assert await refusal(client("GetFunctionUrlConfig", FunctionName="f"), ResourceNotFound) == ABSENT
        assert client.desk.urls.at(url_id) is None

    tell(tmp_path, story)


def test_each_alias_has_one_of_its_own_and_pages_hold_them_all(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await published(client)
        own = (await client("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")).json
        live = (await client("CreateFunctionUrlConfig", FunctionName="f:live", AuthType="AWS_IAM")).json
        assert live["FunctionArn"] == f"{ARN}:live"
        assert live["FunctionUrl"] != own["FunctionUrl"]
        message = await refusal(
            client("CreateFunctionUrlConfig", FunctionName="f", Qualifier="live", AuthType="NONE"), ResourceConflict
        )
        assert message == (
            f"Failed to create function url config for [functionArn = {ARN}:live]. Error message:  "
            "FunctionUrlConfig exists for this Lambda function"
        )
        first = (await client("ListFunctionUrlConfigs", FunctionName="f", MaxItems=1)).json
        second = (await client("ListFunctionUrlConfigs", FunctionName="f", Marker=first["NextMarker"])).json
        arns = [one["FunctionArn"] for page in (first, second) for one in page["FunctionUrlConfigs"]]
        assert arns == [ARN, f"{ARN}:live"]
        assert "NextMarker" not in second
        await client("DeleteFunctionUrlConfig", FunctionName="f")
        assert (await client("GetFunctionUrlConfig", FunctionName="f:live")).json["InvokeMode"] == "BUFFERED"

    tell(tmp_path, story)


def test_a_url_outlives_a_restart_and_ends_with_its_alias_and_its_function(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await published(client)
        shown = []
        for name in ("f", "f:live"):
            await client("CreateFunctionUrlConfig", FunctionName=name, AuthType="NONE", Cors=CORS)
            shown.append((await client("GetFunctionUrlConfig", FunctionName=name)).json)
        await client.world.restart()
        again = Client(client.world)
        listed = (await again("ListFunctionUrlConfigs", FunctionName="f")).json["FunctionUrlConfigs"]
        assert listed == shown
        own, live = (one["FunctionUrl"][len("http://") :][:32] for one in shown)
        found = again.desk.urls.at(live)
        assert found is not None
        assert found[0].arn == f"{ARN}:live"
        await again("DeleteAlias", FunctionName="f", Name="live")
        assert again.desk.urls.at(live) is None
        await again("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
        assert await refusal(again("GetFunctionUrlConfig", FunctionName="f:live"), ResourceNotFound) == ABSENT
        assert again.desk.urls.at(own) is not None
        await again("DeleteFunction", FunctionName="f")
        assert again.desk.urls.at(own) is None
        await again.created()
        assert (await again("ListFunctionUrlConfigs", FunctionName="f")).json == {"FunctionUrlConfigs": []}

    tell(tmp_path, story)


def test_what_is_not_there(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        create, update = "CreateFunctionUrlConfig", "UpdateFunctionUrlConfig"
        assert await refusal(client(create, FunctionName="f", AuthType="NONE"), ResourceNotFound) == NO_FUNCTION
        assert await refusal(client(update, FunctionName="f"), ResourceNotFound) == NO_FUNCTION
        assert await refusal(client("ListFunctionUrlConfigs", FunctionName="f"), ResourceNotFound) == NO_FUNCTION
        for operation in ("GetFunctionUrlConfig", "DeleteFunctionUrlConfig"):
            assert await refusal(client(operation, FunctionName="f"), ResourceNotFound) == ABSENT
        await client.created()
        assert await refusal(client(create, FunctionName="f:gone", AuthType="NONE"), ResourceNotFound) == NO_FUNCTION
        for operation in (update, "GetFunctionUrlConfig", "DeleteFunctionUrlConfig"):
            assert await refusal(client(operation, FunctionName="f"), ResourceNotFound) == ABSENT

    tell(tmp_path, story)


def test_tenants_that_are_apart_have_no_common_address(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created(TenancyConfig={"TenantIsolationMode": "PER_TENANT"})
        await refusal(client("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE"), InvalidParameterValue)

    tell(tmp_path, story)


@pytest.mark.parametrize("qualifier", ["1", "$LATEST"])
def test_versions_have_no_url(qualifier: str) -> None:
    found = violations(MODEL.operation("GetFunctionUrlConfig"), {"FunctionName": "f", "Qualifier": qualifier})
    assert len(found) == 1
