"""A catalogue on real backends in a temporary directory, with a fleet, a clock and identifiers that obey the test."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from paddock.backends.files.blobs import FileBlobs
from paddock.backends.sql.sqlite import SqliteStore
from paddock.control.catalogue import Catalogue
from paddock.control.changes import Change, NewFunction
from paddock.control.keys import Keys
from paddock.control.mappings import Mappings
from paddock.interfaces import Ended, Pool, Tx
from paddock.model.arn import FunctionRef
from paddock.model.event_source import EventSourceMapping
from paddock.model.function import Function, FunctionVersion, State, UpdateStatus
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.provisioned import PoolState
from paddock.model.quotas import Quotas

T = TypeVar("T")
ACCOUNT, REGION = "000000000000", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class FakeClock:
    """Moves a second at every look; sleeps are over at once, and written down."""

    def __init__(self) -> None:
        self.time = START
        self.slept: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time

    def monotonic(self) -> float:
        return (self.time - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.on_sleep()
        await asyncio.sleep(0)


class FakeIds:
    """Counts."""

    def __init__(self) -> None:
        self.last = 0

    def uuid(self) -> str:
        self.last += 1
        return f"00000000-0000-4000-8000-{self.last:012x}"

    def hex(self, digits: int) -> str:
        self.last += 1
        return f"{self.last:0{digits}x}"


class FakeFleet:
    """Prepares when let: while `gate` is set to an event, prepare waits for it. `error` is raised by prepare."""

    def __init__(self) -> None:
        self.prepared: list[FunctionVersion] = []
        self.retired: list[tuple[str, frozenset[str]]] = []
        self.builds_seen: set[str] = set()
        self.invocations: list[Invocation] = []
        self.result = InvocationResult(payload=b"null", executed_version="$LATEST")
        self.gate: asyncio.Event | None = None
        self.pools: dict[str, dict[tuple[str, ...], int]] = {}
        self.states: dict[tuple[str, str], PoolState] = {}
        self.error: Exception | None = None

    async def prepare(self, version: FunctionVersion) -> None:
        self.prepared.append(version)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error

    def begin(self, invocation: Invocation, ended: Ended, sink: Any = None) -> None:
        self.invocations.append(invocation)
        ended(self.result)

    async def retire(self, function_arn: str, keep_builds: frozenset[str]) -> None:
        self.retired.append((function_arn, keep_builds))
        self.builds_seen |= keep_builds

    def provision(self, function_arn: str, pools: Sequence[Pool]) -> None:
        self.pools[function_arn] = {pool.version.environment_key: pool.executions for pool in pools}

    def provisioned(self, version: FunctionVersion) -> PoolState:
        return self.states.get((version.provisioned_for, version.version), PoolState())

    def runtimes(self) -> Sequence[str]:
        return ("python3.11", "python3.12")


class FakeUnpacked:
    def __init__(self) -> None:
        self.forgotten: list[str] = []
        self.kept: list[frozenset[str]] = []

    async def forget(self, digest: str) -> None:
        self.forgotten.append(digest)

    async def keep_only(self, digests: Collection[str]) -> None:
        self.kept.append(frozenset(digests))


class FakeSources:
    """Every source is there, unless `error` is raised."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def check(self, mapping: EventSourceMapping, function_timeout_s: int) -> None:
        if self.error is not None:
            raise self.error


class BreakableStore:
    """The real store; `error`, when set, is raised instead of writing."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.error: Exception | None = None

    async def write(self, work: Callable[[Tx], T]) -> T:
        if self.error is not None:
            raise self.error
        return await self.store.write(work)

    async def read(self, work: Callable[[Tx], T]) -> T:
        return await self.store.read(work)

    async def close(self) -> None:
        await self.store.close()


class BreakableBlobs:
    """The real blobs; `error`, when set, is raised instead of storing."""

    def __init__(self, blobs: FileBlobs) -> None:
        self.blobs = blobs
        self.error: Exception | None = None

    async def put(self, content: bytes | AsyncIterator[bytes]) -> str:
        if self.error is not None:
            raise self.error
        return await self.blobs.put(content)

    async def path(self, digest: str) -> Path:
        return await self.blobs.path(digest)

    async def delete(self, digest: str) -> None:
        await self.blobs.delete(digest)

    async def digests(self) -> Sequence[str]:
        return await self.blobs.digests()


class World:
    """Everything a catalogue needs. `restart` is what a kill and a new process amount to."""

    catalogue: Catalogue
    store: BreakableStore
    keys: Keys
    blobs: BreakableBlobs
    mappings: Mappings

    def __init__(self, directory: Path, quotas: Quotas) -> None:
        self.directory = directory
        self.quotas = quotas
        self.fleet = FakeFleet()
        self.clock = FakeClock()
        self.ids = FakeIds()
        self.unpacked = FakeUnpacked()
        self.sources = FakeSources()

    async def open(self) -> None:
        self.store = BreakableStore(await SqliteStore.open(self.directory / "paddock.db", readers=1))
        self.keys = Keys(store=self.store, master=b"m" * 32, clock=self.clock, ids=self.ids)
        await self.keys.start()
        self.blobs = BreakableBlobs(await FileBlobs.open(self.directory / "blobs"))
        self.catalogue = Catalogue(
            store=self.store,
            blobs=self.blobs,
            unpacked=self.unpacked,
            fleet=self.fleet,
            clock=self.clock,
            ids=self.ids,
            quotas=self.quotas,
            seals=self.keys,
        )
        await self.catalogue.start()
        self.mappings = Mappings(
            store=self.store,
            catalogue=self.catalogue,
            sources=self.sources,
            clock=self.clock,
            ids=self.ids,
            quotas=self.quotas,
        )
        await self.mappings.start()

    async def close(self) -> None:
        await self.catalogue.stop()
        await self.store.close()

    async def restart(self) -> None:
        await self.close()
        await self.open()

    def new(self, name: str = "f", **settings: Any) -> NewFunction:
        return NewFunction(
            account=ACCOUNT,
            region=REGION,
            name=name,
            architecture="x86_64",
            settings=Change(**{"runtime": "python3.12", "handler": "f.h", "role": ROLE, **settings}),
        )

    async def create(self, name: str = "f", content: bytes | None = None, **settings: Any) -> Function:
        new = self.new(name, **settings)
        return await self.catalogue.create_function(new, package() if content is None else content)

    async def created(self, name: str = "f", content: bytes | None = None, **settings: Any) -> Function:
        """Created and Active."""
        await self.create(name, content, **settings)
        return await self.settled(name)

    async def settled(self, name: str = "f") -> Function:
        """The function once it is neither Pending nor InProgress, and what follows from that is done."""
        for _ in range(2000):
            function = self.catalogue.get(ref(name))
            latest = function.latest
            is_over = latest.update_status is UpdateStatus.FAILED or latest.build_id in self.fleet.builds_seen
            if is_over and latest.state is not State.PENDING and latest.update_status is not UpdateStatus.IN_PROGRESS:
                await self.idle()
                return function
            await asyncio.sleep(0.001)
        raise AssertionError(f"{name} never settled: {latest}")

    async def idle(self) -> None:
        """Let tasks that can go on without the disk do so."""
        for _ in range(10):
            await asyncio.sleep(0)


def ref(name: str = "f", qualifier: str = "") -> FunctionRef:
    return FunctionRef(account=ACCOUNT, region=REGION, name=name, qualifier=qualifier)


def package(content: str = "def h(event, context): ...") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("f.py"), content)
    return buffer.getvalue()


def play(directory: Path, story: Callable[[World], Awaitable[None]], **quotas: int) -> None:
    """Run a story in a fresh world."""

    async def run() -> None:
        world = World(directory, Quotas(**quotas))
        await world.open()
        try:
            await story(world)
        finally:
            await world.close()

    asyncio.run(run())
