"""Several layers as one directory: each over the one before it, as a function finds them in /opt.

    merge([first, second], bench)    what both have is the second's

The unpacked layers are directories of one file system, so that files are shared by hard links and nothing is copied.
Nothing follows a link: paths are made from the top down, and a link of an earlier layer where a later one has a
directory, or a file, gives way.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path


def merge(trees: Sequence[Path], target: Path) -> None:
    """Make `target`, which must not exist, of the trees. Raises OSError."""
    target.mkdir()
    modes: dict[Path, int] = {target: 0o755}
    for tree in trees:
        _lay(tree, target, modes)
    # Modes last and from the deepest up: a directory may well forbid its owner to write.
    for path in sorted(modes, key=lambda path: len(path.parts), reverse=True):
        if path.is_dir() and not path.is_symlink():
            os.chmod(path, modes[path])


def _lay(source: Path, target: Path, modes: dict[Path, int]) -> None:
    with os.scandir(source) as entries:
        for entry in entries:
            place = target / entry.name
            if entry.is_dir(follow_symlinks=False):
                if place.is_symlink() or (place.exists() and not place.is_dir()):
                    place.unlink()
                place.mkdir(mode=0o700, exist_ok=True)
                modes[place] = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
                _lay(Path(entry.path), place, modes)
                continue
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            place.unlink(missing_ok=True)
            os.link(entry.path, place, follow_symlinks=False)
