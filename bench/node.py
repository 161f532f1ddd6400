"""Rows about Node.js: first invocations of new functions in waiting cells, against bubblewrap running true."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence

from bench import references
from bench.bed import FULL_CPU_MB, bed, body_of
from bench.client import Connection, invocation
from bench.cold import BUBBLEWRAP, CELLS_READY, batches
from bench.figures import Row, Skipped, compared, latency

ECHO = "exports.handler = async (event) => event;\n"
NAME = "cold start of Node.js"


def _runtime() -> str:
    """The runtime of the Node.js that the machine has, or ""."""
    program = shutil.which("node")
    if program is None:
        return ""
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return f"nodejs{shown.strip().removeprefix('v').split('.')[0]}.x"


def rows(n: int) -> Sequence[Row]:
    """n first invocations of new functions, in turns with the reference so that both see the same machine."""
    runtime, program = _runtime(), references.bubblewrap()
    if not runtime or program is None:
        return [Skipped(name=NAME, why="it needs Node.js and bubblewrap")]
    took: list[float] = []
    theirs: list[float] = []
    body = json.dumps(json.loads(body_of(1)), separators=(",", ":")).encode()  # as Node.js writes it
    with bed(cells_ready_per_runtime=CELLS_READY, cells_ready_per_runtime_max=CELLS_READY) as place:
        connection = Connection(place.endpoint)
        for names in [["warm-up"], *batches("node", n)]:
            is_measured = names != ["warm-up"]
            if is_measured:
                theirs += references.runs(references.bubblewrap_command(program), len(names))
            place.create(names, ECHO, file="app.js", remark="//", Runtime=runtime, MemorySize=FULL_CPU_MB)
            for name in names:
                request = invocation(place.endpoint, name, body)
                if is_measured:
                    place.settle(connection, cells=CELLS_READY)
                    took.append(connection.timed(request, body))
                else:
                    connection.ask(request).expect(body)
            place.delete(names)
            place.settle(connection, environments=0)
        connection.close()
    reference = latency(f"{BUBBLEWRAP}, beside Node.js", theirs)
    return [reference, compared(latency(f"{NAME}, pool of {CELLS_READY} cells", took), reference, most=1.2)]
