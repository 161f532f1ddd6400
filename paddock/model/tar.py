"""Tar archives, read from the front, in bounded pieces: what layers of images are.

    reader = TarReader(file.read)
    for entry in reader:
        for piece in reader.contents(): ...

Nothing that the archive says about itself is trusted: a header's checksum counts, its long names have a limit (an
extension header of a gigabyte would be read into memory), paths come out clean and relative, and whatever this reader
does not know is refused rather than skipped. Formats: ustar, pax, GNU's long names; not sparse files.

Paths and targets are text with surrogates for bytes that are not UTF-8, as Python's file functions take them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

BLOCK_BYTES = 512
PIECE_BYTES = 256 * 1024
EXTENSION_BYTES_MAX = 1 << 20
NAME_BYTES_MAX = 255
PATH_BYTES_MAX = 4095

_ZEROS = bytes(BLOCK_BYTES)


class BadTar(ValueError):
    """Not an archive that may be unpacked; the message says why."""


class Kind(Enum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARD_LINK = "hard link"
    SPECIAL = "device or pipe"


_KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"1": Kind.HARD_LINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.SPECIAL,
    b"4": Kind.SPECIAL,
    b"5": Kind.DIRECTORY,
    b"6": Kind.SPECIAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """path: clean and relative, "" for the root itself. mode: permission bits alone, no setuid, setgid and sticky.

    target: of a symlink as it is written; of a hard link a path like `path`. offset: of its contents in the archive.
    """

    path: str
    kind: Kind
    mode: int
    size_bytes: int = 0
    target: str = ""
    offset: int = 0


class TarReader:
    """read: gives up to so many bytes, b"" at the end. skip: passes over so many, where reading them is a waste."""

    def __init__(self, read: Callable[[int], bytes], skip: Callable[[int], object] | None = None) -> None:
        self._read = read
        self._skip = skip
        self._at = 0
        self._left = 0  # of the entry's contents
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        """Entries in their order. Raises BadTar."""
        special: dict[str, str] = {}
        while True:
            self._pass_over(self._left + self._padding)
            self._left = self._padding = 0
            header = self._exactly(BLOCK_BYTES, may_end=True)
            if not header or header == _ZEROS:
                return
            size, kind = self._checked(header), header[156:157]
            if kind in (b"x", b"g", b"L", b"K"):
                if size > EXTENSION_BYTES_MAX:
                    raise BadTar(f"an extension header of {size} bytes")
                body = self._exactly(size)
                self._exactly(-size % BLOCK_BYTES)
                special |= _extension(kind, body)
                continue
            size = _whole(special["size"]) if "size" in special else size
            entry = _entry(header, kind, size, special, self._at)
            special = {}
            self._left = size if entry.kind is Kind.FILE else 0
            self._padding = -self._left % BLOCK_BYTES
            yield entry

    def contents(self) -> Iterator[bytes]:
        """The bytes of the entry that came last. Raises BadTar when they end early."""
        while self._left:
            piece = self._read(min(PIECE_BYTES, self._left))
            if not piece:
                raise BadTar("it ends in the middle of a file")
            self._left -= len(piece)
            self._at += len(piece)
            yield piece

    def _pass_over(self, count: int) -> None:
        if self._skip is not None:
            self._skip(count)
            self._at += count
            return
        while count:
            piece = self._read(min(PIECE_BYTES, count))
            if not piece:
                raise BadTar("it ends in the middle of a file")
            count -= len(piece)
            self._at += len(piece)

    def _exactly(self, count: int, may_end: bool = False) -> bytes:
        found = b""
        while len(found) < count:
            piece = self._read(count - len(found))
            if not piece:
                if may_end and not found:
                    return b""
                raise BadTar("it ends in the middle of a header")
            found += piece
        self._at += count
        return found

    @staticmethod
    def _checked(header: bytes) -> int:
        """The size that a header declares. Raises BadTar for a header that is none."""
        try:
            declared = int(header[148:156].strip(b"\0 ") or b"0", 8)
        except ValueError as error:
            raise BadTar("a header without a checksum") from error
        if sum(header[:148]) + 8 * 0x20 + sum(header[156:]) != declared:
            raise BadTar("a header whose checksum is wrong")
        return _number(header[124:136])


def _number(digits: bytes) -> int:
    """Octal, or GNU's base 256."""
    if digits[0] & 0x80:
        value = int.from_bytes(digits, "big") & ((1 << (8 * len(digits) - 1)) - 1)
        if digits[0] & 0x40 or value >= 1 << 62:
            raise BadTar("a size that cannot be")
        return value
    try:
        return int(digits.strip(b"\0 ") or b"0", 8)
    except ValueError as error:
        raise BadTar("a number that is none") from error


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadTar("a size that cannot be")
    return int(text)


def _extension(kind: bytes, body: bytes) -> dict[str, str]:
    """What it says of the next entry."""
    if kind == b"g":
        return {}  # of all that follow: comments, as a rule, and no path
    if kind in (b"L", b"K"):
        return {"path" if kind == b"L" else "linkpath": _text(body.split(b"\0", 1)[0])}
    found: dict[str, str] = {}
    while body:
        length, space, _ = body.partition(b" ")
        if not space or not length.isdigit() or len(length) > 7:
            raise BadTar("an extension header that cannot be read")
        record = body[len(length) + 1 : int(length)]
        key, equals, value = record[:-1].partition(b"=")
        if int(length) > len(body) or not equals or record[-1:] != b"\n":
            raise BadTar("an extension header that cannot be read")
        if key.startswith(b"GNU.sparse"):
            raise BadTar("a sparse file")
        if key in (b"path", b"linkpath", b"size"):
            found[key.decode()] = _text(value)
        body = body[int(length) :]
    return found


def _entry(header: bytes, kind: bytes, size: int, special: dict[str, str], offset: int) -> Entry:
    found = _KINDS.get(kind)
    if found is None:
        raise BadTar(f"an entry of the unknown kind {kind!r}")
    name = _text(header[:100].split(b"\0", 1)[0])
    if header[257:263] == b"ustar\0" and (prefix := header[345:500].split(b"\0", 1)[0]):
        name = f"{_text(prefix)}/{name}"
    name = special.get("path", name)
    target = special.get("linkpath", _text(header[157:257].split(b"\0", 1)[0]))
    if kind in (b"0", b"\0") and name.endswith("/"):
        if size:
            raise BadTar(f"the directory {name!r} has content")
        found = Kind.DIRECTORY  # as tars from before 1988 spell it
    path = clean(name)
    if not path and found is not Kind.DIRECTORY:
        raise BadTar(f"{name!r} names no file")
    if found is Kind.HARD_LINK:
        target = clean(target)
        if not target:
            raise BadTar(f"the hard link {name!r} has no target")
    elif found is Kind.SYMLINK and (not target or "\0" in target or len(_raw(target)) > PATH_BYTES_MAX):
        raise BadTar(f"the link {name!r} has no usable target")
    mode = _number(header[100:108]) & 0o777
    return Entry(path=path, kind=found, mode=mode, size_bytes=size, target=target, offset=offset)


def clean(name: str) -> str:
    """A path relative to the root of the image, without empty and "." parts. Raises BadTar for one that leads out."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadTar(f"the name {name!r} leads out of the image")
    if "\0" in name:
        raise BadTar(f"the name {name!r} has a NUL in it")
    lengths = [len(_raw(part)) for part in parts]
    if max(lengths, default=0) > NAME_BYTES_MAX or sum(lengths) + len(parts) > PATH_BYTES_MAX:
        raise BadTar(f"the name {name[:64]!r}... is too long")
    return "/".join(parts)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
