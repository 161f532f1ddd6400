"""Layers as a caller sees them, and what functions make of them."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from paddock.model.caller import Caller
from paddock.model.errors import (
    AccessDenied,
    CodeStorageExceeded,
    InvalidParameterValue,
    PolicyLengthExceeded,
    PreconditionFailed,
    RequestEntityTooLarge,
    ResourceConflict,
    ResourceNotFound,
    ValidationError,
)
from tests.unit.control.world import ACCOUNT, REGION, package
from tests.unit.services.lambda_.test_lambda import MINIMAL, Client, refusal, tell

LAYER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l"
OTHER = "210987654321"
ABSENT = "The resource you requested does not exist."


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def publish(client: Client, content: str = "layer", name: str = "l", **more: Any) -> dict[str, Any]:
    answer = await client("PublishLayerVersion", LayerName=name, Content={"ZipFile": package(content)}, **more)
    assert answer.status == 201
    found: dict[str, Any] = answer.json
    return found


async def stored(client: Client) -> set[str]:
    return set(await client.world.blobs.digests())


def test_a_version_is_rendered_as_aws_does(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        content = package("layer")
        made = await publish(
            client,
            Description="d",
            LicenseInfo="MIT",
            CompatibleRuntimes=["python3.12"],
            CompatibleArchitectures=["x86_64", "arm64"],
        )
        assert made == {
            "Content": {
                "Location": f"http://127.0.0.1:4566/code/{digest(content)}",
                "CodeSha256": base64.b64encode(bytes.fromhex(digest(content))).decode(),
                "CodeSize": len(content),
            },
            "LayerArn": LAYER,
            "LayerVersionArn": f"{LAYER}:1",
            "Description": "d",
            "CreatedDate": made["CreatedDate"],
            "Version": 1,
            "LicenseInfo": "MIT",
            "CompatibleRuntimes": ["python3.12"],
            "CompatibleArchitectures": ["x86_64", "arm64"],
        }
        assert (await client("GetLayerVersion", LayerName="l", VersionNumber=1)).json == made
        assert (await client("GetLayerVersion", LayerName=LAYER, VersionNumber=1)).json == made
        assert (await client("GetLayerVersionByArn", Arn=f"{LAYER}:1")).json == made
        assert set(await publish(client, name="bare")) == {
            "Content", "LayerArn", "LayerVersionArn", "Description", "CreatedDate", "Version",
        }  # fmt: skip

    tell(tmp_path, story)


def test_numbers_are_never_given_twice(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        for number in (1, 2):
            assert (await publish(client))["Version"] == number
        for number in (1, 2, 2):
            assert (await client("DeleteLayerVersion", LayerName="l", VersionNumber=number)).status == 204
        assert (await client("ListLayers")).json == {"Layers": []}
        assert await stored(client) == set()
        await client.world.restart()
        again = Client(client.world)
        assert (await publish(again))["Version"] == 3
        await again.world.restart()
        listed = (await Client(client.world)("ListLayerVersions", LayerName="l")).json["LayerVersions"]
        assert [one["Version"] for one in listed] == [3]

    tell(tmp_path, story)


def test_lists_filters_and_pages(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await publish(client, CompatibleRuntimes=["python3.11"])
        await publish(client, CompatibleRuntimes=["python3.12"], CompatibleArchitectures=["arm64"])
        await publish(client)
        await publish(client, name="a")
        versions = client("ListLayerVersions", LayerName="l")
        assert [one["Version"] for one in (await versions).json["LayerVersions"]] == [3, 2, 1]
        first = (await client("ListLayerVersions", LayerName="l", MaxItems=2)).json
        assert [one["Version"] for one in first["LayerVersions"]] == [3, 2]
        rest = (await client("ListLayerVersions", LayerName="l", MaxItems=2, Marker=first["NextMarker"])).json
        assert [one["Version"] for one in rest["LayerVersions"]] == [1]
        assert "NextMarker" not in rest
        assert (await client("ListLayerVersions", LayerName="nothing")).json == {"LayerVersions": []}
        page = (await client("ListLayers", MaxItems=1)).json
        assert [one["LayerName"] for one in page["Layers"]] == ["a"]
        page = (await client("ListLayers", MaxItems=1, Marker=page["NextMarker"])).json
        assert [(one["LayerArn"], one["LatestMatchingVersion"]["Version"]) for one in page["Layers"]] == [(LAYER, 3)]
        for query, expected in (
            ({"CompatibleRuntime": "python3.11"}, [1]),
            ({"CompatibleRuntime": "python3.12"}, [2]),
            ({"CompatibleArchitecture": "arm64"}, [2]),
            ({"CompatibleArchitecture": "arm64", "CompatibleRuntime": "python3.11"}, []),
        ):
            found = (await client("ListLayers", **query)).json["Layers"]
            assert [one["LatestMatchingVersion"]["Version"] for one in found] == expected
            found = (await client("ListLayerVersions", LayerName="l", **query)).json["LayerVersions"]
            assert [one["Version"] for one in found] == expected
        await refusal(client("ListLayers", Marker="ü"), InvalidParameterValue)

    tell(tmp_path, story)


def test_what_is_not_there_or_not_acceptable(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        which = {"LayerName": "l", "VersionNumber": 1}
        assert await refusal(client("GetLayerVersion", **which), ResourceNotFound) == ABSENT
        assert await refusal(client("GetLayerVersionByArn", Arn=f"{LAYER}:1"), ResourceNotFound) == ABSENT
        arn = "arn:aws:lambda:::awslayer:AmazonLinux1703"
        assert await refusal(client("GetLayerVersionByArn", Arn=arn), ResourceNotFound) == ABSENT
        for operation in ("GetLayerVersion", "DeleteLayerVersion"):
            zero = client(operation, LayerName="l", VersionNumber=0)
            assert await refusal(zero, InvalidParameterValue) == "Layer Version Cannot be less than 1"
        await refusal(client("PublishLayerVersion", LayerName="l", Content={}), InvalidParameterValue)
        bad = client("PublishLayerVersion", LayerName="l", Content={"ZipFile": b"no zip"})
        await refusal(bad, InvalidParameterValue)
        bucket = {"S3Bucket": "bucket", "S3Key": "k"}
        await refusal(client("PublishLayerVersion", LayerName="l", Content=bucket), InvalidParameterValue)
        far = "arn:aws:lambda:eu-west-1:000000000000:layer:l"
        await refusal(client("GetLayerVersion", LayerName=far, VersionNumber=1), ResourceNotFound)
        odd = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:l"
        with pytest.raises(AssertionError):
            await client("GetLayerVersion", LayerName=odd, VersionNumber=1)  # the model's own pattern
        assert await stored(client) == set()

    tell(tmp_path, story)


def test_a_layer_is_limited_as_a_function_is(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        big = client("PublishLayerVersion", LayerName="l", Content={"ZipFile": package("x" * 500)})
        await refusal(big, RequestEntityTooLarge)
        await publish(client)
        await publish(client, "other")
        used = (await client("GetAccountSettings")).json["AccountUsage"]
        assert used == {"FunctionCount": 0, "TotalCodeSize": 2 * len(package("layer"))}
        third = client("PublishLayerVersion", LayerName="l", Content={"ZipFile": package("third")})
        await refusal(third, CodeStorageExceeded)
        await client("DeleteLayerVersion", LayerName="l", VersionNumber=1)
        assert (await publish(client, "third"))["Version"] == 3

    tell(tmp_path, story, zipped_bytes_max=400, code_storage_bytes_max=2 * len(package("layer")) + 10)


def test_a_function_has_its_layers_in_order_and_keeps_what_is_deleted(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await publish(client, "first")
        await publish(client, "second", name="m")
        arns = [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:m:1", f"{LAYER}:1"]
        created = (await client("CreateFunction", **MINIMAL, Layers=arns)).json
        sizes = [len(package("second")), len(package("first"))]
        assert created["Layers"] == [{"Arn": a, "CodeSize": s} for a, s in zip(arns, sizes, strict=True)]
        await client.world.settled()
        assert [layer.code.digest for layer in client.world.fleet.prepared[-1].layers] == [
            digest(package("second")),
            digest(package("first")),
        ]
        for name in ("l", "m"):
            await client("DeleteLayerVersion", LayerName=name, VersionNumber=1)
        assert len(await stored(client)) == 3, "a function's layers outlive their deletion"
        await client("PublishVersion", FunctionName="f")
        await client("UpdateFunctionConfiguration", FunctionName="f", Description="d")
        await client.world.settled()
        assert (await client("GetFunctionConfiguration", FunctionName="f")).json["Layers"] == created["Layers"]
        await client("UpdateFunctionConfiguration", FunctionName="f", Layers=[])
        await client.world.settled()
        assert "Layers" not in (await client("GetFunctionConfiguration", FunctionName="f")).json
        assert len(await stored(client)) == 3, "version 1 still has them"
        await client.world.restart()
        again = Client(client.world)
        assert len(await stored(again)) == 3
        shown = (await again("GetFunctionConfiguration", FunctionName="f", Qualifier="1")).json
        assert shown["Layers"] == created["Layers"]
        await again("DeleteFunction", FunctionName="f", Qualifier="1")
        assert len(await stored(again)) == 1
        gone = again("UpdateFunctionConfiguration", FunctionName="f", Layers=arns)
        assert await refusal(gone, InvalidParameterValue) == f"Layer version {arns[0]} does not exist."

    tell(tmp_path, story)


def test_layers_that_a_function_can_not_have(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        for name in "abcdef":
            await publish(client, name=name)
        await publish(client)
        await publish(client)
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer"
        far = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:layer:l:1"
        for layers, message in (
            ([f"{LAYER}:1", f"{LAYER}:2"], "Two different versions of the same layer are not allowed to be referenced "
             f"in the same function. {LAYER}:1 and {LAYER}:2 are versions of the same layer."),
            ([f"{LAYER}:9"], f"Layer version {LAYER}:9 does not exist."),
            ([f"{arn}:none:1"], f"Layer version {arn}:none:1 does not exist."),
            ([far], "Layers are not in the same region as the function. "
             f"Layers are expected to be in region {REGION}."),
            ([f"{arn}:{name}:1" for name in "abcdef"], "Cannot reference more than 5 layers."),
        ):  # fmt: skip
            call = client("CreateFunction", **{**MINIMAL, "FunctionName": "g"}, Layers=layers)
            assert await refusal(call, InvalidParameterValue) == message
        assert (await client("ListFunctions")).json["Functions"] == []

    tell(tmp_path, story)


def test_code_and_layers_together_are_limited(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await publish(client, "x" * 300)
        over = client("CreateFunction", **MINIMAL, Layers=[f"{LAYER}:1"])
        message = await refusal(over, InvalidParameterValue)
        total = 300 + len("def h(event, context): ...")
        assert message == (
            "Function code combined with layers exceeds the maximum allowed size of 310 bytes. "
            f"The actual size is {total} bytes."
        )
        await client.created()
        over = client("UpdateFunctionConfiguration", FunctionName="f", Layers=[f"{LAYER}:1"])
        await refusal(over, InvalidParameterValue)
        small = (await client("UpdateFunctionCode", FunctionName="f", ZipFile=package("x"))).json
        assert "Layers" not in small
        await client.world.settled()
        await client("UpdateFunctionConfiguration", FunctionName="f", Layers=[f"{LAYER}:1"])
        await client.world.settled()
        await refusal(client("UpdateFunctionCode", FunctionName="f", ZipFile=package("x" * 20)), InvalidParameterValue)

    tell(tmp_path, story, unzipped_bytes_max=310)


def test_policies_of_layers(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        which = {"LayerName": "l", "VersionNumber": 1}
        grant = {**which, "StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": OTHER}
        missing = f"Layer version {LAYER}:1 does not exist."
        assert await refusal(client("AddLayerVersionPermission", **grant), ResourceNotFound) == missing
        await publish(client)
        none = "No policy is associated with the given resource."
        assert await refusal(client("GetLayerVersionPolicy", **which), ResourceNotFound) == none
        added = await client("AddLayerVersionPermission", **grant)
        statement = {
            "Sid": "s",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
            "Action": "lambda:GetLayerVersion",
            "Resource": f"{LAYER}:1",
        }
        assert (added.status, json.loads(added.json["Statement"])) == (201, statement)
        policy = (await client("GetLayerVersionPolicy", **which)).json
        assert policy["RevisionId"] == added.json["RevisionId"]
        whole = {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}
        assert json.loads(policy["Policy"]) == whole
        assert "already exists" in await refusal(client("AddLayerVersionPermission", **grant), ResourceConflict)
        open_ = {**grant, "StatementId": "o", "Principal": "*", "OrganizationId": "o-1234567890"}
        stale = client("AddLayerVersionPermission", **open_, RevisionId="x")
        assert "GetLayerPolicy" in await refusal(stale, PreconditionFailed)
        await client("AddLayerVersionPermission", **open_, RevisionId=policy["RevisionId"])
        await client.world.restart()
        again = Client(client.world)
        kept = json.loads((await again("GetLayerVersionPolicy", **which)).json["Policy"])["Statement"]
        assert kept[1]["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}}
        unknown = again("RemoveLayerVersionPermission", **which, StatementId="x")
        assert await refusal(unknown, ResourceNotFound) == "Statement x is not found in resource policy."
        stale = again("RemoveLayerVersionPermission", **which, StatementId="s", RevisionId=policy["RevisionId"])
        await refusal(stale, PreconditionFailed)
        for sid in ("s", "o"):
            assert (await again("RemoveLayerVersionPermission", **which, StatementId=sid)).status == 204
        assert await refusal(again("GetLayerVersionPolicy", **which), ResourceNotFound) == none
        many = {**grant, "Principal": f"arn:aws:iam::{OTHER}:root"}
        first = await again("AddLayerVersionPermission", **{**many, "StatementId": f"{0:0100}"})
        fitting = 20_480 // (len(first.json["Statement"]) + 1)
        for number in range(1, fitting):
            await again("AddLayerVersionPermission", **{**many, "StatementId": f"{number:0100}"})
        last = again("AddLayerVersionPermission", **{**many, "StatementId": f"{fitting:0100}"})
        await refusal(last, PolicyLengthExceeded)

    tell(tmp_path, story)


def test_other_accounts_need_leave(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await publish(client)
        stranger = Client(client.world, caller=Caller(account=OTHER, region=REGION))
        which = {"LayerName": LAYER, "VersionNumber": 1}
        theirs = {**MINIMAL, "Layers": [f"{LAYER}:1"]}
        denied = await refusal(stranger("GetLayerVersion", **which), AccessDenied)
        assert denied == (
            f"User: arn:aws:iam::{OTHER}:root is not authorized to perform: lambda:GetLayerVersion on resource: "
            f"{LAYER}:1 because no resource-based policy allows the lambda:GetLayerVersion action"
        )
        await refusal(stranger("CreateFunction", **theirs), AccessDenied)
        absent = {**MINIMAL, "Layers": [f"{LAYER}:77"]}
        await refusal(stranger("CreateFunction", **absent), AccessDenied)
        grant = {**which, "StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": OTHER}
        await refusal(stranger("AddLayerVersionPermission", **grant), AccessDenied)
        await refusal(stranger("DeleteLayerVersion", **which), AccessDenied)
        await refusal(
            stranger("PublishLayerVersion", LayerName=LAYER, Content={"ZipFile": package()}), AccessDenied
        )  # fmt: skip
        await client("AddLayerVersionPermission", **grant)
        assert (await stranger("GetLayerVersion", **which)).json["Version"] == 1
        assert (await stranger("CreateFunction", **theirs)).status == 201
        third = Client(client.world, caller=Caller(account="333333333333", region=REGION))
        await refusal(third("GetLayerVersion", **which), AccessDenied)

    tell(tmp_path, story)


def test_a_full_disk_leaves_nothing_half_made(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        client.world.store.error = OSError(28, "No space left on device")
        with pytest.raises(Exception, match="could not be stored"):
            await publish(client)
        client.world.store.error = None
        assert await stored(client) == set()
        assert (await publish(client))["Version"] == 1
        await client.created(Layers=[f"{LAYER}:1"])
        client.world.store.error = OSError(28, "No space left on device")
        with pytest.raises(Exception, match="could not be stored"):
            await client("UpdateFunctionConfiguration", FunctionName="f", Description="d")
        client.world.store.error = None
        await client("DeleteLayerVersion", LayerName="l", VersionNumber=1)
        assert len(await stored(client)) == 2
        await client("DeleteFunction", FunctionName="f")
        assert await stored(client) == set(), "every use was counted and given back"

    tell(tmp_path, story)


def test_names_that_are_none(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        # What the model's pattern lets through and no layer is called.
        arn = f"arn:aws:lambda:us-iso-east-1:{ACCOUNT}:layer:" + "n" * 10
        await refusal(client("GetLayerVersion", LayerName=arn, VersionNumber=1), ResourceNotFound)
        odd = f"arn:aws-x:lambda:{REGION}:{ACCOUNT}:layer:l"
        await refusal(client("GetLayerVersion", LayerName=odd, VersionNumber=1), ResourceNotFound)
        call_params = {"LayerName": "arn:nothing", "VersionNumber": 1}
        with pytest.raises((ValidationError, AssertionError)):
            await client("GetLayerVersion", **call_params)

    tell(tmp_path, story)
