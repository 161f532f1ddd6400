"""The profiles of limits: what each lets a function be."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from paddock.model.errors import InvalidParameterValue, ValidationError
from paddock.model.quotas import PROFILES
from tests.unit.control.world import World


def create(directory: Path, profile: str, **settings: int) -> None:
    directory.mkdir(exist_ok=True)

    async def run() -> None:
        world = World(directory, PROFILES[profile])
        await world.open()
        try:
            await world.created(**settings)
        finally:
            await world.close()

    asyncio.run(run())


@pytest.mark.parametrize("memory_mb", [128, 192, 3_008])
def test_2019_takes_steps_of_64_mb(tmp_path: Path, memory_mb: int) -> None:
    create(tmp_path, "2019", memory_mb=memory_mb)


@pytest.mark.parametrize("memory_mb", [129, 200, 3_007])
def test_2019_takes_nothing_between(tmp_path: Path, memory_mb: int) -> None:
    with pytest.raises(InvalidParameterValue, match="multiple of 64 MB"):
        create(tmp_path, "2019", memory_mb=memory_mb)


def test_2019_is_smaller_and_aws_is_todays(tmp_path: Path) -> None:
    for settings in ({"memory_mb": 3_072}, {"ephemeral_mb": 513}, {"timeout_s": 901}):
        with pytest.raises(ValidationError):
            create(tmp_path / "then", "2019", **settings)
    create(tmp_path / "now", "aws", memory_mb=10_240, ephemeral_mb=10_240, timeout_s=900)
    with pytest.raises(ValidationError):
        create(tmp_path / "now", "aws", memory_mb=10_241)
    create(tmp_path / "none", "unlimited", memory_mb=32_768, ephemeral_mb=32_768, timeout_s=5_400)


def test_no_profile_is_stricter_without_limits() -> None:
    free, today = PROFILES["unlimited"], PROFILES["aws"]
    for field in dataclasses.fields(today):
        if field.name.endswith("_max"):
            if field.name == "invocations_per_execution_max" and getattr(free, field.name) == 0:
                continue  # 0 is for any number
            assert getattr(free, field.name) >= getattr(today, field.name), field.name
