"""Provisioned concurrency in the catalogue: what may be configured, which pools the fleet is told of, what is left."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from paddock.control.aliases import AliasChange
from paddock.control.provisioned import ProvisionedConcurrency
from paddock.model.errors import InvalidParameterValue, ResourceConflict, ResourceNotFound, ServiceError
from paddock.model.provisioned import PoolState, ProvisionedStatus
from tests.unit.control.world import ACCOUNT, REGION, World, package, play, ref

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


def of(world: World) -> ProvisionedConcurrency:
    return ProvisionedConcurrency(world.catalogue, world.fleet, world.clock, world.quotas)


def told(world: World) -> dict[tuple[str, str], int]:
    """(whose, version) -> environments, as the fleet was told last."""
    return {(key[-2], key[3]): count for key, count in world.fleet.pools.get(ARN, {}).items()}


async def refusal(change: Awaitable[Any], kind: type[ServiceError]) -> str:
    with pytest.raises(kind) as caught:
        await change
    return caught.value.message


async def two_versions(world: World) -> None:
    await world.created()
    await world.catalogue.publish_version(ref())
    await world.catalogue.update_code(ref(), package("# two\ndef h(event, context): ..."))
    await world.settled()
    assert (await world.catalogue.publish_version(ref())).version == "2"


def test_the_fleet_is_told_of_each_change(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await two_versions(world)
        catalogue = world.catalogue
        await catalogue.create_alias(ref(), "live", AliasChange(version="1"))
        assert (await of(world).put(ref("f", "live"), 4)).status is ProvisionedStatus.IN_PROGRESS
        assert told(world) == {("live", "1"): 4}
        await catalogue.update_alias(ref(), "live", AliasChange(weights={"2": 0.25}))
        assert told(world) == {("live", "1"): 3, ("live", "2"): 1}
        await catalogue.update_alias(ref(), "live", AliasChange(version="2", weights={}))
        assert told(world) == {("live", "2"): 4}
        await world.restart()
        assert told(world) == {("live", "2"): 4}
        catalogue = world.catalogue
        assert catalogue.resolve(ref("f", "live")).provisioned_for == "live"
        assert catalogue.resolve(ref("f", "2")).provisioned_for == "", "the alias's are not for others"
        await catalogue.delete_alias(ref(), "live")
        assert told(world) == {}
        await of(world).put(ref("f", "1"), 2)
        await catalogue.create_alias(ref(), "old", AliasChange(version="1"))
        assert catalogue.resolve(ref("f", "old")).provisioned_for == "1", "an alias without any uses its version's"
        await catalogue.delete_alias(ref(), "old")
        await catalogue.delete_function(ref("f", "1"))
        assert told(world) == {}
        await of(world).put(ref("f", "2"), 1)
        await catalogue.delete_function(ref())
        assert told(world) == {}
        assert catalogue.reserved_by_all(ACCOUNT, REGION) == 0

    play(tmp_path, story)


def test_what_may_have_any(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await two_versions(world)
        catalogue, provisioned = world.catalogue, of(world)
        unpublished = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
        for name, version in (("live", "1"), ("latest", "$LATEST"), ("both", "2")):
            await catalogue.create_alias(ref(), name, AliasChange(version=version))
        for qualifier in ("$LATEST", "latest"):
            assert await refusal(provisioned.put(ref("f", qualifier), 1), InvalidParameterValue) == unpublished
        assert await refusal(provisioned.put(ref("f", "9"), 1), ResourceNotFound) == f"Function not found: {ARN}:9"
        missing = f"Cannot find alias arn: {ARN}:nope"
        assert await refusal(provisioned.put(ref("f", "nope"), 1), ResourceNotFound) == missing
        await provisioned.put(ref("f", "live"), 1)
        assert "Version is pointed by" in await refusal(provisioned.put(ref("f", "1"), 1), ResourceConflict)
        await provisioned.put(ref("f", "2"), 1)
        text = "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
        assert await refusal(provisioned.put(ref("f", "both"), 1), ResourceConflict) == text
        moved = catalogue.update_alias(ref(), "live", AliasChange(version="2"))
        assert await refusal(moved, ResourceConflict) == text
        with pytest.raises(InvalidParameterValue, match="must be an alias or a published version"):
            provisioned.get(ref("f", "$LATEST"))
        await provisioned.delete(ref("f", "both"))
        with pytest.raises(ServiceError, match="No Provisioned Concurrency Config found for this function"):
            provisioned.get(ref("f", "both"))

    play(tmp_path, story)


def test_what_is_left_for_others(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await two_versions(world)
        catalogue, provisioned = world.catalogue, of(world)
        too_many = (
            "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [1000]."
        )
        assert await refusal(provisioned.put(ref("f", "1"), 1001), InvalidParameterValue) == too_many
        below = await refusal(provisioned.put(ref("f", "1"), 901), InvalidParameterValue)
        assert below.endswith("decreases account's UnreservedConcurrentExecution below its minimum value of [100].")
        await provisioned.put(ref("f", "1"), 900)
        assert catalogue.reserved_by_all(ACCOUNT, REGION) == 900
        await provisioned.put(ref("f", "1"), 10)
        await catalogue.reserve(ref(), 30)
        assert catalogue.reserved_by_all(ACCOUNT, REGION) == 30, "what is provisioned is within it"
        low = await refusal(catalogue.reserve(ref(), 9), InvalidParameterValue)
        assert low.startswith(" ReservedConcurrentExecutions  9 should not be lower than function's total provisioned")
        assert low.endswith(" concurrency [10].")
        greater = await refusal(provisioned.put(ref("f", "2"), 21), InvalidParameterValue)
        assert greater.startswith("Requested Provisioned Concurrency should not be greater than")
        await provisioned.put(ref("f", "2"), 20)
        await catalogue.reserve(ref(), None)
        assert catalogue.reserved_by_all(ACCOUNT, REGION) == catalogue.provisioned_of(ACCOUNT, REGION, "f") == 30

    play(tmp_path, story)


def test_a_configuration_tells_what_the_fleet_has(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await two_versions(world)
        await of(world).put(ref("f", "1"), 2)
        world.fleet.states["1", "1"] = PoolState(ready=2, wanted=2, was_reached=True)
        assert of(world).get(ref("f", "1")).status is ProvisionedStatus.READY
        assert [found.qualifier for found, _ in of(world).all_of(ref())] == ["1"]

    play(tmp_path, story)
