"""What a running Paddock holds in the kernel, counted, and how its parts are killed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.support.server import RunningServer

_MOTHER, _INIT = "paddock-mother", "paddock-init"


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """Of one moment. descriptors: the server's. zygote_descriptors: of all zygotes without their slots.

    namespaces: that a process is in. A mother of environments keeps the pid namespace in which she forked last, too,
    until she forks again, though that environment may be gone.
    slots: user namespaces that zygotes keep for environments to come; as many as were ever alive at once.
    mounts: of all environments together; the others' are copies of the machine's, which differ by when they were made.
    rss_kb: the server's.
    """

    processes: int
    mounts: int
    groups: int
    namespaces: int
    descriptors: int
    zygote_descriptors: int
    slots: int
    rss_kb: int


def holdings(server: RunningServer) -> Holdings:
    pids = [server.pid, *descendants(server.pid)]
    links = [link for pid in pids for link in _links(pid, "ns").items()]
    ours = {target for name, target in links if not name.endswith("_for_children")}
    zygotes = [_links(pid, "fd") for pid in zygotes_of(server)]
    kinds = Counter(target.startswith("user:") for links in zygotes for target in links.values())
    return Holdings(
        processes=len(pids),
        mounts=sum(len(_text(pid, "mountinfo").splitlines()) for one in zygotes_of(server) for pid in descendants(one)),
        groups=sum(1 for group in server.groups() for _ in os.walk(group)),
        namespaces=len(ours - set(_links(os.getpid(), "ns").values())),
        descriptors=len(_links(server.server_pid, "fd")),
        zygote_descriptors=kinds[False],
        slots=kinds[True],
        rss_kb=rss_kb(server.server_pid),
    )


def rss_kb(pid: int) -> int:
    return next(int(line.split()[1]) for line in _text(pid, "status").splitlines() if line.startswith("VmRSS:"))


def children_of(pid: int) -> list[int]:
    return [int(word) for word in _text(pid, f"task/{pid}/children").split()]


def descendants(pid: int) -> list[int]:
    return [each for child in children_of(pid) for each in (child, *descendants(child))]


def zygotes_of(server: RunningServer) -> list[int]:
    """Those that are up; one that is being started still looks like the jailer."""
    return [pid for pid in children_of(server.pid) if _text(pid, "comm").startswith("paddock-zygote")]


def mother_of(zygote: int) -> int:
    """Its first child; 0 when it has none yet. Her forks have her name until they are what they become."""
    return next((pid for pid in children_of(zygote)[:1] if _name(pid) == _MOTHER), 0)


def inits_of(zygote: int) -> list[int]:
    """The first processes of its environments."""
    return [pid for pid in children_of(zygote) if _name(pid) == _INIT]


def runtimes_of(zygote: int) -> list[int]:
    """What runs functions in its environments, or is about to: they are named by what they execute."""
    others = (_MOTHER, _INIT, "paddock-helper", "paddock-zygote", "")
    return [pid for pid in children_of(zygote) if _name(pid) not in others]


def kill(pid: int, parent: int) -> bool:
    """SIGKILL to this very child of `parent`; False when it has ended already."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if pid not in children_of(parent):
            return False  # its number was given to somebody else
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)


def _name(pid: int) -> str:
    return _text(pid, "comm").strip()


def _text(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def _links(pid: int, directory: str) -> dict[str, str]:
    found = {}
    try:
        for name in os.listdir(f"/proc/{pid}/{directory}"):
            found[name] = os.readlink(f"/proc/{pid}/{directory}/{name}")
    except OSError:
        return found  # it has ended, or that descriptor was closed while we looked
    return found
