"""Container images as the root of environments: a waiting cell is given another root, and loses the one it had.

    enter(image)    in the cell's mount namespace: the image becomes its root, with the cell's own /proc, /dev and /tmp
                    in it and its /etc/hosts and /etc/resolv.conf; then what was its root before is gone

pivot_root changes the root and the working directory of every process that had the old root, so those of the cell,
which wait for code, go along. It is the zygote that does it, for the cell has no privilege left.

The image's content is hostile and its directory is the server's, so every place to mount on is opened below the image
without following a link. paddock/worker/images.py has made them; where one is missing the cell is not given the image.

Runs in the zygote: standard library only, Python 3.9.
"""

from __future__ import annotations

import os
from typing import List

from paddock.worker.sandbox import linux

_PLACE = "/mnt"  # of the cell's first root, where nothing is mounted any more
_TREES = ("proc", "dev", "tmp")
_FILES = ("etc/hosts", "etc/resolv.conf")


def enter(image: int) -> None:
    """image: a detached mount, already locked down; the caller is in the cell's mount namespace. Raises OSError."""
    opened: List[int] = []
    try:
        own = []
        for name in (*_TREES, *_FILES):
            own.append(linux.open_tree_clone(linux.AT_FDCWD, "/" + name, name in _TREES))
            opened.append(own[-1])
        linux.move_mount(image, _PLACE)
        root = os.open(_PLACE, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.append(root)
        for name, tree in zip((*_TREES, *_FILES), own):
            place = linux.open_beneath(root, name, directory=name in _TREES)
            opened.append(place)
            linux.move_mount_onto(tree, place)
        os.fchdir(root)
        linux.pivot_root(".", ".")
        linux.umount_detach(".")
        os.chdir("/")
    finally:
        for fd in opened:
            os.close(fd)
