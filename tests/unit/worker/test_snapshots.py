"""Snapshots held, handed over and let go; environments that are templates or restored, with a scripted runtime."""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from paddock.model.errors import ServiceError
from paddock.model.function import CodeArtifact
from paddock.worker import failures
from paddock.worker.environment import Environment
from paddock.worker.frames import encode
from paddock.worker.runtimes.python.bootstrap import ASSIGN, FAILED, HEADER, RESTORED, SNAPSHOT, TAKEN
from paddock.worker.snapshots import (
    ASKED,
    PUBLISHED,
    Image,
    RestoreFailed,
    Snapshots,
    hand_over,
    is_for_snapshots,
    new_file,
    not_restored,
    not_taken,
)
from tests.unit.worker.test_worker import Yard, played
from tests.unit.worker.world import SETTINGS, FakeSandbox, Runtime, echo, event, invocation, until, version
from tests.unit.worker.world import environment as plain_environment

KEY = ("000000000000", "us-east-1", "fn", "1", "build-1")
OTHER = ("000000000000", "us-east-1", "fn", "2", "build-2")
SNAPPED = version(version="1", snap_start=True)


@pytest.mark.parametrize(
    ("given", "whose"),
    [
        ({"version": "1"}, {PUBLISHED, "all"}),
        ({"version": "$LATEST"}, {"all"}),
        ({"version": "1", "snap_start": True}, {ASKED, PUBLISHED, "all"}),
        ({"version": "$LATEST", "snap_start": True}, {"all"}),
        ({"version": "1", "runtime": "python3.11"}, set()),
        ({"version": "1", "runtime": "nodejs22.x"}, set()),
        ({"version": "1", "architecture": "arm64"}, set()),
        ({"version": "1", "ephemeral_mb": 513}, set()),
        ({"version": "1", "tenant_isolation": True}, set()),
        ({"version": "1", "provisioned_for": "1"}, set()),
        ({"version": "$LATEST", "is_debugged": True}, set()),
        ({"version": "$LATEST", "code": CodeArtifact(digest="directory:/a", size_bytes=1, unzipped_bytes=1)}, set()),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),  # in one order in every process
)
def test_whose_snapshots_are_taken(given: dict[str, Any], whose: set[str]) -> None:
    one = version(**{"runtime": "python3.12", **given})
    assert {each for each in (ASKED, PUBLISHED, "all") if is_for_snapshots(one, each)} == whose


def filled(size: int) -> int:
    file = new_file()
    os.pwrite(file, b"x" * size, 0)
    return file


def held(budget: int = 1 << 30) -> tuple[Snapshots, list[float]]:
    clock = [0.0]
    return Snapshots(budget, lambda: clock[0]), clock


# -- those that are held


def test_what_is_held_cannot_be_changed_by_anybody() -> None:
    snapshots, _ = held()
    file = filled(4096)
    writer = os.dup(file)  # as a template has it, and what it leaked might
    assert snapshots.keep(KEY, file, 1, 2.0)
    for attempt in (
        lambda: os.pwrite(writer, b"y", 0),
        lambda: os.ftruncate(writer, 0),
        lambda: os.ftruncate(writer, 1 << 20),
        lambda: mmap.mmap(writer, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
    ):
        with pytest.raises(PermissionError):
            attempt()
    found = snapshots.find(KEY, 1)
    assert found is not None
    assert os.pread(found.file, 1, 0) == b"x"
    os.close(writer)
    snapshots.close()


def test_what_somebody_may_still_write_to_is_thrown_away() -> None:
    snapshots, _ = held()
    file = filled(4096)
    with mmap.mmap(os.dup(file), 4096) as mapped:
        with pytest.raises(OSError, match="busy"):
            snapshots.keep(KEY, file, 1, 2.0)
        assert mapped[0:1] == b"x"
    assert snapshots.find(KEY, 1) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


def test_it_is_for_its_own_version_and_lineage_only() -> None:
    snapshots, _ = held()
    snapshots.keep(KEY, filled(1), 7, 2.0)
    assert snapshots.find(OTHER, 7) is None
    assert snapshots.find((*KEY[:4], "tenant", KEY[4]), 7) is None
    assert snapshots.find(KEY, 7) is not None
    assert not snapshots.wants(KEY)
    assert snapshots.find(KEY, 8) is None, "another zygote has other addresses"
    assert snapshots.wants(KEY)
    assert (len(snapshots), snapshots.bytes) == (0, 0)


def test_the_least_worth_goes_first() -> None:
    snapshots, clock = held(budget=3 << 20)
    slow, quick, third = (("a", "r", "f", str(n), f"b{n}") for n in range(3))
    snapshots.keep(slow, filled(1 << 20), 1, 60.0)
    snapshots.keep(quick, filled(1 << 20), 1, 0.1)
    clock[0] = 10.0
    snapshots.keep(third, filled(2 << 20), 1, 1.0)
    assert snapshots.bytes <= 3 << 20
    assert snapshots.find(quick, 1) is None
    assert snapshots.find(slow, 1) is not None
    snapshots.shed(1)
    assert len(snapshots) == 1
    snapshots.close()


def test_one_that_is_too_large_is_not_tried_again() -> None:
    snapshots, _ = held(budget=4096)
    assert not snapshots.keep(KEY, filled(8192), 1, 2.0)
    assert not snapshots.wants(KEY)
    snapshots.drop_others(version().function_arn, frozenset())
    assert snapshots.wants(KEY)


def test_a_few_failures_are_enough() -> None:
    snapshots, _ = held()
    for _ in range(3):
        assert snapshots.wants(KEY)
        snapshots.failed(KEY)
    assert not snapshots.wants(KEY)


def test_builds_that_nobody_may_ask_for_are_let_go() -> None:
    snapshots, _ = held()
    snapshots.keep(KEY, filled(1), 1, 1.0)
    snapshots.keep(OTHER, filled(1), 1, 1.0)
    snapshots.drop_others(version().function_arn, frozenset({"build-2"}))
    assert snapshots.find(KEY, 1) is None
    assert snapshots.find(OTHER, 1) is not None
    snapshots.close()


def test_a_restored_one_gets_a_file_of_its_own_to_read() -> None:
    file = filled(10)
    os.lseek(file, 5, os.SEEK_SET)
    near, far = socket.socketpair()
    with near, far:
        hand_over(near, Image(file=file))
        data, fds, _, _ = socket.recv_fds(far, 1000, 3)
        assert data == encode(SNAPSHOT, b"restore", b"")
        (got,) = fds
        assert os.lseek(got, 0, os.SEEK_CUR) == 0
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.pwrite(got, b"y", 0)
        os.close(got)
    os.close(file)


def test_words_for_what_failed() -> None:
    late = failures.timed_out("", 1.0)
    assert not_taken(late).code == "FunctionError.InitTimeout"
    assert (not_restored(late).code, not_restored(late).status) == ("SnapStartTimeoutException", 408)
    hook = failures.init_failed(b'{"errorMessage": "no"}', "Runtime.AfterRestoreError")
    assert (not_restored(hook).code, not_restored(hook).status) == ("SnapStartException", 400)
    assert "no" in not_taken(hook).message
    killed = failures.exited("", 9, True)
    assert not_taken(killed).code == "FunctionError.InitResourceExhausted"


# -- environments


async def handed(runtime: Runtime) -> tuple[bytes, int]:
    """What the first frame asks for, and the file that came with it."""
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(runtime.socket, 4096, 1)
            break
        except BlockingIOError:
            await asyncio.sleep(0.001)
    length, kind, head = HEADER.unpack_from(data)
    assert (kind, length) == (SNAPSHOT, head)
    return data[HEADER.size : HEADER.size + head], fds[0]


def frame(kind: int, head: bytes = b"", body: bytes = b"") -> bytes:
    return encode(kind, head, body)


async def template(sandbox: FakeSandbox, runtime: Runtime) -> None:
    """Writes its one secret, and says so."""
    word, file = await handed(runtime)
    assert word == b"take"
    await runtime.assigned()
    os.pwrite(file, b"initialised", 0)
    os.close(file)
    await runtime.raw(frame(TAKEN))
    await asyncio.Event().wait()


async def restored(sandbox: FakeSandbox, runtime: Runtime) -> None:
    word, file = await handed(runtime)
    assert word == b"restore"
    assert os.pread(file, 20, 0) == b"initialised"
    os.close(file)
    await runtime.raw(frame(RESTORED))
    kind, _, body = await runtime.frame()
    assert kind == ASSIGN
    assert json.loads(body)["environment"]["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start"
    await runtime.next()
    while True:
        head, event = await runtime.event()
        await runtime.answer(head["id"], event)


async def either(sandbox: FakeSandbox, runtime: Runtime) -> None:
    """What is asked for: the kinds of sandboxes are not known when they are made."""
    peeked = await first_word(runtime)
    await {b"take": template, b"restore": restored, b"": echo}[peeked](sandbox, runtime)


async def first_word(runtime: Runtime) -> bytes:
    while True:
        try:
            data = runtime.socket.recv(HEADER.size + 16, socket.MSG_PEEK)
            break
        except BlockingIOError:
            await asyncio.sleep(0.001)
    if not data:
        raise EOFError
    _, kind, head = HEADER.unpack_from(data)
    return data[HEADER.size : HEADER.size + head] if kind == SNAPSHOT else b""


def told(script: Callable[[FakeSandbox, Runtime], Awaitable[None]], *, is_new: bool) -> tuple[Environment, Any]:
    """How the start of one goes: (the environment, what it raised)."""

    async def main() -> tuple[Environment, Any]:
        file = filled(1)
        os.pwrite(file, b"initialised", 0)
        async with plain_environment(script, of=SNAPPED, settings=SETTINGS, image=Image(file=file, is_new=is_new)) as (
            made,
            _,
        ):
            try:
                await made.start()
            except Exception as error:
                return made, error
            finally:
                os.close(file)
            if not is_new:
                result = await event(made, invocation("r", SNAPPED, payload=b"7"))
                assert result.payload == b"7"
                assert result.init_ms is None
            return made, None

    return asyncio.run(main())


def test_a_template_and_a_restored_one() -> None:
    assert told(template, is_new=True)[1] is None
    assert told(restored, is_new=False)[1] is None


async def asks_for_events(sandbox: FakeSandbox, runtime: Runtime) -> None:
    os.close((await handed(runtime))[1])
    await runtime.assigned()
    await runtime.next()
    await asyncio.Event().wait()


async def fails(sandbox: FakeSandbox, runtime: Runtime) -> None:
    os.close((await handed(runtime))[1])
    await runtime.raw(frame(FAILED, b'{"type": "Runtime.BeforeSnapshotError"}', b'{"errorMessage": "no"}'))
    await asyncio.Event().wait()


async def fails_afterwards(sandbox: FakeSandbox, runtime: Runtime) -> None:
    os.close((await handed(runtime))[1])
    await runtime.raw(frame(RESTORED))
    await runtime.raw(frame(FAILED, b'{"type": "Runtime.AfterRestoreError"}', b'{"errorMessage": "no"}'))
    await asyncio.Event().wait()


async def dies(sandbox: FakeSandbox, runtime: Runtime) -> None:
    os.close((await handed(runtime))[1])
    sandbox.exit(71 << 8)


def test_what_fails_and_who_is_told() -> None:
    for script in (asks_for_events, fails, dies):
        error = told(script, is_new=True)[1]
        assert isinstance(error, ServiceError), script
        assert error.code == "FunctionError.RuntimeInitError"
    for script in (fails, dies):
        assert isinstance(told(script, is_new=False)[1], RestoreFailed), "it was never what the file holds"
    error = told(fails_afterwards, is_new=False)[1]
    assert isinstance(error, ServiceError)
    assert error.code == "SnapStartException"


# -- the worker


def test_published_once_and_restored_ever_after() -> None:
    async def act(yard: Yard) -> None:
        yard.sandboxes.scripts = (either,)
        await yard.worker.prepare(SNAPPED)
        await yard.count(environments=0, snapshots=1)
        assert await yard.run(of=SNAPPED, payload=b"5") == b"5"
        assert len(yard.sandboxes.made) == 2

    played(act, snapshot_budget_bytes=1 << 30)


def test_another_lineage_starts_without_and_gets_a_new_one() -> None:
    async def act(yard: Yard) -> None:
        yard.sandboxes.scripts = (either,)
        await yard.worker.prepare(SNAPPED)
        yard.sandboxes.lineage = 2
        assert await yard.run(of=SNAPPED) == b"1"
        await yard.count(snapshots=1)
        assert len(yard.sandboxes.made) == 3

    played(act, snapshot_budget_bytes=1 << 30)


def test_a_snapshot_that_does_not_come_to_life_is_no_error() -> None:
    async def act(yard: Yard) -> None:
        async def broken(sandbox: FakeSandbox, runtime: Runtime) -> None:
            await (dies if await first_word(runtime) == b"restore" else either)(sandbox, runtime)

        yard.sandboxes.scripts = (broken,)
        await yard.worker.prepare(SNAPPED)
        assert await yard.run(of=SNAPPED) == b"1"
        await until(lambda: yard.worker.counts()["snapshots"] == 1)

    played(act, snapshot_budget_bytes=1 << 30)


def test_a_failed_initialisation_fails_the_publishing() -> None:
    async def act(yard: Yard) -> None:
        yard.sandboxes.scripts = (fails,)
        with pytest.raises(ServiceError) as refused:
            await yard.worker.prepare(SNAPPED)
        assert refused.value.code == "FunctionError.RuntimeInitError"
        await yard.count(environments=0, snapshots=0)

    played(act, snapshot_budget_bytes=1 << 30)


def test_memory_for_environments_comes_before_snapshots() -> None:
    gate, inside = asyncio.Event(), asyncio.Event()

    async def slow(sandbox: FakeSandbox, runtime: Runtime) -> None:
        if await first_word(runtime):
            await either(sandbox, runtime)
            return
        await runtime.assigned()
        await runtime.next()
        while True:
            head, event = await runtime.event()
            inside.set()
            await gate.wait()
            await runtime.answer(head["id"], event)

    async def act(yard: Yard) -> None:
        yard.sandboxes.scripts = (slow,)
        await yard.worker.prepare(SNAPPED)
        await yard.count(snapshots=1)
        first = asyncio.ensure_future(yard.run("a", of=version("x")))
        await inside.wait()
        gate.set()
        await asyncio.gather(first, yard.run("b", of=version("y")))
        await yard.count(snapshots=0)

    played(act, snapshot_budget_bytes=1 << 30, budget_mb=46)
