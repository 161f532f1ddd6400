"""The worker with fake sandboxes: who gets which environment, and what is left at the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from paddock.interfaces import SandboxFailed
from paddock.model.errors import InternalError, TooManyRequests
from paddock.model.function import CodeArtifact, FunctionVersion
from paddock.worker.code import CodeStore
from paddock.worker.offers import RuntimeOffer
from paddock.worker.pool import PoolLimits
from paddock.worker.settings import WorkerSettings
from paddock.worker.worker import Worker
from tests.unit.worker.world import (
    DIGEST,
    SETTINGS,
    FakeClock,
    FakeIds,
    FakeSandbox,
    KeepingSink,
    Runtime,
    Script,
    echo,
    event,
    invocation,
    open_descriptors,
    serve_nothing,
    settle,
    until,
    version,
)

OFFER = RuntimeOffer(name="python3.12", label="python:3.12.1", family="python", transport="frames")
CUSTOM = RuntimeOffer(name="provided.al2023", label="provided:al2023", family="provided", transport="http")


class FakeCode:
    """A CodeStore that counts."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self.ensured: list[str] = []
        self.error: Exception | None = None

    async def ensure_version(self, version: FunctionVersion) -> None:
        self.ensured.append(version.code.digest)
        if self.error is not None:
            raise self.error

    def hold(self, digest: str) -> None:
        self.held[digest] += 1

    async def release(self, digest: str) -> None:
        self.held[digest] -= 1
        assert self.held[digest] >= 0, "released more often than held"


class FakeSandboxes:
    """Makes sandboxes; `failures` of the next starts come first."""

    def __init__(self) -> None:
        self.made: list[FakeSandbox] = []
        self.scripts: tuple[Script, ...] = (echo,)
        self.lineage = 1
        self.failures: list[str] = []
        self.assign_errors: list[str] = []
        self.hold: asyncio.Event | None = None

    async def start(self, runtime: str, ahead: bool = False) -> FakeSandbox:
        if self.hold is not None:
            await self.hold.wait()
        if self.failures:
            raise SandboxFailed(self.failures.pop(0))
        sandbox = FakeSandbox(*self.scripts)
        sandbox.lineage = self.lineage
        if self.assign_errors:
            sandbox.assign_error = self.assign_errors.pop(0)
        self.made.append(sandbox)
        return sandbox

    async def close(self) -> None: ...


class Yard:
    """A worker and everything it stands on."""

    def __init__(
        self,
        environments_max: int = 100,
        cells_ready: int = 0,
        budget_mb: int = 1 << 20,
        scaling_rate: int = 0,
        **policy: Any,
    ) -> None:
        self.clock, self.sink, self.code, self.sandboxes = FakeClock(), KeepingSink(), FakeCode(), FakeSandboxes()
        self.worker = Worker(
            sandboxes=self.sandboxes,
            code=cast(CodeStore, self.code),
            offers=(OFFER, CUSTOM),
            settings=WorkerSettings(
                cells_ready=cells_ready,
                idle_timeout_s=60.0,
                limits=PoolLimits(environments_max=environments_max, memory_budget_bytes=budget_mb << 20),
                environment=SETTINGS,
                scaling_rate_per_10_s=scaling_rate,
                **policy,
            ),
            clock=self.clock,
            ids=FakeIds(),
            sink=self.sink,
            serve=serve_nothing,
        )

    async def run(self, request_id: str = "r", of: FunctionVersion | None = None, payload: bytes = b"1") -> bytes:
        self.clock.seconds += 0.001
        return (await event(self.worker, invocation(request_id, of, payload=payload))).payload

    async def count(self, **expected: int) -> None:
        await until(lambda: self.worker.counts().items() >= expected.items())


def played(act: Callable[[Yard], Awaitable[None]], **settings: Any) -> Yard:
    """Play it on a new yard; afterwards nothing may be left of it."""

    async def main() -> Yard:
        before = open_descriptors()
        yard = Yard(**settings)
        await act(yard)
        await settle()
        await yard.worker.stop(10.0)
        await settle()
        assert yard.worker.counts()["environments"] == 0
        assert all(sandbox.is_gone for sandbox in yard.sandboxes.made)
        assert not +yard.code.held, "packages are held by nobody"
        await until(lambda: open_descriptors() <= before)
        return yard

    return asyncio.run(main())


def gated(gate: asyncio.Event) -> Script:
    """A runtime whose answers wait for the gate."""

    async def script(sandbox: FakeSandbox, runtime: Runtime) -> None:
        await runtime.assigned()
        await runtime.next()
        while True:
            head, body = await runtime.event()
            await gate.wait()
            await runtime.answer(head["id"], body)

    return script


def test_the_second_event_finds_the_first_ones_environment() -> None:
    async def act(yard: Yard) -> None:
        assert await yard.run(payload=b"1") == b"1"
        assert await yard.run(payload=b"2") == b"2"
        assert len(yard.sandboxes.made) == 1
        assert yard.worker.counts() == {"environments": 1, "idle": 1, "cells": 0, "snapshots": 0}
        assert yard.code.held[DIGEST] == 1

    played(act)


@pytest.mark.parametrize(
    "other",
    [
        version(name="other"),
        version(build="build-2"),
        version(account="111111111111"),
        version(region="eu-west-1"),
        version(version="1"),
    ],
    ids=["name", "build", "account", "region", "version"],
)
def test_nobody_elses_environment_is_used(other: FunctionVersion) -> None:
    async def act(yard: Yard) -> None:
        await yard.run()
        await yard.run(of=other)
        assert len(yard.sandboxes.made) == 2

    played(act)


def test_two_hundred_at_once_never_share_one() -> None:
    async def act(yard: Yard) -> None:
        inside: Counter[int] = Counter()
        most = 0

        async def watches(sandbox: FakeSandbox, runtime: Runtime) -> None:
            nonlocal most
            await runtime.assigned()
            await runtime.next()
            while True:
                head, body = await runtime.event()
                inside[id(sandbox)] += 1
                most = max(most, inside[id(sandbox)])
                for _ in range(3):
                    await asyncio.sleep(0)
                inside[id(sandbox)] -= 1
                await runtime.answer(head["id"], body)

        yard.sandboxes.scripts = (watches,)
        versions = [version(f"fn-{number}") for number in range(3)]

        async def client(number: int) -> None:
            for turn in range(3):
                payload = f"{number}.{turn}".encode()
                assert await yard.run(f"r-{number}-{turn}", versions[number % 3], payload) == payload

        await asyncio.gather(*(client(number) for number in range(200)))
        assert most == 1
        assert len(yard.sandboxes.made) <= 200 + 2, "as many as there were at once, and two spare ones"

    played(act, environments_max=200, cells_ready=2)


def test_a_full_machine_evicts_whoever_is_idle_longest() -> None:
    async def act(yard: Yard) -> None:
        a, b, c = (version(name) for name in "abc")
        await yard.run(of=a)
        await yard.run(of=b)
        await yard.run(of=a)
        await yard.run(of=c)
        assert [sandbox.calls.count("stop") for sandbox in yard.sandboxes.made] == [0, 1, 0]
        await yard.run(of=a)
        assert len(yard.sandboxes.made) == 3

    played(act, environments_max=2)


def test_the_pages_example_with_environments_that_take_their_time_to_end() -> None:
    async def act(yard: Yard) -> None:
        gate = asyncio.Event()
        await yard.run(of=version("a"))
        await yard.run(of=version("b"))
        for sandbox in yard.sandboxes.made:
            sandbox.stop = lambda: None  # type: ignore[method-assign]
        yard.sandboxes.scripts = (gated(gate),)
        c = asyncio.ensure_future(yard.run(of=version("c")))
        await until(lambda: len(yard.sandboxes.made) == 3)
        d = [asyncio.ensure_future(yard.run(of=version("d"))) for _ in range(2)]
        await until(lambda: len(yard.sandboxes.made) == 5)
        with pytest.raises(TooManyRequests) as refused:
            await yard.run(of=version("d"))
        assert refused.value.members == {"Reason": "ConcurrentInvocationLimitExceeded"}
        gate.set()
        await asyncio.gather(c, *d)
        for sandbox in yard.sandboxes.made[:2]:
            sandbox.die()

    played(act, environments_max=3)


def test_starting_environments_count_once() -> None:
    async def act(yard: Yard) -> None:
        gate = asyncio.Event()
        yard.sandboxes.scripts = (gated(gate),)
        running = []
        for number in range(4):
            running.append(asyncio.ensure_future(yard.run(f"r-{number}")))
            await settle()
        gate.set()
        await asyncio.gather(*running)
        assert len(yard.sandboxes.made) == 4

    played(act, environments_max=4)


def test_memory_in_use_evicts() -> None:
    async def act(yard: Yard) -> None:
        for name in "abcd":
            await yard.run(of=version(name))
        assert [sandbox.calls.count("stop") for sandbox in yard.sandboxes.made] == [1, 0, 0, 0]

    played(act, budget_mb=80)  # each fake uses 30 MB, a new one is expected to use 16


# -- failures -------------------------------------------------------------------------------------------------------


def test_two_failures_are_tried_again() -> None:
    async def act(yard: Yard) -> None:
        yard.sandboxes.failures = ["no fork", "nor now"]
        assert await yard.run() == b"1"
        await settle()
        assert yard.code.held[DIGEST] == 1
        yard.sandboxes.assign_errors = ["no mount"]
        assert await yard.run(of=version("other")) == b"1"
        await until(lambda: yard.code.held[DIGEST] == 2)

    played(act)


@pytest.mark.parametrize("where", ["failures", "assign_errors"])
def test_three_failures_are_ours(where: str) -> None:
    async def act(yard: Yard) -> None:
        setattr(yard.sandboxes, where, ["first", "second", "third"])
        with pytest.raises(InternalError, match="third"):
            await yard.run()
        await until(lambda: not +yard.code.held)
        assert yard.worker.counts()["environments"] == 0
        assert await yard.run() == b"1"

    played(act)


def test_code_that_is_gone() -> None:
    async def act(yard: Yard) -> None:
        yard.code.error = FileNotFoundError("gone")
        with pytest.raises(FileNotFoundError):
            await yard.run()
        await settle()
        assert not +yard.code.held
        yard.code.error = None
        assert await yard.run() == b"1"

    played(act, environments_max=1)


def test_an_environment_that_dies_while_idle_is_never_handed_out() -> None:
    async def act(yard: Yard) -> None:
        await yard.run()
        dying = yard.sandboxes.made[0]
        dying.stop = lambda: None  # type: ignore[method-assign]
        dying.exit(9)  # it is not gone yet
        assert await yard.run(payload=b"2") == b"2"
        assert len(yard.sandboxes.made) == 2
        dying.die()
        await yard.count(environments=1, idle=1)

    played(act)


def test_an_environment_that_vanishes_while_idle() -> None:
    async def act(yard: Yard) -> None:
        await yard.run()
        yard.sandboxes.made[0].die()
        assert yard.worker.counts() == {"environments": 0, "idle": 0, "cells": 0, "snapshots": 0}
        assert await yard.run() == b"1"

    played(act)


def test_an_environment_that_vanishes_with_an_event_inside() -> None:
    async def act(yard: Yard) -> None:
        yard.sandboxes.scripts = (gated(asyncio.Event()),)
        running = asyncio.ensure_future(event(yard.worker, invocation()))
        await until(lambda: yard.sandboxes.made)
        await settle()
        yard.sandboxes.made[0].die()
        assert (await running).error_type == "Runtime.ExitError"
        assert yard.worker.counts()["environments"] == 0

    played(act)


@pytest.mark.parametrize("when", ["cell", "init"])
def test_a_start_that_is_cancelled_leaves_nothing_behind(when: str) -> None:
    async def act(yard: Yard) -> None:
        async def never_boots(sandbox: FakeSandbox, runtime: Runtime) -> None:
            await runtime.assigned()
            await asyncio.Event().wait()

        yard.sandboxes.hold = asyncio.Event() if when == "cell" else None
        yard.sandboxes.scripts = (never_boots if when == "init" else gated(asyncio.Event()),)
        running = asyncio.ensure_future(yard.run())
        for _ in range(5):
            await settle()
        for start in list(yard.worker._beginning.values()):
            start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await until(lambda: not +yard.code.held)
        assert yard.worker.counts()["environments"] == 0
        yard.sandboxes.hold, yard.sandboxes.scripts = None, (echo,)
        assert await yard.run() == b"1"

    played(act, environments_max=1)


# -- retiring -------------------------------------------------------------------------------------------------------


def test_old_code_ends_at_once_when_idle_and_after_its_event_when_busy() -> None:
    async def act(yard: Yard) -> None:
        gate = asyncio.Event()
        await yard.run()
        yard.sandboxes.scripts = (gated(gate),)
        busy = [asyncio.ensure_future(yard.run(f"r-{number}")) for number in range(2)]
        await yard.count(environments=2)
        other = version("other")
        gate_other = asyncio.ensure_future(yard.run(of=other))
        await yard.count(environments=3)
        gate.set()
        await busy[0]
        await yard.worker.retire(version().function_arn, frozenset({"build-2"}))
        await asyncio.gather(*busy, gate_other)
        await yard.count(environments=1, idle=1)
        assert await yard.run(of=version(build="build-2")) == b"1"
        await yard.worker.retire(version().function_arn, frozenset({"build-2"}))
        await yard.count(environments=2, idle=2)
        await yard.worker.retire(version().function_arn, frozenset())
        await yard.count(environments=1, idle=1)

    played(act)


def test_an_event_for_old_code_while_its_environment_ends() -> None:
    async def act(yard: Yard) -> None:
        await yard.run()
        yard.sandboxes.made[0].stop = lambda: None  # type: ignore[method-assign]
        await yard.worker.retire(version().function_arn, frozenset({"build-2"}))
        assert await yard.run(payload=b"2") == b"2"
        yard.sandboxes.made[0].die()

    played(act)


def test_a_function_made_again_after_its_deletion_keeps_its_environments() -> None:
    async def act(yard: Yard) -> None:
        await yard.run()
        await yard.worker.retire(version().function_arn, frozenset())
        again = version(build="build-9")
        await yard.run(of=again)
        await yard.run(of=again)
        assert len(yard.sandboxes.made) == 2

    played(act)


def test_idle_ones_end_after_their_time() -> None:
    async def act(yard: Yard) -> None:
        yard.worker.start()
        await settle()
        await yard.run(of=version("a"))
        await yard.clock.turn(40)
        await yard.run(of=version("b"))
        await yard.clock.turn(19)
        await yard.count(environments=2)
        await yard.clock.turn(10)
        await yard.count(environments=1, idle=1)
        await yard.clock.turn(40)
        await yard.count(environments=0, idle=0)

    played(act)


def test_busy_ones_are_never_reaped() -> None:
    async def act(yard: Yard) -> None:
        gate = asyncio.Event()
        yard.sandboxes.scripts = (gated(gate),)
        yard.worker.start()
        running = asyncio.ensure_future(yard.run())
        await yard.count(environments=1)
        await yard.clock.turn(1000)
        await yard.count(environments=1)
        gate.set()
        assert await running == b"1"

    played(act)


# -- cells ----------------------------------------------------------------------------------------------------------


def test_preparing_warms_and_starts_take_from_what_is_warm() -> None:
    async def act(yard: Yard) -> None:
        await yard.worker.prepare(version())
        await yard.count(cells=3, environments=0)
        await yard.run()
        assert "assign" in yard.sandboxes.made[0].calls
        await yard.count(cells=3, environments=1)
        assert len(yard.sandboxes.made) == 4
        assert yard.code.ensured == [DIGEST, DIGEST]

    played(act, cells_ready=3)


def test_cells_that_vanish_are_not_handed_out() -> None:
    async def act(yard: Yard) -> None:
        await yard.worker.prepare(version())
        await yard.count(cells=2)
        for cell in yard.sandboxes.made:
            cell.die()
        await yard.count(cells=0)
        assert await yard.run() == b"1"
        await yard.count(cells=2)

    played(act, cells_ready=2)


def test_a_runtime_that_cannot_start() -> None:
    async def act(yard: Yard) -> None:
        yard.sandboxes.failures = ["no interpreter"]
        with pytest.raises(InternalError, match=r"The runtime python3\.12 could not be started: no interpreter"):
            await yard.worker.prepare(version())
        await yard.worker.prepare(version())
        await yard.count(cells=1)

    played(act, cells_ready=1)


def test_spare_cells_that_fail_are_no_error() -> None:
    async def act(yard: Yard) -> None:
        await yard.worker.prepare(version())
        yard.sandboxes.failures = ["full"]
        assert await yard.run() == b"1"
        await yard.count(cells=0)
        assert await yard.run(of=version("other")) == b"1"
        await yard.count(cells=1)

    played(act, cells_ready=1)


# -- stopping -------------------------------------------------------------------------------------------------------


def test_stopping_ends_the_busy_the_idle_the_starting_and_the_cells() -> None:
    async def act(yard: Yard) -> None:
        await yard.worker.prepare(version())
        await yard.count(cells=2)
        await yard.run(of=version("idle"))
        await yard.count(cells=2)
        yard.sandboxes.scripts = (gated(asyncio.Event()),)
        yard.worker._cells["python3.12"].clear()  # so that the next ones wait at the gate
        for cell in yard.sandboxes.made[1:]:
            cell.die()
        busy = asyncio.ensure_future(event(yard.worker, invocation(of=version("busy"))))
        await yard.count(environments=2)
        await settle()
        yard.sandboxes.hold = asyncio.Event()
        starting = asyncio.ensure_future(yard.run(of=version("starting")))
        await settle()
        await yard.worker.stop(10.0)
        assert (await busy).function_error == "Unhandled"
        yard.sandboxes.hold.set()
        results = await asyncio.gather(starting, return_exceptions=True)
        assert isinstance(results[0], InternalError | asyncio.CancelledError | bytes)

    played(act, cells_ready=2)


def test_stopping_gives_up_on_what_does_not_end() -> None:
    async def act(yard: Yard) -> None:
        await yard.run()
        stuck = yard.sandboxes.made[0]
        stuck.stop = lambda: None  # type: ignore[method-assign]
        await yard.worker.stop(0.0)
        assert yard.worker.counts()["environments"] == 1
        stuck.die()

    played(act)


def test_what_runtimes_are_called() -> None:
    facts = CUSTOM.facts("eu-west-1")
    assert (facts.managed, facts.transport, facts.label) == (False, "http", "provided:al2023")
    assert OFFER.facts("eu-west-1").managed
    arn = OFFER.facts("eu-west-1").arn
    assert arn.startswith("arn:aws:lambda:eu-west-1::runtime:")
    assert len(arn.rpartition(":")[2]) == 64
    assert replace(OFFER, label="python:3.12.2").facts("eu-west-1").arn != arn


def test_versions_hold_their_own_packages() -> None:
    async def act(yard: Yard) -> None:
        other = CodeArtifact(digest="b" * 64, size_bytes=1, unzipped_bytes=1)
        await yard.run()
        await yard.run(of=version(build="build-2", code=other))
        await settle()
        assert +yard.code.held == Counter({DIGEST: 1, "b" * 64: 1})
        await yard.worker.retire(version().function_arn, frozenset({"build-2"}))
        await until(lambda: +yard.code.held == Counter({"b" * 64: 1}))

    played(act)


def test_a_function_that_grows_too_fast_is_throttled_and_its_idle_environments_serve_on() -> None:
    async def act(yard: Yard) -> None:
        gate = asyncio.Event()
        yard.sandboxes.scripts = (gated(gate),)
        running = [asyncio.ensure_future(yard.run(f"r{number}")) for number in range(2)]
        await yard.count(environments=2)
        with pytest.raises(TooManyRequests) as caught:
            await yard.run()
        assert caught.value.members == {"Reason": "ConcurrentInvocationLimitExceeded"}
        with pytest.raises(TooManyRequests):
            await yard.run(of=replace(version(), version="1", build_id="its own"))
        gate.set()
        await asyncio.gather(*running)
        assert await yard.run() == b"1"
        assert len(yard.sandboxes.made) == 2
        yard.clock.seconds += 5.0
        await yard.run(of=replace(version(), version="1", build_id="its own"))
        assert len(yard.sandboxes.made) == 3

    played(act, scaling_rate=2)
