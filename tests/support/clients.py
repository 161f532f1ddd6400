"""The function of tests/clients in each language, packed for Lambda: built once, kept by the digest of its source.

A builder returns the files of the package, or raises Missing with the reason why it cannot be built here.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from paddock.worker.runtimes import jars

SOURCES = Path(__file__).parent.parent / "clients"
BUILD_TIMEOUT_S = 1200
JAVA_RELEASE = "17"
CRATES = "registry+https://github.com/rust-lang/crates.io-index"
SYSTEM_PYTHON = Path("/usr/bin/python3")
SYSTEM_NODE = Path("/usr/bin/node")

Files = Mapping[str, bytes]


class Missing(Exception):
    """What this machine lacks to build a client."""


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paddock" / "clients"


def _files(directory: Path, *patterns: str) -> dict[str, bytes]:
    found = (path for pattern in patterns or ("*",) for path in directory.rglob(pattern))
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(found) if path.is_file()}


def _need(*commands: str) -> None:
    lacking = [command for command in commands if shutil.which(command) is None]
    if lacking:
        raise Missing(f"{', '.join(lacking)} not on PATH")


def _run(command: list[str], directory: Path, **environment: str) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Two workers of one test run do not build the same."""
    lock = _cache() / f"{name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        os.lockf(file.fileno(), os.F_LOCK, 0)
        yield


def _built(name: str, build: Callable[[Path, Path], None], *also: str, patterns: Sequence[str] = ()) -> Files:
    """Let `build` fill a directory from a copy of the sources, unless it has been done.

    also: what else matters. patterns: which of the sources do; all of them, where there are none.
    """
    sources = _files(SOURCES / name, *patterns)
    digest = hashlib.sha256(repr((sorted(sources.items()), platform.machine(), also)).encode()).hexdigest()[:16]
    done = _cache() / f"{name}-{digest}"
    with _locked(name):
        if not done.is_dir():
            working = Path(tempfile.mkdtemp(prefix="making-", dir=_cache()))
            try:
                shutil.copytree(SOURCES / name, working / "source")
                (working / "output").mkdir()
                build(working / "source", working / "output")
                (working / "output").rename(done)
            finally:
                shutil.rmtree(working, ignore_errors=True)
    return _files(done)


def kept(name: str, key: tuple[str, ...], command: list[str]) -> Path | None:
    """A directory that `command` fills, its last argument, unless it has been done; None when it fails."""
    done = _cache() / f"{name}-{hashlib.sha256(repr((key, command)).encode()).hexdigest()[:16]}"
    with _locked(name):
        if not done.is_dir():
            working = Path(tempfile.mkdtemp(prefix="making-", dir=_cache()))
            try:
                output = working / "output"
                if subprocess.run([*command, output], check=False, timeout=BUILD_TIMEOUT_S).returncode:
                    return None
                output.rename(done)
            finally:
                shutil.rmtree(working, ignore_errors=True)
    return done


def python() -> Files:
    return _files(SOURCES / "python", "*.py")


def python_client() -> Files:
    """awslambdaric as a custom runtime, on the system's Python."""
    library = next(Path(sysconfig.get_paths()["platlib"]).glob("runtime_client.cpython-*.so"), None)
    if library is None or not SYSTEM_PYTHON.exists():
        raise Missing("awslambdaric's C extension and /usr/bin/python3 are needed")
    shown = subprocess.run([SYSTEM_PYTHON, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    if shown.split(".")[:2] != [str(part) for part in sys.version_info[:2]]:
        raise Missing("the C extension was built for another Python than /usr/bin/python3")
    home = library.parent
    packages = {
        f"{name}/{path}": content
        for name in ("awslambdaric", "simplejson")
        for path, content in _files(home / name, "*.py", "*.so").items()
    }
    singles = {name: (home / name).read_bytes() for name in ("snapshot_restore_py.py", library.name)}
    starter = b"#!/bin/sh\nexec /usr/bin/python3 -m awslambdaric app.handler\n"
    return {**python(), **packages, **singles, "bootstrap": starter}


def node() -> Files:
    return _files(SOURCES / "node", "*.mjs")


def node_client() -> Files:
    """aws-lambda-ric as a custom runtime, on the system's Node.js; its native part is compiled here."""
    _need("npm", "cmake", "make", "g++", "autoreconf", "libtoolize")
    if not SYSTEM_NODE.exists() or not Path("/usr/include/node/node_api.h").exists():
        raise Missing("a Node.js in /usr with its headers is needed")
    version = subprocess.run([SYSTEM_NODE, "-v"], capture_output=True, text=True, check=True).stdout.strip()

    def build(source: Path, output: Path) -> None:
        _run(["npm", "ci", "--no-fund", "--no-audit"], source, npm_config_nodedir="/usr", MAKEFLAGS="-j2")
        client = source / "node_modules/aws-lambda-ric"
        for part in ("bin", "dist", "package.json"):
            target = output / "node_modules/aws-lambda-ric" / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if (client / part).is_dir():
                shutil.copytree(client / part, target)
            else:
                shutil.copy(client / part, target)
        starter = "#!/bin/sh\nexec /usr/bin/node node_modules/aws-lambda-ric/bin/index.mjs index.handler\n"
        (output / "bootstrap").write_text(starter)

    # The function is no part of what is compiled, for minutes.
    return {**_built("node", build, version, patterns=("package*.json",)), **node()}


def probe() -> Files:
    """A static program, so that an image of it needs nothing else."""
    _need("gcc")

    def build(source: Path, output: Path) -> None:
        _run(["gcc", "-static", "-O1", "-Wall", "-Werror", "-o", str(output / "probe"), "probe.c"], source)

    return _built("probe", build)


def golang() -> Files:
    _need("go")

    def build(source: Path, output: Path) -> None:
        command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(output / "bootstrap"), "."]
        _run(command, source, CGO_ENABLED="0")

    return _built("go", build)


def _cargo(source: Path, program: str, output: Path) -> None:
    lock = source / "Cargo.lock"  # kept without addresses; Cargo wants to read where each pinned crate is from
    lock.write_text(lock.read_text().replace("checksum = ", f'source = "{CRATES}"\nchecksum = '))
    _run(["cargo", "build", "--locked"], source, CARGO_TARGET_DIR=str(source / "target"))
    shutil.copy(source / "target/debug" / program, output)


def rust() -> Files:
    _need("cargo")
    return _built("rust", lambda source, output: _cargo(source, "bootstrap", output))


def web_adapter() -> Files:
    """A layer, as AWS publishes it: the adapter as an extension, and its wrapper for managed runtimes."""
    _need("cargo")

    def build(source: Path, output: Path) -> None:
        (output / "extensions").mkdir()
        _cargo(source, "lambda-adapter", output / "extensions")
        asked = ["cargo", "metadata", "--locked", "--format-version", "1"]
        found = json.loads(subprocess.run(asked, cwd=source, check=True, capture_output=True).stdout)
        (crate,) = [one for one in found["packages"] if one["name"] == "lambda_web_adapter"]
        shutil.copy(Path(crate["manifest_path"]).parent / "layer" / "bootstrap", output)

    return _built("web_adapter", build)


def java() -> Files:
    core = sorted(jars.home().glob("aws-lambda-java-core-*.jar"))
    if not core:
        raise Missing("AWS's runtime client for Java is not prepared")
    _need("javac")

    def build(source: Path, output: Path) -> None:
        command = ["javac", "--release", JAVA_RELEASE, "-cp", str(core[-1]), "-d", str(output)]
        _run([*command, "example/Functions.java"], source)

    return _built("java", build)
