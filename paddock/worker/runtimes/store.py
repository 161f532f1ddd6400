"""The directory of what was brought for functions: userlands built from Debian packages, and interpreters.

    <directory>/userlands/<release>-<digest>/root            a Linux root, read-only for everybody who uses it
                                            /userland.json   what it is made of, to the version of each package
    <directory>/serving/<purpose>                            a link to the userland that serves: `all`, or one runtime
    <directory>/node/<version>-<digest>/bin/node             a Node.js
    <directory>/**/making-*                                  half-made; swept by whoever makes something next

Everything is made under another name and renamed, so what has its own name is whole. Root's zygotes run what lies
here with privilege: a directory that others may write to is refused. Several Paddocks and data directories share it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSTEM = Path("/var/lib/paddock-runtimes")  # root's; an ordinary user's Paddock looks here too
ALL = "all"
_HALF = "making-"
_FACTS = "userland.json"
_TRIALS = "trials.json"
_OTHERS_MAY_WRITE = 0o022


class Untrusted(RuntimeError):
    """A directory that somebody else could have written to; the message says which and what to do."""


class Busy(RuntimeError):
    """Somebody else is making something in this directory now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Userland:
    """name: <release>-<digest>. root: its directory. version: Debian's, 13.1. purpose: what it serves.

    programs: interpreters in its /usr, by file name, with the exact version of each. packages: name to version.
    """

    name: str
    root: str
    release: str
    version: str
    purpose: str
    programs: Mapping[str, str]
    packages: Mapping[str, str]
    built: str = ""
    updates: str = ""

    @property
    def label(self) -> str:
        """As INIT_START of a custom runtime names it: debian13.1."""
        return f"debian{self.version}"


def places(directory: Path) -> tuple[Path, ...]:
    """Where to look, the operator's own directory first."""
    return tuple(dict.fromkeys((directory, SYSTEM)))


def _check_trust(directory: Path) -> None:
    status = directory.stat()
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & _OTHERS_MAY_WRITE:
        raise Untrusted(
            f"{directory} could have been written by others, and functions' interpreters come from there: "
            f"chown it to {'root' if os.geteuid() == 0 else 'yourself'} and chmod go-w it"
        )


def read(directory: Path) -> dict[str, Userland]:
    """purpose -> the userland that serves it, of this one directory. Raises Untrusted; what is not whole is no part."""
    serving = directory / "serving"
    found = {}
    try:
        names = sorted(os.listdir(serving))
    except OSError:
        return {}
    for each in (directory, serving, directory / "userlands"):
        _check_trust(each)
    for purpose in names:
        entry = _entry(serving / purpose)
        if entry is not None:
            found[purpose] = _userland(entry, purpose)
    return found


def _entry(link: Path) -> Path | None:
    """Where the link of a purpose leads, if that is a whole userland of this very directory."""
    entry = Path(os.path.realpath(link))
    if entry.parent != Path(os.path.realpath(link.parents[1] / "userlands")) or entry.name.startswith(_HALF):
        return None
    return entry if (entry / "root/usr").is_dir() and (entry / _FACTS).is_file() else None


def _userland(entry: Path, purpose: str) -> Userland:
    facts = json.loads((entry / _FACTS).read_text())
    return Userland(name=entry.name, root=str(entry / "root"), purpose=purpose, **facts)


def every(directory: Path) -> list[tuple[str, list[str], Mapping[str, Any]]]:
    """(name, purposes it serves, facts) of each whole userland here, those that serve nothing any more too."""
    serving: dict[str, list[str]] = {}
    for purpose, userland in read(directory).items():
        serving.setdefault(userland.name, []).append(purpose)
    found = []
    for facts in sorted((directory / "userlands").glob(f"*/{_FACTS}")):
        if not facts.parent.name.startswith(_HALF):
            found.append((facts.parent.name, serving.get(facts.parent.name, []), json.loads(facts.read_text())))
    return found


@contextmanager
def making(directory: Path, kind: str) -> Iterator[Path]:
    """A fresh directory to make something of that kind in, alone; gone afterwards unless it was kept. Raises Busy."""
    (directory / kind).mkdir(parents=True, exist_ok=True, mode=0o755)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another paddock is making something in {directory}: wait for it") from None
        for half in directory.glob(f"*/{_HALF}*"):  # of those that were killed
            shutil.rmtree(half)
        working = Path(tempfile.mkdtemp(prefix=_HALF, dir=directory / kind))
        working.chmod(0o755)
        try:
            yield working
        finally:
            shutil.rmtree(working, ignore_errors=True)
    finally:
        os.close(lock)


def keep(working: Path, name: str) -> Path:
    """Give what was made its name; what has that name already is the same thing and stays. Raises OSError."""
    final = working.parent / name
    if not final.is_dir():
        os.sync()  # a name promises that all is there, after a power cut too
        working.rename(final)
    return final


def keep_userland(working: Path, name: str, purpose: str, facts: Mapping[str, Any]) -> Userland:
    """As keep, with its facts; from now on it serves the purpose."""
    (working / _FACTS).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    entry = keep(working, name)
    serving = entry.parents[1] / "serving"
    serving.mkdir(exist_ok=True, mode=0o755)
    link = serving / f"{_HALF}{purpose}"
    link.unlink(missing_ok=True)
    link.symlink_to(Path("../userlands") / name)
    link.rename(serving / purpose)
    return _userland(entry, purpose)


def prune(directory: Path) -> list[str]:
    """Remove the userlands that serve nothing any more and that no running Paddock holds; their names."""
    removed = []
    with making(directory, "userlands"):
        for name, purposes, _ in every(directory):
            entry = directory / "userlands" / name
            if purposes or not _is_free(entry):
                continue
            half = entry.with_name(f"{_HALF}{name}")
            entry.rename(half)
            shutil.rmtree(half)
            removed.append(name)
    return removed


def _is_free(entry: Path) -> bool:
    fd = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def hold(userland: Userland) -> int:
    """A descriptor that keeps the userland from being pruned as long as it, or a copy of it, is open."""
    fd = os.open(Path(userland.root).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


def trials(userland: Userland) -> dict[str, str]:
    """What is known of interpreters of the host in this userland: which one -> why it does not run, "" when it does."""
    try:
        found = json.loads((Path(userland.root).parent / _TRIALS).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember_trials(userland: Userland, known: Mapping[str, str]) -> None:
    """For the next start; where we may not write, each start tries anew."""
    target = Path(userland.root).parent / _TRIALS
    try:
        with tempfile.NamedTemporaryFile("w", dir=target.parent, prefix=_HALF, delete=False) as file:
            json.dump(known, file)
        os.chmod(file.name, 0o644)
        os.rename(file.name, target)
    except OSError:
        return
