"""A backlog of events, drained: in which order, how fast, with how much memory.

The real store, queue, event mode and dispatcher in this process, without HTTP; the fleet answers after a millisecond.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from bench.figures import Figure, Row, judged
from bench.objects import resident_mb
from paddock.backends.local.clock import SystemClock
from paddock.backends.local.ids import SystemIds
from paddock.backends.sql.queue import SqlQueue
from paddock.backends.sql.sqlite import SqliteStore
from paddock.interfaces import Ended, Pool, Tx
from paddock.invoke.asynchronous import TOPIC, Asynchronous
from paddock.invoke.dispatcher import Dispatcher
from paddock.invoke.outbox import Outbox
from paddock.invoke.targets import TargetTable
from paddock.model.delivery import TargetEvent
from paddock.model.event_invoke import EventInvokeConfig
from paddock.model.event_mode import QueuedEvent
from paddock.model.function import CodeArtifact, FunctionVersion
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.provisioned import PoolState
from paddock.model.quotas import Quotas

PAYLOAD = b'"' + b"p" * 1022 + b'"'
CHUNK = 1_000
RUN_S = 0.001
SAMPLE_S = 0.1
FUNCTION = FunctionVersion(
    account="000000000000", region="us-east-1", name="f", runtime="python3.12", handler="app.handler",
    role="arn:aws:iam::000000000000:role/r", code=CodeArtifact(digest="0" * 64, size_bytes=1, unzipped_bytes=1),
    revision_id="r", build_id="b", last_modified=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip


def event(number: int, payload: bytes = PAYLOAD) -> QueuedEvent:
    return QueuedEvent(request_id=f"{number:036d}", arn=FUNCTION.function_arn, payload=payload)


@dataclass
class Fleet:
    """Answers everything, and remembers in which order. It is the catalogue of its one function too."""

    order: list[int] = field(default_factory=list)

    def begin(self, invocation: Invocation, ended: Ended, sink: object = None) -> None:
        self.order.append(int(invocation.request_id))
        result = InvocationResult(payload=b"null", executed_version="$LATEST")
        asyncio.get_running_loop().call_later(RUN_S, ended, result)

    async def prepare(self, version: FunctionVersion) -> None: ...

    async def retire(self, function_arn: str, keep_builds: frozenset[str]) -> None: ...

    def provision(self, function_arn: str, pools: Sequence[Pool]) -> None: ...

    def provisioned(self, version: FunctionVersion) -> PoolState:
        return PoolState()

    def provisioned_of(self, account: str, region: str, name: str) -> int:
        return 0

    def runtimes(self) -> tuple[str, ...]:
        return ()

    def runnable_at(self, arn: str) -> FunctionVersion:
        return FUNCTION

    def event_invoke_at(self, arn: str) -> EventInvokeConfig | None:
        return None

    def reserved_at(self, arn: str) -> int | None:
        return None

    def permits(self, arn: str, event: TargetEvent) -> bool:
        return True

    def reserved(self, account: str, region: str, name: str) -> int | None:
        return None

    def reserved_by_all(self, account: str, region: str) -> int:
        return 0

    def recursion_allowed(self, account: str, region: str, name: str) -> bool:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """Event mode in this process. Nothing is run until start()."""

    store: SqliteStore
    queue: SqlQueue
    asynchronous: Asynchronous
    fleet: Fleet

    @classmethod
    @asynccontextmanager
    async def opened(cls, directory: Path) -> AsyncIterator[Inside]:
        store = await SqliteStore.open(directory / "paddock.db")
        clock, ids, fleet = SystemClock(), SystemIds(), Fleet()
        queue = SqlQueue(store, clock, ids)
        asynchronous = Asynchronous(
            queue=queue, backlog_bytes_max=1 << 32, outbox=Outbox(queue, TargetTable(), clock, ids),
            dispatcher=Dispatcher(fleet, Quotas(), fleet), functions=fleet, clock=clock, ids=ids, quotas=Quotas(),
        )  # fmt: skip
        await queue.start()
        try:
            yield cls(store=store, queue=queue, asynchronous=asynchronous, fleet=fleet)
        finally:
            await asynchronous.stop()
            await store.close()


def rows_of_backlog(count: int) -> list[Row]:
    return asyncio.run(_drained(count))


async def _drained(count: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        async with Inside.opened(Path(directory)) as inside:
            for first in range(0, count, CHUNK):
                numbers = range(first, min(first + CHUNK, count))
                await inside.store.write(partial(_put, inside, numbers))
            before_mb, peak_mb = resident_mb(os.getpid()), 0.0
            loop = asyncio.get_running_loop()
            started = loop.time()
            await inside.asynchronous.start()
            while len(inside.fleet.order) < count or (await inside.queue.depth(TOPIC))[0]:
                peak_mb = max(peak_mb, resident_mb(os.getpid()))
                await asyncio.sleep(SAMPLE_S)
            took_s = loop.time() - started
    order = inside.fleet.order
    early = sum(later < earlier for earlier, later in itertools.pairwise(order))
    what = f"a backlog of {count:,} events of 1 KB: "
    return [
        judged(Figure(name=what + "run before an older one", value=float(early), unit="events", n=count), most=0),
        judged(Figure(name=what + "memory grown", value=peak_mb - before_mb, unit="MB", n=count), most=32),
        Figure(name=what + "drained", value=count / took_s, unit="/s", n=count),
    ]


def _put(inside: Inside, numbers: range, tx: Tx) -> None:
    for number in numbers:
        inside.queue.put(tx, TOPIC, msgspec.msgpack.encode(event(number)), group=FUNCTION.function_arn)
