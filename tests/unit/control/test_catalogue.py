"""The life of functions: states, conflicts, revisions, code that is kept and code that goes."""

from __future__ import annotations

import asyncio
import errno
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from paddock.control.changes import Change, LoggingChange
from paddock.model.errors import (
    CodeStorageExceeded,
    InternalError,
    InvalidParameterValue,
    PreconditionFailed,
    ResourceConflict,
    ResourceNotFound,
    ServiceError,
    ValidationError,
)
from paddock.model.function import State, UpdateStatus
from tests.unit.control.world import ACCOUNT, REGION, World, package, play, ref

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
NOW = "The operation cannot be performed at this time. "


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def refused(error: pytest.ExceptionInfo[ServiceError]) -> str:
    return error.value.message


def test_create_is_pending_and_then_active(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.fleet.gate = asyncio.Event()
        created = (await world.create()).latest
        assert (created.state, created.state_reason_code) == (State.PENDING, "Creating")
        assert created.state_reason == "The function is being created."
        assert created.update_status is UpdateStatus.NONE
        with pytest.raises(ResourceConflict) as caught:
            world.catalogue.resolve(ref())
        assert refused(caught) == f"{NOW}The function is currently in the following state: Pending"
        with pytest.raises(ResourceConflict) as caught:
            await world.catalogue.update_configuration(ref(), Change(timeout_s=5))
        assert refused(caught) == f"{NOW}The function is currently in the following state: Pending"
        world.fleet.gate.set()
        function = await world.settled()
        active = function.latest
        assert (active.state, active.state_reason, active.state_reason_code) == (State.ACTIVE, "", "")
        assert active.update_status is UpdateStatus.SUCCESSFUL
        assert active.revision_id != created.revision_id
        assert (active.build_id, active.last_modified) == (created.build_id, created.last_modified)
        assert function.serving == active == world.catalogue.resolve(ref())
        assert world.catalogue.resolve(ref(qualifier="$LATEST")) == active
        assert world.fleet.retired == [(ARN, frozenset({active.build_id}))]

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (InvalidParameterValue("bad zip"), "InvalidZipFileException", "bad zip"),
        (ServiceError("no such runtime", code="InvalidRuntimeException"), "InvalidRuntime", "no such runtime"),
        (OSError(errno.ENOSPC, "No space left"), "InternalError", "The function could not be prepared: No space left."),
    ],
)
def test_a_create_that_cannot_be_prepared_fails(tmp_path: Path, error: Exception, code: str, reason: str) -> None:
    async def story(world: World) -> None:
        world.fleet.error = error
        failed = (await world.created()).latest
        assert (failed.state, failed.state_reason_code, failed.state_reason) == (State.FAILED, code, reason)
        assert failed.update_status is UpdateStatus.FAILED
        for attempt in (lambda: world.catalogue.resolve(ref()), lambda: world.catalogue.resolve(ref("f", "$LATEST"))):
            with pytest.raises(ResourceConflict) as caught:
                attempt()
            assert refused(caught) == f"{NOW}The function is currently in the following state: Failed"
        await world.catalogue.delete_function(ref())
        assert await world.blobs.digests() == []

    play(tmp_path, story)


def test_a_defect_of_ours_does_not_leave_a_function_pending_and_is_reported(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        world.fleet.error = ZeroDivisionError("secret detail")
        failed = (await world.created()).latest
        assert failed.state is State.FAILED
        assert "secret" not in failed.state_reason
        assert reported == [world.fleet.error]

    play(tmp_path, story)


def test_an_update_serves_the_old_until_it_is_done(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        before = (await world.created()).latest
        world.fleet.gate = asyncio.Event()
        world.fleet.retired.clear()
        content = package("new")
        during = (await world.catalogue.update_code(ref(), content)).latest
        assert (during.state, during.update_status) == (State.ACTIVE, UpdateStatus.IN_PROGRESS)
        assert (during.update_reason_code, during.update_reason) == ("Creating", "The function is being created.")
        assert during.code.digest == digest(content)
        assert during.code.unzipped_bytes == 3
        assert during.last_modified > before.last_modified
        assert during.build_id != before.build_id
        assert world.catalogue.resolve(ref()) == before
        assert world.fleet.retired == []
        world.fleet.gate.set()
        after = (await world.settled()).latest
        assert after.update_status is UpdateStatus.SUCCESSFUL
        assert (after.update_reason, after.update_reason_code) == ("", "")
        assert len({before.revision_id, during.revision_id, after.revision_id}) == 3
        assert world.catalogue.resolve(ref()) == after
        assert world.fleet.retired == [(ARN, frozenset({after.build_id}))]
        assert await world.blobs.digests() == [digest(content)]
        assert world.unpacked.forgotten == [before.code.digest]

    play(tmp_path, story)


def test_an_update_that_fails_goes_on_serving_the_old(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        before = (await world.created()).latest
        world.fleet.error = InvalidParameterValue("bad")
        await world.catalogue.update_code(ref(), package("broken"))
        failed = (await world.settled()).latest
        assert (failed.state, failed.update_status) == (State.ACTIVE, UpdateStatus.FAILED)
        assert (failed.update_reason_code, failed.update_reason) == ("InvalidZipFileException", "bad")
        assert world.catalogue.resolve(ref()) == before
        assert sorted(await world.blobs.digests()) == sorted([before.code.digest, failed.code.digest])
        world.fleet.error = None
        await world.restart()
        assert world.catalogue.resolve(ref()) == before
        await world.catalogue.update_code(ref(), package("mended"))
        mended = (await world.settled()).latest
        assert mended.update_status is UpdateStatus.SUCCESSFUL
        assert world.catalogue.resolve(ref()) == mended
        assert await world.blobs.digests() == [mended.code.digest]

    play(tmp_path, story)


def test_two_updates_at_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created()
        world.fleet.gate = asyncio.Event()
        outcomes = await asyncio.gather(
            world.catalogue.update_code(ref(), package("1")),
            world.catalogue.update_configuration(ref(), Change(memory_mb=256)),
            return_exceptions=True,
        )
        conflicts = [outcome for outcome in outcomes if isinstance(outcome, ResourceConflict)]
        assert len(conflicts) == 1
        assert conflicts[0].message == f"{NOW}An update is in progress for resource: {ARN}"
        world.fleet.gate.set()
        await world.settled()

    play(tmp_path, story)


def test_two_creates_at_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        outcomes = await asyncio.gather(world.create(), world.create(content=package("2")), return_exceptions=True)
        conflicts = [outcome for outcome in outcomes if isinstance(outcome, ResourceConflict)]
        assert [conflict.message for conflict in conflicts] == ["Function already exist: f"]
        kept = (await world.settled()).latest.code.digest
        assert await world.blobs.digests() == [kept]
        with pytest.raises(ResourceConflict):
            await world.create()

    play(tmp_path, story)


def test_settings_change_and_the_rest_stays(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        before = (await world.created(environment={"AB": "1"}, description="d")).latest
        change = Change(timeout_s=900, memory_mb=10240, ephemeral_mb=10240, environment={}, handler="g.h")
        await world.catalogue.update_configuration(ref(), change)
        after = (await world.settled()).latest
        assert after == replace(
            before,
            timeout_s=900,
            memory_mb=10240,
            ephemeral_mb=10240,
            environment={},
            handler="g.h",
            revision_id=after.revision_id,
            build_id=after.build_id,
            last_modified=after.last_modified,
        )
        await world.restart()
        assert world.catalogue.get(ref()).latest == after

    play(tmp_path, story)


def test_logging_rules(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        async def changed(**sent: str) -> tuple[str, str, str, str]:
            await world.catalogue.update_configuration(ref(), Change(logging=LoggingChange(**sent)))
            logging = (await world.settled()).latest.logging
            return (logging.format, logging.application_level, logging.system_level, logging.group)

        await world.created()
        assert await changed(group="/mine") == ("Text", "", "", "/mine")
        assert await changed(format="JSON") == ("JSON", "INFO", "INFO", "/mine")
        assert await changed(application_level="DEBUG") == ("JSON", "DEBUG", "INFO", "/mine")
        assert await changed(format="JSON", system_level="WARN") == ("JSON", "DEBUG", "WARN", "/mine")
        assert await changed(format="Text") == ("Text", "", "", "/mine")
        with pytest.raises(InvalidParameterValue) as caught:
            await changed(application_level="DEBUG")
        assert refused(caught) == (
            'LogLevel is not supported when LogFormat is set to "Text". '
            'Remove LogLevel from your request or change the LogFormat to "JSON" and try again.'
        )

    play(tmp_path, story)


def test_limits_that_the_service_model_sets_higher(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        with pytest.raises(ValidationError) as caught:
            await world.create(timeout_s=901)
        assert refused(caught) == (
            "1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: "
            "Member must have value less than or equal to 900"
        )
        with pytest.raises(ValidationError) as caught:
            await world.create(memory_mb=10241, ephemeral_mb=10241)
        assert refused(caught).startswith("2 validation errors detected: Value '10241' at 'memorySize' failed")
        await world.created()
        with pytest.raises(ValidationError):
            await world.catalogue.update_configuration(ref(), Change(timeout_s=901))
        assert (await world.settled()).latest.timeout_s == 3

    play(tmp_path, story)


def test_a_name_is_limited_at_create_alone(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created("x" * 64)
        with pytest.raises(InvalidParameterValue) as caught:
            await world.create("x" * 65)
        assert refused(caught) == (
            f"1 validation error detected: Value '{'x' * 65}' at 'functionName' failed to satisfy constraint: "
            "Member must have length less than or equal to 64"
        )
        with pytest.raises(ResourceNotFound):
            world.catalogue.get(ref("x" * 65))

    play(tmp_path, story)


def test_the_environment_is_limited_in_bytes_and_in_keys(tmp_path: Path) -> None:
    fits = {"AB": "x" * (4096 - len('{"AB":""}'))}
    text = (
        "Lambda was unable to configure your environment variables because the environment variables you have provided "
    )

    async def story(world: World) -> None:
        await world.created(environment=fits)
        too_much = {"AB": fits["AB"] + "x"}
        with pytest.raises(InvalidParameterValue) as caught:
            await world.create("g", environment=too_much)
        assert refused(caught) == f'{text}exceeded the 4KB limit. String measured: {{"AB":"{too_much["AB"]}"}}'
        with pytest.raises(InvalidParameterValue):
            await world.create("g", environment={"AB": "é" * 2048})
        with pytest.raises(InvalidParameterValue) as caught:
            await world.catalogue.update_configuration(ref(), Change(environment={"AWS_REGION": "x", "_HANDLER": "y"}))
        assert refused(caught) == (
            f"{text}contains reserved keys that are currently not supported for modification. "
            "Reserved keys used in this request: AWS_REGION, _HANDLER"
        )

    play(tmp_path, story)


def test_revisions_guard_updates(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        latest = (await world.created()).latest
        for attempt in (
            world.catalogue.update_code(ref(), package("2"), revision_id="old"),
            world.catalogue.update_code(ref(), package("2"), revision_id="old", dry_run=True),
            world.catalogue.update_configuration(ref(), Change(), revision_id="old"),
        ):
            with pytest.raises(PreconditionFailed) as caught:
                await attempt
            assert refused(caught) == (
                "The Revision Id provided does not match the latest Revision Id. "
                "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
            )
        await world.catalogue.update_configuration(ref(), Change(), revision_id=latest.revision_id)
        assert (await world.settled()).latest.revision_id != latest.revision_id

    play(tmp_path, story)


def test_a_dry_run_checks_and_changes_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        before = await world.created()
        assert await world.catalogue.update_code(ref(), package("2"), dry_run=True) == before
        with pytest.raises(InvalidParameterValue):
            await world.catalogue.update_code(ref(), b"not a zip", dry_run=True)
        assert world.catalogue.get(ref()) == before
        assert await world.blobs.digests() == [before.latest.code.digest]

    play(tmp_path, story)


def test_what_is_not_there(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        catalogue = world.catalogue
        with pytest.raises(ResourceNotFound) as caught:
            catalogue.get(ref())
        assert refused(caught) == f"Function not found: {ARN}"
        with pytest.raises(ResourceNotFound) as caught:
            catalogue.get(ref("f", "3"))
        assert refused(caught) == f"Function not found: {ARN}:3"
        with pytest.raises(ResourceNotFound) as caught:
            catalogue.resolve(ref())
        assert refused(caught) == f"Function not found: {ARN}:$LATEST"
        for attempt in (
            catalogue.update_code(ref(), package()),
            catalogue.update_configuration(ref(), Change()),
            catalogue.delete_function(ref()),
            catalogue.delete_function(ref("f", "7")),
            catalogue.tag(ref(), {"a": "b"}),
        ):
            with pytest.raises(ResourceNotFound) as caught:
                await attempt
            assert refused(caught) == f"Function not found: {ARN}"
        await world.created()
        for qualifier in ("1", "live", "$LATEST.PUBLISHED"):
            with pytest.raises(ResourceNotFound) as caught:
                catalogue.resolve(ref("f", qualifier))
            assert refused(caught) == f"Function not found: {ARN}:{qualifier}"
        with pytest.raises(InvalidParameterValue, match="Aliases and versions do not support this operation"):
            await catalogue.update_configuration(ref("f", "live"), Change())

    play(tmp_path, story)


def test_delete_takes_code_and_environments_along(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        latest = (await world.created()).latest
        await world.created("twin")  # the same code under another name
        world.fleet.retired.clear()
        await world.catalogue.delete_function(ref("f", "7"))
        for qualifier, text in (
            ("$LATEST", "$LATEST version cannot be deleted without deleting the function."),
            ("live", "Deletion of aliases is not currently supported."),
        ):
            with pytest.raises(InvalidParameterValue) as caught:
                await world.catalogue.delete_function(ref("f", qualifier))
            assert refused(caught) == text
        assert world.catalogue.resolve(ref()) == latest
        await world.catalogue.delete_function(ref())
        assert world.fleet.retired == [(ARN, frozenset())]
        with pytest.raises(ResourceNotFound):
            world.catalogue.get(ref())
        assert await world.blobs.digests() == [latest.code.digest]
        assert world.unpacked.forgotten == []
        await world.catalogue.delete_function(ref("twin"))
        assert await world.blobs.digests() == []
        assert world.unpacked.forgotten == [latest.code.digest]
        await world.restart()
        assert world.catalogue.list(ACCOUNT, REGION).functions == ()

    play(tmp_path, story)


def test_a_function_deleted_and_made_anew_while_the_old_one_is_prepared(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        first_gate = world.fleet.gate = asyncio.Event()
        await world.create()
        await world.idle()
        await world.catalogue.delete_function(ref())
        world.fleet.gate = asyncio.Event()
        second = (await world.create(content=package("2"))).latest
        first_gate.set()
        await world.idle()
        assert world.catalogue.get(ref()).latest == second
        world.fleet.gate.set()
        assert (await world.settled()).latest.build_id == second.build_id

    play(tmp_path, story)


def test_tags(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        catalogue = world.catalogue
        before = (await world.created()).latest
        await catalogue.tag(ref(), {"a": "1", "b": "2"})
        await catalogue.tag(ref(), {"b": "3"})
        await catalogue.untag(ref(), ["a", "zz"])
        assert catalogue.list_tags(ref()) == {"b": "3"}
        function = catalogue.get(ref())
        assert function.latest == replace(before, revision_id=function.latest.revision_id)
        assert function.latest.revision_id != before.revision_id
        assert function.serving == function.latest
        for bad, text in (
            ({}, "An error occurred and the request cannot be processed."),
            ({f"k{n}": "" for n in range(50)}, "Number of tags exceeds resource tag limit."),
            ({"aws:x": "1"}, "reserved prefix"),
            ({"k": "v" * 257}, "at most 256"),
            ({"k" * 129: "v"}, "at most 128"),
        ):
            with pytest.raises(InvalidParameterValue) as caught:
                await catalogue.tag(ref(), bad)
            assert text in refused(caught)
        await world.restart()
        assert world.catalogue.list_tags(ref()) == {"b": "3"}

    play(tmp_path, story)


def test_lists_come_in_pages_by_name(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        names = sorted(f"f{n}" for n in range(60))
        await asyncio.gather(*(world.create(name) for name in reversed(names)))
        first = world.catalogue.list(ACCOUNT, REGION, items_max=10_000)
        assert [f.latest.name for f in first.functions] == names[:50]
        second = world.catalogue.list(ACCOUNT, REGION, after=first.next_name)
        assert [f.latest.name for f in second.functions] == names[50:]
        assert second.next_name == ""
        assert len(world.catalogue.list(ACCOUNT, REGION, items_max=1).functions) == 1
        assert world.catalogue.list(ACCOUNT, "eu-west-1").functions == ()
        assert world.catalogue.list("111111111111", REGION).functions == ()
        assert world.catalogue.usage(ACCOUNT, REGION).functions == 60

    play(tmp_path, story)


def test_bad_zips_leave_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        with pytest.raises(InvalidParameterValue):
            await world.create(content=b"not a zip")
        assert await world.blobs.digests() == []
        with pytest.raises(ResourceNotFound):
            world.catalogue.get(ref())

    play(tmp_path, story)


def test_code_storage_is_limited_also_for_uploads_at_the_same_time(tmp_path: Path) -> None:
    size = len(package("aa"))

    async def story(world: World) -> None:
        outcomes = await asyncio.gather(
            *(world.create(f"f{n}", package(f"{n:02}")) for n in range(5)), return_exceptions=True
        )
        refusals = [outcome for outcome in outcomes if isinstance(outcome, CodeStorageExceeded)]
        assert [refusal.message for refusal in refusals] == ["Code storage limit exceeded."] * 3
        assert world.catalogue.usage(ACCOUNT, REGION).code_bytes == 2 * size
        assert len(await world.blobs.digests()) == 2
        name = world.catalogue.list(ACCOUNT, REGION).functions[0].latest.name
        await world.settled(name)
        with pytest.raises(CodeStorageExceeded):
            await world.catalogue.update_code(ref(name), package("x" * 100))
        await world.catalogue.update_code(ref(name), package("bb"))  # no more than it had

    play(tmp_path, story, code_storage_bytes_max=2 * size + 1)


def test_a_full_disk_while_uploading_makes_nothing_half(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.blobs.error = OSError(errno.ENOSPC, "No space left on device")
        with pytest.raises(InternalError) as caught:
            await world.create()
        assert (caught.value.code, caught.value.status) == ("ServiceException", 500)
        assert refused(caught) == "The code could not be stored: No space left on device."
        world.blobs.error = None
        world.store.error = OSError(errno.ENOSPC, "database or disk is full")
        with pytest.raises(InternalError, match="could not be stored"):
            await world.create()
        world.store.error = None
        with pytest.raises(ResourceNotFound):
            world.catalogue.get(ref())
        assert await world.blobs.digests() == []
        before = await world.created()
        world.store.error = OSError(errno.ENOSPC, "database or disk is full")
        for attempt in (
            world.catalogue.update_code(ref(), package("2")),
            world.catalogue.update_configuration(ref(), Change(timeout_s=9)),
            world.catalogue.delete_function(ref()),
            world.catalogue.tag(ref(), {"a": "b"}),
        ):
            with pytest.raises(InternalError):
                await attempt
        world.store.error = None
        assert world.catalogue.get(ref()) == before
        assert await world.blobs.digests() == [before.latest.code.digest]

    play(tmp_path, story)


def test_settling_waits_for_a_full_disk(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        def mend() -> None:
            if len(world.clock.slept) == 3:
                world.store.error = None

        world.fleet.gate = asyncio.Event()
        world.clock.on_sleep = mend
        await world.create()
        world.store.error = OSError(errno.ENOSPC, "database or disk is full")
        world.fleet.gate.set()
        assert (await world.settled()).latest.state is State.ACTIVE
        assert world.clock.slept == [1.0, 1.0, 1.0]

    play(tmp_path, story)


def test_a_restart_takes_up_what_was_not_settled(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        before = (await world.created("updated")).latest
        world.fleet.gate = asyncio.Event()
        await world.create()
        await world.catalogue.update_configuration(ref("updated"), Change(memory_mb=512))
        await world.restart()
        assert world.catalogue.get(ref()).latest.state is State.PENDING
        assert world.catalogue.resolve(ref("updated")) == before
        world.fleet.gate.set()
        assert (await world.settled()).latest.state is State.ACTIVE
        assert (await world.settled("updated")).latest.memory_mb == 512
        assert world.catalogue.resolve(ref("updated")).memory_mb == 512

    play(tmp_path, story)


def test_a_kill_between_upload_and_commit_leaves_an_orphan_that_start_collects(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        kept = (await world.created()).latest.code.digest
        orphan = await world.blobs.put(package("uploaded, never committed"))
        await world.restart()
        assert await world.blobs.digests() == [kept]
        assert world.unpacked.forgotten == [orphan]
        assert world.unpacked.kept[-1] == frozenset({kept})
        assert [f.latest.name for f in world.catalogue.list(ACCOUNT, REGION).functions] == ["f"]

    play(tmp_path, story)


def test_a_caller_that_gives_up_does_not_leave_memory_and_store_apart(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created()
        change = asyncio.ensure_future(world.catalogue.update_configuration(ref(), Change(memory_mb=512)))
        await asyncio.sleep(0)
        change.cancel()
        with pytest.raises(asyncio.CancelledError):
            await change
        for _ in range(2000):
            if world.catalogue.get(ref()).latest.memory_mb == 512:
                break
            await asyncio.sleep(0.001)
        shown = (await world.settled()).latest
        assert shown.memory_mb == 512
        await world.restart()
        assert world.catalogue.get(ref()).latest == shown

    play(tmp_path, story)


def test_functions_of_accounts_and_regions_do_not_meet(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.created()
        for elsewhere in (replace(ref(), account="111111111111"), replace(ref(), region="eu-west-1")):
            with pytest.raises(ResourceNotFound):
                world.catalogue.resolve(elsewhere)

    play(tmp_path, story)
