"""`python -m tests.soak [seed]`: the full soak, with its figures. Exit status 1 when there was any fault."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.soak.test_soak import FULL, SEED, soak

with tempfile.TemporaryDirectory(prefix="paddock-soak-") as directory:
    Path(directory).chmod(0o755)  # the server, an ordinary user, passes through it
    report = soak(Path(directory), FULL, int(sys.argv[1]) if len(sys.argv) > 1 else SEED)
    print(report.text())
sys.exit(1 if report.faults else 0)
