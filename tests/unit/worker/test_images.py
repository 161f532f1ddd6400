"""Unpacking layers and putting roots together: what is right, and what tries to get out."""

from __future__ import annotations

import errno
import gzip
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.model.image import BadImage, ImageLayer
from paddock.worker import images
from paddock.worker.images import ImageLimits, assemble, unpack
from tests.support.images import DIRECTORY, Content, File, Layer, Special, digest, layer, link, tar

LIMITS = ImageLimits(bytes_max=1 << 20, entries_max=100)
OWN = {"proc", "dev", "tmp", "mnt", "etc", "etc/hosts", "etc/resolv.conf"}


def hard(target: str) -> Special:
    return Special(tarfile.LNKTYPE, target)


def unpacked(made: Layer, directory: Path, limits: ImageLimits = LIMITS, diff_id: str = "") -> Path:
    blob = directory.with_suffix(".blob")
    blob.write_bytes(made.blob)
    described = ImageLayer(
        digest="ab" * 32,
        diff_id=diff_id or digest(made.tar).removeprefix("sha256:"),
        size_bytes=len(made.blob),
        compression=made.compression,
    )
    unpack(blob, described, directory, limits)
    return directory


def root_of(directory: Path, *layers: Layer) -> Path:
    trees = [unpacked(one, directory / str(number)) for number, one in enumerate(layers)]
    assemble(trees, directory / "root")
    return directory / "root"


def shown(root: Path) -> dict[str, object]:
    """Everything in a root but what environments bring themselves."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = "-> " + os.readlink(path)
        elif path.is_dir():
            found[name] = None
        else:
            found[name] = path.read_bytes()
    return {name: value for name, value in found.items() if name not in OWN}


@contextmanager
def refused(text: str) -> Iterator[None]:
    with pytest.raises(BadImage) as caught:
        yield
    assert text in caught.value.message


def test_files_links_modes(tmp_path: Path) -> None:
    made = layer(
        {
            "bin/run": File(b"run", 0o4755),
            "bin/also": hard("bin/run"),
            "secret": File(b"s", 0o600),
            "closed": Special(tarfile.DIRTYPE, mode=0o1555),
            "closed/inner": File(b"i", 0o444),
            "abs": link("/etc/shadow"),
            "up": link("../../../.."),
            "dev/null": Special(tarfile.CHRTYPE, device=(1, 3)),
            "pipe": Special(tarfile.FIFOTYPE),
        }
    )
    root = root_of(tmp_path, made)
    assert shown(root) == {
        "bin": None, "bin/run": b"run", "bin/also": b"run", "secret": b"s", "closed": None, "closed/inner": b"i",
        "abs": "-> /etc/shadow", "up": "-> ../../../..",
    }  # fmt: skip
    assert stat.S_IMODE((root / "bin/run").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((root / "closed").stat().st_mode) == 0o755
    assert (root / "bin/run").stat().st_ino == (tmp_path / "0/tree/bin/run").stat().st_ino  # nothing is copied


def test_later_layers_count(tmp_path: Path) -> None:
    first = layer({"a/x": File(b"1"), "a/y": File(b"1"), "b": File(b"1"), "c": link("a"), "d/e/f": File(b"1")})
    second = layer(
        {
            "a/x": File(b"2"),
            "a/.wh.y": File(),
            ".wh.b": File(),
            "c": DIRECTORY,
            "c/own": File(b"2"),
            "d/.wh..wh..opq": File(),
            "d/g": File(b"2"),
            ".wh.absent": File(),
            ".wh..wh.plnk": File(),
        }
    )
    assert shown(root_of(tmp_path, first, second)) == {
        "a": None, "a/x": b"2", "c": None, "c/own": b"2", "d": None, "d/g": b"2",
    }  # fmt: skip


def test_a_whiteout_removes_nothing_of_its_own_layer(tmp_path: Path) -> None:
    made = layer([("a", File(b"new")), (".wh.a", File()), ("d/.wh..wh..opq", File()), ("d/x", File(b"x"))])
    assert shown(root_of(tmp_path, layer({"a": File(b"old")}), made)) == {"a": b"new", "d": None, "d/x": b"x"}


def test_paths_below_links_of_lower_layers(tmp_path: Path) -> None:
    """They are followed inside the root, whatever they say; one that says it is a directory replaces the link."""
    first = layer(
        {
            "usr/lib/a": File(b"a"),
            "lib": link("usr/lib"),
            "abs": link("/usr/lib"),
            "out": link("../../../../usr"),
            "loop": link("loop"),
            "gone": link("absent"),
            "host": link("/proc/self/root"),
        }
    )
    made = layer({f"{name}/b-{name}": File(b"b") for name in ("lib", "abs", "out", "loop", "gone", "host")})
    found = shown(root_of(tmp_path, first, made))
    assert found["usr/lib/b-lib"] == found["usr/lib/b-abs"] == found["usr/b-out"] == b"b"
    assert found["loop/b-loop"] == found["gone/b-gone"] == found["host/b-host"] == b"b"
    (tmp_path / "more").mkdir()
    replaced = shown(root_of(tmp_path / "more", first, layer({"lib": DIRECTORY, "lib/b": File(b"b")})))
    assert replaced["lib"] is None
    assert "usr/lib/b" not in replaced


def test_hard_links_to_lower_layers(tmp_path: Path) -> None:
    first = layer({"a/file": File(b"x"), "d/x": File(b"d")})
    assert shown(root_of(tmp_path, first, layer({"n/m/again": hard("a/file")})))["n/m/again"] == b"x"
    for number, target in enumerate(("absent", "d", "a/file/x")):
        place = tmp_path / f"bad-{number}"
        place.mkdir()
        with refused("which no layer has"):
            root_of(place, first, layer({"again": hard(target)}))


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([("../out", File(b"x"))], "leads out"),
        ([("a/../../out", File(b"x"))], "leads out"),
        ([("a", link("/tmp")), ("a/out", File(b"x"))], "something stands below 'a'"),
        ([("a", link("..")), ("a/b/out", File(b"x"))], "something stands below 'a'"),
        ([("a", File(b"x")), ("a/b", File(b"x"))], "something stands below 'a'"),
        ([("a", hard("../../etc/passwd"))], "leads out"),
        ([("a", hard("a"))], "a link to itself"),
        ([("d", DIRECTORY), ("a", hard("d"))], "hard link to a directory"),
        ([("a/.wh...", File())], "leads out"),
        ([(".wh..", File())], "removes nothing"),
        ([("x" * 256, File())], "too long"),
        ([(str(number), File()) for number in range(101)], "more than 100 entries"),
        ([("big", File(bytes(2 << 20)))], "unpacks to more than 1048576 bytes"),
    ],
)
def test_what_is_refused(tmp_path: Path, entries: Sequence[tuple[str, Content]], text: str) -> None:
    with refused(text):
        unpacked(layer(entries), tmp_path / "layer")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer", "layer.blob"]


def test_a_hard_link_does_not_reach_through_a_link(tmp_path: Path) -> None:
    """With `a` a link to the host's /etc, `a/passwd` is no file of any layer."""
    made = layer([("a", link("/etc")), ("stolen", hard("a/passwd"))])
    with refused("which no layer has"):
        root_of(tmp_path, made)


def test_the_same_name_again_replaces(tmp_path: Path) -> None:
    entries: list[tuple[str, Content]] = [
        ("a", link("/etc/passwd")), ("a", File(b"file")), ("b/c", File(b"x")), ("b", link("a")), ("d", File()),
        ("d", DIRECTORY), ("d/e", File(b"e")), ("l", File(b"l")), ("l", hard("a")),
    ]  # fmt: skip
    found = shown(root_of(tmp_path, layer(entries)))
    assert found == {"a": b"file", "b": "-> a", "d": None, "d/e": b"e", "l": b"file"}


def test_places_of_environments_are_real(tmp_path: Path) -> None:
    """Whatever the image has where an environment mounts its own."""
    hostile = layer(
        {
            "proc": link("/"), "dev": link("tmp"), "tmp": File(b"x"), "mnt": link("mnt"),
            "etc": link("/proc/1/root"),
        }
    )  # fmt: skip
    root = root_of(tmp_path, hostile)
    for name in ("proc", "dev", "tmp", "mnt", "etc"):
        assert (root / name).is_dir()
        assert not (root / name).is_symlink()
    second = tmp_path / "second"
    second.mkdir()
    root = root_of(second, layer({"etc/hosts": link("/etc/shadow"), "etc/resolv.conf/x": File(b"x")}))
    for name in ("etc/hosts", "etc/resolv.conf"):
        assert (root / name).read_bytes() == b""
        assert (root / name).lstat().st_nlink == 1


def test_the_digest_of_the_tar_counts(tmp_path: Path) -> None:
    with refused("and not to sha256:00"):
        unpacked(layer({"a": File(b"x")}), tmp_path / "layer", diff_id="00" * 32)


def test_what_follows_the_archive_belongs_to_its_digest(tmp_path: Path) -> None:
    unpacked(Layer(tar({"a": File(b"x")}) + b"more"), tmp_path / "layer")


def test_a_bomb_goes_off_in_small_pieces(tmp_path: Path) -> None:
    bomb = Layer(tar({"big": File(bytes(8 << 20))}))
    assert len(bomb.blob) < 100_000
    with refused("unpacks to more than"):
        unpacked(bomb, tmp_path / "layer")


def test_gzip_in_several_members_and_cut_short(tmp_path: Path) -> None:
    whole = tar({"a": File(b"x" * 5000)})

    class Members(Layer):
        @property
        def blob(self) -> bytes:
            return gzip.compress(whole[:700]) + gzip.compress(whole[700:]) + bytes(20)

    class Cut(Layer):
        @property
        def blob(self) -> bytes:
            return gzip.compress(whole)[:-9]

    unpacked(Members(whole), tmp_path / "members")
    with refused("cut short"):
        unpacked(Cut(whole), tmp_path / "cut")


def test_zstd_is_refused_by_name(tmp_path: Path) -> None:
    with refused("compressed with zstd"):
        unpacked(Layer(tar({}), "zstd"), tmp_path / "layer")


def test_a_full_disk_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(images.os, "fchmod", full)
    with pytest.raises(OSError, match="No space left"):
        unpacked(layer({"a": File(b"x")}), tmp_path / "layer")


# -- anything at all

NAMES = st.sampled_from(["a", "b", "..", ".", "etc", "x", ".wh.a", ".wh..wh..opq", ".wh.x", "proc"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
TARGETS = st.one_of(PATHS, PATHS.map(lambda path: "/" + path), PATHS.map(lambda path: "../../" + path))
CONTENTS = st.one_of(
    st.binary(max_size=8).map(File),
    st.just(DIRECTORY),
    TARGETS.map(link),
    TARGETS.map(hard),
    st.just(Special(tarfile.FIFOTYPE)),
)
LAYERS = st.lists(st.tuples(PATHS, CONTENTS), max_size=8)


@settings(max_examples=300, deadline=None)
@given(st.lists(LAYERS, min_size=1, max_size=3))
def test_nothing_is_ever_made_outside(layers: list[list[tuple[str, Content]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        outside = Path(name)
        (outside / "kept").write_bytes(b"as it was")
        home = outside / "a/b/home"
        home.mkdir(parents=True)
        try:
            root = root_of(home, *(layer(entries, "") for entries in layers))
        except BadImage:
            root = None
        assert (outside / "kept").read_bytes() == b"as it was"
        assert sorted(path.name for path in outside.iterdir()) == ["a", "kept"]
        assert [path.name for path in (outside / "a").iterdir()] == ["b"]
        assert [path.name for path in (outside / "a/b").iterdir()] == ["home"]
        allowed = {"root", *(f"{number}{suffix}" for number in range(3) for suffix in ("", ".blob"))}
        assert {path.name for path in home.iterdir()} <= allowed
        if root is not None:
            for place in OWN:
                assert not (root / place).is_symlink()
            for path in root.rglob("*"):
                mode = path.lstat().st_mode
                assert stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
                assert not mode & 0o7000
