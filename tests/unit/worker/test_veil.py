"""What is covered so that an unprivileged server sees its own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.worker.sandbox import veil


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A closed directory with two projects; everything above it is open."""
    for directory in (tmp_path, *tmp_path.parents):
        if not directory.stat().st_mode & 0o001:
            directory.chmod(directory.stat().st_mode | 0o001)  # pytest's own, made for this run
    closed = tmp_path / "closed"
    for name in ("one/deep", "two", "two-b", "inner/more"):
        (closed / name).mkdir(parents=True)
    closed.chmod(0o700)
    (closed / "inner").chmod(0o700)
    (tmp_path / "open").mkdir(mode=0o755)
    return tmp_path


def test_open_paths_need_no_veil(home: Path) -> None:
    assert veil.plan([home / "open", Path("/usr"), Path("/")]) == {}
    assert veil.closed_ancestor(home / "open") is None


def test_the_closed_directory_itself_is_in_nobodys_way(home: Path) -> None:
    assert veil.closed_ancestor(home / "closed") is None


def test_the_outermost_closed_directory_is_covered(home: Path) -> None:
    closed = home / "closed"
    assert veil.closed_ancestor(closed / "inner/more") == closed
    assert veil.plan([closed / "inner/more"]) == {closed: [closed / "inner/more"]}


def test_what_lies_in_another_is_not_shown_twice(home: Path) -> None:
    closed = home / "closed"
    wanted = [closed / "one/deep", closed / "two-b", closed / "one", closed / "two", closed / "one"]
    assert veil.plan(wanted) == {closed: [closed / "one", closed / "two", closed / "two-b"]}


def test_links_are_shown_where_they_are_and_where_they_lead(home: Path) -> None:
    closed = home / "closed"
    (home / "open/link").symlink_to(closed / "one")
    assert veil.plan([home / "open/link/deep"]) == {closed: [closed / "one/deep"]}
    (closed / "link").symlink_to(home / "open")
    assert veil.plan([closed / "link"]) == {closed: [closed / "link"]}
