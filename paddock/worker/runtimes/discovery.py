"""Which runtimes this machine can offer: looks for interpreters and asks each what it is.

Every candidate is run once with `-I -S` and answers for itself, because names lie: a pyenv shim is a shell script
that costs 90 ms a start, and /usr/bin/python3.11 may be a link. Of several interpreters of one version the newest
patch release is taken.

Where userlands were built (store.py), runtimes live in them: those whose interpreter is part of one, and those of the
host's interpreters that run in there, which is tried, once for each. The others stay on the host's own /usr and the
runtime says why. How it is chosen is in choose.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from paddock.worker.runtimes import manifests, store

_ASK = "import sys,json;print(json.dumps([sys.base_prefix,list(sys.version_info[:3])]))"
_ASK_NODE = "console.log(JSON.stringify([process.execPath, process.versions.node.split('.').map(Number)]))"
_ASK_RUBY = "require 'json'; puts JSON.generate([RbConfig.ruby, RUBY_VERSION.split('.').map(&:to_i)])"
_JAVA_VERSION = re.compile(r'^JAVA_VERSION="([0-9]+(?:\.[0-9]+)*)', re.MULTILINE)
_ANSWER_TIMEOUT_S = 10
_OS_RELEASE = Path("/etc/os-release")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python of this machine. prefix: its installation. version: (3, 12, 1).

    root: the userland that it is part of, whose /usr its prefix then is; "" for one of the host.
    """

    executable: str
    prefix: str
    version: tuple[int, int, int]
    root: str = ""

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
class Engine:
    """A Node.js, a JVM or a Ruby of this machine. prefix: its installation, which holds bin/<name>.

    version: (20, 20, 2). root: as an Interpreter's.
    """

    name: str
    prefix: str
    version: tuple[int, int, int]
    root: str = ""

    @property
    def shown_prefix(self) -> str:
        """What must be mounted at /var/lang. A JVM always, for a machine's /usr may hold several."""
        return "" if self.prefix == "/usr" else self.prefix

    @property
    def executable(self) -> str:
        return f"{self.root}{self.prefix}/bin/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One runtime identifier and how it would start here; interpreter None means that it cannot.

    interpreter: the Python of the zygote, and of the functions where the family is python. engine: what runs the
    functions of the families nodejs, java and ruby. userland: where they live; None is the host's own /usr.
    note: why they live there although there is a better place.
    """

    name: str
    family: manifests.Family
    interpreter: Interpreter | None
    engine: Engine | None = None
    userland: store.Userland | None = None
    note: str = ""

    @property
    def base(self) -> str:
        """The root whose /usr is shown; "" for the host's."""
        return self.userland.root if self.userland is not None else ""

    @property
    def shown_prefix(self) -> str:
        """What must be mounted at /var/lang, or "" when /usr already shows everything."""
        if self.engine is not None and self.engine.shown_prefix:
            return self.engine.shown_prefix
        if self.engine is not None and self.base and not self.engine.root:
            return self.engine.executable  # one file of the host's /usr
        return self.interpreter.shown_prefix if self.interpreter is not None else ""

    @property
    def version_label(self) -> str:
        """What INIT_START names: the true version of what runs, e.g. python:3.12.1 or provided:al2023."""
        return f"{self.family.family}:{self.version}".removesuffix(":")

    @property
    def version(self) -> str:
        """The exact version of what runs the functions: 3.12.1. A custom runtime's is its root's: debian13.1."""
        if self.engine is not None:
            return ".".join(map(str, self.engine.version))
        if self.family.family == "python" and self.interpreter is not None:
            return ".".join(map(str, self.interpreter.version))
        if self.family.code == "root":
            return ""  # an image's own
        return self.userland.label if self.userland is not None else host_label(_OS_RELEASE)

    @property
    def executable(self) -> str:
        """The program on this machine that runs the functions, or the one that starts theirs."""
        if self.engine is not None:
            return self.engine.executable
        return self.interpreter.executable if self.interpreter is not None else ""


def host_label(os_release: Path) -> str:
    """What the host is, as functions on its /usr may be told: debian12."""
    try:
        lines = os_release.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return "host"
    fields = dict(line.replace('"', "").split("=", 1) for line in lines if "=" in line)
    return fields.get("ID", "host") + fields.get("VERSION_ID", "")


def _candidates(name: str) -> Iterable[Path]:
    home = Path(os.environ.get("HOME", "/nonexistent"))
    directories = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    directories += [Path("/usr/bin"), Path("/usr/local/bin")]
    for pattern in (".pyenv/versions/*/bin", ".local/share/uv/python/*/bin", ".rbenv/versions/*/bin"):
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


def ask_node(path: Path) -> Engine | None:
    """What the Node.js at `path` says of itself; None when it does not answer sensibly."""
    return _ask_engine("node", [str(path), "-e", _ASK_NODE])


def ask_ruby(path: Path) -> Engine | None:
    """As ask_node."""
    return _ask_engine("ruby", [str(path), "-e", _ASK_RUBY])


def _ask_engine(name: str, command: list[str]) -> Engine | None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_ANSWER_TIMEOUT_S, check=True, text=True)
        executable, (major, minor, patch) = json.loads(done.stdout)
        version = (int(major), int(minor), int(patch))
        prefix = os.path.dirname(os.path.dirname(os.path.realpath(executable)))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None
    return _engine(name, prefix, version)


def read_java(home: Path) -> Engine | None:
    """The JVM in `home` by its `release` file, which every JDK since 7 has; None when it has none."""
    try:
        found = _JAVA_VERSION.search((home / "release").read_text())
    except (OSError, UnicodeDecodeError):
        return None
    if found is None:
        return None
    numbers = [int(part) for part in found.group(1).split(".")] + [0, 0, 0]
    if numbers[0] == 1:  # Java 8 calls itself 1.8.0
        numbers = numbers[1:]
    return _engine("java", os.path.realpath(home), (numbers[0], numbers[1], numbers[2]))


def _engine(name: str, prefix: str, version: tuple[int, int, int]) -> Engine | None:
    is_there = os.access(os.path.join(prefix, "bin", name), os.X_OK)
    return Engine(name=name, prefix=prefix, version=version) if is_there else None


def _newest(found: Iterable[Engine | None], names: Callable[[Engine], str]) -> dict[str, Engine]:
    """Version of a runtime, as a manifest writes it -> the newest engine of it."""
    best: dict[str, Engine] = {}
    for one in found:
        if one is not None and best.get(names(one), one).version <= one.version:
            best[names(one)] = one
    return best


def nodes(more: Iterable[Path] = ()) -> dict[str, Engine]:
    """more: programs that lie where nobody would look for them."""
    real = dict.fromkeys(map(os.path.realpath, [*_candidates("node"), *more]))
    return _newest((ask_node(Path(each)) for each in real), lambda engine: f"{engine.version[0]}.x")


def rubies() -> dict[str, Engine]:
    real = dict.fromkeys(map(os.path.realpath, _candidates("ruby")))
    return _newest((ask_ruby(Path(each)) for each in real), lambda engine: f"{engine.version[0]}.{engine.version[1]}")


def javas() -> dict[str, Engine]:
    homes = [Path(os.path.realpath(path)).parents[1] for path in _candidates("java")]
    homes += [Path(os.environ.get("JAVA_HOME", "/nonexistent")), *sorted(Path("/usr/lib/jvm").glob("*"))]
    real = dict.fromkeys(map(os.path.realpath, homes))
    return _newest((read_java(Path(each)) for each in real), lambda engine: str(engine.version[0]))
