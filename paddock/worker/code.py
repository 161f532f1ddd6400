"""Packages unpacked once and shared by every environment that runs them.

    <directory>/unpacking/<n>     being written or being removed; swept at start
    <directory>/boot              the boot this was unpacked in
    <directory>/<digest>/         a package, complete; a layer of an image (images.py), or the root of one

A package appears by a rename, so it is there whole or not at all. The files are not fsynced one by one: they can be
had again from the zip, so after a reboot (another boot id) everything is unpacked afresh, while a killed server
finds its packages as it left them.

Nothing follows a link while unpacking: paddock.model.package refuses paths below links, files are made with O_EXCL
and O_NOFOLLOW, and links are made last. setuid, setgid and sticky bits are dropped there too.
"""

from __future__ import annotations

import asyncio
import itertools
import mmap
import os
import shutil
import stat
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

from paddock.interfaces import Blobs, Images
from paddock.model.development import DIRECTORY_PREFIX, is_directory
from paddock.model.function import FunctionVersion
from paddock.model.image import BadImage, ContainerImage, ImageLayer
from paddock.model.package import DIRECTORY_MODE, Entry, Kind, contents, read_plan
from paddock.model.quotas import Quotas
from paddock.worker import images
from paddock.worker.layers import merge

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
WORKSHOP = "unpacking"


class CodeStore:
    """Made by `await CodeStore.open(directory, blobs, ...)`. One process owns the directory at a time."""

    def __init__(
        self, directory: Path, blobs: Blobs, quotas: Quotas, *, boot_id: Path = BOOT_ID, images: Images | None = None
    ) -> None:
        """Blocks on the disk; use `open`. images: None where no version is one."""
        self._directory = directory
        self._images = images
        self._workshop = directory / WORKSHOP
        self._blobs = blobs
        self._quotas = quotas
        self._numbers = itertools.count()
        self._busy: dict[str, asyncio.Task[Path]] = {}
        self._held: Counter[str] = Counter()
        self._doomed: set[str] = set()
        self._removing: dict[str, asyncio.Future[None]] = {}
        self._present: set[str] = set()
        self._merging = asyncio.Lock()
        self._workshop.mkdir(parents=True, exist_ok=True)
        self._sweep(boot_id)

    @classmethod
    async def open(
        cls, directory: Path, blobs: Blobs, quotas: Quotas, *, boot_id: Path = BOOT_ID, images: Images | None = None
    ) -> CodeStore:
        """Create the directory if need be, sweep leftovers and what was unpacked before the last reboot."""
        return await asyncio.to_thread(lambda: cls(directory, blobs, quotas, boot_id=boot_id, images=images))

    async def ensure(self, digest: str, make: Callable[[Path], Awaitable[None]] | None = None) -> Path:
        """The directory with the unpacked package. Callers at the same time share one unpacking.

        make: what makes it at a path, if it is no zip among the blobs.

        Raises FileNotFoundError (no such blob), InvalidParameterValue (it may not be unpacked), OSError (disk).
        """
        if is_directory(digest):
            return Path(digest.removeprefix(DIRECTORY_PREFIX))
        self._doomed.discard(digest)
        if digest in self._present:
            return self._directory / digest
        running = self._busy.get(digest)
        if running is None:
            running = asyncio.ensure_future(self._ensure(digest, make))
            self._busy[digest] = running
            running.add_done_callback(lambda _: self._busy.pop(digest, None))
        # One caller that gives up must not take the others' unpacking away.
        return await asyncio.shield(running)

    async def ensure_version(self, version: FunctionVersion) -> None:
        """Everything that the version needs: its code, its layers, and several layers merged into one directory.

        Raises as ensure() does, and BadImage.
        """
        if (image := version.image) is not None:
            await self.ensure(image.config, lambda place: self._make_root(image, place))
            return
        for digest in version.digests:
            await self.ensure(digest)
        merged = version.layers_digest
        if merged in ("", *version.digests) or merged in self._present:
            return
        async with self._merging:
            if merged not in self._present:
                trees = [self._directory / layer.code.digest for layer in version.layers]
                await asyncio.to_thread(self._merge, trees, self._directory / merged)
                self._present.add(merged)

    async def _make_root(self, image: ContainerImage, place: Path) -> None:
        if self._images is None:
            raise BadImage("Images are not kept here.")
        await self._images.fetch(image)
        for layer in image.layers:
            self.hold(layer.digest)
        try:
            trees = [await self.ensure(layer.digest, self._layer_maker(layer)) for layer in image.layers]
            await asyncio.to_thread(self._assemble, trees, place)
        finally:
            for layer in image.layers:
                await self.release(layer.digest)

    def _layer_maker(self, layer: ImageLayer) -> Callable[[Path], Awaitable[None]]:
        async def make(place: Path) -> None:
            assert self._images is not None
            blob = await self._images.layer(layer.digest)
            limits = images.ImageLimits(
                bytes_max=self._quotas.image_bytes_max, entries_max=self._quotas.image_entries_max
            )
            await asyncio.to_thread(self._put, place, lambda bench: images.unpack(blob, layer, bench, limits))

        return make

    def _assemble(self, trees: Sequence[Path], place: Path) -> None:
        whole_bytes = sum(images.size_of(tree) for tree in trees)
        if whole_bytes > self._quotas.image_bytes_max:
            raise BadImage(f"The image is larger than {self._quotas.image_bytes_max} bytes.")
        self._put(place, lambda bench: images.assemble(trees, bench))

    def _put(self, place: Path, fill: Callable[[Path], None]) -> None:
        """Whole or not at all."""
        bench = self._workshop / str(next(self._numbers))
        try:
            fill(bench)
            bench.rename(place)
        except BaseException:
            _remove_tree(bench)
            raise

    def _merge(self, trees: Sequence[Path], place: Path) -> None:
        if not place.is_dir():
            self._put(place, lambda bench: merge(trees, bench))

    def hold(self, digest: str) -> None:
        """An environment uses the package from now on: forget() waits until it is released."""
        self._held[digest] += 1

    async def release(self, digest: str) -> None:
        """The counterpart of hold. Removes a package that was to be forgotten meanwhile."""
        self._held[digest] -= 1
        if self._held[digest] <= 0:
            del self._held[digest]
            if digest in self._doomed:
                await self.forget(digest)

    async def forget(self, digest: str) -> None:
        """Remove the unpacked package once nobody holds it; absent is not an error."""
        running = self._busy.get(digest)
        if running is not None:
            await asyncio.wait([running])
        if self._held[digest] > 0:
            self._doomed.add(digest)
            return
        self._doomed.discard(digest)
        self._present.discard(digest)
        removing = asyncio.ensure_future(asyncio.to_thread(self._remove, self._directory / digest))
        self._removing[digest] = removing
        removing.add_done_callback(lambda _: self._removing.pop(digest, None))
        await asyncio.shield(removing)

    async def keep_only(self, digests: Collection[str]) -> None:
        """Remove every unpacked package that is not among `digests`; for the start, before anything runs."""
        for digest in await asyncio.to_thread(self._unpacked):
            if digest not in digests:
                await self.forget(digest)

    def _unpacked(self) -> Sequence[str]:
        return [entry.name for entry in self._directory.iterdir() if entry.is_dir() and entry != self._workshop]

    async def _ensure(self, digest: str, make: Callable[[Path], Awaitable[None]] | None) -> Path:
        place = self._directory / digest
        if (removing := self._removing.get(digest)) is not None:
            await asyncio.wait([removing])  # else what is about to go would be taken for present
        if await asyncio.to_thread(place.is_dir):
            self._present.add(digest)
            return place
        if make is not None:
            await make(place)
        else:
            archive = await self._blobs.path(digest)
            await asyncio.to_thread(self._unpack, archive, place)
        self._present.add(digest)
        return place

    def _unpack(self, archive: Path, place: Path) -> None:
        with archive.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            self._put(place, lambda bench: unpack(data, bench, self._quotas))

    def _remove(self, place: Path) -> None:
        bench = self._workshop / str(next(self._numbers))
        try:
            place.rename(bench)
        except FileNotFoundError:
            return
        _remove_tree(bench)

    def _sweep(self, boot_id: Path) -> None:
        for leftover in self._workshop.iterdir():
            _remove_tree(leftover)
        boot, mark = boot_id.read_text().strip(), self._directory / "boot"
        if not mark.is_file() or mark.read_text() != boot:
            for digest in self._unpacked():
                _remove_tree(self._directory / digest)
            mark.write_text(boot)


def unpack(data: mmap.mmap, directory: Path, quotas: Quotas) -> None:
    """Write the package into `directory`, which must not exist. Raises as read_plan and contents do, and OSError."""
    plan = read_plan(data, quotas)
    directory.mkdir(mode=DIRECTORY_MODE)
    os.chmod(directory, DIRECTORY_MODE)
    made = {directory}
    for entry in plan:
        if entry.kind is Kind.FILE:
            _make_parents(directory / entry.path, made)
            _write_file(data, entry, directory / entry.path)
        elif entry.kind is Kind.DIRECTORY:
            _make_parents(directory / entry.path / "x", made)
    for entry in plan:
        if entry.kind is Kind.LINK:
            _make_parents(directory / entry.path, made)
            os.symlink(entry.target, directory / entry.path)
    # Modes last and from the deepest up: a directory may well forbid its owner to write.
    modes = {entry.path: entry.mode for entry in plan if entry.kind is Kind.DIRECTORY}
    for path in sorted(modes, key=lambda path: path.count("/"), reverse=True):
        os.chmod(directory / path, modes[path], follow_symlinks=True)


def _make_parents(path: Path, made: set[Path]) -> None:
    missing: list[Path] = []
    parent = path.parent
    while parent not in made:
        missing.append(parent)
        parent = parent.parent
    for folder in reversed(missing):
        folder.mkdir()
        os.chmod(folder, DIRECTORY_MODE)
        made.add(folder)


def _write_file(data: mmap.mmap, entry: Entry, path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for piece in contents(data, entry):
            file.write(piece)
        os.fchmod(file.fileno(), entry.mode)


def _remove_tree(path: Path) -> None:
    """Remove it, also when its own directories forbid their owner to look or write."""
    if not path.is_dir():
        return
    path.chmod(stat.S_IRWXU)
    for here, names, _ in os.walk(path):
        for name in names:
            below = Path(here, name)
            if not below.is_symlink():
                below.chmod(stat.S_IRWXU)
    shutil.rmtree(path)
