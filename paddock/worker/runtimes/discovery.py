"""Which runtimes this machine can offer: looks for interpreters and asks each what it is.

Every candidate is run once with `-I -S` and answers for itself, because names lie: a pyenv shim is a shell script
that costs 90 ms a start, and /usr/bin/python3.11 may be a link. Of several interpreters of one version the newest
patch release is taken.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from paddock.worker.runtimes import manifests

_ASK = "import sys,json;print(json.dumps([sys.base_prefix,list(sys.version_info[:3])]))"
_ANSWER_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python of this machine. prefix: its installation. version: (3, 12, 1)."""

    executable: str
    prefix: str
    version: tuple[int, int, int]

    @property
    def minor(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def shown_prefix(self) -> str:
        """What must be mounted at /var/lang, or "" when /usr already shows it."""
        return "" if self.prefix == "/usr" else self.prefix

    @property
    def inside(self) -> str:
        """The executable's path inside the sandbox."""
        return f"{'/var/lang' if self.shown_prefix else '/usr'}/bin/python{self.minor}"

    @property
    def hidden(self) -> tuple[str, ...]:
        """Paths inside the sandbox that hold the host's own packages and must not be seen by functions."""
        base = "/var/lang" if self.shown_prefix else "/usr"
        sites = tuple(f"{base}/{lib}/python{self.minor}/site-packages" for lib in ("lib", "lib64"))
        return (*sites, "/usr/lib/python3/dist-packages", "/usr/local")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One runtime identifier and how it would start here; interpreter None means that it cannot."""

    name: str
    family: manifests.Family
    interpreter: Interpreter | None

    @property
    def version_label(self) -> str:
        """What INIT_START names: the true version of what runs, e.g. python:3.12.1 or provided:al2023."""
        if self.family.family == "python" and self.interpreter is not None:
            return "python:" + ".".join(map(str, self.interpreter.version))
        return f"{self.family.family}:{self.name.removeprefix(self.family.family).strip('.')}"


def _candidates(name: str) -> Iterable[Path]:
    home = Path(os.environ.get("HOME", "/nonexistent"))
    directories = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    directories += [Path("/usr/bin"), Path("/usr/local/bin")]
    for pattern in (".pyenv/versions/*/bin", ".local/share/uv/python/*/bin"):
        directories += sorted(home.glob(pattern))
    directories += sorted(Path("/opt").glob("*/bin"))
    for directory in dict.fromkeys(directories):
        if "shims" not in directory.parts and os.access(directory / name, os.X_OK):
            yield directory / name


def ask(path: Path) -> Interpreter | None:
    """What the interpreter at `path` says of itself; None when it does not answer sensibly."""
    try:
        done = subprocess.run(
            [str(path), "-I", "-S", "-c", _ASK], capture_output=True, timeout=_ANSWER_TIMEOUT_S, check=True, text=True
        )
        prefix, (major, minor, micro) = json.loads(done.stdout)
        version = (int(major), int(minor), int(micro))
        real = os.path.realpath(prefix)
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None
    found = os.path.join(real, "bin", f"python{major}.{minor}")
    if not os.access(found, os.X_OK):
        return None
    return Interpreter(executable=found, prefix=real, version=version)


def interpreters() -> dict[str, Interpreter]:
    """minor version -> the newest interpreter of it, of those that any family could use."""
    best: dict[str, Interpreter] = {}
    seen: set[str] = set()
    versions = [v for family in manifests.load() if family.family == "python" for v in family.versions]
    for version in versions:
        for path in _candidates(f"python{version}"):
            real = os.path.realpath(path)
            if real in seen:
                continue
            seen.add(real)
            found = ask(path)
            if found is not None and (found.minor not in best or found.version > best[found.minor].version):
                best[found.minor] = found
    return best


def runtimes() -> tuple[Runtime, ...]:
    """Every runtime of every family, those that cannot start here too."""
    pythons = interpreters()
    # pid 1 of a custom runtime's environment is a Python as well: the system's own is the smallest
    usual = sorted(pythons.values(), key=lambda p: (p.prefix == "/usr", p.version))
    result = []
    for family in manifests.load():
        for name, version in zip(family.runtimes, family.versions, strict=True):
            interpreter = pythons.get(version) if family.family == "python" else (usual[-1] if usual else None)
            result.append(Runtime(name=name, family=family, interpreter=interpreter))
    return tuple(result)
