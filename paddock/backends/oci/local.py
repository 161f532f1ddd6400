"""Images in files of this machine: OCI layout directories, and the archives that `docker save` writes.

    oci:/srv/images/app:1                     /srv/images/app/index.json, blobs/sha256/...
    docker-archive:/srv/images/app.tar:x:1    manifest.json inside, and what it names

Only below the directories that the operator allows, after every link on the way has been followed. Files are read as
the server's own user.

An archive names layers by files, not by digests; a manifest is made of it here: the same archive gives the same one. A
newer Docker's archive is an OCI layout as well, and is read by its manifest.json all the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from paddock.backends.oci.source import PIECE_BYTES
from paddock.model.image import MANIFEST_BYTES_MAX, BadImage, Blob, Reference, absent, invalid
from paddock.model.tar import BadTar, Entry, Kind, TarReader

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_GZIP = b"\x1f\x8b"
_LISTED_MAX = 100_000


def allowed(path: str, directories: Sequence[str], uri: str) -> Path:
    """The real path. Raises BadImage when it does not lie below one of the directories."""
    real = Path(os.path.realpath(path))
    if not any(real.is_relative_to(os.path.realpath(directory)) for directory in directories):
        raise invalid(uri, "images may be read below the directories of the setting image_directories only")
    return real


async def pieces(open_at: tuple[Path, int, int]) -> AsyncIterator[bytes]:
    """(file, offset, length) in pieces."""
    path, offset, left = open_at
    file: BinaryIO = await asyncio.to_thread(_opened, path, offset)
    try:
        while left:
            piece = await asyncio.to_thread(file.read, min(PIECE_BYTES, left))
            if not piece:
                return
            left -= len(piece)
            yield piece
    finally:
        file.close()


def _opened(path: Path, offset: int) -> BinaryIO:
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")  # a pipe would wait
    file.seek(offset)
    return file


def _small(path: Path, uri: str) -> bytes:
    with _opened(path, 0) as file:
        content = file.read(MANIFEST_BYTES_MAX + 1)
    if len(content) > MANIFEST_BYTES_MAX:
        raise invalid(uri, f"{path.name} is larger than {MANIFEST_BYTES_MAX} bytes")
    return content


class Layouts:
    """OCI layout directories. directories: where they may lie."""

    def __init__(self, directories: Sequence[str]) -> None:
        self._directories = directories

    async def manifest(self, reference: Reference, digest: str) -> tuple[bytes, str]:
        name = self._path(reference, digest)
        try:
            return await asyncio.to_thread(_small, name, reference.repository), ""
        except (FileNotFoundError, NotADirectoryError):
            raise absent(f"{reference.repository}:{reference.tag}".rstrip(":")) from None

    async def blob(self, reference: Reference, blob: Blob) -> AsyncIterator[bytes]:
        try:
            async for piece in pieces((self._path(reference, blob.digest), 0, blob.size_bytes + 1)):
                yield piece
        except FileNotFoundError:
            raise BadImage(f"sha256:{blob.digest} is missing from {reference.repository}.") from None

    def _path(self, reference: Reference, digest: str) -> Path:
        name = f"blobs/sha256/{digest}" if digest else "index.json"
        return allowed(f"{reference.path}/{name}", self._directories, reference.repository)


class _Named(msgspec.Struct):
    Config: str
    Layers: list[str]
    RepoTags: list[str] | None = None


class Archives:
    """What `docker save` wrote. directories: where they may lie."""

    def __init__(self, directories: Sequence[str]) -> None:
        self._directories = directories

    async def manifest(self, reference: Reference, digest: str) -> tuple[bytes, str]:
        manifest, _ = await asyncio.to_thread(self._read, reference)
        return manifest, _MANIFEST

    async def blob(self, reference: Reference, blob: Blob) -> AsyncIterator[bytes]:
        _, places = await asyncio.to_thread(self._read, reference)
        if blob.digest not in places:
            raise BadImage(f"sha256:{blob.digest} is missing from {reference.repository}.")
        async for piece in pieces(places[blob.digest]):
            yield piece

    def _read(self, reference: Reference) -> tuple[bytes, dict[str, tuple[Path, int, int]]]:
        """The manifest that is made of the archive, and where its blobs are."""
        uri = reference.repository
        path = allowed(reference.path, self._directories, uri)
        try:
            with _opened(path, 0) as file:
                files = _files(file, uri)
                one = _chosen(_part(file, files, "manifest.json", uri), reference)
                config = _part(file, files, one.Config, uri)
                diff_ids = json.loads(config).get("rootfs", {}).get("diff_ids", [])
                layers = [_layer(file, _found(files, name, uri)) for name in one.Layers]
        except FileNotFoundError:
            raise absent(uri) from None
        except (BadTar, ValueError, AttributeError, msgspec.MsgspecError) as error:
            raise invalid(uri, f"it is no archive of `docker save` ({error})") from error
        if len(diff_ids) != len(layers):
            raise invalid(uri, "its configuration does not name as many layers as it has")
        digest = hashlib.sha256(config).hexdigest()
        places = {digest: (path, _found(files, one.Config, uri).offset, len(config))}
        described = []
        for (compression, found, entry), diff_id in zip(layers, diff_ids, strict=True):
            # A plain tar has the digest that the configuration says, or is not what it should be.
            name = found or str(diff_id).removeprefix("sha256:")
            places[name] = (path, entry.offset, entry.size_bytes)
            described.append({"mediaType": _LAYER + compression, "digest": f"sha256:{name}", "size": entry.size_bytes})
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": f"sha256:{digest}", "size": len(config)},
            "layers": described,
        }
        return json.dumps(manifest, separators=(",", ":")).encode(), places


def _files(file: BinaryIO, uri: str) -> dict[str, Entry]:
    """The archive's members by name; a link stands for what it leads to."""
    found: dict[str, Entry] = {}
    links: dict[str, str] = {}
    for count, entry in enumerate(TarReader(file.read, lambda size: file.seek(size, os.SEEK_CUR))):
        if count > _LISTED_MAX:
            raise invalid(uri, f"it has more than {_LISTED_MAX} members")
        if entry.kind is Kind.FILE:
            found[entry.path] = entry
        elif entry.kind is Kind.SYMLINK:
            here = os.path.dirname(entry.path)
            links[entry.path] = os.path.normpath(os.path.join(here, entry.target))
    return {**found, **{name: found[target] for name, target in links.items() if target in found}}


def _found(files: dict[str, Entry], name: str, uri: str) -> Entry:
    entry = files.get(os.path.normpath(name))
    if entry is None:
        raise invalid(uri, f"{name[:200]} is missing in it")
    return entry


def _part(file: BinaryIO, files: dict[str, Entry], name: str, uri: str) -> bytes:
    entry = _found(files, name, uri)
    if entry.size_bytes > MANIFEST_BYTES_MAX:
        raise invalid(uri, f"{name[:200]} is larger than {MANIFEST_BYTES_MAX} bytes")
    file.seek(entry.offset)
    return file.read(entry.size_bytes)


def _chosen(listed: bytes, reference: Reference) -> _Named:
    images = msgspec.json.decode(listed, type=list[_Named])
    if reference.tag:
        images = [one for one in images if reference.tag in (one.RepoTags or [])]
    if not images:
        raise absent(f"{reference.repository}:{reference.tag}")
    if len(images) > 1:
        raise invalid(reference.repository, "it holds several images: name one by its tag after the path")
    return images[0]


def _layer(file: BinaryIO, entry: Entry) -> tuple[str, str, Entry]:
    """How it is compressed, its digest where it has to be computed, and where it is."""
    file.seek(entry.offset)
    if file.read(2) != _GZIP:
        return "", "", entry
    file.seek(entry.offset)
    digest, left = hashlib.sha256(), entry.size_bytes
    while left and (piece := file.read(min(PIECE_BYTES, left))):
        digest.update(piece)
        left -= len(piece)
    return "+gzip", digest.hexdigest(), entry
