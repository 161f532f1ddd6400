"""Reserved concurrency: what may be reserved, what is left, and the texts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from paddock.model.errors import InvalidParameterValue, ResourceNotFound, ServiceError
from tests.unit.control.world import ACCOUNT, REGION, World, play, ref

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
TOO_MUCH = (
    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
    "below its minimum value of [100]."
)


async def refusal(change: Awaitable[Any], kind: type[ServiceError]) -> str:
    with pytest.raises(kind) as caught:
        await change
    return caught.value.message


def test_a_reservation_is_kept_changed_and_taken_away(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        before = (await world.created()).latest
        assert world.catalogue.reservation(ref()) is None
        await world.catalogue.reserve(ref(), 7)
        assert world.catalogue.get(ref()).latest == before, "no new revision"
        await world.restart()
        catalogue = world.catalogue
        assert catalogue.reservation(ref()) == catalogue.reserved(ACCOUNT, REGION, "f") == 7
        assert catalogue.reserved_by_all(ACCOUNT, REGION) == 7
        await catalogue.reserve(ref(), 0)
        assert catalogue.reserved(ACCOUNT, REGION, "f") == 0, "none at all, which is not the same as no reservation"
        await catalogue.reserve(ref(), None)
        await catalogue.reserve(ref(), None)
        assert catalogue.reserved(ACCOUNT, REGION, "f") is None
        await catalogue.reserve(ref(), 9)
        await catalogue.delete_function(ref())
        assert catalogue.reserved_by_all(ACCOUNT, REGION) == 0
        assert catalogue.reserved(ACCOUNT, REGION, "f") is None

    play(tmp_path, story)


def test_a_hundred_are_left_for_all_others(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for name in ("f", "g"):
            await world.created(name)
        catalogue = world.catalogue
        assert await refusal(catalogue.reserve(ref(), 901), InvalidParameterValue) == TOO_MUCH
        await catalogue.reserve(ref(), 900)
        assert await refusal(catalogue.reserve(ref("g"), 1), InvalidParameterValue) == TOO_MUCH
        await catalogue.reserve(ref("g"), 0)
        await catalogue.reserve(ref(), 899)
        await catalogue.reserve(ref("g"), 1)
        assert catalogue.reserved_by_all(ACCOUNT, REGION) == 900

    play(tmp_path, story)


def test_less_may_be_reserved_even_where_too_much_is(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created()
        assert await refusal(world.catalogue.reserve(ref(), 1), InvalidParameterValue) == TOO_MUCH
        await world.catalogue.reserve(ref(), 0)

    play(tmp_path, story, concurrency_max=50)


def test_reservations_at_the_same_time_do_not_pass_together(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        names = [f"f{number}" for number in range(5)]
        for name in names:
            await world.created(name)
        attempts = [world.catalogue.reserve(ref(name), 300) for name in names]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert sum(isinstance(outcome, InvalidParameterValue) for outcome in outcomes) == 2
        assert world.catalogue.reserved_by_all(ACCOUNT, REGION) == 900

    play(tmp_path, story)


def test_only_whole_functions_have_reservations(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created()
        catalogue = world.catalogue
        text = (
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
            "Please specify either a function name or an unqualified function ARN."
        )
        for qualifier in ("$LATEST", "1", "live"):
            assert await refusal(catalogue.reserve(ref("f", qualifier), 1), InvalidParameterValue) == text
            with pytest.raises(InvalidParameterValue):
                catalogue.reservation(ref("f", qualifier))
        missing = f"Function not found: {ARN[:-1]}g"
        assert await refusal(catalogue.reserve(ref("g"), 1), ResourceNotFound) == missing
        assert await refusal(catalogue.reserve(ref("g"), None), ResourceNotFound) == missing
        with pytest.raises(ResourceNotFound):
            catalogue.reservation(ref("g"))

    play(tmp_path, story)
