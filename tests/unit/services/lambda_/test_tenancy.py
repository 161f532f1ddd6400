"""TenancyConfig over the wire: who must name a tenant, and that each one's environments are its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paddock.model.errors import InvalidParameterValue
from paddock.model.invocation import Invocation
from tests.unit.control.world import ref
from tests.unit.services.lambda_.test_lambda import Client, refusal, tell

ISOLATED: dict[str, Any] = {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}}


def test_each_tenant_has_environments_of_its_own(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created(**ISOLATED)
        shown = (await client("GetFunctionConfiguration", FunctionName="f")).json
        assert shown["TenancyConfig"] == {"TenantIsolationMode": "PER_TENANT"}
        for tenant in ("a", "b", "a"):
            await client("Invoke", FunctionName="f", TenantId=tenant)
        first, second, third = (one.version for one in client.world.fleet.invocations)
        assert first.environment_key == third.environment_key != second.environment_key
        assert (first.tenant_id, second.tenant_id) == ("a", "b")
        await client.world.restart()
        again = Client(client.world)
        assert (await again("GetFunctionConfiguration", FunctionName="f")).json == shown
        published = (await again("PublishVersion", FunctionName="f")).json
        assert published["TenancyConfig"] == shown["TenancyConfig"]

    tell(tmp_path, story)


def test_a_tenant_is_named_exactly_where_tenants_are_apart(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created(**ISOLATED)
        for kind in ("RequestResponse", "DryRun"):
            message = await refusal(client("Invoke", FunctionName="f", InvocationType=kind), InvalidParameterValue)
            assert message.startswith("Add a valid tenant ID in your request.")
        await client("DeleteFunction", FunctionName="f")
        await client.created()
        message = await refusal(client("Invoke", FunctionName="f", TenantId="a"), InvalidParameterValue)
        assert "Remove the tenant ID" in message
        assert client.world.fleet.invocations == []

    tell(tmp_path, story)


def test_no_other_way_in_shares_an_environment(tmp_path: Path) -> None:
    """What reaches the dispatcher by another way than Invoke has no tenant, and does not run."""

    async def story(client: Client) -> None:
        await client.created(**ISOLATED)
        version = client.world.catalogue.get(ref()).latest
        invocation = Invocation(
            request_id="r", version=version, invoked_arn=version.function_arn, payload=b"{}",
            received_at=client.world.clock.now(),
        )  # fmt: skip
        with pytest.raises(InvalidParameterValue, match="tenant"):
            await client.desk.dispatcher.run(invocation)
        assert client.world.fleet.invocations == []

    tell(tmp_path, story)
