"""Everything that lives as long as the server."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from paddock.app import serving
from paddock.app.bridge import Bridge
from paddock.app.event_mode import EventMode
from paddock.app.event_services import EventServices
from paddock.app.functions import Functions
from paddock.app.ground import Foundation, Start
from paddock.app.sources import Sources
from paddock.app.sources import objects as sources_of_code
from paddock.front.downloads import Downloads
from paddock.services import iam, kms, logs, s3, secretsmanager, sqs, ssm, sts
from paddock.wire.http1 import HttpLimits, HttpServer

log = logging.getLogger("paddock")

DRAIN_S = 10.0
LIMITS = HttpLimits()  # the front limits bodies itself: objects of S3 are streamed and may be larger


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """`wire_up` builds and starts it in order, `stop` undoes that."""

    server: HttpServer
    ground: Foundation
    functions: Functions
    sources: Sources
    event_mode: EventMode
    bridge: Bridge
    event_services: EventServices
    mover: sqs.Mover

    @classmethod
    async def wire_up(cls, start: Start) -> App:
        on = await Foundation.open(start)
        functions = await Functions.open(start, on, lambda account: front.confined_to(account))
        event_mode = EventMode.of(start.config, on, functions.dispatcher, functions.event_invokes)
        bridge = Bridge.of(on, event_mode)
        queues = await sqs.Desk.open(store=on.store, clock=on.clock, ids=on.ids, base_url=start.endpoint)
        event_mode.targets.add("sqs", lambda event: queues.send(event, sqs.send))
        sources = Sources.of(start.config, on, functions, queues)
        key = bytes.fromhex(on.ids.hex(64))
        downloads = Downloads(base_url=start.endpoint, key=key, blobs=on.blobs, clock=on.clock)
        event_services = await EventServices.open(start, on, event_mode)
        desks = {
            "lambda": functions.desk(
                start,
                on,
                mappings=sources.mappings,
                objects=sources_of_code(start.config, s3.ObjectReader(event_services.s3)),
                asynchronous=event_mode.asynchronous,
                sends_to=event_mode.targets.serves,
                code_url=downloads.url,
            ),
            "sqs": queues,
            **bridge.desks(on.clock, on.ids),
            **event_services.desks(),
            **_neighbours(start, on),
        }
        front = serving.front(start, on, desks, downloads, functions, event_mode, event_services.documents)
        await functions.catalogue.start()
        functions.urls.start()
        await sources.mappings.start()
        await event_mode.start()
        await bridge.start()
        event_services.sweeper.start()
        sources.pollers.start()
        mover = sqs.Mover(queues)
        mover.start()
        server = await HttpServer.start(
            front.handle, [start.listener], limits=LIMITS, now=on.clock.now, is_light=front.is_light
        )
        return cls(
            server=server,
            ground=on,
            functions=functions,
            sources=sources,
            event_mode=event_mode,
            bridge=bridge,
            event_services=event_services,
            mover=mover,
        )

    async def stop(self) -> None:
        """No new requests; running ones may end; then what they need, in the order of need."""
        await self.server.close(DRAIN_S)
        await self.bridge.stop()
        await self.event_services.sweeper.stop()
        await self.mover.stop()
        await self.event_mode.stop()
        try:
            async with asyncio.timeout(DRAIN_S):
                await self.sources.pollers.stop()
                await self.functions.dispatcher.drain()
        except TimeoutError:
            log.warning("stopping with invocations still running")
        await self.functions.stop()
        await self.ground.close()


def _neighbours(start: Start, on: Foundation) -> dict[str, Any]:
    """The desks of services that only keep things."""
    clock, ids = on.clock, on.ids
    return {
        "sts": sts.Desk(
            roles=iam.Roles(on.store), sessions=on.sessions, clock=clock, default_account=start.config.account
        ),
        "iam": iam.Desk(store=on.store, clock=clock, ids=ids, managed=iam.load_managed()),
        "logs": logs.Desk(store=on.log_store, book=on.book, clock=clock),
        "kms": kms.Desk(keys=on.keys, clock=clock, ids=ids),
        "ssm": ssm.Desk(store=on.store, keys=on.keys, clock=clock),
        "secretsmanager": secretsmanager.Desk(store=on.store, keys=on.keys, clock=clock, ids=ids),
    }
