"""How the house tests read the code: modules as syntax trees, imports as an edge list, findings that teach."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file. `path` is relative to the repository; `name` is the dotted module name."""

    path: str
    source: str

    @property
    def name(self) -> str:
        dotted = self.path.removesuffix(".py").replace("/", ".")
        return dotted.removesuffix(".__init__")

    @property
    def is_package(self) -> bool:
        return self.path.endswith("/__init__.py")

    @property
    def tree(self) -> ast.Module:
        return _parse(self.source)

    def find(self, node: ast.AST, what: str) -> Finding:
        return Finding(self.path, getattr(node, "lineno", 1), what)


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule: where, and what to do instead."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


@dataclass(frozen=True, slots=True)
class Import:
    """One imported dotted name as written, and the statement that does it."""

    target: str
    node: ast.stmt


@functools.cache
def _parse(source: str) -> ast.Module:
    return ast.parse(source)


@functools.cache
def files() -> tuple[str, ...]:
    """Every file that belongs to the project: known to git, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(sorted({name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}))


@functools.cache
def python(*folders: str) -> tuple[Module, ...]:
    """The Python modules under these folders of the repository."""
    return tuple(
        Module(name, (ROOT / name).read_text(encoding="utf-8"))
        for name in files()
        if name.endswith(".py") and name.split("/")[0] in folders
    )


def text_files() -> Iterator[tuple[str, str]]:
    """(path, text) of every file that is text."""
    for name in files():
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def imports(module: Module) -> tuple[Import, ...]:
    """Everything a module imports, wherever the statement stands, `from a import b` as `a.b`."""
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _base_of(module, node)
            found += [Import(f"{base}.{alias.name}", node) for alias in node.names]
    return tuple(found)


def _base_of(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    parents = parts[: len(parts) - node.level + (1 if module.is_package else 0)]
    return ".".join([*parents, *([node.module] if node.module else [])])


def graph(modules: tuple[Module, ...]) -> dict[str, frozenset[str]]:
    """Module name -> the modules of the same set that it imports."""
    names = {module.name for module in modules}

    def resolve(target: str) -> str | None:
        while target and target not in names:
            target = target.rpartition(".")[0]
        return target or None

    return {
        module.name: frozenset(
            found for entry in imports(module) if (found := resolve(entry.target)) and found != module.name
        )
        for module in modules
    }


def spelled(module: Module) -> dict[str, str]:
    """Local name -> the dotted name it stands for, from the module's imports (`from time import time as t`)."""
    names: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an attribute chain on a name, or ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def enclosing(module: Module, line: int) -> str:
    """The name of the innermost function around a line, or "" at module level."""
    around = [f for f in functions(module.tree) if f.lineno <= line <= (f.end_lineno or f.lineno)]
    return max(around, key=lambda f: f.lineno).name if around else ""


def report(rule: str, findings: list[Finding]) -> None:
    """Fail with the rule first, then each place."""
    assert not findings, "\n".join([rule, *map(str, findings)])
