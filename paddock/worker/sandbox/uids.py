"""Host user ids for environments: a range of its own for each Paddock of a machine.

Two environments of one user id could signal each other's processes and read each other's files wherever both are in
sight, and share what the kernel counts for a user. A range is claimed by locks on files in /run, which the kernel
lets go when the process that holds them ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

CLAIMS = Path("/run/paddock")
EACH = 20_000_000
_LAST = 4_294_967_294


def claim(first: int, directory: Path = CLAIMS) -> tuple[int, list[int]]:
    """(first id, descriptors of the locks) of EACH ids that no other Paddock has, `first` or further on.

    Raises OSError when there are none, or no claims can be made.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    for begin in range(first, _LAST - EACH, EACH):
        # Claims are made for aligned blocks, so that ranges that begin anywhere do not overlap either.
        locks = _locked(directory, range(begin // EACH, (begin + EACH - 1) // EACH + 1))
        if locks:
            return begin, locks
    raise OSError(f"all user ids from {first} on are those of other Paddocks")


def _locked(directory: Path, blocks: range) -> list[int]:
    """A lock for each block, or none when one of them is another's."""
    locks: list[int] = []
    for block in blocks:
        lock = os.open(directory / f"uids-{block}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        locks.append(lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            for each in locks:
                os.close(each)
            return []
    return locks
