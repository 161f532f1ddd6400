"""What every other part stands on."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddock.app.images import open_images
from paddock.backends.files import master_key
from paddock.backends.files.blobs import FileBlobs
from paddock.backends.local.clock import SystemClock
from paddock.backends.local.ids import SystemIds
from paddock.backends.oci.store import StoredImages
from paddock.backends.sql import statements
from paddock.backends.sql.sqlite import SqliteStore
from paddock.config import Config
from paddock.control.keys import Keys
from paddock.control.sessions import Sessions
from paddock.interfaces import Clock, Ids, Store
from paddock.model.quotas import PROFILES, Quotas
from paddock.model.sealing import KEY_BYTES
from paddock.observe.logbook import LogBook, LogBookLimits
from paddock.worker.code import CodeStore
from paddock.worker.offers import RuntimeOffer


def time_and_chance() -> tuple[Clock, Ids]:
    """For commands that are not the server."""
    return SystemClock(), SystemIds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the jailer hands the server. isolation: mode ("root" or "rootless"), groups (0, 1, 2), controllers."""

    config: Config
    control: socket.socket
    listener: socket.socket
    offers: tuple[RuntimeOffer, ...]
    isolation: Mapping[str, Any]

    @property
    def endpoint(self) -> str:
        host, port = self.listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def function_url(self, url_id: str, region: str) -> str:
        """Where the function URL with that id is reached."""
        scheme, _, place = self.function_url_base.partition("://")
        return f"{scheme}://{url_id}.lambda-url.{region}.{place.rstrip('/')}/"

    @property
    def function_url_base(self) -> str:
        """What they are made of."""
        return self.config.function_url_base or f"http://localhost:{self.listener.getsockname()[1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What everything else stands on: time, chance, limits, and what is on disk."""

    clock: Clock
    ids: Ids
    quotas: Quotas
    store: SqliteStore
    keys: Keys
    sessions: Sessions
    log_store: SqliteStore
    blobs: FileBlobs
    images: StoredImages
    code: CodeStore
    book: LogBook

    @classmethod
    async def open(cls, start: Start) -> Foundation:
        clock, ids, quotas = SystemClock(), SystemIds(), quotas_of(start.config)
        home = start.config.data_dir / "server"
        store = await SqliteStore.open(home / "paddock.db")
        log_store = await SqliteStore.open(home / "logs.db", statements=statements.load_logs())
        blobs = await FileBlobs.open(home / "blobs")
        images = await open_images(start.config, home / "images", clock, quotas)
        book = LogBook(store=log_store, clock=clock, limits=_log_limits(start.config))
        book.start()
        keys = await _keys(home, store, clock, ids)
        return cls(
            clock=clock,
            ids=ids,
            quotas=quotas,
            store=store,
            keys=keys,
            sessions=Sessions(keys, clock, ids),
            log_store=log_store,
            blobs=blobs,
            images=images,
            code=await CodeStore.open(home / "code", blobs, quotas, images=images),
            book=book,
        )

    async def close(self) -> None:
        await self.book.stop()
        await self.store.close()
        await self.log_store.close()


async def _keys(home: Path, store: Store, clock: Clock, ids: Ids) -> Keys:
    """The master key of this data directory, and customers' keys, loaded."""
    master = await master_key.load(home / "master.key", bytes.fromhex(ids.hex(2 * KEY_BYTES)))
    keys = Keys(store=store, master=master, clock=clock, ids=ids)
    await keys.start()
    return keys


def quotas_of(config: Config) -> Quotas:
    return dataclasses.replace(
        PROFILES[config.quotas],
        concurrency_max=config.concurrency_limit,
        streamed_bytes_per_s=config.stream_bytes_per_s,
    )


def _log_limits(config: Config) -> LogBookLimits:
    return LogBookLimits(
        buffer_bytes_max=config.log_buffer_bytes_max, flush_interval_s=config.log_flush_interval_ms / 1000
    )
