"""No module-level state but constants: what a module holds, it holds unchanged for ever."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.house.reading import Finding, Module, dotted, functions, imports, python, report
from tests.house.table import MAY_REMEMBER

RULE = "State lives in objects that the room app builds and hands over. A module holds constants only."
FROZEN_TYPES = {"Mapping", "Sequence", "Set", "AbstractSet", "frozenset", "tuple", "MappingProxyType", "Pattern"}
MUTABLE_CALLS = {
    "list",
    "dict",
    "set",
    "bytearray",
    "defaultdict",
    "deque",
    "Counter",
    "OrderedDict",
    "ChainMap",
    "ContextVar",
    "count",
    "Lock",
    "Event",
    "Queue",
    "WeakValueDictionary",
    "WeakKeyDictionary",
    "local",
}
MUTABLE_LITERALS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp)
CONSTANT_CALLS = {
    "CDLL",
    "TypeVar",
    "ParamSpec",
    "NewType",
    "namedtuple",
    "compile",
    "Struct",
    "getLogger",
    "frozenset",
    "tuple",
}
MUTATORS = {
    "append", "extend", "insert", "remove", "pop", "popitem", "clear", "update", "setdefault", "add", "discard",
    "sort", "reverse", "appendleft", "popleft", "extendleft", "subtract", "move_to_end",
}  # fmt: skip
MEMOS = {"functools.cache", "functools.lru_cache", "functools.cached_property", "cache", "lru_cache"}


def state_in(module: Module) -> list[Finding]:
    """Assignments at module level, and class attributes, that hold something mutable without being a constant."""
    found = []
    for name, value, annotation, node in _assigned(module.tree.body):
        if _is_constant_name(name) or _frozen(annotation):
            continue
        if isinstance(value, MUTABLE_LITERALS) or (
            isinstance(value, ast.Call) and dotted(value.func).rpartition(".")[2] not in CONSTANT_CALLS
        ):
            what = f"{name} is module state: give it to an object, or make it an UPPER_CASE constant nobody changes"
            found.append(module.find(node, what))
    for holder in (node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)):
        for name, value, annotation, node in _assigned(holder.body):
            if not _is_constant_name(name) and not _frozen(annotation) and _is_mutable(value):
                found.append(module.find(node, f"{holder.name}.{name} is shared by all instances: set it in __init__"))
    return found


def mutations(modules: tuple[Module, ...]) -> list[Finding]:
    """Constants (module-level UPPER_CASE names holding lists, dicts, sets) that some code changes after all."""
    constants = {
        f"{module.name}.{name}"
        for module in modules
        for name, value, _, _ in _assigned(module.tree.body)
        if _is_mutable(value)
    }
    found = []
    for module in modules:
        local = {entry.target.rpartition(".")[2]: entry.target for entry in imports(module)}
        for name, node in _mutated(module.tree):
            head, _, rest = name.partition(".")
            for meaning in {f"{module.name}.{name}", f"{local.get(head, head)}.{rest}".rstrip(".")}:
                if meaning in constants:
                    found.append(module.find(node, f"{meaning} is a constant and is changed here: hand a copy over"))
    return found


def _assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr | None, ast.expr | None, ast.stmt]]:
    for node in body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value, None, node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.value, node.annotation, node
        elif isinstance(node, (ast.If, ast.Try)):
            yield from _assigned(node.body)
            yield from _assigned(node.orelse)


def _is_constant_name(name: str) -> bool:
    return name.isupper() or (name.startswith("_") and name.endswith("_"))


def _is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, MUTABLE_LITERALS):
        return True
    return isinstance(value, ast.Call) and dotted(value.func).rpartition(".")[2] in MUTABLE_CALLS


def _frozen(annotation: ast.expr | None) -> bool:
    if annotation is None:
        return False
    names = {dotted(node).rpartition(".")[2] for node in ast.walk(annotation)} - {""}
    first = annotation.slice if isinstance(annotation, ast.Subscript) and names & {"ClassVar", "Final"} else annotation
    head = first.value if isinstance(first, ast.Subscript) else first
    return dotted(head).rpartition(".")[2] in FROZEN_TYPES


def _mutated(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            yield dotted(node.func.value), node
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign):
            targets = [node.target]
            yield dotted(node.target), node
        elif isinstance(node, ast.Delete):
            targets = node.targets
        for target in targets:
            if isinstance(target, ast.Subscript):
                yield dotted(target.value), node


def memos(module: Module) -> list[tuple[str, Finding]]:
    return [
        (
            function.name,
            module.find(function, f"{function.name} remembers: that is module state, or name why it is not"),
        )
        for function in functions(module.tree)
        for decorator in function.decorator_list
        if dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        in MEMOS - {"functools.cached_property"}
    ]


def test_no_module_state() -> None:
    report(RULE, [finding for module in python("paddock") for finding in state_in(module)])


def test_constants_stay() -> None:
    report(RULE, mutations(python("paddock")))


def test_no_global() -> None:
    report(RULE, [finding for module in python("paddock", "tools", "examples") for finding in _globals(module)])


def _globals(module: Module) -> list[Finding]:
    return [
        module.find(node, "global: make it an attribute of an object")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Global)
    ]


def test_memos_are_few_and_explained() -> None:
    found = {(module.path, name): finding for module in python("paddock") for name, finding in memos(module)}
    report(RULE, [finding for key, finding in found.items() if key not in MAY_REMEMBER])
    assert not set(MAY_REMEMBER) - set(found), f"MAY_REMEMBER excuses nothing: {set(MAY_REMEMBER) - set(found)}"


def test_the_rules_see_what_they_forbid() -> None:
    def told(source: str) -> bool:
        return bool(state_in(Module("paddock/x.py", source)))

    assert told("cache = {}")
    assert told("pool = Pool()")
    assert told("seen: dict[str, int] = {}")
    assert told("class A:\n    seen = []")
    assert told("try:\n    import x\nexcept ImportError:\n    x = 1\nelse:\n    found = set()")
    assert not told("import re\nfrom typing import TypeVar\nNAMES = ['a']\nword = re.compile('x')\nT = TypeVar('T')")
    assert not told(
        "table: Mapping[str, int] = {}\nclass A:\n    RULES: ClassVar[Mapping[str, int]] = {}\n    n: int = 3"
    )
    assert _globals(Module("paddock/x.py", "def f():\n    global a\n    a = 1"))
    assert memos(Module("paddock/x.py", "import functools\n@functools.lru_cache(maxsize=3)\ndef f(): ..."))
    a = Module("paddock/a.py", "NAMES = []\nMORE = {}\nFEW = ('a',)\ndef f():\n    NAMES.append(1)")
    b = Module(
        "paddock/b.py", "from paddock import a\nfrom paddock.a import MORE\nMORE['x'] = 1\ndel a.NAMES[0]\nown = 1"
    )
    assert [str(finding)[:14] for finding in mutations((a, b))] == [
        "paddock/a.py:5",
        "paddock/b.py:3",
        "paddock/b.py:4",
    ]
