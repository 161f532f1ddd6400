"""Directories of the host that a function mounts below /mnt, out of those that the operator allows.

Runs in the zygote, which sees the host's root at userland.HOST: standard library only, Python 3.9.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from paddock.worker.sandbox import linux, userland

ROOT = "/mnt"
_PATH = re.compile(r"/mnt/[a-zA-Z0-9_.-]{1,64}\Z")
_MANY = 8


class Tree(NamedTuple):
    """A detached copy of a directory's mount, and where it goes."""

    mount: int
    path: str


def detached(known: dict[str, list[object]], asked: object, opened: list[int]) -> list[Tree]:
    """The trees for [[arn, path]]; their descriptors are added to `opened` one by one, for the caller to close.

    known: arn -> [directory on the host, whether it may be written]. ValueError for anything that is not in it. Other
    mounts below the directory are not shown.
    """
    if not isinstance(asked, list) or len(asked) > _MANY:
        raise ValueError("file systems are a short list")
    return [_detached(known, one, opened) for one in asked]


def _detached(known: dict[str, list[object]], one: object, opened: list[int]) -> Tree:
    if not isinstance(one, list) or len(one) != 2 or not all(isinstance(part, str) for part in one):
        raise ValueError("a file system is an arn and a path")
    arn, path = one
    if arn not in known or not _PATH.match(path) or path in (ROOT + "/.", ROOT + "/.."):
        raise ValueError("no such file system")
    directory, is_writable = known[arn]
    handle = os.open(f"{userland.HOST}{directory}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mount = linux.open_tree_clone(handle, "")
    finally:
        os.close(handle)
    opened.append(mount)
    read_only = 0 if is_writable else linux.MOUNT_ATTR_RDONLY
    linux.mount_setattr(mount, "", linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV | read_only)
    return Tree(mount, path)


def attach(trees: list[Tree]) -> None:
    """Mount them, in the mount namespace that the caller is in. Nothing else can be made below /mnt."""
    if not trees:
        return
    safe = linux.MS_NOSUID | linux.MS_NODEV
    linux.mount("mnt", ROOT, "tmpfs", safe, "mode=755,size=64k,nr_inodes=16")
    for tree in trees:
        os.makedirs(tree.path, exist_ok=True)
        linux.move_mount(tree.mount, tree.path)
    linux.mount("none", ROOT, None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | safe)
