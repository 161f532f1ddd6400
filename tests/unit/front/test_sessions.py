"""A session that is over is refused though its head is known: it was understood before, and time went on."""

from __future__ import annotations

import asyncio
from typing import Any

from paddock.control.sessions import Sessions
from paddock.front.access import AccessRecord
from paddock.front.app import Front, FrontSettings
from paddock.model.session import Session
from paddock.services.service import Call, Mount, Service
from paddock.wire.http1_request import IncomingRequest
from paddock.wire.messages import Headers
from tests.unit.front.conftest import module_of
from tests.unit.services.harness import CountingIds, StillClock


class Open:
    """Seals that seal nothing."""

    def seal(self, plain: bytes, about: str) -> bytes:
        return plain

    def unseal(self, sealed: bytes, about: str) -> bytes:
        return sealed


async def get_function(desk: None, call: Call) -> dict[str, Any]:
    return {"Tags": {"arn": call.caller.arn}}


def test_a_session_ends_for_heads_that_are_known_too() -> None:
    records: list[AccessRecord] = []

    async def story() -> None:
        clock = StillClock()
        sessions = Sessions(Open(), clock, CountingIds())
        front = Front(
            [Mount(Service(name="lambda", modules=(module_of(get_function),), not_yet=frozenset()), None)],
            FrontSettings(),
            new_id=lambda: "id",
            health=dict,
            record=records.append,
            monotonic=clock.monotonic,
            sessions=sessions,
        )
        keys = sessions.issue(Session(account="111122223333", expires_at=int(clock.monotonic()) + 60))
        scope = f"{keys.access_key_id}/20260504/us-east-1/lambda/aws4_request"
        fields = [
            ("host", "127.0.0.1"),
            ("authorization", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=1"),
            ("x-amz-security-token", keys.session_token),
        ]

        async def ask() -> int:
            incoming = IncomingRequest(method="GET", path="/2015-03-31/functions/f", headers=Headers(fields))
            incoming.complete = True
            return (await front.handle(incoming)).status

        assert [await ask(), await ask()] == [200, 200]
        clock.at_ms += 60_000
        assert await ask() == 403

    asyncio.run(story())
    assert [record.error_code for record in records] == ["", "", "ExpiredTokenException"]
