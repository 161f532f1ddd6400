"""Every swap point, on one page: what one box and many machines do differently, behind small Protocols.

The room `app` chooses the implementations; everyone else is handed one of these. One suite per Protocol in
tests/conformance runs over every implementation.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from paddock.model.delivery import Delivery, TargetEvent
from paddock.model.extension import Launched
from paddock.model.function import FileSystemUse, FunctionVersion
from paddock.model.image import ContainerImage
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.log import LogEvent, LogStreamRef
from paddock.model.provisioned import PoolState
from paddock.model.slice import Slice

T = TypeVar("T")
R = TypeVar("R")
Row = Mapping[str, Any]


class Tx(Protocol):
    """One transaction. Queries are named in backends/sql/queries.sql; arguments are keywords."""

    def run(self, query: str, **args: Any) -> int:
        """Execute; the number of rows changed."""

    def run_many(self, query: str, rows: Sequence[Row]) -> None:
        """Execute once for each row of arguments, which costs less than as many calls."""

    def rows(self, query: str, **args: Any) -> list[Row]:
        """All rows of a query."""

    def row(self, query: str, **args: Any) -> Row | None:
        """The first row, or None."""


class Store(Protocol):
    """The catalogue's truth. Work is a plain function of a Tx, so that an engine may group or retry it."""

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a transaction; returns once it is durable (fsynced). An exception rolls `work` back."""

    def batched(self, work: Callable[[Tx, Sequence[T]], Sequence[R]]) -> Callable[[T], Awaitable[R]]:
        """A function that has one item written, by a `work` that takes many: what is asked for at the same time shares
        a statement, and fails together. An item is written although nobody waits for it any more.
        """

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on a consistent snapshot that sees every write acknowledged before the call."""

    async def close(self) -> None: ...


class Blobs(Protocol):
    """Content-addressed bytes. A digest is the SHA-256 of the content, lower-case hex."""

    async def put(self, content: bytes | AsyncIterator[bytes]) -> str:
        """Store durably, return the digest. Raises OSError (ENOSPC) and leaves nothing behind when it cannot."""

    async def path(self, digest: str) -> Path:
        """A local file with the content. Raises FileNotFoundError."""

    async def delete(self, digest: str) -> None:
        """Forget it; absent is not an error."""

    async def digests(self) -> Sequence[str]:
        """Everything stored, for the collection of orphans at start."""


class Images(Protocol):
    """Container images: found where they are named, and kept layer by layer, whatever becomes of the place."""

    async def resolve(self, uri: str, architecture: str) -> ContainerImage:
        """What a name stands for now. Raises BadImage."""

    async def fetch(self, image: ContainerImage) -> None:
        """Every layer of it is here afterwards, durably, its digest checked. Raises BadImage, and OSError (ENOSPC)."""

    async def layer(self, digest: str) -> Path:
        """A local file with the layer's blob. Raises FileNotFoundError."""

    async def known(self) -> Sequence[ContainerImage]:
        """Every image that was fetched and not pruned since."""

    async def prune(self, is_used: Callable[[str], bool]) -> tuple[Sequence[ContainerImage], int]:
        """Forget what is not used: (images, bytes of layers that are gone). is_used: whether a digest still is."""


class Reading(Protocol):
    """Bytes that are being read, in pieces. Close it if it is not read to its end."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def aclose(self) -> None: ...


class Segments(Protocol):
    """Immutable bytes under random names: what large objects are made of. Names live in the Store's rows."""

    async def write(self, pieces: AsyncIterable[bytes], observe: Callable[[bytes], None]) -> Slice:
        """Store durably; all of the new segment. observe sees every byte in order, in another thread.

        Raises OSError (ENOSPC), and what `pieces` raises; then nothing is left behind.
        """

    async def read(self, slices: Sequence[Slice]) -> Reading:
        """The slices, end to end. Raises FileNotFoundError when one is not there; afterwards they stay readable."""

    async def copy(self, slices: Sequence[Slice]) -> Slice:
        """The slices as one new segment. Raises as `read` and `write` do."""

    async def link(self, names: Sequence[str]) -> Sequence[str]:
        """New names for the same bytes, durably; each name is deleted on its own. Raises FileNotFoundError."""

    async def delete(self, names: Iterable[str]) -> None:
        """Forget them, once nobody reads them any more; absent is not an error."""

    async def names(self) -> Sequence[str]:
        """Everything stored, for the collection of orphans at start."""


class ObjectReader(Protocol):
    """Objects of S3, for services that take code or data from there."""

    async def read(self, account: str, bucket: str, key: str, version_id: str, bytes_max: int) -> bytes:
        """A whole object of the account's; version_id "" for the latest. Raises ServiceError with S3's code."""


class Queue(Protocol):
    """Durable work for later: at least once, leased, delayed. Topics are names; each is taken from on its own.

    What is put within a transaction exists exactly when the transaction does: so an acknowledged change and the event
    that it causes are never apart.
    """

    def put(self, tx: Tx, topic: str, body: bytes, *, delay_s: float = 0.0, group: str = "") -> None:
        """Add a message as part of a store's transaction. group: whose it is, for fairness between groups."""

    def add(
        self,
        topic: str,
        body: bytes,
        *,
        group: str = "",
        begin: Callable[[Delivery | None], None] | None = None,
        lease_s: float = 0.0,
    ) -> Awaitable[object]:
        """Add a message in a transaction of its own; done once it is durable. Raises OSError.

        begin: the message is taken at once, for lease_s, and handed to it; with None when it could not be stored. It
        is called in any case, once, also when the caller does not wait for the end.
        """

    async def take(
        self, topic: str, count_max: int, lease_s: float, room: Callable[[str], int] | None = None
    ) -> Sequence[Delivery]:
        """Up to count_max messages that are due, oldest first within a group, groups in turn; waits for none.

        One that is neither acked nor retried within lease_s is due again. room: how many of a group may be taken;
        it is asked from any thread.
        """

    async def ack(self, deliveries: Sequence[Delivery], also: Callable[[Tx], None] | None = None) -> None:
        """Done for good. A delivery whose lease was lost is not an error: it comes again.

        also: further work of the same transaction, such as putting what follows from it.
        """

    async def retry(self, delivery: Delivery, delay_s: float, body: bytes | None = None) -> None:
        """Due again after delay_s, with another body if one is given. Without effect when the lease was lost."""

    async def wait(self, topic: str, timeout_s: float, room: Callable[[str], int] | None = None) -> None:
        """Until something of the topic may be due, or the time is over. A hint only: take() tells.

        room: as take's; what is due in groups without room is not waited for.
        """

    async def depth(self, topic: str) -> tuple[int, float]:
        """(messages that wait or are being worked on, seconds since the oldest of them was put)."""

    async def groups(self, topic: str) -> Mapping[str, tuple[int, int]]:
        """What each group holds: (messages, bytes of their bodies)."""


class Targets(Protocol):
    """Sends an event to the resource that it is for, whatever service that belongs to."""

    async def send(self, event: TargetEvent) -> None:
        """Returns once the target has it durably.

        Raises TargetRefused when it never will (absent, not permitted, too large), any ServiceError when a later try
        may do (throttled, broken), TargetBusy when it was not tried at all.
        """


class TargetRefused(Exception):
    """The target will not take this event, however often it is sent.

    code, message: for the dead letter ("AccessDenied", ...)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class TargetBusy(Exception):
    """The target has as many events of ours in hand as it should have. This one was not tried: that is no attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Provisioned environments that are wanted of a version, whose provisioned_for says for whom."""

    version: FunctionVersion
    executions: int


class ResponseSink(Protocol):
    """Takes a response in pieces, while the function still writes it.

    is_exceeded: more came than a response may have; the rest is thrown away.
    """

    def begin(self, content_type: str) -> None:
        """The function streams. Called once, before the first piece."""

    def put(self, piece: bytes) -> bool:
        """Take it. False: it holds enough, so wait for room() before the next one."""

    async def room(self) -> None: ...

    @property
    def is_exceeded(self) -> bool: ...

    @property
    def taken_bytes(self) -> int: ...

    @property
    def bytes_max(self) -> int: ...


Ended = Callable[[InvocationResult | BaseException], None]
"""Hears, once, what came of an invocation: its result, or what Paddock itself failed with."""


class Fleet(Protocol):
    """Where versions run. On one box it is the worker in this process."""

    async def prepare(self, version: FunctionVersion) -> None:
        """Make the version startable here (unpack code, warm its runtime). Raises ServiceError if it can not be."""

    def begin(self, invocation: Invocation, ended: Ended, sink: ResponseSink | None = None) -> None:
        """Run one invocation to its end, whoever waits for it. Function errors are results, no failures.

        sink: where a function that streams writes its response to; then the result has no payload.
        """

    async def retire(self, function_arn: str, keep_builds: frozenset[str]) -> None:
        """Stop idle environments of the function except those of `keep_builds`; busy ones end after their event."""

    def provision(self, function_arn: str, pools: Sequence[Pool]) -> None:
        """From now on these, and no others, of the function's pools: it starts, replaces and ends what that takes."""

    def provisioned(self, version: FunctionVersion) -> PoolState:
        """How far the pool is that version.provisioned_for names."""

    def runtimes(self) -> Sequence[str]:
        """Runtime identifiers that this fleet can start (python3.12, ...)."""


class Sandbox(Protocol):
    """An isolated, booted environment. One function version is put into it, once; it is never given to another.

    channel: stream socket to the runtime's bootstrap. output, telemetry: descriptors to read what it writes.
    runtime_api, aws_api: listening sockets inside its network. All are owned by whoever holds the Sandbox.
    on_exit is called with the wait status when the runtime's process ends, on_extension_exit with an extension's name
    and wait status, on_gone once nothing of it is left.
    exit_status: that wait status, of the runtime that is in it now; None while it runs.
    lineage: the same for sandboxes whose runtimes are forks of one process, and so have their memory at the same
    addresses; never given out again.
    """

    channel: socket.socket
    output: int
    telemetry: int
    runtime_api: socket.socket
    aws_api: socket.socket
    on_exit: Callable[[int], None] | None
    on_gone: Callable[[], None] | None
    on_extension_exit: Callable[[str, int], None] | None
    exit_status: int | None

    @property
    def lineage(self) -> int: ...

    @property
    def limits_memory(self) -> bool:
        """Whether the memory given to `assign` is enforced from outside, for all its processes together."""

    async def assign(
        self,
        code: str,
        memory_mb: int,
        tmp_mb: int,
        network: str = "",
        file_systems: Sequence[FileSystemUse] = (),
        layers: str = "",
    ) -> None:
        """Mount the code with that digest at /var/task and layers at /opt, set the limits, join the named network
        ("": the default one), mount more.

        Raises SandboxFailed.
        """

    async def reset(self) -> None:
        """End every process in it and start the runtime anew; /tmp stays. `channel` is a new socket afterwards."""

    async def launch_extensions(self, environment: Mapping[str, str], data_bytes_max: int = 0) -> Launched:
        """Start every file in /opt/extensions as a process of its own. data_bytes_max: of each; 0 for no such limit.

        Whoever calls owns the descriptor that comes back. Raises SandboxFailed.
        """

    async def connect(self, port: int) -> socket.socket:
        """A connection to what listens on 169.254.100.1 at the port. Raises OSError, SandboxFailed."""

    def terminate(self) -> None:
        """SIGTERM to the runtime's process, if it runs."""

    def kill(self) -> None:
        """SIGKILL to the runtime's process, if it runs; the extensions stay."""

    def freeze(self) -> None:
        """Pause every process."""

    def thaw(self) -> None:
        """Let them go on."""

    def limit_cpu(self, quota_us: int) -> None:
        """CPU time in microseconds of every 100 ms; 0 lifts the limit."""

    def memory_peak_bytes(self) -> int:
        """The most memory it has used so far; 0 where the machine does not say."""

    def oom_kills(self) -> int:
        """How often the kernel has ended a process of it for memory."""

    def stop(self) -> None:
        """End everything in it. Repeats and late calls are harmless."""


class Sandboxes(Protocol):
    """How isolation is done."""

    async def start(self, runtime: str, ahead: bool = False) -> Sandbox:
        """A new sandbox in which the runtime's bootstrap waits for code. Raises SandboxFailed.

        ahead: nobody waits for it yet, so its runtime may take the time to prepare itself.
        """

    async def close(self) -> None: ...


class SandboxFailed(Exception):
    """A sandbox could not be made, assigned or reset; the message is for the operator."""


class LogSink(Protocol):
    """Takes log events without blocking. What a crash may lose is bounded by a setting."""

    def put(self, stream: LogStreamRef, events: Sequence[LogEvent]) -> None: ...


class Clock(Protocol):
    """Time, handed in."""

    def now(self) -> datetime:
        """Aware UTC wall-clock time."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""

    async def sleep(self, seconds: float) -> None: ...


class Ids(Protocol):
    """Chance and identity, handed in."""

    def uuid(self) -> str:
        """A random UUID, lower-case with dashes."""

    def hex(self, digits: int) -> str:
        """That many random lower-case hex digits."""
