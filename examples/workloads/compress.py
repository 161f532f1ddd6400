"""Files in /tmp: {"n": files of 256 KB} -> {"written": bytes, "packed": bytes, "same": whether they came back}."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from pathlib import Path


def content(number: int) -> bytes:
    """Half of it repeats, half of it does not."""
    noise = b"".join(hashlib.sha256(f"{number} {i}".encode()).digest() for i in range(4096))
    return noise + b"the same again. " * 8192


def handler(event: dict[str, int], context: object) -> dict[str, object]:
    home = Path(tempfile.mkdtemp())
    try:
        names = [home / f"{number}.bin" for number in range(event["n"])]
        for number, name in enumerate(names):
            name.write_bytes(content(number))
        packed = home / "all.tar.gz"
        with tarfile.open(packed, "w:gz", compresslevel=6) as archive:
            for name in names:
                archive.add(name, name.name)
        with tarfile.open(packed) as archive:
            archive.extractall(home / "back", filter="data")
        same = all((home / "back" / name.name).read_bytes() == name.read_bytes() for name in names)
        return {"written": sum(n.stat().st_size for n in names), "packed": packed.stat().st_size, "same": same}
    finally:
        shutil.rmtree(home)
