"""interfaces.Images: what is pulled, kept in a directory of its own until somebody prunes it.

    <directory>/blobs/           layers, by digest (a Blobs)
    <directory>/known/*.json     each image that was pulled, with the name it was asked for by

A layer is fetched once, whatever images have it, and is checked against its digest before it is kept. Nothing here goes
when a function does: the next one that wants the image finds it. `prune` removes what no function needs.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from paddock.backends.oci.source import Interrupted, Source, checked, digest_of, whole
from paddock.interfaces import Blobs
from paddock.model.image import BadImage, Blob, ContainerImage, Reference, invalid, parse_reference, read_configuration
from paddock.model.image import read_manifest as read

log = logging.getLogger("paddock.images")

INDEX_DEPTH_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PullLimits:
    """bytes_max: of an image. resolve_timeout_s: for its manifest and configuration; timeout_s: for its layers."""

    bytes_max: int
    timeout_s: float
    resolve_timeout_s: float = 20.0


class StoredImages:
    """Made by `await StoredImages.open(...)`. source_of: where the images of a reference come from."""

    def __init__(
        self, directory: Path, blobs: Blobs, source_of: Callable[[Reference], Source], limits: PullLimits
    ) -> None:
        self._known = directory / "known"
        self._blobs = blobs
        self._source_of = source_of
        self._limits = limits
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._known.mkdir(parents=True, exist_ok=True)

    async def resolve(self, uri: str, architecture: str) -> ContainerImage:
        reference = parse_reference(uri)
        try:
            async with asyncio.timeout(self._limits.resolve_timeout_s):
                image = await self._resolved(reference, uri, architecture)
        except TimeoutError:
            raise invalid(uri, f"no answer within {self._limits.resolve_timeout_s:.0f} s") from None
        except OSError as error:
            raise invalid(uri, f"it cannot be read: {error.strerror or error}") from error
        if image.size_bytes > self._limits.bytes_max:
            raise invalid(uri, f"its layers have {image.size_bytes} bytes, and {self._limits.bytes_max} are allowed")
        return image

    async def _resolved(self, reference: Reference, uri: str, architecture: str) -> ContainerImage:
        source = self._source_of(reference)
        content, kind = await source.manifest(reference, reference.digest)
        digest, tag = digest_of(content), reference.tag if reference.kind else ""
        if reference.digest and digest != reference.digest:
            raise invalid(uri, f"what came has the digest sha256:{digest}")
        manifest = read(content, uri, architecture, kind, tag)
        for _ in range(INDEX_DEPTH_MAX):
            if (chosen := manifest.chosen) is None:
                break
            content, kind = await source.manifest(reference, chosen.digest)
            digest = digest_of(content)
            if digest != chosen.digest:
                raise invalid(uri, f"sha256:{chosen.digest} arrived with the digest sha256:{digest}")
            manifest = read(content, uri, architecture, kind)
        if manifest.config is None:
            raise invalid(uri, "its index leads to indexes without end")
        configuration = await whole(source.blob(reference, manifest.config), manifest.config)
        return read_configuration(configuration, uri, architecture, digest, manifest)

    async def fetch(self, image: ContainerImage) -> None:
        reference = parse_reference(image.uri)
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                for layer in image.layers:
                    await self._fetch(reference, Blob(layer.digest, layer.size_bytes))
        except TimeoutError:
            raise BadImage(f"{image.uri} was not pulled within {self._limits.timeout_s:.0f} s.") from None
        await asyncio.to_thread(self._remember, image)

    async def _fetch(self, reference: Reference, blob: Blob) -> None:
        async with self._lock(blob.digest):
            if await self._has(blob.digest):
                return
            log.info("pulling sha256:%s of %s, %d bytes", blob.digest, reference.repository, blob.size_bytes)
            source = self._source_of(reference)
            for attempts_left in (2, 1, 0):
                try:
                    await self._blobs.put(checked(source.blob(reference, blob), blob))
                    return
                except Interrupted as error:
                    if not attempts_left:
                        raise
                    log.warning("%s Once more", error.message)

    async def _has(self, digest: str) -> bool:
        try:
            await self._blobs.path(digest)
        except FileNotFoundError:
            return False
        return True

    async def layer(self, digest: str) -> Path:
        return await self._blobs.path(digest)

    def _remember(self, image: ContainerImage) -> None:
        name = f"{image.config}-{hashlib.sha256(image.resolved_uri.encode()).hexdigest()[:16]}.json"
        part = self._known / (name + ".part")
        part.write_bytes(msgspec.json.encode(image))
        part.replace(self._known / name)

    def _read_known(self) -> Mapping[Path, ContainerImage]:
        found = {}
        for path in sorted(self._known.glob("*.json")):
            try:
                found[path] = msgspec.json.decode(path.read_bytes(), type=ContainerImage)
            except (OSError, msgspec.MsgspecError) as error:
                log.warning("%s is left alone: %s", path.name, error)
        return found

    async def known(self) -> Sequence[ContainerImage]:
        return list((await asyncio.to_thread(self._read_known)).values())

    async def prune(self, is_used: Callable[[str], bool]) -> tuple[Sequence[ContainerImage], int]:
        gone = []
        for path, image in (await asyncio.to_thread(self._read_known)).items():
            if not is_used(image.config):
                await asyncio.to_thread(path.unlink, missing_ok=True)
                gone.append(image)
        freed_bytes = 0
        for digest in await self._blobs.digests():
            async with self._lock(digest):
                if not is_used(digest):
                    freed_bytes += (await self._blobs.path(digest)).stat().st_size
                    await self._blobs.delete(digest)
        return gone, freed_bytes

    def _lock(self, digest: str) -> asyncio.Lock:
        lock = self._locks.get(digest)
        if lock is None:
            lock = self._locks[digest] = asyncio.Lock()
        return lock
