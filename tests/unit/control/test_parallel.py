"""Many changes at once, from many callers: the outcome is that of some order, and the store agrees with memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from paddock.control.aliases import AliasChange
from paddock.control.changes import Change
from paddock.control.permissions import Permissions
from paddock.model.errors import PreconditionFailed, ResourceConflict, ServiceError
from paddock.model.function import Function, State
from tests.unit.control.world import World, package, play, ref

OPERATIONS = 200
NAMES = ("f", "g", "h")


async def all_at_once(work: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """What each returned or raised; anything but a refusal is a defect."""
    ended = await asyncio.gather(*work, return_exceptions=True)
    for one in ended:
        if isinstance(one, BaseException) and not isinstance(one, ServiceError):
            raise one
    return ended


def shown(world: World) -> dict[str, Function]:
    return {function.latest.name: function for function in world.catalogue.functions()}


async def calm(world: World) -> None:
    """Until nothing is Pending or InProgress any more."""
    for name in shown(world):
        await world.settled(name)
    for _ in range(2000):
        versions = [v for function in shown(world).values() for v in function.versions.values()]
        if all(version.state is not State.PENDING for version in versions):
            return
        await asyncio.sleep(0.001)
    raise AssertionError("a version stayed Pending")


def one_of(world: World, permissions: Permissions, chance: random.Random, number: int) -> Coroutine[Any, Any, Any]:
    name, catalogue = chance.choice(NAMES), world.catalogue
    alias = chance.choice(("live", "test"))
    statement = {"Sid": f"s{number}", "Effect": "Allow", "Principal": "*", "Action": "lambda:*", "Resource": "*"}
    return chance.choice(
        (
            lambda: world.create(name, package(str(number))),
            lambda: catalogue.update_code(ref(name), package(str(number))),
            lambda: catalogue.update_code(ref(name), package(str(number)), publish=True),
            lambda: catalogue.update_configuration(ref(name), Change(description=str(number))),
            lambda: catalogue.publish_version(ref(name)),
            lambda: catalogue.create_alias(ref(name), alias, AliasChange(version=chance.choice("12"))),
            lambda: catalogue.update_alias(ref(name), alias, AliasChange(version=chance.choice("123"))),
            lambda: catalogue.delete_alias(ref(name), alias),
            lambda: catalogue.delete_function(ref(name, chance.choice("123"))),
            lambda: catalogue.reserve(ref(name), chance.randrange(3)),
            lambda: permissions.add(ref(name), statement),
            lambda: catalogue.tag(ref(name), {"n": str(number)}),
        )
    )()


@pytest.mark.parametrize("seed", range(5))
def test_the_outcome_is_that_of_some_order(tmp_path: Path, seed: int) -> None:
    async def story(world: World) -> None:
        chance = random.Random(seed)
        permissions = Permissions(world.catalogue, world.ids)
        for name in NAMES[:2]:
            await world.created(name)
        made: dict[str, set[str]] = {name: set() for name in NAMES}
        for start in range(0, OPERATIONS, 50):
            ended = await all_at_once(
                [one_of(world, permissions, chance, start + number) for number in range(50)]
            )  # fmt: skip
            await calm(world)
            for function in shown(world).values():
                numbers = [int(number) for number in function.versions]
                assert numbers == sorted(numbers)
                assert not numbers or numbers[-1] <= function.last_version
                made[function.latest.name] |= set(function.versions)
                for alias in function.aliases.values():
                    assert set(alias.versions) <= {"$LATEST", *function.versions}, "an alias leads nowhere"
                for qualifier in function.policies:
                    assert qualifier in ("", *function.versions, *function.aliases)
            assert any(not isinstance(one, ServiceError) for one in ended)
        before = shown(world)
        usage = world.catalogue.usage(*_place())
        await world.restart()
        await calm(world)
        assert shown(world) == before
        assert world.catalogue.usage(*_place()) == usage
        kept = set(await world.blobs.digests())
        assert kept == {v.code.digest for f in before.values() for v in (f.latest, *f.versions.values())}

    play(tmp_path, story)


def _place() -> tuple[str, str]:
    return ref().account, ref().region


def test_of_updates_that_know_the_same_revision_one_is_made(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        known = (await world.created()).latest.revision_id
        ended = await all_at_once(
            [
                world.catalogue.update_configuration(ref(), Change(description=str(n)), revision_id=known)
                for n in range(20)
            ]
        )
        assert sum(not isinstance(one, ServiceError) for one in ended) == 1
        assert all(isinstance(one, (Function, ResourceConflict, PreconditionFailed)) for one in ended)
        await world.settled()
        late = [
            world.catalogue.update_configuration(ref(), Change(description="late"), revision_id=known)
            for _ in range(3)
        ]  # fmt: skip
        assert [type(one) for one in await all_at_once(late)] == [PreconditionFailed] * 3
        aliases = [world.catalogue.create_alias(ref(), "live", AliasChange(version="$LATEST")) for _ in range(10)]
        assert sum(not isinstance(one, ServiceError) for one in await all_at_once(aliases)) == 1
        revision = world.catalogue.alias(ref(), "live").revision_id
        updates = [
            world.catalogue.update_alias(ref(), "live", AliasChange(description=str(n)), revision_id=revision)
            for n in range(10)
        ]
        ended = await all_at_once(updates)
        assert sorted(type(one).__name__ for one in ended) == ["Alias", *["PreconditionFailed"] * 9]

    play(tmp_path, story)


def test_of_many_publications_at_once_there_is_one_version(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created()
        ended = await all_at_once([world.catalogue.publish_version(ref()) for _ in range(30)])
        assert {one.version for one in ended} == {"1"}
        assert list(world.catalogue.get(ref()).versions) == ["1"]

    play(tmp_path, story)
