"""The benchmark: `python -m bench [--quick] [--json FILE] [--trace] [--only cold,rate,sleepers,warm,trace]`.

Figures are ratios within one run; they are printed, never asserted. See docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import cold, trace, warm
from bench.figures import Row, as_json, table

N, N_QUICK = 200, 30
SLEEPERS, SLEEPERS_QUICK = 1000, 200


def parts(quick: bool) -> dict[str, Callable[[], Sequence[Row]]]:
    """Name -> what measures it, in the order of the table."""
    n = N_QUICK if quick else N
    return {
        "cold": lambda: cold.ColdStarts(n).rows(),
        "rate": lambda: [cold.creation_rate(n)],
        "warm": lambda: warm.rows(n, 3, 0.5) if quick else warm.rows(2000, 5, 2.0),
        "trace": lambda: trace.rows(60, 2.0) if quick else trace.rows(150, 3.0),
        "sleepers": lambda: cold.sleepers(SLEEPERS_QUICK, 10.0) if quick else cold.sleepers(SLEEPERS, 30.0),
    }


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
    parser.add_argument(
        "--only", default="", metavar="PARTS", help="comma-separated: cold, rate, warm, sleepers, trace"
    )
    parser.add_argument("--trace", action="store_true", help="the same as --only trace: needs no server")
    given = parser.parse_args(arguments)
    known = parts(given.quick)
    chosen = ["trace"] if given.trace else [name for name in given.only.split(",") if name] or list(known)
    if unknown := set(chosen) - set(known):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    cold.allow_many_descriptors()
    where = machine()
    rows: list[Row] = []
    for name in chosen:
        print(f"bench: {name} ...", file=sys.stderr, flush=True)
        rows += known[name]()
    print(where, table(rows), sep="\n\n")
    if given.json is not None:
        given.json.write_text(json.dumps({"machine": where, "rows": as_json(rows)}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
