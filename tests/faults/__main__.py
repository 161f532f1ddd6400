"""`python -m tests.faults [kills [seed]]`: the ledger of a long run. Exit status 1 when anything was lost."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.faults.ledger import SETTINGS, Faults
from tests.support.server import RunningServer

KILLS, SEED = 300, 20261125

with tempfile.TemporaryDirectory(prefix="paddock-faults-") as directory:
    Path(directory).chmod(0o755)  # the server, an ordinary user, passes through it
    given = [int(word) for word in sys.argv[1:]]
    kills, seed = given[0] if given else KILLS, given[1] if len(given) > 1 else SEED
    with RunningServer(Path(directory), **SETTINGS) as server:
        ledger = Faults(server, kills, seed).run()
    print(ledger.text(), *ledger.lost(), sep="\n")
sys.exit(1 if ledger.lost() else 0)
