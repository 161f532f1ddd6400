"""What functions find in /var/runtime: AWS's runtime client and boto3, copied out of Paddock's own environment.

A copy per interpreter version, because each wants its own compiled files and /var/runtime is read-only. The copy is
named by what went into it, made in a temporary directory and renamed, so that a half-made one is never used.
Interpreters that today's boto3 no longer supports (3.9) get older releases, installed by `paddock runtimes prepare`
into share/paddock/ beside Paddock's own environment.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from paddock.worker.runtimes import jars
from paddock.worker.runtimes.discovery import Interpreter, Runtime
from paddock.worker.sandbox import within

_SCRIPTS = {"nodejs": "index.mjs", "ruby": "index.rb"}
JAVA_LOCK = "function-java.lock"
SCRIPTS = {family: Path(__file__).parent / family / name for family, name in _SCRIPTS.items()}
PYTHON_PROGRAM = Path(__file__).parent / "python" / "wrapped.py"
PYTHON_PLATFORM = "paddock-platform"
"""Where in /var/runtime that program looks for its own modules."""
LOCKS = Path(__file__).parents[3] / "requirements"
_COMPILE = ("-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
_COMPILE_TIMEOUT_S = 300
SHOWN = "/var/runtime"  # where functions see it
_OWN_SINCE = (3, 10)  # the oldest Python that Paddock's own boto3 and awslambdaric support


class PackagesMissing(RuntimeError):
    """The packages for this interpreter are not here; the message says how to get them."""


def older_packages(interpreter: Interpreter) -> Path:
    """Where `prepare` puts the packages of an interpreter too old for Paddock's own."""
    return Path(sys.prefix) / "share" / "paddock" / f"function-python{interpreter.minor}"


def _source(runtime: Runtime) -> Path:
    interpreter = runtime.interpreter
    if interpreter is None:
        raise PackagesMissing(f"{runtime.name}: no interpreter")
    if interpreter.version >= _OWN_SINCE:
        spec = importlib.util.find_spec("botocore")
        if spec is None or spec.origin is None:
            raise PackagesMissing("botocore is not installed beside Paddock")
        return Path(spec.origin).parents[1]
    directory = older_packages(interpreter)
    if not directory.is_dir():
        raise PackagesMissing(
            f"{runtime.name} needs older releases of boto3 and awslambdaric: run `paddock runtimes prepare` once"
        )
    return directory


def available(runtime: Runtime) -> str:
    """ "" when the runtime's packages can be provided, else why not."""
    try:
        if runtime.family.family == "java":
            _jars()
        elif runtime.family.packages:
            _source(runtime)
    except PackagesMissing as error:
        return str(error)
    return ""


def _identity(runtime: Runtime, source: Path) -> str:
    parts = [str(source), str(runtime.interpreter)]
    for name in runtime.family.packages:
        distribution = {"dateutil": "python-dateutil"}.get(name, name.removesuffix(".py"))
        found = importlib.metadata.distributions(name=distribution, path=[str(source)])
        parts += [f"{name} {item.version}" for item in found]
    parts += [hashlib.sha256(content).hexdigest() for content in _platform().values()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _platform() -> dict[str, bytes]:
    """What the managed Python runtime is as a program of its own, by its places in /var/runtime."""
    here = Path(__file__).parent
    parts = [here / "wrapper.py", *(here / "python" / name for name in ("bootstrap.py", "carried.py", "snapshot.py"))]
    modules = {f"{PYTHON_PLATFORM}/paddock/worker/runtimes/{part.relative_to(here)}": part for part in parts}
    found = {place: part.read_bytes() for place, part in modules.items()}
    packages = {f"{parent}/__init__.py" for place in found for parent in Path(place).parents if len(parent.parts) > 1}
    return {"bootstrap.py": PYTHON_PROGRAM.read_bytes(), **dict.fromkeys(packages, b""), **found}


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)  # a JVM's archive names the times of the jars that it was made of


def _jars() -> tuple[jars.Jar, ...]:
    """AWS's client for Java, as it lies in jars.home(). Raises PackagesMissing."""
    try:
        listed = jars.read(LOCKS / JAVA_LOCK)
    except OSError as error:
        raise PackagesMissing(f"the list of jars is not here: {error}") from error
    if jars.missing(listed, jars.home()):
        raise PackagesMissing("AWS's runtime client for Java is not here: run `paddock runtimes prepare` once")
    return listed


def _made(final: Path, fill: Callable[[Path], None]) -> Path:
    """`final`, filled once: under another name first, so that a half-made one is never used. Raises OSError."""
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix="making-", dir=final.parent))
    try:
        fill(working)
        working.chmod(0o755)
        try:
            working.rename(final)
        except OSError:
            if not final.is_dir():  # somebody else was faster
                raise
            shutil.rmtree(working)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise
    return final


def _provide_script(family: str, directory: Path) -> Path:
    """Node.js's and Ruby's side of the runtime is one file of ours."""
    script = SCRIPTS[family]
    content = script.read_bytes()

    def fill(working: Path) -> None:
        (working / script.name).write_bytes(content)
        (working / script.name).chmod(0o644)

    return _made(directory / f"{family}-{hashlib.sha256(content).hexdigest()[:16]}", fill)


def _archive(runtime: Runtime, listed: tuple[jars.Jar, ...]) -> Path:
    """Where the archive of class data of this JVM and these jars lies, once it is made."""
    identity = hashlib.sha256(f"{runtime.engine}{listed}".encode()).hexdigest()[:16]
    return jars.home() / f"{runtime.name}-{identity}.jsa"


def _prepare_java(runtime: Runtime, maven: str) -> str:
    assert runtime.engine is not None  # only such runtimes are prepared
    listed = jars.read(LOCKS / JAVA_LOCK)
    done = jars.fetch(listed, jars.home(), maven)
    archive = _archive(runtime, listed)
    if not archive.is_file():
        program = [sys.executable, "-m", "paddock.worker.runtimes.java.archive"]
        arguments = [runtime.engine.prefix, str(jars.home()), str(archive)]
        made = subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)
        why = made.stderr.strip().rpartition("\n")[2]
        done.append(archive.name if made.returncode == 0 else f"without an archive of class data: {why}")
    return f"{runtime.name}: " + (f"prepared ({', '.join(done)})" if done else "already prepared")


def _provide_jars(runtime: Runtime, directory: Path) -> Path:
    """The client, and for each JVM its archive of class data, if one was made."""
    listed = _jars()
    made = _archive(runtime, listed)
    archive = made if made.is_file() else None

    def fill(working: Path) -> None:
        (working / "lib").mkdir(mode=0o755)
        for jar in listed:
            _link(str(jars.home() / jar.name), str(working / "lib" / jar.name))
        if archive is not None:
            _link(str(archive), str(working / "client.jsa"))

    identity = hashlib.sha256(f"{archive}{listed}".encode()).hexdigest()[:16]
    return _made(directory / f"{runtime.name}-{identity}", fill)


def provide(runtime: Runtime, directory: Path) -> Path | None:
    """The directory to show at /var/runtime, made on first use; None when the family has no packages.

    Takes some seconds the first time. Raises PackagesMissing and OSError.
    """
    if runtime.family.family in SCRIPTS:
        return _provide_script(runtime.family.family, directory)
    if runtime.family.family == "java":
        return _provide_jars(runtime, directory)
    interpreter = runtime.interpreter
    if not runtime.family.packages or interpreter is None:
        return None
    source = _source(runtime)

    def fill(working: Path) -> None:
        for name in runtime.family.packages:
            if (source / name).is_dir():
                ours = interpreter.version[:2] == sys.version_info[:2]  # else extension modules do not fit
                ignore = shutil.ignore_patterns("__pycache__", *([] if ours else ["*.so"]))
                shutil.copytree(source / name, working / name, copy_function=_link, ignore=ignore)
            else:
                _link(str(source / name), str(working / name))
        for place, content in _platform().items():
            (working / place).parent.mkdir(parents=True, exist_ok=True)
            (working / place).write_bytes(content)
        for path in (working / "bootstrap.py", working / PYTHON_PLATFORM, *(working / PYTHON_PLATFORM).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        # not checked: a package's own test files for newer syntax may not compile; imports then compile them
        if interpreter.root:
            command = [interpreter.inside, *_COMPILE, SHOWN]
            within.run(command, base=interpreter.root, write={str(working): SHOWN}, timeout_s=_COMPILE_TIMEOUT_S)
        else:
            command = [interpreter.executable, *_COMPILE, str(working)]
            subprocess.run(command, check=False, timeout=_COMPILE_TIMEOUT_S, stdout=subprocess.DEVNULL)

    return _made(directory / f"{runtime.name}-{_identity(runtime, source)}", fill)


def prepare(runtime: Runtime, maven: str) -> str:
    """Fetch what the runtime misses, by its locked list; what was done, in words. Raises CannotFetch and OSError."""
    interpreter = runtime.interpreter
    if runtime.family.family == "java" and interpreter is not None:
        return _prepare_java(runtime, maven)
    if interpreter is None or not runtime.family.packages or interpreter.version >= _OWN_SINCE:
        return f"{runtime.name}: nothing to prepare"
    target = older_packages(interpreter)
    lock = LOCKS / f"function-python{interpreter.minor}.lock"
    if target.is_dir():
        return f"{runtime.name}: already prepared"
    if not lock.is_file():
        return f"{runtime.name}: no list of packages for Python {interpreter.minor} ({lock.name})"
    target.parent.mkdir(parents=True, exist_ok=True)
    working = tempfile.mkdtemp(prefix="making-", dir=target.parent)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
    ]
    command += ["--python-version", interpreter.minor, "--target", working, "-r", str(lock)]
    try:
        subprocess.run(command, check=True)
        os.chmod(working, 0o755)
        os.rename(working, target)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise
    return f"{runtime.name}: prepared"
