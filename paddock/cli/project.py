"""A directory as a function: what of it is code, which runtime and handler it is written for, and its package."""

from __future__ import annotations

import ast
import fnmatch
import io
import json
import os
import re
import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGE_BYTES_MAX = 50 * 1024 * 1024
SOURCE_BYTES_MAX = 1024 * 1024
_DIRECTORIES = """.git .hg .svn .idea .vscode .venv venv .tox .nox __pycache__ .mypy_cache .pytest_cache .ruff_cache
    .cache .parcel-cache .nyc_output .terraform .aws-sam""".split()
_FILES = "*.pyc *~ *.swp *.swx *.swo .#* #*# 4913 *.tmp .DS_Store *.orig *.rej .gitignore".split()
_PYTHON = "lambda_function app handler main index function".split()
_NODE = "index app handler main".split()
_NODE_ENDINGS = (".mjs", ".js", ".cjs")
_HANDLERS = "lambda_handler handler main".split()


class Unclear(Exception):
    """What the directory is cannot be told, or it cannot be one. The message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """reason: why it was taken for that."""

    runtime: str
    handler: str
    reason: str


def is_ignored(name: str, is_directory: bool) -> bool:
    """What editors, tools and version control leave lying about: no code, and no reason to load it anew."""
    if is_directory:
        return name in _DIRECTORIES
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _FILES)


def files(directory: Path) -> Iterator[Path]:
    """Everything that is code, in order. Links are not followed into directories. Raises OSError."""

    def failed(error: OSError) -> None:
        raise error

    for here, names, found in os.walk(directory, onerror=failed):
        names[:] = sorted(name for name in names if not is_ignored(name, True))
        for name in sorted(found):
            path = Path(here, name)
            if not is_ignored(name, False) and path.is_file():
                yield path


def unreadable(directory: Path) -> Path | None:
    """The first that others may not read, as a mounted directory's user is another; None when all can be read."""
    for here, names, found in os.walk(directory):
        names[:] = [name for name in names if not is_ignored(name, True)]
        if not _may(Path(here), stat.S_IROTH | stat.S_IXOTH):
            return Path(here)
        for name in found:
            path = Path(here, name)
            if not is_ignored(name, False) and path.is_file() and not _may(path, stat.S_IROTH):
                return path
    return None


def _may(path: Path, wanted: int) -> bool:
    return path.stat().st_mode & wanted == wanted


def package(directory: Path) -> bytes:
    """The zip to upload. Readable for everybody, executable where it is. Raises Unclear, OSError."""
    buffer = io.BytesIO()
    found = list(files(directory))
    # It goes over loopback: to compress is worth it only where it makes fit what does not.
    is_small = sum(path.stat().st_size + len(str(path)) * 2 for path in found) < PACKAGE_BYTES_MAX * 9 // 10
    method = zipfile.ZIP_STORED if is_small else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive:
        for path in found:
            entry = zipfile.ZipInfo(path.relative_to(directory).as_posix())
            executable = path.stat().st_mode & 0o111
            entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
            entry.compress_type = method
            archive.writestr(entry, path.read_bytes())
            if buffer.tell() > PACKAGE_BYTES_MAX:
                raise Unclear(
                    f"{directory} packs to more than {PACKAGE_BYTES_MAX >> 20} MB, which the API does not take."
                )
    return buffer.getvalue()


# -- what it is


def guess(directory: Path, runtimes: Sequence[str], runtime: str = "", handler: str = "") -> Project:
    """runtimes: what the server offers. runtime, handler: what is known already. Raises Unclear."""
    if runtime and handler:
        return Project(runtime=runtime, handler=handler, reason="as given")
    found = [one for one in (_custom(directory), _python(directory), _node(directory)) if one is not None]
    if runtime:
        found = [one for one in found if one.runtime == _family(runtime)]
        if not found and _family(runtime) == "provided":
            return Project(runtime=runtime, handler=handler or "bootstrap", reason="as given")
    if handler and not runtime and len(found) > 1:
        named = [one for one in found if one.handler.rpartition(".")[0] == handler.rpartition(".")[0]]
        found = named or found
    if not found:
        raise Unclear(
            f"No handler was found in {directory}: neither a bootstrap, nor a Python file such as app.py, nor "
            "one of Node.js such as index.mjs. Say it with --runtime and --handler."
        )
    if len(found) > 1 and found[0].runtime != "provided":
        what = " and ".join(f"{one.runtime} ({one.reason})" for one in found)
        raise Unclear(f"{directory} may be {what}. Say which with --runtime.")
    best = found[0]
    version, why = _version(directory, best.runtime, runtimes)
    return Project(
        runtime=runtime or version, handler=handler or best.handler, reason=best.reason + ("" if runtime else why)
    )


def _family(runtime: str) -> str:
    return re.split(r"[\d.]", runtime, maxsplit=1)[0]


def _version(directory: Path, family: str, runtimes: Sequence[str]) -> tuple[str, str]:
    """The newest that the server has, or the one that the directory asks for. Raises Unclear."""
    offered = sorted((one for one in runtimes if _family(one) == family), key=_numbers)
    if not offered:
        raise Unclear(f"This server offers no {family}; it offers {', '.join(runtimes) or 'nothing'}.")
    wish = directory / {"python": ".python-version", "nodejs": ".nvmrc"}.get(family, "")
    if wish.is_file():
        asked = _numbers(wish.read_text(encoding="utf-8", errors="replace")[:64])
        fitting = [one for one in offered if _numbers(one) == asked[: len(_numbers(one))]]
        if fitting:
            return fitting[0], f", {wish.name}"
    return offered[-1], ""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))


def _custom(directory: Path) -> Project | None:
    path = directory / "bootstrap"
    if not path.is_file():
        return None
    if not os.access(path, os.X_OK):
        raise Unclear(f"{path} is not executable: chmod +x {path}")
    return Project(runtime="provided", handler="bootstrap", reason="bootstrap")


def _python(directory: Path) -> Project | None:
    fallback = None
    for name in [*_PYTHON, *sorted(path.stem for path in directory.glob("*.py"))]:
        path = directory / f"{name}.py"
        if path.is_file() and path.stat().st_size <= SOURCE_BYTES_MAX:
            handler = _python_handler(path.read_text(encoding="utf-8", errors="replace"))
            found = Project(runtime="python", handler=f"{name}.{handler or 'handler'}", reason=path.name)
            if handler:
                return found
            fallback = fallback or (found if name in _PYTHON else None)
    return fallback


def _python_handler(source: str) -> str:
    """The name at the top of the module that can be the handler; "" when none looks like it."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        match = re.search(rf"^(?:async )?def ({'|'.join(_HANDLERS)})\(", source, re.MULTILINE)
        return match[1] if match else ""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    names = {node.name for node in functions}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    for name in _HANDLERS:
        if name in names:
            return name
    with_two = [f.name for f in functions if [arg.arg for arg in f.args.args] == ["event", "context"]]
    return with_two[0] if with_two else ""


def _node(directory: Path) -> Project | None:
    names = [f"{name}{ending}" for name in _NODE for ending in _NODE_ENDINGS]
    description = directory / "package.json"
    if description.is_file():
        try:
            main = json.loads(description.read_text(encoding="utf-8")).get("main", "")
        except (ValueError, AttributeError):
            main = ""
        names = [os.path.normpath(main), *names] if isinstance(main, str) and main.endswith(_NODE_ENDINGS) else names
    for name in names:
        path = directory / name
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")[:SOURCE_BYTES_MAX]
            exported = re.search(r"export\s+(?:async\s+function|function|const|let)\s+(\w*[hH]andler)\b", text)
            exported = exported or re.search(r"exports\.(\w*[hH]andler)\s*=", text)
            handler = exported[1] if exported else "handler"
            return Project(runtime="nodejs", handler=f"{os.path.splitext(name)[0]}.{handler}", reason=name)
    return None
