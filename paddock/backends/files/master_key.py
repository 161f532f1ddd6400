"""The master key: 32 random bytes in a file that only the server reads. Without it nothing sealed opens again."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from paddock.model.sealing import KEY_BYTES


async def load(path: Path, fresh: bytes) -> bytes:
    """The key in the file; at the first start `fresh` is put there, durably, before it is used.

    Raises ValueError for a file that is no key: a new one would not open what is there.
    """
    return await asyncio.to_thread(_load, path, fresh)


def _load(path: Path, fresh: bytes) -> bytes:
    if not path.exists():
        part = path.with_suffix(".part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(fresh)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ValueError(f"{path} is not a master key: it has {len(key)} bytes instead of {KEY_BYTES}")
    return key
