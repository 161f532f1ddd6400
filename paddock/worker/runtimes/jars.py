"""AWS's runtime client for Java: jars from a Maven repository, named and pinned in requirements/function-java.lock.

A line there is `group:artifact==version --hash=sha256:...`. The jars lie in share/paddock/function-java beside
Paddock's own environment, where `paddock runtimes prepare` puts them.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

DOWNLOAD_TIMEOUT_S = 60
JAR_BYTES_MAX = 64 << 20


class CannotFetch(RuntimeError):
    """A jar could not be had, or is another than the one that is pinned; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Jar:
    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """Within a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"


def read(lock: Path) -> tuple[Jar, ...]:
    """What the lock file names. Raises OSError and ValueError."""
    jars = []
    for line in lock.read_text().splitlines():
        coordinates, sha256 = line.split(" --hash=sha256:")
        artifact, version = coordinates.split("==")
        group, artifact = artifact.split(":")
        jars.append(Jar(group, artifact, version, sha256))
    return tuple(jars)


def home() -> Path:
    return Path(sys.prefix) / "share" / "paddock" / "function-java"


def missing(jars: tuple[Jar, ...], directory: Path) -> list[Jar]:
    return [jar for jar in jars if not (directory / jar.name).is_file()]


def fetch(jars: tuple[Jar, ...], directory: Path, repository: str) -> list[str]:
    """Download what is missing, check it, and return the names of what came. Raises CannotFetch and OSError."""
    base = repository.rstrip("/")
    if not base.startswith(("https://", "http://", "file://")):
        raise CannotFetch(f"{base} is no address of a Maven repository")
    directory.mkdir(parents=True, exist_ok=True)
    fetched = []
    for jar in missing(jars, directory):
        content = _download(f"{base}/{jar.path}")
        if hashlib.sha256(content).hexdigest() != jar.sha256:
            raise CannotFetch(f"{jar.name} is not the one that {jar.sha256[:12]}... names")
        working = tempfile.mkdtemp(prefix="making-", dir=directory)
        try:
            half = Path(working) / jar.name
            half.write_bytes(content)
            half.chmod(0o644)
            half.rename(directory / jar.name)
        finally:
            shutil.rmtree(working, ignore_errors=True)
        fetched.append(jar.name)
    return fetched


def _download(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=DOWNLOAD_TIMEOUT_S) as answer:
            content: bytes = answer.read(JAR_BYTES_MAX + 1)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise CannotFetch(f"{address}: {error}") from error
    if len(content) > JAR_BYTES_MAX:
        raise CannotFetch(f"{address}: more than {JAR_BYTES_MAX} bytes")
    return content
