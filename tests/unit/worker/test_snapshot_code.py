"""The machine code that takes and restores snapshots: it is what its source says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from paddock.worker.runtimes.python import snapshot

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
