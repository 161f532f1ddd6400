"""Merging layers: later over earlier, links that lead nowhere else, and modes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from paddock.worker.layers import merge


def tree(directory: Path, files: dict[str, str]) -> Path:
    """A text that begins with "->" is a link."""
    directory.mkdir()
    for name, text in files.items():
        place = directory / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("->"):
            place.symlink_to(text[2:])
        else:
            place.write_text(text)
    return directory


def test_what_is_later_lies_above(tmp_path: Path) -> None:
    first = tree(tmp_path / "1", {"a": "1", "dir/b": "1", "file": "1", "folder/x": "1"})
    second = tree(tmp_path / "2", {"a": "2", "dir/c": "2", "file/now": "2", "folder": "2"})
    merge([first, second], tmp_path / "m")
    found = {
        str(path.relative_to(tmp_path / "m")): path.read_text()
        for path in (tmp_path / "m").rglob("*")
        if path.is_file()
    }
    assert found == {"a": "2", "dir/b": "1", "dir/c": "2", "file/now": "2", "folder": "2"}
    assert (first / "a").read_text() == "1", "the layers themselves are not touched"
    assert (first / "folder" / "x").read_text() == "1"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    first = tree(tmp_path / "1", {"out": f"->{outside}", "link": "->target"})
    second = tree(tmp_path / "2", {"out/evil": "2", "link": "2"})
    merge([first, second], tmp_path / "m")
    assert list(outside.iterdir()) == []
    assert (tmp_path / "m" / "out" / "evil").read_text() == "2"
    assert not (tmp_path / "m" / "link").is_symlink()
    merge([second, first], tmp_path / "n")
    assert os.readlink(tmp_path / "n" / "out") == str(outside)
    assert list(outside.iterdir()) == []


def test_modes_stay(tmp_path: Path) -> None:
    first = tree(tmp_path / "1", {"closed/x": "1"})
    (first / "closed" / "x").chmod(0o751)
    (first / "closed").chmod(0o555)
    merge([first], tmp_path / "m")
    assert stat.S_IMODE((tmp_path / "m" / "closed").stat().st_mode) == 0o555
    assert stat.S_IMODE((tmp_path / "m" / "closed" / "x").stat().st_mode) == 0o751
    (tmp_path / "m" / "closed").chmod(0o755)
    (first / "closed").chmod(0o755)
