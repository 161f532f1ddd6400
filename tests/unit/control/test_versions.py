"""Publishing: what is frozen, what is not made twice, what may be deleted, and what it takes of the code storage."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paddock.control.aliases import AliasChange
from paddock.control.changes import Change
from paddock.model.errors import (
    CodeStorageExceeded,
    InternalError,
    InvalidParameterValue,
    PreconditionFailed,
    ResourceConflict,
    ResourceNotFound,
    ServiceError,
)
from paddock.model.function import State, UpdateStatus
from tests.unit.control.world import ACCOUNT, REGION, World, package, play, ref

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
NOW = "The operation cannot be performed at this time. "
REVISION = (
    "The Revision Id provided does not match the latest Revision Id. "
    "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
)


async def refusal(change: Awaitable[Any], kind: type[ServiceError]) -> str:
    with pytest.raises(kind) as caught:
        await change
    return caught.value.message


async def changed(world: World, **settings: Any) -> None:
    """An update of $LATEST, settled."""
    await world.catalogue.update_configuration(ref(), Change(**settings))
    await world.settled()


def test_publishing_freezes_latest(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        before = (await world.created(description="first", memory_mb=256)).latest
        version = await world.catalogue.publish_version(ref())
        assert version == replace(
            before,
            version="1",
            frozen_description="first",
            revision_id=version.revision_id,
            build_id=version.build_id,
        )
        assert (version.state, version.update_status) == (State.ACTIVE, UpdateStatus.SUCCESSFUL)
        assert version.version_arn == f"{ARN}:1"
        latest = world.catalogue.version(ref())
        assert len({before.revision_id, latest.revision_id, version.revision_id}) == 3
        assert world.catalogue.resolve(ref()) == latest == replace(before, revision_id=latest.revision_id)
        assert version.environment_key != latest.environment_key
        await changed(world, memory_mb=512, environment={"A": "1"})
        assert world.catalogue.version(ref(qualifier="1")) == version == world.catalogue.resolve(ref(qualifier="1"))
        assert world.catalogue.resolve(ref()).memory_mb == 512
        await world.restart()
        assert world.catalogue.resolve(ref(qualifier="1")) == version
        assert world.catalogue.get(ref(qualifier="1")).last_version == 1

    play(tmp_path, story)


def test_environments_of_published_versions_stay_when_latest_moves_on(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created()
        version = await world.catalogue.publish_version(ref())
        await world.catalogue.update_code(ref(), package("2"))
        latest = (await world.settled()).latest
        assert world.fleet.retired[-1] == (ARN, frozenset({version.build_id, latest.build_id}))
        await world.catalogue.delete_function(ref(qualifier="1"))
        assert world.fleet.retired[-1] == (ARN, frozenset({latest.build_id}))

    play(tmp_path, story)


def test_the_same_is_not_published_twice(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created(description="d")
        first = await world.catalogue.publish_version(ref(), description="release")
        assert first.description == "release"
        latest = world.catalogue.version(ref())
        assert latest.description == "d"
        assert await world.catalogue.publish_version(ref()) == first
        assert await world.catalogue.publish_version(ref(), description="another") == first
        assert world.catalogue.version(ref()) == latest, "nothing was published, so nothing has a new revision"
        await changed(world, timeout_s=latest.timeout_s)
        assert await world.catalogue.publish_version(ref()) == first, "an update to what is set changes nothing"
        await changed(world, description="other")
        second = await world.catalogue.publish_version(ref())
        assert (second.version, second.description) == ("2", "other")
        await world.catalogue.update_code(ref(), package("new"))
        await world.settled()
        third = await world.catalogue.publish_version(ref(), description="")
        assert (third.version, third.description) == ("3", "")
        await world.restart()
        assert await world.catalogue.publish_version(ref()) == third

    play(tmp_path, story)


def test_what_counts_is_the_newest_version_that_exists(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created(timeout_s=10)
        first = await world.catalogue.publish_version(ref())
        await changed(world, timeout_s=20)
        await world.catalogue.publish_version(ref())
        await changed(world, timeout_s=10)
        third = await world.catalogue.publish_version(ref())
        assert third.version == "3", "like version 1, but that is not the newest"
        await world.catalogue.delete_function(ref(qualifier="3"))
        await world.catalogue.delete_function(ref(qualifier="2"))
        assert await world.catalogue.publish_version(ref()) == first

    play(tmp_path, story)


def test_guards_of_publishing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        latest = (await world.created()).latest
        actual = base64.b64encode(hashlib.sha256(package()).digest()).decode()
        publish = world.catalogue.publish_version
        assert await refusal(publish(ref(), code_sha256="x"), InvalidParameterValue) == (
            f"CodeSHA256 (x) is different from current CodeSHA256 in $LATEST ({actual}). "
            "Please try again with the CodeSHA256 in $LATEST."
        )
        assert await refusal(publish(ref(), revision_id="x"), PreconditionFailed) == REVISION
        version = await publish(ref(), code_sha256=actual, revision_id=latest.revision_id)
        assert await refusal(publish(ref(), revision_id=latest.revision_id), PreconditionFailed) == REVISION
        assert await publish(ref(), revision_id=world.catalogue.version(ref()).revision_id) == version
        assert await refusal(publish(ref("g")), ResourceNotFound) == f"Function not found: {ARN[:-1]}g"
        assert "Aliases and versions do not support" in await refusal(publish(ref("f", "1")), InvalidParameterValue)

    play(tmp_path, story)


def test_publishing_waits_for_no_one(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.fleet.gate = asyncio.Event()
        await world.create()
        pending = f"{NOW}The function is currently in the following state: Pending"
        assert await refusal(world.catalogue.publish_version(ref()), ResourceConflict) == pending
        world.fleet.gate.set()
        await world.settled()
        world.fleet.gate = asyncio.Event()
        await world.catalogue.update_code(ref(), package("2"))
        updating = f"{NOW}An update is in progress for resource: {ARN}"
        assert await refusal(world.catalogue.publish_version(ref()), ResourceConflict) == updating
        world.fleet.gate.set()
        await world.settled()
        assert (await world.catalogue.publish_version(ref())).version == "1"

    play(tmp_path, story)


def test_publishing_what_could_not_be_updated_fails_with_it_and_may_be_tried_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        served = (await world.created()).latest
        world.fleet.error = InvalidParameterValue("bad zip")
        await changed(world, timeout_s=9)
        version = await world.catalogue.publish_version(ref())
        assert (version.state, version.update_status) == (State.PENDING, UpdateStatus.NONE)
        await ended(world, "1")
        failed = world.catalogue.version(ref(qualifier="1"))
        assert (failed.state, failed.state_reason) == (State.FAILED, "bad zip")
        with pytest.raises(ResourceConflict) as caught:
            world.catalogue.resolve(ref(qualifier="1"))
        assert caught.value.message == f"{NOW}The function is currently in the following state: Failed"
        assert world.catalogue.resolve(ref()).build_id == served.build_id
        world.fleet.error = None
        again = await world.catalogue.publish_version(ref())
        assert (again.version, again.state) == ("2", State.PENDING)
        await ended(world, "2")
        assert world.catalogue.resolve(ref(qualifier="2")).timeout_s == 9

    play(tmp_path, story)


async def ended(world: World, number: str) -> None:
    """Once the version is not Pending."""
    for _ in range(2000):
        if world.catalogue.version(ref(qualifier=number)).state is not State.PENDING:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"version {number} never settled")


def test_create_and_publish(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.fleet.gate = asyncio.Event()
        created = await create_published(world)
        version = created.versions["1"]
        assert (version.state, version.update_status) == (State.PENDING, UpdateStatus.NONE)
        assert version.revision_id != created.latest.revision_id
        with pytest.raises(ResourceConflict) as caught:
            world.catalogue.resolve(ref(qualifier="1"))
        assert caught.value.message == f"{NOW}The function is currently in the following state: Pending"
        world.fleet.gate.set()
        function = await world.settled()
        active = world.catalogue.resolve(ref(qualifier="1"))
        assert (active.state, active.update_status) == (State.ACTIVE, UpdateStatus.SUCCESSFUL)
        assert active.revision_id not in (version.revision_id, function.latest.revision_id)
        assert len(world.fleet.prepared) == 1, "one code, prepared once"
        assert await world.catalogue.publish_version(ref()) == active
        assert world.catalogue.usage(ACCOUNT, REGION).code_bytes == 2 * len(package())

    play(tmp_path, story)


async def create_published(world: World, name: str = "f") -> Any:
    new = world.new(name)
    return await world.catalogue.create_function(new, package(), publish=True)


def test_a_restart_takes_up_a_version_that_was_pending(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.fleet.gate = asyncio.Event()
        await create_published(world)
        world.fleet.gate = None
        await world.restart()
        await world.settled()
        await ended(world, "1")
        assert world.catalogue.resolve(ref(qualifier="1")).state is State.ACTIVE

    play(tmp_path, story)


def test_update_and_publish(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created()
        world.fleet.gate = asyncio.Event()
        updated = await world.catalogue.update_code(ref(), package("2"), publish=True)
        assert updated.newest == updated.versions["1"]
        assert (updated.versions["1"].state, updated.versions["1"].update_status) == (State.PENDING, UpdateStatus.NONE)
        assert updated.latest.update_status is UpdateStatus.IN_PROGRESS
        world.fleet.gate.set()
        await world.settled()
        version = world.catalogue.resolve(ref(qualifier="1"))
        assert version.code == world.catalogue.resolve(ref()).code == updated.latest.code
        again = await world.catalogue.update_code(ref(), package("2"), publish=True)
        assert again.newest == version, "the same code is the same version"
        await world.settled()
        world.fleet.error = InvalidParameterValue("bad zip")
        await world.catalogue.update_code(ref(), package("3"), publish=True)
        await world.settled()
        assert world.catalogue.version(ref(qualifier="2")).state is State.FAILED
        assert world.catalogue.resolve(ref()).code == version.code

    play(tmp_path, story)


def test_numbers_are_never_given_out_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created()
        await world.catalogue.publish_version(ref())
        await world.catalogue.delete_function(ref(qualifier="1"))
        assert (await world.catalogue.publish_version(ref())).version == "2"
        await world.catalogue.delete_function(ref())
        await world.created()
        await world.catalogue.delete_function(ref())
        await world.restart()
        await world.created()
        assert world.catalogue.get(ref()).versions == {}
        assert (await world.catalogue.publish_version(ref())).version == "3"
        await world.created("g")
        assert (await world.catalogue.publish_version(ref("g"))).version == "1"

    play(tmp_path, story)


def test_deleting_a_version(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        catalogue = world.catalogue
        await world.created()
        await catalogue.publish_version(ref())
        await catalogue.create_alias(ref(), "live", AliasChange(version="1"))
        await changed(world, timeout_s=9)
        await catalogue.publish_version(ref())
        await catalogue.create_alias(ref(), "canary", AliasChange(version="2", weights={"1": 0.1}))
        message = await refusal(catalogue.delete_function(ref(qualifier="1")), ResourceConflict)
        assert message == "Unable to delete version because the following aliases reference it: [canary, live]"
        message = await refusal(catalogue.delete_function(ref(qualifier="2")), ResourceConflict)
        assert message == "Unable to delete version because the following aliases reference it: [canary]"
        for qualifier, text in (
            ("$LATEST", "$LATEST version cannot be deleted without deleting the function."),
            ("live", "Deletion of aliases is not currently supported."),
        ):
            assert await refusal(catalogue.delete_function(ref(qualifier=qualifier)), InvalidParameterValue) == text
        before = catalogue.get(ref())
        await catalogue.delete_function(ref(qualifier="7"))
        assert catalogue.get(ref()) is before, "a version that is not there is no error, and no change"
        assert await refusal(catalogue.delete_function(ref("g", "1")), ResourceNotFound) == (
            f"Function not found: {ARN[:-1]}g"
        )
        await catalogue.delete_alias(ref(), "canary")
        await catalogue.delete_function(ref(qualifier="2"))
        with pytest.raises(ResourceNotFound) as caught:
            catalogue.resolve(ref(qualifier="2"))
        assert caught.value.message == f"Function not found: {ARN}:2"
        await world.restart()
        assert list(world.catalogue.get(ref()).versions) == ["1"]
        await world.catalogue.delete_function(ref())
        await world.restart()
        await world.created()
        assert (world.catalogue.get(ref()).versions, world.catalogue.get(ref()).aliases) == ({}, {})

    play(tmp_path, story)


def test_code_is_kept_while_any_version_needs_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        old, new = package("old"), package("new")
        digests = {content: hashlib.sha256(content).hexdigest() for content in (old, new)}
        await world.created(content=old)
        await world.catalogue.publish_version(ref())
        await world.catalogue.update_code(ref(), new)
        await world.settled()
        assert set(await world.blobs.digests()) == set(digests.values())
        await world.restart()
        assert set(await world.blobs.digests()) == set(digests.values())
        await world.catalogue.delete_function(ref(qualifier="1"))
        assert await world.blobs.digests() == [digests[new]]
        assert world.unpacked.forgotten == [digests[old]]
        await world.catalogue.publish_version(ref())
        await world.catalogue.delete_function(ref())
        assert await world.blobs.digests() == []

    play(tmp_path, story)


def test_every_version_counts_as_code_storage(tmp_path: Path) -> None:
    size = len(package())

    async def story(world: World) -> None:
        def used() -> int:
            return world.catalogue.usage(ACCOUNT, REGION).code_bytes

        await world.created()
        assert used() == size
        await world.catalogue.publish_version(ref())
        await world.catalogue.publish_version(ref())
        assert used() == 2 * size
        await changed(world, timeout_s=9)
        assert used() == 2 * size
        assert await refusal(world.catalogue.publish_version(ref()), CodeStorageExceeded) == (
            "Code storage limit exceeded."
        )
        update = world.catalogue.update_code(ref(), package(), publish=True)
        await refusal(update, CodeStorageExceeded)
        assert list(world.catalogue.get(ref()).versions) == ["1"]
        await world.restart()
        assert used() == 2 * size
        await world.catalogue.delete_function(ref(qualifier="1"))
        assert used() == size
        assert (await world.catalogue.publish_version(ref())).version == "2"
        await world.catalogue.delete_function(ref())
        assert world.catalogue.usage(ACCOUNT, REGION).code_bytes == 0

    play(tmp_path, story, code_storage_bytes_max=2 * size + 1)


def test_a_function_is_not_created_without_room_for_its_first_version(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await refusal(create_published(world), CodeStorageExceeded)
        assert await world.blobs.digests() == []
        await world.created()

    play(tmp_path, story, code_storage_bytes_max=2 * len(package()) - 1)


def test_a_full_disk_publishes_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created()
        before = world.catalogue.get(ref())
        world.store.error = OSError(28, "No space left")
        await refusal(world.catalogue.publish_version(ref()), InternalError)
        assert world.catalogue.get(ref()) is before
        world.store.error = None
        assert (await world.catalogue.publish_version(ref())).version == "1"

    play(tmp_path, story)


def test_pages_of_versions(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        catalogue = world.catalogue
        for name in ("a", "b", "c"):
            await world.created(name)
        for number in range(11):
            await catalogue.update_configuration(ref("b"), Change(timeout_s=number + 10))
            await world.settled("b")
            await catalogue.publish_version(ref("b"))
        numbers = ["$LATEST", *map(str, range(1, 12))]
        assert [v.version for v in catalogue.list_versions(ref("b")).versions] == numbers
        page = catalogue.list_versions(ref("b"), after=0, items_max=10)
        assert ([v.version for v in page.versions], page.more) == (numbers[1:11], True)
        page = catalogue.list_versions(ref("b"), after=10)
        assert ([v.version for v in page.versions], page.more) == (["11"], False)
        assert names(catalogue.list_all_versions(ACCOUNT, REGION)) == [
            ("a", "$LATEST"),
            *(("b", number) for number in numbers),
            ("c", "$LATEST"),
        ]
        for items_max in (1, 2, 3, 13, 14):
            assert walked(world, items_max) == names(catalogue.list_all_versions(ACCOUNT, REGION))

    play(tmp_path, story)


def names(page: Any) -> list[tuple[str, str]]:
    return [(version.name, version.version) for version in page.versions]


def walked(world: World, items_max: int) -> list[tuple[str, str]]:
    """All pages of all versions, one after the other."""
    found: list[tuple[str, str]] = []
    after = ("", -1)
    while True:
        page = world.catalogue.list_all_versions(ACCOUNT, REGION, after=after, items_max=items_max)
        assert 0 < len(page.versions) <= items_max
        found += names(page)
        if not page.more:
            return found
        last = page.versions[-1]
        after = (last.name, 0 if last.version == "$LATEST" else int(last.version))


def test_many_at_once_leave_what_some_order_of_them_would(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        catalogue = world.catalogue
        await world.created()

        async def client(number: int) -> list[str]:
            """Updates, publishes and routes as if alone; what it published."""
            made = []
            for turn in range(5):
                with suppress(ResourceConflict):
                    await catalogue.update_configuration(ref(), Change(timeout_s=number * 5 + turn + 1))
                with suppress(ResourceConflict):
                    version = (await catalogue.publish_version(ref())).version
                    made.append(version)
                    with suppress(ResourceNotFound):
                        await catalogue.create_alias(ref(), f"a{number}-{turn}", AliasChange(version=version))
                with suppress(ResourceConflict):
                    await catalogue.delete_function(ref(qualifier=str(number + turn)))
                await catalogue.delete_alias(ref(), f"a{(number + 1) % 8}-{turn}")
            return made

        published = {version for made in await asyncio.gather(*map(client, range(8))) for version in made}
        function = await world.settled()
        assert function.last_version == max(int(number) for number in published)
        assert {version for alias in function.aliases.values() for version in alias.versions} <= set(function.versions)
        assert list(function.versions) == sorted(function.versions, key=int)
        await world.restart()
        again = world.catalogue.get(ref())
        assert (again.versions, again.aliases, again.latest) == (function.versions, function.aliases, function.latest)

    play(tmp_path, story)
