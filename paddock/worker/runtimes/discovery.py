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
_ASK_NODE = "console.log(JSON.stringify([process.execPath, process.versions.node.split('.').map(Number)]))"
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
class Node:
    """A Node.js of this machine. prefix: its installation, which holds bin/node. version: (20, 20, 2)."""

    prefix: str
    version: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One runtime identifier and how it would start here; interpreter None means that it cannot.

    interpreter: the Python of the zygote, and of the functions where the family is python. node: of that family.
    """

    name: str
    family: manifests.Family
    interpreter: Interpreter | None
    node: Node | None = None

    @property
    def shown_prefix(self) -> str:
        """What must be mounted at /var/lang, or "" when /usr already shows everything."""
        if self.node is not None and self.node.prefix != "/usr":
            return self.node.prefix
        return self.interpreter.shown_prefix if self.interpreter is not None else ""

    @property
    def version_label(self) -> str:
        """What INIT_START names: the true version of what runs, e.g. python:3.12.1 or provided:al2023."""
        if self.family.family == "python" and self.interpreter is not None:
            return "python:" + ".".join(map(str, self.interpreter.version))
        if self.node is not None:
            return "nodejs:" + ".".join(map(str, self.node.version))
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


def ask_node(path: Path) -> Node | None:
    """What the Node.js at `path` says of itself; None when it does not answer sensibly."""
    try:
        done = subprocess.run(
            [str(path), "-e", _ASK_NODE], capture_output=True, timeout=_ANSWER_TIMEOUT_S, check=True, text=True
        )
        executable, (major, minor, patch) = json.loads(done.stdout)
        version = (int(major), int(minor), int(patch))
        prefix = os.path.dirname(os.path.dirname(os.path.realpath(executable)))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None
    return Node(prefix=prefix, version=version) if os.access(os.path.join(prefix, "bin/node"), os.X_OK) else None


def nodes() -> dict[int, Node]:
    """major version -> the newest Node.js of it."""
    best: dict[int, Node] = {}
    for real in dict.fromkeys(os.path.realpath(path) for path in _candidates("node")):
        found = ask_node(Path(real))
        if found is not None and (known := best.get(found.version[0], found)).version <= found.version:
            best[known.version[0]] = found
    return best


def _with_node(name: str, family: manifests.Family, found: dict[int, Node], zygote: Interpreter | None) -> Runtime:
    """/var/lang is one place: a Node.js that stands there needs a zygote from /usr."""
    node = found.get(int(name.removeprefix("nodejs").removesuffix(".x")))
    fits = node is not None and zygote is not None and (node.prefix == "/usr" or not zygote.shown_prefix)
    return Runtime(name=name, family=family, interpreter=zygote if fits else None, node=node)


def runtimes() -> tuple[Runtime, ...]:
    """Every runtime of every family, those that cannot start here too."""
    pythons = interpreters()
    found_nodes = nodes()
    # pid 1 of a custom runtime's environment is a Python as well: the system's own is the smallest
    usual = sorted(pythons.values(), key=lambda p: (p.prefix == "/usr", p.version))
    result = []
    for family in manifests.load():
        for name, version in zip(family.runtimes, family.versions, strict=True):
            if family.family == "nodejs":
                result.append(_with_node(name, family, found_nodes, usual[-1] if usual else None))
                continue
            interpreter = pythons.get(version) if family.family == "python" else (usual[-1] if usual else None)
            result.append(Runtime(name=name, family=family, interpreter=interpreter))
    return tuple(result)
