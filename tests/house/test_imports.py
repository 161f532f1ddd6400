"""Which way imports point: ranks, sideways imports, cycles, imports inside functions, dead modules."""

from __future__ import annotations

import ast
import re

from tests.house.reading import ROOT, Finding, Module, functions, graph, imports, python, report
from tests.house.table import APART, MAY_IMPORT_INSIDE, ONLY_FROM, RANKS, RUN_OTHERWISE, SIDEWAYS


def room_of(name: str) -> str:
    """`paddock.wire.sigv4` -> `wire`; "" for the package itself, which holds only its version."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def wrong_ways(module: Module, names: frozenset[str]) -> list[Finding]:
    """Imports of a module that point up, sideways, or into a room that is not for it."""
    here = room_of(module.name)
    found = []
    for entry in imports(module):
        if entry.target.split(".")[0] != "paddock":
            continue
        there = room_of(entry.target)
        if there not in RANKS and f"paddock.{there}" not in names:
            continue  # `from paddock import __version__`
        if there not in RANKS or (here and here not in RANKS):
            found.append(module.find(entry.node, f"room {there!r} or {here!r} has no rank: give it one in table.py"))
        elif there == here:
            found += _apart(module, entry.target, entry.node)
        elif there in ONLY_FROM and here != ONLY_FROM[there]:
            found.append(
                module.find(entry.node, f"only {ONLY_FROM[there]} imports {there}: ask for a Protocol of interfaces.py")
            )
        elif RANKS[there] == RANKS[here] and SIDEWAYS.get(here) != there:
            found.append(
                module.find(entry.node, f"{here} and {there} have one rank: take what you need as an argument")
            )
        elif RANKS[there] > RANKS[here]:
            found.append(
                module.find(entry.node, f"{here} (rank {RANKS[here]}) imports {there} (rank {RANKS[there]}), upwards")
            )
    return found


def _apart(module: Module, target: str, node: ast.stmt) -> list[Finding]:
    """Two folders of a room like services/ that know each other."""
    room, own, other = room_of(target), module.name.split("."), target.split(".")
    if room not in APART or len(own) < 3 or len(other) < 4 or own[2] == other[2] or other[2] == "service":
        return []
    if not any(name.path.startswith(f"paddock/{room}/{other[2]}/") for name in python("paddock")):
        return []
    return [module.find(node, f"{room}/{own[2]} imports {room}/{other[2]}: let app hand it over")]


def cycles(edges: dict[str, frozenset[str]]) -> list[tuple[str, ...]]:
    """Groups of modules that import each other, each sorted (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[tuple[str, ...]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            cut = stack.index(node)
            group = tuple(sorted(stack[cut:]))
            del stack[cut:]
            if len(group) > 1:
                groups.append(group)

    for node in edges:
        if node not in index:
            visit(node)
    return groups


def imports_inside(module: Module) -> list[Finding]:
    return [
        module.find(node, "import inside a function: move it to the top, or hand the thing in")
        for function in functions(module.tree)
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]


def unreached(modules: tuple[Module, ...], start: str) -> list[Finding]:
    """Modules that no chain of imports from `start` reaches. Packages that only hold a docstring do not count."""
    edges = graph(modules)
    seen, todo = {start}, [start]
    while todo:
        name = todo.pop()
        parents = {".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1)}
        for other in (edges.get(name, frozenset()) | parents) - seen:
            seen.add(other)
            todo.append(other)
    return [
        Finding(module.path, 1, "no import leads here from paddock.__main__: use it or delete it")
        for module in modules
        if module.name not in seen and not (module.is_package and len(module.tree.body) <= 1)
    ]


def test_imports_point_down() -> None:
    modules = python("paddock")
    names = frozenset(module.name for module in modules)
    report(
        "An import may only point to a lower rank; rooms of one rank never import each other.",
        [finding for module in modules for finding in wrong_ways(module, names)],
    )


def test_imports_point_down_sees_a_wrong_way() -> None:
    names = frozenset(f"paddock.{room}" for room in RANKS)

    def told(path: str, source: str) -> str:
        return "\n".join(map(str, wrong_ways(Module(path, source), names)))

    assert "upwards" in told("paddock/control/x.py", "from paddock.services import service")
    assert "upwards" in told("paddock/model/x.py", "def f():\n    import paddock.app")
    assert "one rank" in told("paddock/invoke/x.py", "from paddock.worker.pool import Pool")
    assert "one rank" in told("paddock/wire/x.py", "from paddock.model import errors")
    assert "only app" in told("paddock/control/x.py", "from paddock.backends.sql import store")
    assert "no rank" in told("paddock/attic/x.py", "from paddock.model import errors")
    assert "upwards" in told("paddock/control/x.py", "from ..front import app")
    assert not told("paddock/interfaces.py", "from paddock.model.log import LogEvent")
    assert not told("paddock/app/x.py", "from paddock import __version__\nfrom paddock.backends import sql")


def test_services_and_backends_do_not_know_each_other() -> None:
    folders = {
        module.path.split("/")[2]
        for module in python("paddock")
        if module.path.startswith("paddock/backends/") and module.path.count("/") > 2
    }
    first, second = sorted(folders)[:2]
    sample = Module(f"paddock/backends/{first}/x.py", f"from paddock.backends.{second}.y import z")
    assert "let app hand it over" in str(wrong_ways(sample, frozenset())[0])


def test_every_room_exists_and_architecture_shows_the_table() -> None:
    shown = {
        name: int(rank)
        for rank, rooms in re.findall(r"^rank (\d) +(.+)$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
        for name in re.sub(r"\(.*?\)", "", rooms).split()
    }
    assert shown == dict(RANKS), "ARCHITECTURE.md and tests/house/table.py hold the same ranks: mend the one that lags"
    there = {room_of(module.name) for module in python("paddock")} - {""}
    assert not there - set(RANKS), f"rooms without a rank in tests/house/table.py: {sorted(there - set(RANKS))}"


def test_no_cycles() -> None:
    found = cycles(graph(python("paddock")))
    assert not found, f"modules that import each other; move what both need below them: {found}"


def test_no_cycles_sees_one() -> None:
    modules = (
        Module("paddock/a.py", "from paddock import b"),
        Module("paddock/b.py", "def f():\n    from paddock.c import x"),
        Module("paddock/c.py", "import paddock.a"),
        Module("paddock/d.py", "import paddock.a"),
    )
    assert cycles(graph(modules)) == [("paddock.a", "paddock.b", "paddock.c")]


def test_no_import_inside_functions() -> None:
    found = [finding for module in python("paddock", "tools") for finding in imports_inside(module)]
    report(
        "Imports stand at the top, where the table of ranks can see them.",
        [finding for finding in found if finding.path not in MAY_IMPORT_INSIDE],
    )
    stale = set(MAY_IMPORT_INSIDE) - {finding.path for finding in found}
    assert not stale, f"MAY_IMPORT_INSIDE excuses nothing: {stale}"


def test_no_import_inside_functions_sees_one() -> None:
    assert imports_inside(Module("x.py", "async def f():\n    if 1:\n        import json"))
    assert not imports_inside(Module("x.py", "import json\ndef f(): json.loads('1')"))


def test_no_dead_modules() -> None:
    found = unreached(python("paddock"), "paddock.__main__")
    report("Every module is used by the program.", [finding for finding in found if finding.path not in RUN_OTHERWISE])
    stale = set(RUN_OTHERWISE) - {finding.path for finding in found}
    assert not stale, f"RUN_OTHERWISE excuses nothing: {stale}"


def test_no_dead_modules_sees_one() -> None:
    modules = (
        Module("paddock/__main__.py", "import paddock.a"),
        Module("paddock/a.py", ""),
        Module("paddock/b.py", "import paddock.a"),
        Module("paddock/c/__init__.py", '"""A room."""'),
    )
    assert [finding.path for finding in unreached(modules, "paddock.__main__")] == ["paddock/b.py"]
