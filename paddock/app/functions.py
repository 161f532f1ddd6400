"""Functions: their catalogue, the worker that runs them, and what may be said of who calls them."""

from __future__ import annotations

import dataclasses
import logging
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paddock.app.ground import Foundation, Start
from paddock.backends.files.publishers import FilePublishers
from paddock.cli.sign import DIRECTORY as SIGNING
from paddock.control.catalogue import Catalogue
from paddock.control.code_signing import CodeSigning
from paddock.control.event_invokes import EventInvokes
from paddock.control.permissions import Permissions
from paddock.control.provisioned import ProvisionedConcurrency
from paddock.control.urls import Urls
from paddock.invoke.dispatcher import Dispatcher
from paddock.services import lambda_
from paddock.services.lambda_.developing import Developing
from paddock.wire.http1 import Handler, HttpLimits
from paddock.wire.service import load_service
from paddock.worker.configured import settings_of
from paddock.worker.ports import API_CONNECTIONS_MAX, Ports
from paddock.worker.sandbox.client import LinuxSandboxes
from paddock.worker.worker import Worker
from paddock.worker.workshop import Workshop

log = logging.getLogger("paddock")

INNER_LIMITS = dataclasses.replace(HttpLimits(), connections_max=API_CONNECTIONS_MAX)
STOP_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """What is stored of functions, and the worker and dispatcher that run them on this machine."""

    sandboxes: LinuxSandboxes
    worker: Worker
    workshop: Workshop
    catalogue: Catalogue
    provisioned: ProvisionedConcurrency
    signing: CodeSigning
    dispatcher: Dispatcher
    permissions: Permissions
    event_invokes: EventInvokes
    urls: Urls

    @classmethod
    async def open(cls, start: Start, on: Foundation, front_of: Callable[[str], Handler]) -> Functions:
        """front_of: what answers the functions of an account that call Paddock."""
        sandboxes = LinuxSandboxes(start.control)
        ports = Ports(lambda version: front_of(version.account), INNER_LIMITS, on.clock.now)
        worker = Worker(
            sandboxes=sandboxes,
            code=on.code,
            offers=start.offers,
            settings=settings_of(start.config, start.listener.getsockname()[1], on.sessions.of_function),
            clock=on.clock,
            ids=on.ids,
            sink=on.book,
            serve=ports.serve,
        )
        worker.start()
        workshop = Workshop(worker, on.clock)
        handed: dict[str, Any] = {"store": on.store, "clock": on.clock, "ids": on.ids, "quotas": on.quotas}
        catalogue = Catalogue(blobs=on.blobs, unpacked=on.code, fleet=worker, seals=on.keys, **handed)
        signing = CodeSigning(publishers=FilePublishers(start.config.data_dir / SIGNING), **handed)
        await signing.start()
        permissions = Permissions(catalogue, on.ids)
        return cls(
            sandboxes=sandboxes,
            worker=worker,
            catalogue=catalogue,
            provisioned=ProvisionedConcurrency(catalogue, worker, on.clock, on.quotas),
            signing=signing,
            workshop=workshop,
            dispatcher=Dispatcher(workshop, on.quotas, catalogue),
            permissions=permissions,
            event_invokes=EventInvokes(catalogue, permissions, on.clock),
            urls=Urls(catalogue, on.clock, on.ids),
        )

    def desk(self, start: Start, on: Foundation, **handed: Any) -> lambda_.Desk:
        """Lambda's desk: what was made for it, and what only the machine and the service model know."""
        return lambda_.Desk(
            architecture="arm64" if platform.machine() == "aarch64" else "x86_64",
            modelled_runtimes=tuple(load_service("lambda").model.shape_for("Runtime").enum),
            catalogue=self.catalogue,
            provisioned=self.provisioned,
            signing=self.signing,
            permissions=self.permissions,
            event_invokes=self.event_invokes,
            urls=self.urls,
            url_address=start.function_url,
            dispatcher=self.dispatcher,
            runtimes=self.worker.runtimes,
            runtime_version_arn=self.worker.runtime_version_arn,
            keys=on.keys,
            images=on.images,
            clock=on.clock,
            ids=on.ids,
            quotas=on.quotas,
            file_systems=tuple(one["arn"] for one in start.config.file_systems),
            networks=start.config.networks if start.isolation["egress"] else (),
            **handed,
        )

    def developing(self, start: Start, desk: lambda_.Desk) -> Developing:
        """What `paddock dev` asks."""
        return Developing(desk, start.config.dev_directories, self.workshop.develop, self.workshop.release)

    async def stop(self) -> None:
        """Once nothing is invoked any more."""
        await self.catalogue.stop()
        await self.signing.stop()
        await self.workshop.close()
        await self.worker.stop(STOP_PATIENCE_S)
        await self.sandboxes.close()
