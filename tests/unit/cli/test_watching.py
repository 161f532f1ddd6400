"""What the kernel tells of a directory, and what of it is a change."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from paddock.cli.watching import CannotWatch, Vanished, Watcher

LONG_S = 30.0


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    (place / "lib").mkdir(parents=True)
    (place / ".git").mkdir()
    (place / "app.py").write_text("1")
    return place


@pytest.fixture
def watcher(place: Path) -> Iterator[Watcher]:
    watcher = Watcher(place)
    yield watcher
    watcher.close()


def test_saves_of_all_kinds(place: Path, watcher: Watcher) -> None:
    assert watcher.changed(0) == set()
    (place / "app.py").write_text("2")
    assert watcher.changed(LONG_S) == {place / "app.py"}
    (place / "new.py").write_text("as editors save")
    (place / "new.py").rename(place / "app.py")
    assert watcher.changed(LONG_S) >= {place / "app.py"}
    (place / "lib" / "deep").mkdir()
    (place / "lib" / "deep" / "a.py").write_text("1")
    assert watcher.changed(LONG_S) >= {place / "lib" / "deep" / "a.py"}
    (place / "lib" / "deep" / "a.py").write_text("in a directory that is new")
    assert watcher.changed(LONG_S) == {place / "lib" / "deep" / "a.py"}
    (place / "lib" / "deep" / "a.py").unlink()
    assert watcher.changed(LONG_S) == {place / "lib" / "deep" / "a.py"}
    (place / "app.py").chmod(0o755)
    assert watcher.changed(LONG_S) == {place / "app.py"}
    (place / "link").symlink_to("app.py")
    assert watcher.changed(LONG_S) == {place / "link"}
    shutil.rmtree(place / "lib")
    assert place / "lib" in watcher.changed(LONG_S)


def test_what_tools_and_editors_leave_is_no_change(place: Path, watcher: Watcher) -> None:
    (place / ".git" / "index").write_text("x")
    (place / "__pycache__").mkdir()
    (place / "__pycache__" / "app.pyc").write_text("x")
    for name in (".app.py.swp", "4913", "app.py~", ".#app.py", "x.tmp"):
        (place / name).write_text("x")
        (place / name).unlink()
    (place / "app.py").read_text()
    assert watcher.changed(0.2) == set()


def test_a_directory_that_goes_is_told(place: Path, watcher: Watcher) -> None:
    shutil.rmtree(place)
    with pytest.raises(Vanished, match="is gone"):
        watcher.changed(LONG_S)


def test_a_directory_that_moves_is_gone(place: Path, watcher: Watcher) -> None:
    place.rename(place.with_name("elsewhere"))
    with pytest.raises(Vanished, match="is gone"):
        watcher.changed(LONG_S)


def test_what_cannot_be_watched(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path)
    watcher.close()
    with pytest.raises(CannotWatch, match="cannot be watched"):
        watcher._add(tmp_path)
