"""What tests keep to: they wait for things and not for time, and say why they are skipped."""

from __future__ import annotations

import ast

from tests.house.reading import Finding, Module, dotted, python, report, spelled

SLEEPS = {"time.sleep", "asyncio.sleep"}
SKIPS = {"pytest.skip", "pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail", "pytest.xfail"}
LOOPS = (ast.While, ast.For, ast.AsyncFor)


def sleeps(module: Module) -> list[Finding]:
    """Sleeps outside a loop that looks for something; `sleep(0)` only lets others run."""
    names = spelled(module)
    polling = {id(inner) for loop in ast.walk(module.tree) if isinstance(loop, LOOPS) for inner in ast.walk(loop)}
    found = []
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or id(node) in polling or not node.args:
            continue
        head, _, rest = dotted(node.func).partition(".")
        meaning = f"{names.get(head, head)}.{rest}".rstrip(".")
        argument = node.args[0]
        if meaning in SLEEPS and not (isinstance(argument, ast.Constant) and argument.value == 0):
            found.append(module.find(node, "sleeps for timing: use the fake Clock, or look for the thing in a loop"))
    return found


def skips(module: Module) -> list[Finding]:
    """Skips, as calls or as bare marks, without a reason in words."""
    reasoned = {
        id(node.func)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and dotted(node.func) in SKIPS and _reason(node)
    }
    return [
        module.find(node, "skips without a reason: a test that is not run proves nothing")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and dotted(node) in SKIPS and id(node) not in reasoned
    ]


def _reason(call: ast.Call) -> bool:
    given = [keyword.value for keyword in call.keywords if keyword.arg in ("reason", "msg")]
    if dotted(call.func) != "pytest.mark.skipif":
        given += call.args
    return any(not isinstance(value, ast.Constant) or len(str(value.value).split()) > 1 for value in given)


def all_but(*without: str) -> tuple[Module, ...]:
    return tuple(module for module in python("tests") if not module.path.startswith(without))


def test_tests_do_not_wait_for_time() -> None:
    modules = all_but("tests/performance/", "tests/house/")
    report("A test that sleeps is slow or flaky, and mostly both.", [f for module in modules for f in sleeps(module)])


def test_skips_have_reasons() -> None:
    report("A skip is a hole in the tests: say why it is there.", [f for module in all_but() for f in skips(module)])


def test_the_rules_see_what_they_forbid() -> None:
    assert sleeps(Module("x.py", "import time\ntime.sleep(0.1)"))
    assert sleeps(Module("x.py", "from asyncio import sleep\nasync def f(): await sleep(delay)"))
    assert not sleeps(Module("x.py", "import asyncio\nasync def f():\n    while not done(): await asyncio.sleep(0.01)"))
    assert not sleeps(Module("x.py", "import asyncio\nasync def f(): await asyncio.sleep(0)"))
    assert skips(Module("x.py", "import pytest\n@pytest.mark.skip\ndef f(): ..."))
    assert skips(Module("x.py", "import pytest\n@pytest.mark.skipif(a)\ndef f(): ..."))
    assert skips(Module("x.py", "import pytest\npytest.skip()"))
    assert not skips(Module("x.py", "import pytest\n@pytest.mark.skipif(a, reason='needs root here')\ndef f(): ..."))
