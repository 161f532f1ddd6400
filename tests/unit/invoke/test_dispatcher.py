"""Permits: taken before, returned after, whatever happens in between."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from paddock.interfaces import Ended, Pool
from paddock.invoke.dispatcher import Dispatcher
from paddock.model.errors import InternalError, RecursiveInvocation, TooManyRequests
from paddock.model.function import CodeArtifact, FunctionVersion
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.provisioned import PoolState
from paddock.model.quotas import Quotas

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERSION = FunctionVersion(
    account="000000000000",
    region="us-east-1",
    name="f",
    runtime="python3.12",
    handler="f.h",
    role="arn:aws:iam::000000000000:role/r",
    code=CodeArtifact(digest="0" * 64, size_bytes=1, unzipped_bytes=1),
    revision_id="r",
    build_id="b",
    last_modified=NOW,
)
INVOCATION = Invocation(
    request_id="1", version=VERSION, invoked_arn=VERSION.function_arn, payload=b"{}", received_at=NOW
)


def outcome_of(end: asyncio.Future[InvocationResult]) -> InvocationResult | BaseException:
    if end.cancelled():
        return asyncio.CancelledError()
    return end.exception() or end.result()


class FakeFleet:
    """Runs until told how to end."""

    def __init__(self) -> None:
        self.seen: list[Invocation] = []
        self.ends: list[asyncio.Future[InvocationResult]] = []
        self.ready = 0

    async def prepare(self, version: FunctionVersion) -> None: ...

    def begin(self, invocation: Invocation, ended: Ended, sink: object = None) -> None:
        self.seen.append(invocation)
        end: asyncio.Future[InvocationResult] = asyncio.get_running_loop().create_future()
        end.add_done_callback(lambda end: ended(outcome_of(end)))
        self.ends.append(end)

    async def retire(self, function_arn: str, keep_builds: frozenset[str]) -> None: ...

    def provision(self, function_arn: str, pools: Sequence[Pool]) -> None: ...

    def provisioned(self, version: FunctionVersion) -> PoolState:
        return PoolState(ready=self.ready)

    def runtimes(self) -> Sequence[str]:
        return ()


class FakeReservations:
    """By function name, all in one account."""

    def __init__(self, **functions: int) -> None:
        self.functions = dict(functions)
        self.loops: set[str] = set()
        self.provisioned: dict[str, int] = {}

    def reserved(self, account: str, region: str, name: str) -> int | None:
        return self.functions.get(name)

    def provisioned_of(self, account: str, region: str, name: str) -> int:
        return self.provisioned.get(name, 0)

    def reserved_by_all(self, account: str, region: str) -> int:
        return sum(self.functions.values())

    def recursion_allowed(self, account: str, region: str, name: str) -> bool:
        return name in self.loops


RESULT = InvocationResult(payload=b"1", executed_version="$LATEST")


async def turns() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def started(dispatcher: Dispatcher, fleet: FakeFleet, count: int) -> list[asyncio.Task[InvocationResult]]:
    tasks = [asyncio.ensure_future(dispatcher.run(INVOCATION)) for _ in range(count)]
    await turns()
    assert len(fleet.ends) == count
    return tasks


def test_a_result_is_passed_on_and_the_permit_returned() -> None:
    async def story() -> None:
        fleet = FakeFleet()
        dispatcher = Dispatcher(fleet, Quotas(), FakeReservations())
        (task,) = await started(dispatcher, fleet, 1)
        assert dispatcher.in_flight("000000000000", "us-east-1") == 1
        fleet.ends[0].set_result(RESULT)
        assert await task is RESULT
        assert [msgspec.structs.replace(one, trace_id="") for one in fleet.seen] == [INVOCATION]
        assert dispatcher.in_flight("000000000000", "us-east-1") == 0

    asyncio.run(story())


def test_beyond_the_limit_callers_are_throttled_at_once() -> None:
    async def story() -> None:
        fleet = FakeFleet()
        dispatcher = Dispatcher(fleet, Quotas(concurrency_max=2), FakeReservations())
        tasks = await started(dispatcher, fleet, 2)
        with pytest.raises(TooManyRequests) as caught:
            await dispatcher.run(INVOCATION)
        assert caught.value.message == "Rate Exceeded."
        assert caught.value.members == {"Reason": "ConcurrentInvocationLimitExceeded"}
        assert len(fleet.seen) == 2
        elsewhere = msgspec.structs.replace(INVOCATION, version=replace(VERSION, region="eu-west-1"))
        other = asyncio.ensure_future(dispatcher.run(elsewhere))
        await turns()
        assert len(fleet.ends) == 3
        for end in fleet.ends:
            end.set_result(RESULT)
        await asyncio.gather(*tasks, other)
        (again,) = await started_again(dispatcher, fleet)
        assert again is RESULT

    asyncio.run(story())


async def started_again(dispatcher: Dispatcher, fleet: FakeFleet) -> list[InvocationResult]:
    task = asyncio.ensure_future(dispatcher.run(INVOCATION))
    await turns()
    fleet.ends[-1].set_result(RESULT)
    return [await task]


def test_a_fleet_that_fails_returns_the_permit() -> None:
    async def story() -> None:
        fleet = FakeFleet()
        dispatcher = Dispatcher(fleet, Quotas(concurrency_max=1), FakeReservations())
        (task,) = await started(dispatcher, fleet, 1)
        fleet.ends[0].set_exception(InternalError("broken"))
        with pytest.raises(InternalError):
            await task
        assert dispatcher.in_flight("000000000000", "us-east-1") == 0

    asyncio.run(story())


def test_a_caller_that_hangs_up_stops_nothing_and_its_permit_stays_taken() -> None:
    async def story() -> None:
        fleet = FakeFleet()
        dispatcher = Dispatcher(fleet, Quotas(concurrency_max=1), FakeReservations())
        (task,) = await started(dispatcher, fleet, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert dispatcher.in_flight("000000000000", "us-east-1") == 1
        with pytest.raises(TooManyRequests):
            await dispatcher.run(INVOCATION)
        draining = asyncio.ensure_future(dispatcher.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        fleet.ends[0].set_result(RESULT)
        await draining
        assert dispatcher.in_flight("000000000000", "us-east-1") == 0

    asyncio.run(story())


@pytest.mark.parametrize("reserved", [0, 2])
def test_a_reservation_is_a_pool_of_its_own(reserved: int) -> None:
    async def story() -> None:
        fleet = FakeFleet()
        dispatcher = Dispatcher(fleet, Quotas(concurrency_max=3), FakeReservations(f=reserved))
        tasks = await started(dispatcher, fleet, reserved)
        with pytest.raises(TooManyRequests) as caught:
            await dispatcher.run(INVOCATION)
        assert caught.value.members == {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}
        other = msgspec.structs.replace(INVOCATION, version=replace(VERSION, name="g"))
        others = [asyncio.ensure_future(dispatcher.run(other)) for _ in range(3 - reserved)]
        await turns()
        with pytest.raises(TooManyRequests) as caught:
            await dispatcher.run(other)
        assert caught.value.members == {"Reason": "ConcurrentInvocationLimitExceeded"}
        assert dispatcher.in_flight("000000000000", "us-east-1") == len(fleet.ends) == 3
        for end in fleet.ends:
            end.set_result(RESULT)
        await asyncio.gather(*tasks, *others)
        assert dispatcher.in_flight("000000000000", "us-east-1") == 0

    asyncio.run(story())


def test_all_versions_of_a_function_share_its_reservation() -> None:
    async def story() -> None:
        fleet = FakeFleet()
        dispatcher = Dispatcher(fleet, Quotas(), FakeReservations(f=1))
        (task,) = await started(dispatcher, fleet, 1)
        with pytest.raises(TooManyRequests):
            await dispatcher.run(msgspec.structs.replace(INVOCATION, version=replace(VERSION, version="1")))
        fleet.ends[0].set_result(RESULT)
        await task

    asyncio.run(story())


def test_a_reservation_that_changes_while_invocations_run_never_lets_too_many_in() -> None:
    async def story() -> None:
        fleet, reservations = FakeFleet(), FakeReservations()
        dispatcher = Dispatcher(fleet, Quotas(concurrency_max=4), reservations)
        tasks = await started(dispatcher, fleet, 2)
        reservations.functions["f"] = 3
        tasks.append(asyncio.ensure_future(dispatcher.run(INVOCATION)))
        await turns()
        with pytest.raises(TooManyRequests) as caught:
            await dispatcher.run(INVOCATION)
        assert caught.value.members == {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}
        # Two that run were taken from the shared pool, which has but one place now.
        with pytest.raises(TooManyRequests) as caught:
            await dispatcher.run(msgspec.structs.replace(INVOCATION, version=replace(VERSION, name="g")))
        assert caught.value.members == {"Reason": "ConcurrentInvocationLimitExceeded"}
        del reservations.functions["f"]
        for end in fleet.ends:
            end.set_result(RESULT)
        await asyncio.gather(*tasks)
        assert dispatcher.in_flight("000000000000", "us-east-1") == 0
        again = await started_all(dispatcher, fleet, 4)
        with pytest.raises(TooManyRequests):
            await dispatcher.run(INVOCATION)
        for end in fleet.ends[3:]:
            end.set_result(RESULT)
        await asyncio.gather(*again)

    asyncio.run(story())


async def started_all(dispatcher: Dispatcher, fleet: FakeFleet, count: int) -> list[asyncio.Task[InvocationResult]]:
    """So many more of them."""
    before = len(fleet.ends)
    tasks = [asyncio.ensure_future(dispatcher.run(INVOCATION)) for _ in range(count)]
    await turns()
    assert len(fleet.ends) == before + count
    return tasks


def test_a_chain_of_sixteen_executions_is_stopped_before_the_next() -> None:
    async def story() -> None:
        fleet, known = FakeFleet(), FakeReservations()
        dispatcher = Dispatcher(fleet, Quotas(), known)
        trace_id = "Root=1-00000000-000000000000000000000000;Sampled=0"
        for number in range(16):
            task = asyncio.ensure_future(dispatcher.run(msgspec.structs.replace(INVOCATION, trace_id=trace_id)))
            await turns()
            trace_id = fleet.seen[-1].trace_id
            assert re.fullmatch(rf"Root=\S+;Sampled=0;Lineage={number + 1}:[0-9a-f]{{8}}:{number}", trace_id)
            fleet.ends[-1].set_result(RESULT)
            assert await task is RESULT
        with pytest.raises(RecursiveInvocation):
            await dispatcher.run(msgspec.structs.replace(INVOCATION, trace_id=trace_id))
        assert dispatcher.in_flight("000000000000", "us-east-1") == 0
        other = msgspec.structs.replace(INVOCATION, trace_id=trace_id, version=replace(VERSION, name="g"))
        task = asyncio.ensure_future(dispatcher.run(other))
        known.loops.add("f")
        again = asyncio.ensure_future(dispatcher.run(msgspec.structs.replace(INVOCATION, trace_id=trace_id)))
        await turns()
        for end in fleet.ends[-2:]:
            end.set_result(RESULT)
        assert await task is RESULT
        assert await again is RESULT

    asyncio.run(story())


def test_provisioned_environments_have_permits_of_their_own() -> None:
    """Two are ready, and one more is reserved: two events are for them, the next runs on demand, the fourth never."""

    async def story() -> None:
        fleet, reservations = FakeFleet(), FakeReservations(f=3)
        reservations.provisioned["f"] = fleet.ready = 2
        dispatcher = Dispatcher(fleet, Quotas(), reservations)
        live = msgspec.structs.replace(INVOCATION, version=replace(VERSION, version="1", provisioned_for="live"))
        calls = [asyncio.ensure_future(dispatcher.run(live)) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [one.version.provisioned_for for one in fleet.seen] == ["live", "live", ""]
        with pytest.raises(TooManyRequests) as caught:
            await dispatcher.run(live)
        assert caught.value.members["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        with pytest.raises(TooManyRequests):
            await dispatcher.run(INVOCATION)  # what is provisioned for one version is not for another
        assert dispatcher.in_flight("000000000000", "us-east-1") == 3
        fleet.ends[0].set_result(InvocationResult(payload=b"1", executed_version="1"))
        await calls[0]
        again = asyncio.ensure_future(dispatcher.run(live))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert fleet.seen[-1].version.provisioned_for == "live"
        for end in fleet.ends[1:]:
            end.set_result(InvocationResult(payload=b"1", executed_version="1"))
        await asyncio.gather(*calls, again)
        assert dispatcher.in_flight("000000000000", "us-east-1") == 0

    asyncio.run(story())
