"""`python -m tests.soak [seed [invocations]]`: the full soak, with figures. Exit status 1 when there was any fault."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

from tests.soak.test_soak import FULL, SEED, soak

with tempfile.TemporaryDirectory(prefix="paddock-soak-") as directory:
    Path(directory).chmod(0o755)  # the server, an ordinary user, passes through it
    seed, invocations = [int(word) for word in sys.argv[1:]] + [SEED, FULL.invocations][len(sys.argv) - 1 :]
    report = soak(Path(directory), dataclasses.replace(FULL, invocations=invocations), seed)
    print(report.text())
sys.exit(1 if report.faults else 0)
