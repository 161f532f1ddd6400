"""Documented errors that need a world of their own: states that last, quotas that are small, keys that are gone."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from paddock.model.errors import AliasLimitExceeded, CodeStorageExceeded, ResourceConflict, ServiceError
from tests.unit.control.world import ACCOUNT, REGION, package
from tests.unit.services.lambda_.test_lambda import ARN, MINIMAL, Client, refusal, tell

NOW = "The operation cannot be performed at this time. "
PENDING = f"{NOW}The function is currently in the following state: Pending"


async def body(payload: bytes) -> Any:
    yield payload


def test_what_is_refused_while_a_function_is_pending(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        gate = client.world.fleet.gate = asyncio.Event()
        await client("CreateFunction", **MINIMAL)
        for operation, params in (
            ("UpdateFunctionCode", {"ZipFile": package("other")}),
            ("UpdateFunctionConfiguration", {"Timeout": 9}),
            ("PublishVersion", {}),
            ("Invoke", {}),
            ("InvokeWithResponseStream", {}),
            ("InvokeAsync", {"InvokeArgs": body(b"{}")}),
        ):
            assert await refusal(client(operation, FunctionName="f", **params), ResourceConflict) == PENDING
        gate.set()
        await client.world.settled()
        gate.clear()
        await client("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
        for operation, params in (
            ("UpdateFunctionCode", {"ZipFile": package("other")}),
            ("UpdateFunctionConfiguration", {"Timeout": 8}),
            ("PublishVersion", {}),
        ):
            told = await refusal(client(operation, FunctionName="f", **params), ResourceConflict)
            assert told == f"{NOW}An update is in progress for resource: {ARN}"
        gate.set()
        await client.world.settled()

    tell(tmp_path, story)


def test_what_is_refused_when_the_code_storage_is_full(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        for operation, params in (
            ("CreateFunction", {**MINIMAL, "FunctionName": "g"}),
            ("UpdateFunctionCode", {"FunctionName": "f", "ZipFile": package("x" * 100)}),
            ("PublishVersion", {"FunctionName": "f"}),
            ("PublishLayerVersion", {"LayerName": "l", "Content": {"ZipFile": package()}}),
        ):
            assert await refusal(client(operation, **params), CodeStorageExceeded) == "Code storage limit exceeded."
        assert client.world.catalogue.usage(ACCOUNT, REGION).code_bytes == len(package())

    tell(tmp_path, story, code_storage_bytes_max=len(package()))


def test_the_limit_of_aliases(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        alias = {"FunctionName": "f", "FunctionVersion": "$LATEST"}
        await client("CreateAlias", Name="one", **alias)
        assert "1 aliases" in await refusal(client("CreateAlias", Name="two", **alias), AliasLimitExceeded)

    tell(tmp_path, story, aliases_per_function_max=1)


def test_a_mapping_on_its_way_takes_no_change(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
        uuid = (await client("CreateEventSourceMapping", FunctionName="f", EventSourceArn=queue)).json["UUID"]
        for operation, verb in (("UpdateEventSourceMapping", "update"), ("DeleteEventSourceMapping", "delete")):
            with pytest.raises(ServiceError) as caught:
                await client(operation, UUID=uuid)
            assert (caught.value.code, caught.value.status) == ("ResourceInUseException", 400)
            assert caught.value.message == f"Cannot {verb} the event source mapping because it is in use."

    tell(tmp_path, story)


def test_a_key_that_is_gone(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        key = await client.world.keys.create(ACCOUNT, REGION, description="", tags={})
        await client.created(KMSKeyArn=key.arn)
        await client.world.keys.delete_later(key, 7)
        client.world.clock.time += timedelta(days=8)
        invocations: tuple[tuple[str, Any], ...] = (("Invoke", {}), ("InvokeWithResponseStream", {}))
        for operation, params in (*invocations, ("InvokeAsync", {"InvokeArgs": body(b"{}")})):
            with pytest.raises(ServiceError) as caught:
                await client(operation, FunctionName="f", **params)
            assert (caught.value.code, caught.value.status) == ("KMSNotFoundException", 502)
            assert caught.value.message.endswith(f"KMS Message: Key '{key.arn}' does not exist")

    tell(tmp_path, story)
