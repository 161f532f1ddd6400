"""Packages: what is refused, with which text, and that nothing a zip claims is believed."""

from __future__ import annotations

import contextlib
import io
import mmap
import stat
import struct
import tempfile
import warnings
import zipfile
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.model.errors import InvalidParameterValue
from paddock.model.package import CANNOT_UNZIP, EMPTY, Kind, contents, inspect, read_plan
from paddock.model.quotas import Quotas

QUOTAS = Quotas()
Files = dict[str, bytes]


def zipped(files: Files, *, modes: dict[str, int] | None = None, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # zipfile warns about names that are there twice
        for name, content in files.items():
            add(archive, name, content, (modes or {}).get(name, 0), method)
    return buffer.getvalue()


def add(archive: zipfile.ZipFile, name: str, content: bytes, mode: int = 0, method: int = zipfile.ZIP_STORED) -> None:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16 | 0x20  # the DOS archive bit: zipfile would turn a plain 0 into 0600
    info.compress_type = method
    archive.writestr(info, content)


def links(**targets: str) -> bytes:
    """A zip with `f.py` and links: a path with "__" for "/" -> target."""
    files: Files = {"f.py": b"x"}
    files |= {path.replace("__", "/"): target.encode() for path, target in targets.items()}
    return zipped(files, modes={path.replace("__", "/"): stat.S_IFLNK | 0o777 for path in targets})


def refusal(data: bytes, quotas: Quotas = QUOTAS) -> str:
    with pytest.raises(InvalidParameterValue) as caught:
        inspect(data, quotas)
    return caught.value.message


def patched(data: bytes, offset_in_directory: int, new: bytes) -> bytes:
    """The zip with bytes of its first directory entry replaced."""
    at = data.index(b"PK\x01\x02") + offset_in_directory
    return data[:at] + new + data[at + len(new) :]


def test_a_good_package_is_measured_by_what_comes_out() -> None:
    files = {"f.py": b"def handler(): ...", "lib/data": b"\0" * 700_000, "lib/": b"", "empty": b""}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        data = zipped(files, method=method)
        assert inspect(data, QUOTAS) == sum(map(len, files.values()))
        plan = read_plan(data, QUOTAS)
        assert {e.path: b"".join(contents(data, e)) for e in plan if e.kind is Kind.FILE} == {
            name: content for name, content in files.items() if not name.endswith("/")
        }


def test_a_mapped_file_is_read_as_bytes_are() -> None:
    data = zipped({"f.py": b"x" * 100_000})
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert read_plan(mapped, QUOTAS) == read_plan(data, QUOTAS)
            assert inspect(mapped, QUOTAS) == 100_000


def test_bytes_before_the_zip_do_not_matter() -> None:
    assert inspect(b"#!/bin/sh\n" + zipped({"f.py": b"x"}), QUOTAS) == 1


def test_zip64_is_fine() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("f.py", "w", force_zip64=True) as file:
        file.write(b"x" * 1000)
    assert inspect(buffer.getvalue(), QUOTAS) == 1000


def test_modes_are_kept_without_their_special_bits_and_have_defaults() -> None:
    modes = {
        "run": stat.S_IFREG | 0o6755,
        "plain": 0,
        "d/": stat.S_IFDIR | 0o1777,
        "e/": 0,
        "secret": stat.S_IFREG | 0o600,
    }
    plan = {e.path: e.mode for e in read_plan(zipped(dict.fromkeys(modes, b""), modes=modes), QUOTAS)}
    assert plan == {"run": 0o755, "plain": 0o644, "d": 0o777, "e": 0o755, "secret": 0o600}


@pytest.mark.parametrize("data", [b"x", b"not a zip at all" * 100, b"PK\x03\x04" + b"\0" * 40, b"PK\x05\x06"])
def test_what_is_no_zip(data: bytes) -> None:
    assert refusal(data) == CANNOT_UNZIP


@pytest.mark.parametrize("data", [b"", zipped({}), zipped({"only/": b"", "directories/": b""}), zipped({"./": b""})])
def test_an_empty_zip(data: bytes) -> None:
    assert refusal(data) == EMPTY


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "a/..", "..", "/etc/passwd", "//x", "C:/x", "c:x", "a\\..\\x", "..\\x", "\\\\host\\x",
     "a" * 256, "/".join(["a" * 200] * 25)],
)  # fmt: skip
def test_names_that_could_lead_elsewhere(name: str) -> None:
    assert refusal(zipped({"f.py": b"x", name: b"y"})).startswith(f"{CANNOT_UNZIP} Reason: the name ")


def test_a_name_with_a_nul() -> None:
    data = zipped({"f_py": b"x"}).replace(b"f_py", b"f\0py")
    assert refusal(data).startswith(f"{CANNOT_UNZIP} Reason: the name ")


def test_harmless_oddities_in_names_are_cleaned() -> None:
    plan = read_plan(zipped({"./f.py": b"x", "a//b": b"y", "a/./c": b"z"}), QUOTAS)
    assert [entry.path for entry in plan] == ["f.py", "a/b", "a/c"]


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_pipes_and_sockets(kind: int) -> None:
    assert "neither a file, a directory nor a link" in refusal(zipped({"d": b""}, modes={"d": kind | 0o666}))


def test_collisions() -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")
        add(archive, "f.py", b"1")
        add(archive, "f.py", b"2")
    assert "is there twice" in refusal(buffer.getvalue())
    assert "is there twice" in refusal(zipped({"f": b"1", "./f": b"2"}))
    assert "is there twice" in refusal(zipped({"f": b"1", "f/": b""}))
    assert "stands below 'f'" in refusal(zipped({"f": b"1", "f/g/h": b"2"}))
    assert inspect(zipped({"d/": b"", "d//": b"", "d/f": b"12"}), QUOTAS) == 2


def test_nothing_stands_below_a_link() -> None:
    files = {"d/f": b"x", "l": b"d", "l/f": b"y"}
    assert "stands below 'l'" in refusal(zipped(files, modes={"l": stat.S_IFLNK | 0o777}))


@pytest.mark.parametrize(
    "data",
    [
        links(l="/etc/passwd"),
        links(l="/"),
        links(l=".."),
        links(l="a/../../x"),
        links(a__b__l="../../../x"),
        links(l=""),
        links(l="x" * 5000),
        links(l="a\0b"),
        links(a__b__up="../..", l="a/b/up/.."),  # as text it stays inside, as a walk it does not
        links(a="b", b="a", l="a/x"),
        links(**{f"l{n}": f"l{n + 1}" for n in range(60)}),
    ],
)
def test_links_that_lead_out_or_nowhere(data: bytes) -> None:
    assert refusal(data).startswith(f"{CANNOT_UNZIP} Reason: the link ")


def test_links_that_stay_inside_are_kept() -> None:
    data = links(l="f.py", a__l="../f.py", a__up="..", b="a/up/a/l", dangling="not/there", here=".")
    plan = {e.path: e.target for e in read_plan(data, QUOTAS) if e.kind is Kind.LINK}
    assert plan == {"l": "f.py", "a/l": "../f.py", "a/up": "..", "b": "a/up/a/l", "dangling": "not/there", "here": "."}


def test_encrypted_and_unknown_methods() -> None:
    data = zipped({"f.py": b"x"})
    assert refusal(patched(data, 8, b"\x01\x00")) == CANNOT_UNZIP
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        assert "neither stored nor deflated" in refusal(zipped({"f.py": b"x"}, method=method))


def test_too_many_entries_are_refused_before_they_are_parsed() -> None:
    few = replace(QUOTAS, package_entries_max=10)
    assert inspect(zipped({str(n): b"" for n in range(10)}), few) == 0
    assert "more than 10 entries" in refusal(zipped({str(n): b"" for n in range(11)}), few)


def test_the_declared_size_is_limited() -> None:
    limit = replace(QUOTAS, unzipped_bytes_max=1000)
    assert inspect(zipped({"a": b"x" * 500, "b": b"x" * 499}), limit) == 999
    assert refusal(zipped({"a": b"x" * 500, "b": b"x" * 500}), limit) == "Unzipped size must be smaller than 1000 bytes"
    assert refusal(patched(zipped({"a": b"x"}), 24, struct.pack("<L", 300_000_000))) == (
        "Unzipped size must be smaller than 262144000 bytes"
    )


def test_a_bomb_that_lies_about_its_size_is_stopped_where_its_lie_ends() -> None:
    bomb = zipped({"f": b"\0" * 20_000_000})
    said = struct.pack("<L", 10)
    honest_crc = struct.pack("<L", zlib.crc32(b"\0" * 10))
    data = patched(patched(bomb, 24, said), 16, honest_crc)
    assert "holds more than the 10 bytes it declares" in refusal(data)
    plan = read_plan(data, QUOTAS)
    with pytest.raises(InvalidParameterValue):
        next(contents(data, plan[0]))


def test_wrong_crc_and_truncated_content() -> None:
    data = zipped({"f": b"hello world" * 10})
    assert refusal(patched(data, 16, b"\0\0\0\0")) == CANNOT_UNZIP
    assert refusal(patched(data, 24, struct.pack("<L", 500))) == CANNOT_UNZIP
    packed = struct.unpack("<L", data[data.index(b"PK\x01\x02") + 20 :][:4])[0]
    assert refusal(patched(data, 20, struct.pack("<L", packed - 3))) == CANNOT_UNZIP


def test_content_that_would_lie_outside_the_zip() -> None:
    data = zipped({"f": b"x" * 100}, method=zipfile.ZIP_STORED)
    assert refusal(patched(patched(data, 20, struct.pack("<L", 5000)), 24, struct.pack("<L", 5000))) == CANNOT_UNZIP
    assert refusal(patched(data, 42, struct.pack("<L", 50))) == CANNOT_UNZIP


def test_entries_that_share_bytes() -> None:
    """Two directory entries for one content: how a few megabytes become petabytes."""
    data = zipped({"a": b"x" * 1000, "b": b"y"})
    second = data.rindex(b"PK\x01\x02")
    shared = data[: second + 42] + struct.pack("<L", 0) + data[second + 46 :]
    assert refusal(shared).startswith(CANNOT_UNZIP)  # the names disagree
    renamed = shared[:second] + shared[second:].replace(b"b", b"a")
    assert refusal(renamed).startswith(CANNOT_UNZIP)
    inner = zipped({"in": b"z" * 50}, method=zipfile.ZIP_STORED)
    outer = zipped({"a": inner, "in": b"z" * 50}, method=zipfile.ZIP_STORED)
    entry = outer.rindex(b"PK\x01\x02")
    nested = outer[: entry + 42] + struct.pack("<L", outer.index(inner)) + outer[entry + 46 :]
    assert "entries overlap" in refusal(nested)


NAMES = st.text(st.sampled_from("ab./\\:é"), min_size=1, max_size=8)


@settings(max_examples=200)
@given(st.dictionaries(NAMES, st.binary(max_size=50), min_size=1, max_size=6), st.booleans())
def test_any_zip_is_refused_or_unpacks_inside(files: Files, as_links: bool) -> None:
    modes = dict.fromkeys(files, stat.S_IFLNK | 0o777) if as_links else {}
    data = zipped(files, modes=modes)
    try:
        plan = read_plan(data, QUOTAS)
    except InvalidParameterValue:
        return
    for entry in plan:
        parts = entry.path.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert not entry.target.startswith("/")


@settings(max_examples=300)
@given(st.binary(max_size=300), st.integers(0, 400), st.binary(min_size=1, max_size=4))
def test_damage_never_raises_anything_but_a_refusal(content: bytes, at: int, damage: bytes) -> None:
    data = bytearray(zipped({"f.py": content, "d/g": b"x"}))
    data[at : at + len(damage)] = damage
    with contextlib.suppress(InvalidParameterValue):
        inspect(bytes(data), QUOTAS)
