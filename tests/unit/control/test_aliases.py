"""Aliases: every rule with its text, and where an invocation goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from paddock.control.aliases import AliasChange
from paddock.control.changes import Change
from paddock.model.alias import Alias
from paddock.model.errors import (
    AliasLimitExceeded,
    InvalidParameterValue,
    PreconditionFailed,
    ResourceConflict,
    ResourceNotFound,
    ServiceError,
)
from paddock.model.event_invoke import EventInvokeConfig
from tests.unit.control.world import ACCOUNT, REGION, ROLE, World, package, play, ref

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


async def refusal(change: Awaitable[Any], kind: type[ServiceError]) -> str:
    with pytest.raises(kind) as caught:
        await change
    return caught.value.message


async def published(world: World, versions: int) -> None:
    """f with so many versions."""
    await world.created()
    for number in range(versions):
        await world.catalogue.update_configuration(ref(), Change(timeout_s=number + 10))
        await world.settled()
        await world.catalogue.publish_version(ref())


def test_an_alias_from_creation_to_deletion(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await published(world, 2)
        catalogue = world.catalogue
        before = catalogue.version(ref())
        alias = await catalogue.create_alias(ref(), "live", AliasChange(version="1"))
        assert alias == Alias(name="live", version="1", revision_id=alias.revision_id)
        assert catalogue.version(ref()) == before, "the function has no new revision"
        assert catalogue.alias(ref(), "live") == alias
        assert catalogue.resolve(ref(qualifier="live")) == catalogue.resolve(ref(qualifier="1"))
        moved = await catalogue.update_alias(ref(), "live", AliasChange(version="2", description="d"))
        assert (moved.version, moved.description) == ("2", "d")
        assert moved.revision_id != alias.revision_id
        assert catalogue.version(ref(qualifier="live")) == catalogue.version(ref(qualifier="2"))
        await world.restart()
        catalogue = world.catalogue
        assert catalogue.alias(ref(), "live") == moved
        same = await catalogue.update_alias(ref(), "live", AliasChange())
        assert same.revision_id != moved.revision_id, "even where nothing changes"
        await catalogue.delete_alias(ref(), "live")
        await catalogue.delete_alias(ref(), "live")
        with pytest.raises(ResourceNotFound) as caught:
            catalogue.alias(ref(), "live")
        assert caught.value.message == f"Cannot find alias arn: {ARN}:live"
        for look in (catalogue.version, catalogue.resolve):
            with pytest.raises(ResourceNotFound) as caught:
                look(ref(qualifier="live"))
            assert caught.value.message == f"Function not found: {ARN}:live"
        await world.restart()
        assert world.catalogue.get(ref()).aliases == {}

    play(tmp_path, story)


def test_an_alias_of_latest_follows_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created()
        await world.catalogue.create_alias(ref(), "dev", AliasChange(version="$LATEST"))
        await world.catalogue.update_code(ref(), package("2"))
        latest = (await world.settled()).latest
        assert world.catalogue.resolve(ref(qualifier="dev")) == latest == world.catalogue.version(ref(qualifier="dev"))

    play(tmp_path, story)


def test_what_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await published(world, 2)
        catalogue = world.catalogue
        alias = await catalogue.create_alias(ref(), "live", AliasChange(version="1"))
        cases: list[tuple[AliasChange, type[ServiceError], str]] = [
            (AliasChange(version="9"), ResourceNotFound, f"Function not found: {ARN}:9"),
            (
                AliasChange(version="$LATEST.PUBLISHED"),
                ResourceNotFound,
                f"Function not found: {ARN}:$LATEST.PUBLISHED",
            ),
            (
                AliasChange(version="1", weights={"2": 0.1, "3": 0.1}),
                InvalidParameterValue,
                "Number of items in AdditionalVersionWeights cannot be greater than 1",
            ),
            (
                AliasChange(version="1", weights={"1": 0.1}),
                InvalidParameterValue,
                "Invalid function version 1. Function version 1 is already included in routing configuration.",
            ),
            (
                AliasChange(version="$LATEST", weights={"1": 0.1}),
                InvalidParameterValue,
                "$LATEST is not supported for an alias pointing to more than 1 version",
            ),
            (AliasChange(version="1", weights={"9": 0.1}), ResourceNotFound, f"Function not found: {ARN}:9"),
        ]
        for change, kind, text in cases:
            assert await refusal(catalogue.create_alias(ref(), "new", change), kind) == text
            assert await refusal(catalogue.update_alias(ref(), "live", change), kind) == text
        assert catalogue.get(ref()).aliases == {"live": alias}
        again = catalogue.create_alias(ref(), "live", AliasChange(version="2"))
        assert await refusal(again, ResourceConflict) == f"Alias already exists: {ARN}:live"
        missing = catalogue.update_alias(ref(), "gone", AliasChange(version="1"))
        assert await refusal(missing, ResourceNotFound) == f"Alias not found: {ARN}:gone"
        for attempt in (
            catalogue.create_alias(ref("g"), "a", AliasChange(version="1")),
            catalogue.update_alias(ref("g"), "a", AliasChange()),
            catalogue.delete_alias(ref("g"), "a"),
        ):
            assert await refusal(attempt, ResourceNotFound) == f"Function not found: {ARN[:-1]}g"

    play(tmp_path, story)


def test_the_revision_guards_an_update(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await published(world, 1)
        catalogue = world.catalogue
        alias = await catalogue.create_alias(ref(), "live", AliasChange(version="1"))
        text = await refusal(catalogue.update_alias(ref(), "live", AliasChange(), revision_id="x"), PreconditionFailed)
        assert text == (
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
        )
        await catalogue.update_alias(ref(), "live", AliasChange(), revision_id=alias.revision_id)
        stale = catalogue.update_alias(ref(), "live", AliasChange(), revision_id=alias.revision_id)
        await refusal(stale, PreconditionFailed)

    play(tmp_path, story)


def test_two_versions_need_one_role(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await published(world, 1)
        await world.catalogue.update_configuration(ref(), Change(role=f"{ROLE}2"))
        await world.settled()
        await world.catalogue.publish_version(ref())
        change = AliasChange(version="1", weights={"2": 0.5})
        text = await refusal(world.catalogue.create_alias(ref(), "a", change), InvalidParameterValue)
        assert text == "The versions that an alias points to must have the same execution role."

    play(tmp_path, story)


def test_weights_are_kept_cleared_and_checked_against_a_moved_primary(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await published(world, 3)
        catalogue = world.catalogue
        await catalogue.create_alias(ref(), "a", AliasChange(version="1", weights={"2": 0.5}))
        moved = await catalogue.update_alias(ref(), "a", AliasChange(version="3"))
        assert (moved.version, moved.weights) == ("3", {"2": 0.5})
        collision = catalogue.update_alias(ref(), "a", AliasChange(version="2"))
        assert "already included" in await refusal(collision, InvalidParameterValue)
        await world.restart()
        assert world.catalogue.alias(ref(), "a") == moved
        cleared = await world.catalogue.update_alias(ref(), "a", AliasChange(version="2", weights={}))
        assert (cleared.version, cleared.weights) == ("2", {})

    play(tmp_path, story)


def test_the_limit_of_aliases(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created()
        change = AliasChange(version="$LATEST")
        await world.catalogue.create_alias(ref(), "a", change)
        await world.catalogue.create_alias(ref(), "b", change)
        text = await refusal(world.catalogue.create_alias(ref(), "c", change), AliasLimitExceeded)
        assert text == "A function may have at most 2 aliases."
        await world.catalogue.delete_alias(ref(), "a")
        await world.catalogue.create_alias(ref(), "c", change)

    play(tmp_path, story, aliases_per_function_max=2)


def test_pages_of_aliases(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await published(world, 2)
        catalogue = world.catalogue
        for name, version, weights in (("c", "1", {}), ("a", "1", {"2": 0.5}), ("b", "2", {"1": 0.5})):
            await catalogue.create_alias(ref(), name, AliasChange(version=version, weights=weights))
        page = catalogue.list_aliases(ref(), items_max=2)
        assert ([alias.name for alias in page.aliases], page.more) == (["a", "b"], True)
        page = catalogue.list_aliases(ref(), after="b", items_max=2)
        assert ([alias.name for alias in page.aliases], page.more) == (["c"], False)
        page = catalogue.list_aliases(ref(), version="1")
        assert [alias.name for alias in page.aliases] == ["a", "c"], "only the primary version counts"
        with pytest.raises(ResourceNotFound) as caught:
            catalogue.list_aliases(ref("g"))
        assert caught.value.message == f"Function not found: {ARN[:-1]}g"

    play(tmp_path, story)


@pytest.mark.parametrize(("draw", "number"), [(0.0, "2"), (0.2499, "2"), (0.25, "1"), (0.999, "1")])
def test_the_weight_is_the_share_of_the_other_version(draw: float, number: str) -> None:
    alias = Alias(name="a", version="1", weights={"2": 0.25}, revision_id="r")
    assert alias.drawn(draw) == number


@pytest.mark.parametrize(("weight", "number"), [(0.0, "1"), (1.0, "2")])
def test_a_weight_of_nothing_and_of_all(weight: float, number: str) -> None:
    alias = Alias(name="a", version="1", weights={"2": weight}, revision_id="r")
    assert {alias.drawn(draw / 1000) for draw in range(1000)} == {number}


def test_each_invocation_draws_anew(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await published(world, 2)
        await world.catalogue.create_alias(ref(), "a", AliasChange(version="1", weights={"2": 0.25}))
        world.ids.hex = spread(1000)  # type: ignore[method-assign]
        drawn = Counter(world.catalogue.resolve(ref(qualifier="a")).version for _ in range(1000))
        assert drawn == {"1": 750, "2": 250}

    play(tmp_path, story)


def spread(parts: int) -> Any:
    """Ids that are evenly spread over all numbers of so many digits."""
    count = iter(range(parts))

    def spread_hex(digits: int) -> str:
        return f"{next(count) * 16**digits // parts:0{digits}x}"

    return spread_hex


def test_what_goes_takes_the_settings_of_its_event_invokes_along(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await published(world, 2)
        catalogue = world.catalogue
        await catalogue.create_alias(ref(), "live", AliasChange(version="2"))
        config = EventInvokeConfig(retries_max=1, last_modified=datetime(2026, 1, 1, tzinfo=UTC))
        every = dict.fromkeys(("$LATEST", "1", "2", "live"), config)
        await catalogue.change(ref(), lambda function: replace(function, event_invokes=every))
        await catalogue.delete_alias(ref(), "live")
        assert set(catalogue.get(ref()).event_invokes) == {"$LATEST", "1", "2"}
        await catalogue.delete_function(ref(qualifier="1"))
        await world.restart()
        assert set(world.catalogue.get(ref()).event_invokes) == {"$LATEST", "2"}

    play(tmp_path, story)
