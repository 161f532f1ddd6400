"""Where container images come from, and where they are kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

from paddock.backends.files.blobs import FileBlobs
from paddock.backends.http.fetch import Fetcher
from paddock.backends.oci.local import Archives, Layouts
from paddock.backends.oci.registry import Registries, RegistrySettings
from paddock.backends.oci.source import Source
from paddock.backends.oci.store import PullLimits, StoredImages
from paddock.config import Config
from paddock.interfaces import Clock
from paddock.model.image import DOCKER_ARCHIVE, OCI
from paddock.model.quotas import Quotas


async def open_images(config: Config, directory: Path, clock: Clock, quotas: Quotas) -> StoredImages:
    registries = Registries(
        Fetcher(),
        RegistrySettings(
            mirrors=dict(config.image_mirrors),
            plain=config.image_registries_plain,
            allowed=config.image_registries,
            credentials=Path(config.registry_credentials) if config.registry_credentials else None,
        ),
        clock,
        Path.read_bytes,
    )
    layouts, archives = Layouts(config.image_directories), Archives(config.image_directories)
    sources: dict[str, Source] = {OCI: layouts, DOCKER_ARCHIVE: archives, "": registries}
    blobs = await FileBlobs.open(directory / "blobs")
    limits = PullLimits(bytes_max=quotas.image_bytes_max, timeout_s=float(config.image_pull_timeout_s))
    return await asyncio.to_thread(StoredImages, directory, blobs, lambda reference: sources[reference.kind], limits)
