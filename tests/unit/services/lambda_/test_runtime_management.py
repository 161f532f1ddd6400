"""PutRuntimeManagementConfig: Auto, and Manual for the version of the runtime that is there."""

from __future__ import annotations

from pathlib import Path

from paddock.model.errors import InvalidParameterValue, NotYet, ResourceNotFound
from tests.unit.control.world import REGION
from tests.unit.services.lambda_.test_lambda import ARN, Client, refusal, tell

HERE = f"arn:aws:lambda:{REGION}::runtime:python3.12"


def test_auto_manual_and_back(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        await client("PublishVersion", FunctionName="f")
        auto = {"UpdateRuntimeOn": "Auto", "FunctionArn": f"{ARN}:$LATEST"}
        assert (await client("GetRuntimeManagementConfig", FunctionName="f")).json == auto
        pinned = {"UpdateRuntimeOn": "Manual", "FunctionArn": f"{ARN}:$LATEST", "RuntimeVersionArn": HERE}
        manual = {"FunctionName": "f", "UpdateRuntimeOn": "Manual", "RuntimeVersionArn": HERE}
        put = await client("PutRuntimeManagementConfig", **manual)
        assert (put.status, put.json) == (200, pinned)
        await client("PutRuntimeManagementConfig", **manual, Qualifier="1")
        await client.world.restart()
        again = Client(client.world)
        assert (await again("GetRuntimeManagementConfig", FunctionName="f", Qualifier="$LATEST")).json == pinned
        one = (await again("GetRuntimeManagementConfig", FunctionName="f", Qualifier="1")).json
        assert one == {**pinned, "FunctionArn": f"{ARN}:1"}
        back = await again("PutRuntimeManagementConfig", FunctionName="f", UpdateRuntimeOn="Auto")
        assert back.json == auto

    tell(tmp_path, story)


def test_what_is_refused(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        missing = client("PutRuntimeManagementConfig", FunctionName="f", UpdateRuntimeOn="Auto")
        await refusal(missing, ResourceNotFound)
        await refusal(client("GetRuntimeManagementConfig", FunctionName="f"), ResourceNotFound)
        await client.created()
        await client("CreateAlias", FunctionName="f", Name="live", FunctionVersion="$LATEST")
        for params in (
            {"UpdateRuntimeOn": "Manual"},
            {"UpdateRuntimeOn": "Auto", "RuntimeVersionArn": HERE},
            {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": HERE + "x"},
            {"UpdateRuntimeOn": "Auto", "Qualifier": "live"},
        ):
            await refusal(client("PutRuntimeManagementConfig", FunctionName="f", **params), InvalidParameterValue)
        late = client("PutRuntimeManagementConfig", FunctionName="f", UpdateRuntimeOn="FunctionUpdate")
        await refusal(late, NotYet)

    tell(tmp_path, story)
