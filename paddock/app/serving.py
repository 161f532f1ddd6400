"""The server's front: what it serves, what it says of its health."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from paddock import __version__
from paddock.app.event_mode import EventMode
from paddock.app.functions import Functions
from paddock.app.ground import Foundation, Start
from paddock.config import Config
from paddock.front.access import AccessRecord
from paddock.front.app import Front, FrontSettings
from paddock.front.downloads import Downloads
from paddock.front.function_urls import FunctionUrls
from paddock.services import SERVICES, lambda_, s3
from paddock.services.lambda_ import developing
from paddock.services.service import Mount
from paddock.worker.worker import Worker

log = logging.getLogger("paddock")


def front(
    start: Start,
    on: Foundation,
    desks: Mapping[str, Any],
    downloads: Downloads,
    functions: Functions,
    event_mode: EventMode,
    documents: Mapping[str, bytes],
) -> Front:
    return Front(
        [Mount(service, desks[service.name]) for service in SERVICES],
        _settings(start.config),
        new_id=on.ids.uuid,
        health=lambda: health(start, functions.worker, event_mode),
        record=_record if log.isEnabledFor(logging.DEBUG) else None,
        monotonic=on.clock.monotonic,
        code_downloads=downloads,
        documents=documents,
        now=on.clock.now,
        site=s3.Web(desks["s3"]),
        hooks={s3.WEBHOOK: s3.Webhook(desks["s3"], start.config.s3_webhook_token)},
        tools={
            **lambda_.image_tools(desks["lambda"]),
            developing.PATH: functions.developing(start, desks["lambda"]),
        },
        sessions=on.sessions,
        function_urls=_function_urls(start, on, desks["lambda"]),
    )


def _function_urls(start: Start, on: Foundation, desk: Any) -> FunctionUrls:
    base = urlsplit(start.function_url_base)
    config = start.config
    return FunctionUrls(
        desk,
        secret=config.secret_access_key,
        session_of=on.sessions.of,
        default_account=config.account,
        port=base.port or (443 if base.scheme == "https" else 80),
        domains=(base.hostname or "",),
    )


def _settings(config: Config) -> FrontSettings:
    return FrontSettings(
        default_account=config.account,
        default_region=config.region,
        body_bytes_max=config.request_body_bytes_max,
        host_names=config.hosts_allowed,
    )


def health(start: Start, worker: Worker, event_mode: EventMode) -> dict[str, Any]:
    return {
        "status": "running",
        "version": __version__,
        "services": {service.name: "available" for service in SERVICES},
        "isolation": dict(start.isolation),
        "runtimes": [offer.name for offer in start.offers],
        **worker.counts(),
        **event_mode.counts(),
    }


def _record(record: AccessRecord) -> None:
    log.debug("%s", record)
