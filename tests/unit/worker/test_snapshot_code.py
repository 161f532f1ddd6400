"""The machine code that takes and restores snapshots: it is what its source says."""

from __future__ import annotations

import ctypes
import mmap
import shutil
import subprocess
from pathlib import Path

import pytest

from paddock.worker.runtimes.python import snapshot

WIPE_ON_FORK = 18
SOURCE = Path(__file__).parent / "snapshot.s"


@pytest.mark.skipif(
    shutil.which("as") is None or not snapshot.IS_SUPPORTED, reason="no assembler for x86_64 on this machine"
)
def test_the_code_is_what_its_source_says(tmp_path: Path) -> None:
    made, binary = tmp_path / "snapshot.o", tmp_path / "snapshot.bin"
    subprocess.run(["as", str(SOURCE), "-o", str(made)], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", str(made), str(binary)], check=True)
    assert binary.read_bytes() == snapshot._CODE
    symbols = subprocess.run(["nm", str(made)], capture_output=True, text=True, check=True).stdout
    places = {line.split()[2]: int(line.split()[0], 16) for line in symbols.splitlines()}
    assert (places["take"], places["restore"]) == (0, snapshot._RESTORE_ENTRY)


def test_memory_that_a_fork_gets_zeros_for_is_found() -> None:
    """As glibc's for getrandom, which is not there before it is used, nor on an older machine."""
    with mmap.mmap(-1, 4 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as kept:
        place = ctypes.addressof(ctypes.c_char.from_buffer(kept))
        assert place not in snapshot.secrets()
        kept.madvise(WIPE_ON_FORK)
        assert place in snapshot.secrets()
