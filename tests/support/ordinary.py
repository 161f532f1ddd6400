"""python -m tests.support.ordinary UID DIRECTORY... -- COMMAND: as root, become an ordinary user and run the command.

The directories stay in view even when they lie below one that is closed to others, such as a checkout or an
interpreter in root's home: the same veil that Paddock draws for its own server.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from paddock.worker.sandbox import linux, veil


def main() -> None:
    split = sys.argv.index("--")
    uid, needed, command = int(sys.argv[1]), sys.argv[2:split], sys.argv[split + 1 :]
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    veil.draw([Path(path) for path in needed])
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
