"""The uploaded zip: what is in it, whether it may be unpacked, and its real size.

Nothing a zip says about itself is believed. `read_plan` looks at the directory alone and refuses what could leave the
package's folder or fool a later reader; `contents` inflates one entry in bounded pieces and checks its size and CRC;
`inspect` does both for a whole upload. The worker unpacks with the same two functions, so that what was inspected is
what gets written.

Refused: not a zip; no file in it; encrypted; a method other than stored or deflated (a bz2 or lzma bomb inflates in
one step); names that are absolute, contain `..`, a backslash, a drive or a NUL, or are too long; two entries for one
path, or a path below a file or a link; devices, pipes and sockets; links that are absolute or lead out, also by way
of other links; entries whose bytes overlap (a small file that inflates to petabytes); too many entries; more bytes
than allowed, by what the directory declares and by what really comes out.

Texts are AWS's. Where AWS's own answer to such a zip is not known, a sentence is added that says what is wrong.
"""

from __future__ import annotations

import io
import mmap
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from paddock.model.errors import InvalidParameterValue
from paddock.model.quotas import Quotas

Bytes = bytes | mmap.mmap

CANNOT_UNZIP = "Could not unzip uploaded file. Please check your file, then try to upload again."
EMPTY = "Uploaded file must be a non-empty zip"

PIECE_BYTES = 256 * 1024
NAME_BYTES_MAX = 255
PATH_BYTES_MAX = 4096
LINK_HOPS_MAX = 40
DIRECTORY_MODE, FILE_MODE = 0o755, 0o644

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_DIRECTORY_ENTRY = b"PK\x01\x02"
_ENCRYPTED = 0x1
_UTF8 = 0x800


class Kind(Enum):
    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing to unpack.

    path: clean and relative, with "/" between its parts. mode: permission bits, without setuid, setgid and sticky.
    target: of a link. header, start: where in the zip its header and its bytes begin. The rest says what the bytes
    must come out as.
    """

    path: str
    kind: Kind
    mode: int
    target: str = ""
    header: int
    start: int
    packed_bytes: int
    size_bytes: int
    deflated: bool
    crc: int


def inspect(data: Bytes, quotas: Quotas) -> int:
    """The unzipped size in bytes. Raises InvalidParameterValue with AWS's text."""
    return sum(len(piece) for entry in read_plan(data, quotas) for piece in contents(data, entry))


def read_plan(data: Bytes, quotas: Quotas) -> list[Entry]:
    """Everything to unpack, in the zip's order. Raises InvalidParameterValue with AWS's text."""
    infos, directory_start = _directory(data, quotas)
    entries = [_entry(data, info, directory_start) for info in infos]
    entries = [entry for entry in entries if entry.path]
    if not any(entry.kind is not Kind.DIRECTORY for entry in entries):
        raise InvalidParameterValue(EMPTY)
    _check_overlap(entries)
    if sum(entry.size_bytes for entry in entries) >= quotas.unzipped_bytes_max:
        raise InvalidParameterValue(f"Unzipped size must be smaller than {quotas.unzipped_bytes_max} bytes")
    tree = _check_collisions(entries)
    return _with_links(data, entries, tree)


def contents(data: Bytes, entry: Entry) -> Iterator[bytes]:
    """The entry's bytes in pieces. Raises InvalidParameterValue when size or CRC is not as declared."""
    size = crc = 0
    for piece in _pieces(data, entry):
        size += len(piece)
        if size > entry.size_bytes:
            raise _refused(f"{entry.path!r} holds more than the {entry.size_bytes} bytes it declares")
        crc = zlib.crc32(piece, crc)
        yield piece
    if size != entry.size_bytes or crc != entry.crc:
        raise InvalidParameterValue(CANNOT_UNZIP)


def _refused(why: str) -> InvalidParameterValue:
    return InvalidParameterValue(f"{CANNOT_UNZIP} Reason: {why}.")


def _directory(data: Bytes, quotas: Quotas) -> tuple[list[zipfile.ZipInfo], int]:
    """The central directory's entries and where it starts."""
    if not len(data):
        raise InvalidParameterValue(EMPTY)
    # Counted before it is parsed: each entry costs the parser some hundred bytes.
    if _count(data, _DIRECTORY_ENTRY, quotas.package_entries_max) > quotas.package_entries_max:
        raise _refused(f"more than {quotas.package_entries_max} entries")
    try:
        file = io.BytesIO(data) if isinstance(data, bytes) else data
        with zipfile.ZipFile(file) as archive:  # type: ignore[arg-type]  # a mmap reads as a file does
            return archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError, struct.error, OSError) as error:
        raise InvalidParameterValue(CANNOT_UNZIP) from error


def _count(data: Bytes, mark: bytes, enough: int) -> int:
    """How often `mark` occurs, counting no further than one more than `enough`."""
    if isinstance(data, bytes):
        return data.count(mark)
    found = 0
    position = data.find(mark)
    while position >= 0 and found <= enough:
        found += 1
        position = data.find(mark, position + len(mark))
    return found


def _entry(data: Bytes, info: zipfile.ZipInfo, directory_start: int) -> Entry:
    """One directory entry, cleaned. path is "" for the package's own root."""
    if info.flag_bits & _ENCRYPTED:
        raise InvalidParameterValue(CANNOT_UNZIP)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused(f"{info.orig_filename!r} is neither stored nor deflated")
    path = _clean_path(info.orig_filename)
    kind, mode = _kind_and_mode(info)
    if kind is Kind.DIRECTORY and info.file_size:
        raise _refused(f"the directory {info.orig_filename!r} has content")
    if not path and kind is not Kind.DIRECTORY:
        raise _refused(f"{info.orig_filename!r} names no file")
    start = _content_start(data, info)
    if start + info.compress_size > directory_start:
        raise InvalidParameterValue(CANNOT_UNZIP)
    return Entry(
        path=path,
        kind=kind,
        mode=mode,
        header=info.header_offset,
        start=start,
        packed_bytes=info.compress_size,
        size_bytes=info.file_size,
        deflated=info.compress_type == zipfile.ZIP_DEFLATED,
        crc=info.CRC,
    )


def _clean_path(name: str) -> str:
    """The relative path without empty and "." parts. Raises for a name that could lead anywhere else."""
    if "\0" in name or "\\" in name:
        raise _refused(f"the name {name!r} has a character that is not allowed")
    if name.startswith("/") or (name[:1].isalpha() and name[1:2] == ":"):
        raise _refused(f"the name {name!r} is absolute")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _refused(f"the name {name!r} leads out of the package")
    try:
        lengths = [len(part.encode()) for part in parts]
    except UnicodeEncodeError as error:
        raise _refused(f"the name {name!r} is not text") from error
    if max(lengths, default=0) > NAME_BYTES_MAX or sum(lengths) + len(parts) > PATH_BYTES_MAX:
        raise _refused(f"the name {name[:64]!r}... is too long")
    return "/".join(parts)


def _kind_and_mode(info: zipfile.ZipInfo) -> tuple[Kind, int]:
    """From the unix attributes; a zip made elsewhere has none and gets 0644 and 0755."""
    unix = info.external_attr >> 16
    permissions = unix & 0o777
    slashed = info.orig_filename.endswith("/")
    match stat.S_IFMT(unix):
        case stat.S_IFLNK if not slashed:
            return Kind.LINK, 0o777
        case stat.S_IFDIR:
            return Kind.DIRECTORY, permissions or DIRECTORY_MODE
        case 0 | stat.S_IFREG if slashed:
            return Kind.DIRECTORY, permissions or DIRECTORY_MODE
        case 0 | stat.S_IFREG:
            return Kind.FILE, permissions or FILE_MODE
    raise _refused(f"{info.orig_filename!r} is neither a file, a directory nor a link")


def _content_start(data: Bytes, info: zipfile.ZipInfo) -> int:
    """Where the entry's bytes begin, by its local header, which must agree with the directory about the name."""
    header = data[info.header_offset : info.header_offset + _LOCAL_HEADER.size]
    if info.header_offset < 0 or len(header) < _LOCAL_HEADER.size:
        raise InvalidParameterValue(CANNOT_UNZIP)
    fields = _LOCAL_HEADER.unpack(header)
    signature, flags, name_length, extra_length = fields[0], fields[2], fields[9], fields[10]
    name_start = info.header_offset + _LOCAL_HEADER.size
    name = data[name_start : name_start + name_length].decode("utf-8" if flags & _UTF8 else "cp437", "replace")
    if signature != b"PK\x03\x04" or name != info.orig_filename:
        raise InvalidParameterValue(CANNOT_UNZIP)
    return int(name_start + name_length + extra_length)


def _check_overlap(entries: list[Entry]) -> None:
    """From each header to the end of its bytes: no such span may begin inside another."""
    reached = 0
    for header, end in sorted((entry.header, entry.start + entry.packed_bytes) for entry in entries):
        if header < reached:
            raise _refused("entries overlap")
        reached = end


def _check_collisions(entries: list[Entry]) -> dict[str, Entry]:
    """Path -> entry. Refuses two entries for one path and anything below a file or a link."""
    tree: dict[str, Entry] = {}
    for entry in entries:
        earlier = tree.get(entry.path)
        if earlier is not None and not (earlier.kind is entry.kind is Kind.DIRECTORY):
            raise _refused(f"{entry.path!r} is there twice")
        tree[entry.path] = entry
    checked: set[str] = set()
    for entry in entries:
        parent = entry.path.rpartition("/")[0]
        while parent and parent not in checked:
            above = tree.get(parent)
            if above is not None and above.kind is not Kind.DIRECTORY:
                raise _refused(f"{entry.path!r} stands below {parent!r}, which is not a directory")
            checked.add(parent)
            parent = parent.rpartition("/")[0]
    return tree


def _with_links(data: Bytes, entries: list[Entry], tree: Mapping[str, Entry]) -> list[Entry]:
    """The entries with the targets of links read and checked."""
    targets = {entry.path: _target(data, entry) for entry in entries if entry.kind is Kind.LINK}
    for path, target in targets.items():
        _check_link(path, target, targets)
    return [replace(entry, target=targets[entry.path]) if entry.path in targets else entry for entry in entries]


def _target(data: Bytes, entry: Entry) -> str:
    if not 0 < entry.size_bytes <= PATH_BYTES_MAX:
        raise _refused(f"the link {entry.path!r} has no usable target")
    raw = b"".join(contents(data, entry))
    try:
        target = raw.decode()
    except UnicodeDecodeError as error:
        raise _refused(f"the target of the link {entry.path!r} is not text") from error
    if "\0" in target or target.startswith("/"):
        raise _refused(f"the link {entry.path!r} is absolute")
    return target


def _check_link(path: str, target: str, targets: Mapping[str, str]) -> None:
    """Walk the link as the kernel would, through the package's other links; it may never rise above the root.

    Cleaning the text is not enough: with `a/b/up -> ../..`, the target `a/b/up/..` looks like `a/b` and is outside.
    """
    here = path.split("/")[:-1]
    steps = target.split("/")
    hops = 0
    while steps:
        step = steps.pop(0)
        if step in ("", "."):
            continue
        if step == "..":
            if not here:
                raise _refused(f"the link {path!r} leads out of the package")
            here.pop()
            continue
        here.append(step)
        further = targets.get("/".join(here))
        if further is not None:
            hops += 1
            if hops > LINK_HOPS_MAX:
                raise _refused(f"the link {path!r} leads through too many links")
            here.pop()
            steps = further.split("/") + steps


def _pieces(data: Bytes, entry: Entry) -> Iterator[bytes]:
    """The entry's bytes, inflated, never much more than PIECE_BYTES at a time."""
    end = entry.start + entry.packed_bytes
    if not entry.deflated:
        for at in range(entry.start, end, PIECE_BYTES):
            yield data[at : min(at + PIECE_BYTES, end)]
        return
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for at in range(entry.start, end, PIECE_BYTES):
            packed = data[at : min(at + PIECE_BYTES, end)]
            while packed and not inflate.eof:
                yield inflate.decompress(packed, PIECE_BYTES)
                packed = inflate.unconsumed_tail
    except zlib.error as error:
        raise InvalidParameterValue(CANNOT_UNZIP) from error
    # zlib may hold back what no longer fitted into the last piece.
    while not inflate.eof:
        piece = inflate.decompress(inflate.unconsumed_tail, PIECE_BYTES)
        if not piece:
            raise InvalidParameterValue(CANNOT_UNZIP)
        yield piece
