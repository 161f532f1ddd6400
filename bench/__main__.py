"""The benchmark: `python -m bench [--quick] [--json FILE] [--only cold,rate,...]`.

Figures are ratios within one run; they are printed, never asserted. A part that fails is a row that says so: the other
parts are measured all the same, and the exit status is 1. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from bench import cold
from bench.figures import Row, Skipped, as_json, table
from bench.parts import N_QUICK, PARTS, N


def machine() -> str:
    """What the figures were measured on. No host name: it says nothing to a reader."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, {pages / (1 << 30):.0f} GiB, Linux {platform.release()} {platform.machine()}, "
        f"Python {platform.python_version()}, {'root' if os.geteuid() == 0 else 'rootless'}, "
        f"load {os.getloadavg()[0]:.1f} at the start"
    )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"n = {N_QUICK} instead of {N}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON, too")
    parser.add_argument("--only", default="", metavar="PARTS", help=f"comma-separated: {', '.join(PARTS)}")
    given = parser.parse_args(arguments)
    chosen = [name for name in given.only.split(",") if name] or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    cold.allow_many_descriptors()
    where = machine()
    rows: list[Row] = []
    failed = False
    for name in chosen:
        began = time.monotonic()
        print(f"bench: {name} ...", file=sys.stderr, flush=True)
        try:
            rows += PARTS[name](given.quick)
        except (Exception, KeyboardInterrupt) as error:
            traceback.print_exc()
            rows.append(Skipped(name=name, why=f"it failed: {error!r}"[:300]))
            failed = True
        print(f"bench: {name} took {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        if given.json is not None:
            given.json.write_text(json.dumps({"machine": where, "rows": as_json(rows)}, indent=1) + "\n")
    print(where, table(rows), sep="\n\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
