"""Lets an unprivileged server see its own files even when they lie below a directory that is closed to it.

A checkout or a pyenv interpreter below /root (mode 0700) is out of reach for the user the server becomes. Rather than
open such a directory, the server gets a mount namespace of its own in which the closed directory is covered by an
empty one that holds only the paths it needs. So it also sees less than its user could.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from paddock.worker.sandbox import linux


def closed_ancestor(path: Path) -> Path | None:
    """The outermost directory above `path` that others may not enter, or None when the way is open."""
    for ancestor in reversed(path.parents):
        if not ancestor.stat().st_mode & 0o001:
            return ancestor
    return None


def plan(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """closed directory -> the needed paths below it, none inside another."""
    cover: dict[Path, list[Path]] = {}
    for path in sorted({Path(os.path.realpath(p)) for p in paths} | {p.absolute() for p in paths}):
        closed = closed_ancestor(path)
        if closed is not None:
            below = cover.setdefault(closed, [])
            if not any(path.is_relative_to(other) for other in below):
                below.append(path)
    return cover


def draw(paths: Iterable[Path]) -> None:
    """Cover what is closed, keeping `paths` (directories) in view. Call in a mount namespace of one's own, as root."""
    cover = plan(paths)
    held = [
        (path, linux.open_tree_clone(linux.AT_FDCWD, str(path), True)) for below in cover.values() for path in below
    ]
    for closed in cover:
        linux.mount("paddock", str(closed), "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755,size=1m")
    for path, tree in held:
        path.mkdir(parents=True, exist_ok=True)
        linux.move_mount(tree, str(path))
        os.close(tree)
    for closed in cover:
        flags = linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV
        linux.mount("none", str(closed), None, flags)
