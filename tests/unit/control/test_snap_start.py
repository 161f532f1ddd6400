"""Versions with SnapStart: Pending until their snapshot is taken, each on its own; and who may have it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paddock.control import rules
from paddock.control.changes import Change
from paddock.model.errors import InvalidParameterValue, NotYet, ServiceError
from paddock.model.function import FileSystemUse, State
from tests.unit.control.world import World, play, ref

SNAP: dict[str, Any] = {"runtime": "python3.12", "snap_start": True}


async def published(world: World) -> None:
    for _ in range(2000):
        if world.catalogue.version(ref(qualifier="1")).state is not State.PENDING:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it stayed Pending")


def test_a_version_is_pending_until_its_snapshot_is_taken(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created(**SNAP)
        world.fleet.gate = asyncio.Event()
        version = await world.catalogue.publish_version(ref())
        assert version.state is State.PENDING
        with pytest.raises(ServiceError) as early:
            world.catalogue.resolve(ref(qualifier="1"))
        assert (early.value.code, early.value.status) == ("SnapStartNotReadyException", 409)
        assert world.catalogue.resolve(ref()).version == "$LATEST"
        world.fleet.gate.set()
        await published(world)
        assert world.catalogue.resolve(ref(qualifier="1")).state is State.ACTIVE
        assert world.fleet.prepared[-1].starts_by_snapshot

    play(tmp_path, story)


def test_a_failed_initialisation_fails_the_version_alone(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created(**SNAP)
        world.fleet.error = ServiceError("it did not", code="FunctionError.InitTimeout")
        await world.catalogue.publish_version(ref())
        await published(world)
        version = world.catalogue.version(ref(qualifier="1"))
        assert (version.state, version.state_reason_code) == (State.FAILED, "FunctionError.InitTimeout")
        assert version.state_reason == "it did not"
        assert world.catalogue.version(ref()).state is State.ACTIVE

    play(tmp_path, story)


def test_each_is_prepared_and_it_outlives_a_restart(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created(**SNAP)
        world.fleet.prepared.clear()
        await world.catalogue.update_configuration(ref(), Change(description="second"))
        await world.settled()
        await world.catalogue.publish_version(ref())
        await published(world)
        assert [version.version for version in world.fleet.prepared] == ["$LATEST", "1"]
        await world.restart()
        assert world.catalogue.version(ref(qualifier="1")).snap_start

    play(tmp_path, story)


def test_who_may_have_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        latest = (await world.created(**SNAP)).latest
        rules.check_snap_start(latest)
        rules.check_snap_start(replace(latest, runtime="python3.14"))
        for unfit in (
            replace(latest, runtime="python3.11"),
            replace(latest, runtime="nodejs22.x"),
            replace(latest, ephemeral_mb=513),
            replace(latest, tenant_isolation=True),
            replace(latest, file_systems=(FileSystemUse(arn="a", mount_path="/mnt/a"),)),
        ):
            with pytest.raises(InvalidParameterValue):
                rules.check_snap_start(unfit)
            rules.check_snap_start(replace(unfit, snap_start=False))
        with pytest.raises(NotYet):
            rules.check_snap_start(replace(latest, architecture="arm64"))

    play(tmp_path, story)
