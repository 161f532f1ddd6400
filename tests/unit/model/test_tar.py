"""The tar reader against Python's own writer, and against bytes that are no archive."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.tar import BadTar, Entry, Kind, TarReader, clean

PART = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda part: part not in (".", "..")
)
PATH = st.lists(PART, min_size=1, max_size=6).map("/".join).filter(lambda path: len(path.encode()) < 1000)
FORMATS = st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


def read(content: bytes) -> list[tuple[Entry, bytes]]:
    reader = TarReader(io.BytesIO(content).read)
    return [(entry, b"".join(reader.contents())) for entry in reader]


def written(members: list[tuple[tarfile.TarInfo, bytes]], form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


@given(st.lists(st.tuples(PATH, st.binary(max_size=2000), st.integers(0, 0o7777)), max_size=6), FORMATS)
def test_what_python_writes_is_read(files: list[tuple[str, bytes, int]], form: int) -> None:
    content = written([(member(name, mode=mode), data) for name, data, mode in files], form)
    found = read(content)
    assert [(entry.path, data, entry.mode) for entry, data in found] == [
        (name, data, mode & 0o777) for name, data, mode in files
    ]
    for entry, data in found:
        assert content[entry.offset : entry.offset + len(data)] == data


@given(PATH, PATH, FORMATS)
def test_links_of_any_length(name: str, target: str, form: int) -> None:
    symlink = member(name, type=tarfile.SYMTYPE, linkname="../" + target)
    hard = member(name, type=tarfile.LNKTYPE, linkname="./" + target)
    [(first, _), (second, _)] = read(written([(symlink, b""), (hard, b"")], form))
    assert (first.kind, first.target) == (Kind.SYMLINK, "../" + target)
    assert (second.kind, second.target) == (Kind.HARD_LINK, target)


@given(st.binary(max_size=3000))
def test_bytes_that_are_no_archive(content: bytes) -> None:
    try:
        read(content)
    except BadTar:
        pass


@given(st.data())
def test_an_archive_with_some_bytes_changed(data: st.DataObject) -> None:
    content = bytearray(
        written([(member("a/" + "b" * 120), b"x" * 700), (member("d", type=tarfile.DIRTYPE), b"")], tarfile.PAX_FORMAT)
    )
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        for entry, _ in read(bytes(content[: data.draw(st.integers(0, len(content)))])):
            assert not entry.path.startswith("/")
            assert ".." not in entry.path.split("/")
    except BadTar:
        pass


@pytest.mark.parametrize("name", ["..", "../x", "a/../../x", "a/..", "/../x", "a/b/../c"])
def test_names_that_lead_out(name: str) -> None:
    with pytest.raises(BadTar):
        read(written([(member(name), b"")], tarfile.PAX_FORMAT))
    with pytest.raises(BadTar):
        read(written([(member("fine", type=tarfile.LNKTYPE, linkname=name), b"")], tarfile.PAX_FORMAT))


@pytest.mark.parametrize(("name", "path"), [("/a//b/./c", "a/b/c"), ("./", ""), ("a/", "a"), ("/", "")])
def test_names_come_out_clean(name: str, path: str) -> None:
    assert clean(name) == path


def test_names_that_are_too_long() -> None:
    for name in ("x" * 256, "/".join("abcdefgh" for _ in range(500))):
        with pytest.raises(BadTar, match="too long"):
            read(written([(member(name), b"")], tarfile.PAX_FORMAT))


def test_an_extension_header_of_a_gigabyte_is_not_read() -> None:
    header = member("x", type=tarfile.XHDTYPE)
    header.size = 1 << 30
    with pytest.raises(BadTar, match="extension header of 1073741824 bytes"):
        read(header.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))


@pytest.mark.parametrize("body", [b"0 path=x\n", b"99 path=x\n", b"x", b"9 path=x ", b"-1 a=b\n", b"11 size=-1\n"])
def test_extension_headers_that_make_no_sense(body: bytes) -> None:
    header = member("x", type=tarfile.XHDTYPE)
    header.size = len(body)
    padded = body + bytes(-len(body) % 512)
    with pytest.raises(BadTar):
        read(header.tobuf(tarfile.USTAR_FORMAT) + padded + member("y").tobuf())


def test_sparse_files_and_unknown_kinds_are_refused() -> None:
    for kind in (b"S", b"V", b"~"):
        with pytest.raises(BadTar, match="unknown kind"):
            read(member("x", type=kind).tobuf(tarfile.USTAR_FORMAT))
    with pytest.raises(BadTar, match="sparse"):
        read(written([(member("x", pax_headers={"GNU.sparse.major": "1"}), b"")], tarfile.PAX_FORMAT))


def test_devices_and_pipes_are_told_apart() -> None:
    kinds = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    found = read(written([(member("x", type=kind), b"") for kind in kinds], tarfile.PAX_FORMAT))
    assert {entry.kind for entry, _ in found} == {Kind.SPECIAL}
