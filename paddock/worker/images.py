"""Layers of container images, unpacked, and the root that an image's layers make together.

    unpack(blob, layer, bench, limits)     bench/tree     what the layer brings
                                           bench/notes    what cannot stand in a directory: what it removes from the
                                                          layers below it, links to their files, and which of its
                                                          directories it names only on the way to something
    assemble([first, second, ...], root)   all of them, each over the ones before it, as a function sees them

A layer is unpacked once, whatever images have it, and an image's root consists of hard links to the files of its
layers: nothing is copied, and two images share what they have in common. No overlay is needed, which rootless kernels
may refuse, and which limits how many layers there are.

What a layer says is hostile until it is unpacked. Everything is made by its own name in a directory that is known to
be none but a real one: no link of the layer is followed, here or while the root is assembled, except where a later
layer names a path below an earlier one's link without saying that it is a directory; then the link is followed within
the root, step by step. Owners, setuid bits, extended attributes (so capabilities of files), devices and pipes are left
out. The tar's own digest, which the image's configuration names, is checked before anything counts.

A root has the places where an environment mounts what it brings itself (PLACES), whatever the image has there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from paddock.model.image import BadImage, ImageLayer
from paddock.model.tar import BadTar, Entry, Kind, TarReader, clean

TREE, NOTES = "tree", "notes"
DIRECTORY_MODE = 0o755
LINK_HOPS_MAX = 40
PIECE_BYTES = 256 * 1024
PLACES = ("proc", "dev", "tmp", "mnt", "etc")
FILES = ("etc/hosts", "etc/resolv.conf")
_WHITEOUT, _OPAQUE, _AUFS = ".wh.", ".wh..wh..opq", ".wh..wh."
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """bytes_max: of the tar inside a layer. entries_max: of it."""

    bytes_max: int
    entries_max: int


@dataclass(slots=True)
class Notes:
    """Of a layer: paths in it. links: hard links to files of layers below. size_bytes: of its tar."""

    removed: list[str] = field(default_factory=list)
    emptied: list[str] = field(default_factory=list)
    implied: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    size_bytes: int = 0


def unpack(blob: Path, layer: ImageLayer, bench: Path, limits: ImageLimits) -> None:
    """Make `bench`, which must not exist. Raises BadImage for a layer that may not be unpacked, and OSError."""
    bench.mkdir(mode=DIRECTORY_MODE)
    (bench / TREE).mkdir(mode=DIRECTORY_MODE)
    with blob.open("rb") as file:
        stream = _Stream(file, layer, limits.bytes_max)
        try:
            notes = _Unpacking(bench / TREE, limits).run(TarReader(stream.read))
            stream.drain()
        except (BadTar, zlib.error) as error:
            raise BadImage(f"The layer sha256:{layer.digest} cannot be unpacked: {error}.") from error
    if stream.digest != layer.diff_id:
        raise BadImage(
            f"The layer sha256:{layer.digest} unpacks to sha256:{stream.digest} and not to sha256:{layer.diff_id}, "
            "as the image's configuration says."
        )
    notes.size_bytes = stream.size_bytes
    (bench / NOTES).write_text(json.dumps(dataclasses.asdict(notes)))  # names need not be UTF-8, which JSON can tell


class _Stream:
    """The tar inside a blob, inflated in bounded pieces, counted and hashed as it is read."""

    def __init__(self, file: BinaryIO, layer: ImageLayer, bytes_max: int) -> None:
        if layer.compression not in ("", "gzip"):
            raise BadImage(
                f"The layer sha256:{layer.digest} is compressed with {layer.compression}, which is not supported. "
                "Rebuild the image with gzip."
            )
        self._pieces = _inflated(file) if layer.compression else _plain(file)
        self._bytes_max = bytes_max
        self._rest = memoryview(b"")
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def read(self, count: int) -> bytes:
        if not self._rest:
            piece = next(self._pieces, b"")
            self.size_bytes += len(piece)
            if self.size_bytes > self._bytes_max:
                raise BadTar(f"it unpacks to more than {self._bytes_max} bytes")
            self._hash.update(piece)
            self._rest = memoryview(piece)
        taken, self._rest = self._rest[:count], self._rest[count:]
        return bytes(taken)

    def drain(self) -> None:
        """What follows the end of the archive belongs to its digest."""
        while self.read(PIECE_BYTES):
            pass

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def _plain(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    """A gzip file may have several members, one after the other."""
    inflate = zlib.decompressobj(_GZIP_WINDOW)
    packed = file.read(PIECE_BYTES)
    while packed:
        piece = inflate.decompress(packed, PIECE_BYTES)
        if piece:
            yield piece
        packed = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
        if inflate.eof:
            inflate = zlib.decompressobj(_GZIP_WINDOW)
            packed = (packed or file.read(PIECE_BYTES)).lstrip(b"\0")  # zeros may fill it up
        elif not packed:
            packed = file.read(PIECE_BYTES)
            if not packed:
                raise BadTar("its gzip stream is cut short")


class _Unpacking:
    """One layer's entries into a directory that nobody else writes to."""

    def __init__(self, tree: Path, limits: ImageLimits) -> None:
        self._tree = tree
        self._limits = limits
        self._notes = Notes()
        self._modes: dict[str, int] = {}
        self._named: set[str] = set()

    def run(self, reader: TarReader) -> Notes:
        for count, entry in enumerate(reader, 1):
            if count > self._limits.entries_max:
                raise BadTar(f"it has more than {self._limits.entries_max} entries")
            self._take(entry, reader)
        self._notes.implied = sorted(path for path in self._modes if path not in self._named)
        # Modes last and from the deepest up: a directory may well forbid its owner to write.
        for path in sorted(self._modes, key=lambda path: path.count("/"), reverse=True):
            place = self._tree / path
            if place.is_dir() and not place.is_symlink():
                os.chmod(place, self._modes[path])
        return self._notes

    def _take(self, entry: Entry, reader: TarReader) -> None:
        folder, _, name = entry.path.rpartition("/")
        if name.startswith(_WHITEOUT):
            self._take_whiteout(folder, name)
            return
        if not entry.path or entry.kind is Kind.SPECIAL:
            return
        self._parents(folder)
        place = self._tree / entry.path
        if entry.kind is Kind.DIRECTORY:
            self._clear(place, keep_directory=True)
            place.mkdir(mode=0o700, exist_ok=True)
            self._modes[entry.path] = entry.mode | 0o700
            self._named.add(entry.path)
            return
        if entry.kind is Kind.HARD_LINK:
            self._link(entry, place)
            return
        self._clear(place)
        if entry.kind is Kind.SYMLINK:
            os.symlink(entry.target, place)
            return
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for piece in reader.contents():
                file.write(piece)
            os.fchmod(file.fileno(), entry.mode)

    def _take_whiteout(self, folder: str, name: str) -> None:
        if name == _OPAQUE:
            self._notes.emptied.append(folder)
        elif not name.startswith(_AUFS):  # what aufs notes for itself is nobody's business
            removed = clean(name.removeprefix(_WHITEOUT))
            if not removed:
                raise BadTar(f"{name!r} removes nothing")
            self._notes.removed.append(f"{folder}/{removed}" if folder else removed)

    def _link(self, entry: Entry, place: Path) -> None:
        """To a file of this layer, or of one below, where it is linked once there is a root."""
        target = self._tree / entry.target
        if entry.target == entry.path:
            raise BadTar(f"{entry.path!r} is a link to itself")
        if not _stands(self._tree, entry.target):
            self._clear(place)
            self._notes.links.append((entry.path, entry.target))
            return
        if stat.S_ISDIR(target.lstat().st_mode):
            raise BadTar(f"{entry.path!r} is a hard link to a directory")
        self._clear(place)
        os.link(target, place, follow_symlinks=False)

    def _parents(self, folder: str) -> None:
        """Every directory on the way is a real one of this layer."""
        if folder in self._modes or not folder:
            return
        above = folder.rpartition("/")[0]
        self._parents(above)
        place = self._tree / folder
        try:
            place.mkdir(mode=0o700)
        except FileExistsError:
            raise BadTar(f"something stands below {folder!r}, which is no directory") from None
        self._modes[folder] = DIRECTORY_MODE

    def _clear(self, place: Path, *, keep_directory: bool = False) -> None:
        """What came before under the same name gives way."""
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(mode):
            place.unlink()
        elif not keep_directory:
            shutil.rmtree(place)
            gone = str(place.relative_to(self._tree))
            for path in [path for path in self._modes if path == gone or path.startswith(gone + "/")]:
                del self._modes[path]
                self._named.discard(path)


def _stands(tree: Path, path: str) -> bool:
    """Whether it is there, by way of real directories only."""
    here = tree
    *folders, last = path.split("/")
    for part in folders:
        here = here / part
        if not _is_directory(here):
            return False
    return os.path.lexists(here / last)


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def size_of(layer: Path) -> int:
    """What the tar of an unpacked layer had."""
    return _notes(layer).size_bytes


def _notes(layer: Path) -> Notes:
    found = json.loads((layer / NOTES).read_text())
    return Notes(**{**found, "links": [(path, target) for path, target in found["links"]]})


def assemble(layers: Sequence[Path], root: Path) -> None:
    """Make `root`, which must not exist, of the unpacked layers. Raises OSError, and BadImage for impossible links."""
    root.mkdir(mode=0o700)
    assembly = _Assembly(root)
    for layer in layers:
        assembly.lay(layer / TREE, _notes(layer))
    assembly.finish()


class _Assembly:
    """A root that grows layer by layer. Like the unpacking, it goes through real directories only."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modes: dict[Path, int] = {root: DIRECTORY_MODE}

    def lay(self, tree: Path, notes: Notes) -> None:
        for path in notes.emptied:
            if path == "" or (_stands(self._root, path) and _is_directory(self._root / path)):
                for entry in list(os.scandir(self._root / path)):
                    self._remove(Path(entry.path))
        for path in notes.removed:
            if _stands(self._root, path):
                self._remove(self._root / path)
        self._lay(tree, "", self._root, frozenset(notes.implied))
        for path, target in notes.links:
            self._link(path, target)

    def _lay(self, tree: Path, path: str, target: Path, implied: frozenset[str]) -> None:
        with os.scandir(tree) as entries:
            for entry in entries:
                inner = f"{path}/{entry.name}" if path else entry.name
                place = target / entry.name
                if entry.is_dir(follow_symlinks=False):
                    is_implied = inner in implied
                    place = self._directory(place, follow=is_implied)
                    if not is_implied or place not in self._modes:
                        self._modes[place] = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
                    self._lay(Path(entry.path), inner, place, implied)
                    continue
                if os.path.lexists(place):
                    self._remove(place)
                os.link(entry.path, place, follow_symlinks=False)

    def _directory(self, place: Path, *, follow: bool) -> Path:
        """The directory for what stands below `place`; something else there gives way."""
        if place.is_symlink() and follow and (found := self._followed(place)) is not None:
            return found
        if os.path.lexists(place) and not _is_directory(place):
            place.unlink()
        place.mkdir(mode=0o700, exist_ok=True)
        return place

    def _followed(self, link: Path) -> Path | None:
        """The real directory inside the root that a link leads to, as a process with this root would find it."""
        here = link.parent
        steps = [link.name]
        hops = 0
        while steps:
            step = steps.pop(0)
            if step in ("", "."):
                continue
            if step == "..":
                here = here if here == self._root else here.parent
                continue
            place = here / step
            if place.is_symlink():
                hops += 1
                if hops > LINK_HOPS_MAX:
                    return None
                target = os.readlink(place)
                here = self._root if target.startswith("/") else here
                steps = target.split("/") + steps
            elif _is_directory(place):
                here = place
            else:
                return None
        return here

    def _link(self, path: str, target: str) -> None:
        source, place = self._root / target, self._root / path
        if not _stands(self._root, target) or _is_directory(source):
            raise BadImage(f"{path!r} is a hard link to {target!r}, which no layer has.")
        here = self._root
        for part in path.split("/")[:-1]:
            here = self._directory(here / part, follow=False)
            self._modes.setdefault(here, DIRECTORY_MODE)
        if os.path.lexists(place):
            self._remove(place)
        os.link(source, place, follow_symlinks=False)

    def _remove(self, place: Path) -> None:
        if not _is_directory(place):
            place.unlink()
            return
        shutil.rmtree(place)
        for path in [path for path in self._modes if path == place or place in path.parents]:
            del self._modes[path]

    def finish(self) -> None:
        """The places of an environment's own mounts, and the modes."""
        for name in PLACES:
            self._directory(self._root / name, follow=False)
            self._modes.setdefault(self._root / name, DIRECTORY_MODE)
        for name in FILES:
            place = self._root / name
            if os.path.lexists(place):
                self._remove(place)
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        for path in sorted(self._modes, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(FileNotFoundError):
                os.chmod(path, self._modes[path])
