"""Size alarms: split by reason, not by line, when one rings."""

from __future__ import annotations

from tests.house.reading import Finding, Module, functions, python, report
from tests.house.table import COLUMNS_MAX, FILE_LINES_MAX, FUNCTION_LINES_MAX, OPERATION_LINES_MAX


def too_large(module: Module, operation_names: frozenset[str] = frozenset()) -> list[Finding]:
    found = []
    lines = module.source.splitlines()
    if len(lines) > FILE_LINES_MAX:
        found.append(Finding(module.path, 1, f"{len(lines)} lines, more than {FILE_LINES_MAX}: is it one thing?"))
    for function in functions(module.tree):
        size = (function.end_lineno or function.lineno) - function.lineno + 1
        most = OPERATION_LINES_MAX if function.name in operation_names else FUNCTION_LINES_MAX
        if size > most:
            what = f"{function.name} has {size} lines, more than {most}: give its parts names of their own"
            found.append(module.find(function, what))
    return found


def too_wide(module: Module) -> list[Finding]:
    return [
        Finding(module.path, number, f"{len(line)} columns, more than {COLUMNS_MAX}: break the line")
        for number, line in enumerate(module.source.splitlines(), 1)
        if len(line) > COLUMNS_MAX
    ]


def operations_in(module: Module) -> frozenset[str]:
    """Coroutines of a service's folder that take a desk and a call: what the service answers with."""
    if not module.path.startswith("paddock/services/"):
        return frozenset()
    return frozenset(f.name for f in functions(module.tree) if [arg.arg for arg in f.args.args][:2] == ["desk", "call"])


def test_nothing_is_too_large() -> None:
    found = [
        f
        for module in python("paddock", "tools", "examples", "bench")
        for f in too_large(module, operations_in(module))
    ]
    report("One operation, one function, one screen.", found)


def test_nothing_is_too_wide() -> None:
    report(
        "Lines fit a screen.",
        [f for module in python("paddock", "tools", "examples", "tests", "bench") for f in too_wide(module)],
    )


def test_the_alarms_ring() -> None:
    body = "async def create_it(desk, call):\n" + "    x = 1\n" * OPERATION_LINES_MAX
    operation = Module("paddock/services/a/x.py", body)
    assert "create_it has 41 lines" in str(too_large(operation, operations_in(operation))[0])
    assert not too_large(Module("paddock/control/x.py", body))
    assert too_large(Module("paddock/control/x.py", "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX))
    assert too_large(Module("paddock/x.py", "x = 1\n" * (FILE_LINES_MAX + 1)))
    assert too_wide(Module("paddock/x.py", "#" * (COLUMNS_MAX + 1)))
    assert not too_wide(Module("paddock/x.py", "#" * COLUMNS_MAX))
