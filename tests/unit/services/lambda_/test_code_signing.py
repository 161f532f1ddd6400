"""Code signing: configurations as a caller sees them, and what may be deployed under them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from paddock.control.code_signing import CodeSigning
from paddock.model import signature
from paddock.model.caller import Caller
from paddock.model.errors import AccessDenied, ClientError, InvalidParameterValue, ResourceConflict, ResourceNotFound
from paddock.model.quotas import Quotas
from tests.support.server import zipped
from tests.unit.control.world import ACCOUNT, REGION, START, World, package, play
from tests.unit.services.lambda_.test_lambda import ARN, MINIMAL, Client, refusal

PROFILE = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/release/0123456789"
STRANGE = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/other/0123456789"
JOB = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-jobs/1"
KEYS = {PROFILE: signature.new_key(), STRANGE: signature.new_key()}
MISSING = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-{'a' * 17}"


class Publishers:
    async def key_of(self, profile: str) -> bytes | None:
        key = KEYS.get(profile)
        return None if key is None else signature.public_key(key)


def signed(content: bytes, profile: str = PROFILE, days: int = 30) -> bytes:
    at = int(START.timestamp())
    until = int((START + timedelta(days=days)).timestamp())
    return signature.sign(
        content, KEYS[profile], profile=profile, job=JOB, signed_at=at, expires_at=until, quotas=Quotas()
    )


def tell(tmp_path: Path, story: Callable[[Client, World], Awaitable[None]]) -> None:
    async def told(world: World) -> None:
        await story(await opened(world), world)

    play(tmp_path, told)


async def opened(world: World) -> Client:
    signing = CodeSigning(
        store=world.store, publishers=Publishers(), clock=world.clock, ids=world.ids, quotas=world.quotas
    )
    await signing.start()
    return Client(world, signing=signing)


async def config(client: Client, policy: str = "", **more: Any) -> str:
    chosen = {"CodeSigningPolicies": {"UntrustedArtifactOnDeployment": policy}} if policy else {}
    answer = await client(
        "CreateCodeSigningConfig", AllowedPublishers={"SigningProfileVersionArns": [PROFILE]}, **chosen, **more
    )
    assert answer.status == 201
    arn: str = answer.json["CodeSigningConfig"]["CodeSigningConfigArn"]
    return arn


async def refused(call: Awaitable[Any], code: str) -> str:
    with pytest.raises(ClientError) as caught:
        await call
    assert caught.value.code == code
    return caught.value.message


def with_code(content: bytes, **more: Any) -> dict[str, Any]:
    return {**MINIMAL, "Code": {"ZipFile": content}, **more}


def test_configurations_are_kept_and_shown(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        arn = await config(client, Description="d", Tags={"a": "1"})
        shown = (await client("GetCodeSigningConfig", CodeSigningConfigArn=arn)).json["CodeSigningConfig"]
        assert shown == {
            "CodeSigningConfigId": arn.rpartition(":")[2],
            "CodeSigningConfigArn": arn,
            "Description": "d",
            "AllowedPublishers": {"SigningProfileVersionArns": [PROFILE]},
            "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"},
            "LastModified": shown["LastModified"],
        }
        updated = await client(
            "UpdateCodeSigningConfig",
            CodeSigningConfigArn=arn,
            AllowedPublishers={"SigningProfileVersionArns": [STRANGE]},
            CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
        )
        after = updated.json["CodeSigningConfig"]
        assert after["AllowedPublishers"]["SigningProfileVersionArns"] == [STRANGE]
        assert after["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Enforce"}
        assert after["Description"] == "d"
        assert after["LastModified"] > shown["LastModified"]
        await client("TagResource", Resource=arn, Tags={"b": "2"})
        await client("UntagResource", Resource=arn, TagKeys=["a"])
        again = await opened(world)
        assert (await again("GetCodeSigningConfig", CodeSigningConfigArn=arn)).json["CodeSigningConfig"] == after
        assert (await again("ListTags", Resource=arn)).json == {"Tags": {"b": "2"}}
        others = {arn, await config(again), await config(again)}
        found, marker = set(), {}
        while True:
            page = (await again("ListCodeSigningConfigs", MaxItems=2, **marker)).json
            found |= {one["CodeSigningConfigArn"] for one in page["CodeSigningConfigs"]}
            if "NextMarker" not in page:
                break
            marker = {"Marker": page["NextMarker"]}
        assert found == others
        assert (await again("DeleteCodeSigningConfig", CodeSigningConfigArn=arn)).status == 204
        text = f"The Lambda code signing configuration {arn} can not be found."
        for operation in (
            "GetCodeSigningConfig", "UpdateCodeSigningConfig", "DeleteCodeSigningConfig",
            "ListFunctionsByCodeSigningConfig",
        ):  # fmt: skip
            assert await refusal(again(operation, CodeSigningConfigArn=arn), ResourceNotFound) == text
        stranger = Client(world, caller=Caller(account="210987654321", region=REGION), signing=again.desk.signing)
        await refusal(stranger("GetCodeSigningConfig", CodeSigningConfigArn=MISSING), AccessDenied)
        await refusal(stranger("ListTags", Resource=MISSING), AccessDenied)
        odd = again("CreateCodeSigningConfig", AllowedPublishers={"SigningProfileVersionArns": ["arn:aws:s3:::bucket"]})
        await refusal(odd, InvalidParameterValue)

    tell(tmp_path, story)


def test_functions_have_one_and_lose_it(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        arn = await config(client)
        await client.created()
        none = {"CodeSigningConfigArn": "", "FunctionName": "f"}
        assert (await client("GetFunctionCodeSigningConfig", FunctionName="f")).json == none
        put = await client("PutFunctionCodeSigningConfig", FunctionName="f", CodeSigningConfigArn=arn)
        assert put.json == {"CodeSigningConfigArn": arn, "FunctionName": "f"}
        await world.restart()
        again = await opened(world)
        assert (await again("GetFunctionCodeSigningConfig", FunctionName="f")).json == put.json
        using = (await again("ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=arn)).json
        assert using == {"FunctionArns": [ARN]}
        await refusal(again("DeleteCodeSigningConfig", CodeSigningConfigArn=arn), ResourceConflict)
        assert (await again("DeleteFunctionCodeSigningConfig", FunctionName="f")).status == 204
        assert (await again("GetFunctionCodeSigningConfig", FunctionName="f")).json == none
        await again("DeleteCodeSigningConfig", CodeSigningConfigArn=arn)
        text = (
            "The code signing configuration cannot be found. "
            f"Check that the provided configuration is not deleted: {arn}."
        )
        missing = again("PutFunctionCodeSigningConfig", FunctionName="f", CodeSigningConfigArn=arn)
        assert await refused(missing, "CodeSigningConfigNotFoundException") == text
        creating = again("CreateFunction", **{**MINIMAL, "FunctionName": "g"}, CodeSigningConfigArn=arn)
        assert await refused(creating, "CodeSigningConfigNotFoundException") == text
        for operation in ("GetFunctionCodeSigningConfig", "DeleteFunctionCodeSigningConfig"):
            await refusal(again(operation, FunctionName="absent"), ResourceNotFound)

    tell(tmp_path, story)


def test_what_enforce_lets_in(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        arn = await config(client, "Enforce")
        for bad, why in (
            (package(), "it is not signed"),
            (signed(package(), STRANGE), "none of the allowed publishers"),
            (signed(package(), days=-1), "expired"),
        ):
            call = client("CreateFunction", **with_code(bad, CodeSigningConfigArn=arn))
            assert why in await refused(call, "CodeVerificationFailedException")
        assert (await client("ListFunctions")).json["Functions"] == []
        created = (await client("CreateFunction", **with_code(signed(package()), CodeSigningConfigArn=arn))).json
        assert (created["SigningProfileVersionArn"], created["SigningJobArn"]) == (PROFILE, JOB)
        await world.settled()
        update = client("UpdateFunctionCode", FunctionName="f", ZipFile=package("other"))
        await refused(update, "CodeVerificationFailedException")
        await client("UpdateFunctionCode", FunctionName="f", ZipFile=signed(package("other")))
        await world.settled()
        shown = (await client("GetFunctionConfiguration", FunctionName="f")).json
        assert shown["SigningProfileVersionArn"] == PROFILE
        await client("DeleteFunctionCodeSigningConfig", FunctionName="f")
        plain = (await client("UpdateFunctionCode", FunctionName="f", ZipFile=signed(package("third")))).json
        assert "SigningProfileVersionArn" not in plain, "nobody looked at the signature"

    tell(tmp_path, story)


def test_warn_lets_in_what_is_not_forged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(client: Client, world: World) -> None:
        arn = await config(client)
        created = (await client("CreateFunction", **with_code(package(), CodeSigningConfigArn=arn))).json
        assert "SigningProfileVersionArn" not in created
        assert "it is not signed" in caplog.text
        await world.settled()
        forged = signed(package("genuine"))
        changed = zipped({"f.py": "evil", signature.ENTRY: signature_text(forged)})
        call = client("UpdateFunctionCode", FunctionName="f", ZipFile=changed)
        assert "changed after it was signed" in await refused(call, "InvalidCodeSignatureException")
        broken = zipped({"f.py": "x", signature.ENTRY: "{}"})
        await refused(client("UpdateFunctionCode", FunctionName="f", ZipFile=broken), "InvalidCodeSignatureException")

    tell(tmp_path, story)


def signature_text(content: bytes) -> str:
    found = signature.read(content, Quotas())
    assert found is not None
    return found.text


def test_layers_are_looked_at_too(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        arn = await config(client, "Enforce")
        for content in (package("layer"), signed(package("layer"))):
            await client("PublishLayerVersion", LayerName="l", Content={"ZipFile": content})
        layer = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l"
        create = with_code(signed(package()), CodeSigningConfigArn=arn)
        unsigned = client("CreateFunction", **create, Layers=[f"{layer}:1"])
        assert f"{layer}:1" in await refused(unsigned, "CodeVerificationFailedException")
        created = (await client("CreateFunction", **create, Layers=[f"{layer}:2"])).json
        assert created["Layers"][0]["SigningProfileVersionArn"] == PROFILE
        await world.settled()
        update = client("UpdateFunctionConfiguration", FunctionName="f", Layers=[f"{layer}:1"])
        await refused(update, "CodeVerificationFailedException")

    tell(tmp_path, story)
