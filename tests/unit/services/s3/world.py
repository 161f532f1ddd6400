"""S3's operations over a real database and real segments, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paddock.backends.files.segments import FileSegments
from paddock.backends.sql.sqlite import SqliteStore
from paddock.interfaces import Tx
from paddock.model.caller import Caller
from paddock.model.delivery import TargetEvent
from paddock.services import s3
from paddock.services.s3.desk import Desk
from paddock.services.s3.sweep import Sweeper
from paddock.services.service import Call, Mount
from paddock.wire.http1_request import IncomingRequest
from paddock.wire.messages import Headers, Request
from paddock.wire.streamed import StreamedBody
from tests.unit.services.harness import ACCOUNT, Client, CountingIds, StillClock, database

BUCKET = "bucket"
DAY_MS = 86_400_000


def body(content: bytes, **headers: str) -> StreamedBody:
    fields = Headers([(name.replace("_", "-"), value) for name, value in headers.items()])
    return StreamedBody(IncomingRequest.of(Request(method="PUT", path="/", headers=fields, body=content)))


@dataclass(slots=True)
class World:
    """sent: every event that was put into the outbox."""

    desk: Desk
    store: SqliteStore
    segments: FileSegments
    clock: StillClock
    client: Client
    sweeper: Sweeper
    sent: list[TargetEvent] = field(default_factory=list)

    @classmethod
    async def open(cls, tmp_path: Path) -> World:
        clock, ids = StillClock(), CountingIds()
        store = await SqliteStore.open(database(tmp_path))
        segments = await FileSegments.open(tmp_path / "objects", lambda: ids.hex(32))
        sent: list[TargetEvent] = []

        def outbox(_: Tx, event: TargetEvent) -> None:
            sent.append(event)

        desk = await Desk.open(
            store=store, segments=segments, clock=clock, ids=ids, outbox=outbox, check_target=lambda _: None
        )
        client = Client(Mount(s3.SERVICE, desk), Caller(account=ACCOUNT, region="us-east-1", access_key_id="test"))
        return cls(
            desk=desk, store=store, segments=segments, clock=clock, client=client, sweeper=Sweeper(desk), sent=sent
        )

    async def close(self) -> None:
        await self.segments.close()
        await self.store.close()

    async def call(self, operation: str, **params: Any) -> Any:
        """Past the wire, for what has a body in pieces."""
        from_model = self.client.operations[operation]
        made = s3_call(self.client.caller, operation, params)
        answer = await from_model(self.desk, made)
        return answer.output if hasattr(answer, "output") else answer

    async def put(self, bucket: str, key: str, content: bytes = b"x", **params: Any) -> Any:
        return await self.call("PutObject", Bucket=bucket, Key=key, Body=body(content), **params)

    async def keys(self, bucket: str) -> list[str]:
        listed = await self.client("ListObjectsV2", Bucket=bucket)
        return [each["Key"] for each in listed.get("Contents", ())]

    async def versions(self, bucket: str) -> list[tuple[str, str]]:
        """(key, "v" or "marker") of all versions, newest first."""
        listed = await self.client("ListObjectVersions", Bucket=bucket)
        found = [(each["Key"], "v", each["IsLatest"]) for each in listed.get("Versions", ())]
        found += [(each["Key"], "marker", each["IsLatest"]) for each in listed.get("DeleteMarkers", ())]
        return sorted(((key, kind) for key, kind, _ in found))

    def pass_days(self, days: float) -> None:
        self.clock.at_ms += int(days * DAY_MS)


def s3_call(caller: Caller, operation: str, params: dict[str, Any]) -> Call:
    return Call(caller=caller, request_id="r-1", params=params, operation=operation)


def lived(story: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test of a story that is told a world with one bucket, and whatever else of pytest's it asks for."""
    asked = inspect.signature(story)
    names = [name for name in asked.parameters if name != "world"]

    def test(tmp_path: Path, **given: Any) -> None:
        given |= {"tmp_path": tmp_path} if "tmp_path" in names else {}

        async def run() -> None:
            world = await World.open(tmp_path)
            await world.client("CreateBucket", Bucket=BUCKET)
            try:
                await story(world, **given)
            finally:
                await world.close()

        asyncio.run(run())

    parameters = {"tmp_path": inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)}
    parameters |= {name: asked.parameters[name] for name in names}
    test.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]  # for pytest
    test.__name__, test.__doc__ = story.__name__, story.__doc__  # type: ignore[attr-defined]  # a function has both
    test.__module__ = story.__module__
    return test
