"""Time, chance, identity and the environment are handed in; exceptions are caught where they are rendered."""

from __future__ import annotations

import ast

from tests.house.reading import Finding, Module, dotted, enclosing, python, report, spelled
from tests.house.table import BANNED, MAY_CALL, MAY_CATCH_ALL, SOURCES_OF_CHANCE


def banned_in(module: Module) -> list[tuple[str, Finding]]:
    """(banned name, finding) for each use, called or passed on, under whatever name it was imported."""
    names = spelled(module)
    found: dict[tuple[int, str], Finding] = {}
    for node in ast.walk(module.tree):
        if not isinstance(node, (ast.Attribute, ast.Name)):
            continue
        head, _, rest = dotted(node).partition(".")
        meaning = f"{names.get(head, '' if rest else head)}.{rest}".rstrip(".")
        for banned, instead in BANNED.items():
            if meaning == banned or (banned.endswith(".") and meaning.startswith(banned)):
                line = getattr(node, "lineno", 1)
                found[line, banned] = module.find(node, f"{meaning} is not for this room: use {instead}")
    return [(banned, finding) for (_, banned), finding in found.items()]


def broad_catches(module: Module) -> list[Finding]:
    """`except:`, `except Exception` and `except BaseException`, unless all they do is clean up and raise again."""
    found = []
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = {dotted(name) for name in ast.walk(node.type)} if node.type else {"everything"}
        if not caught & {"everything", "Exception", "BaseException"}:
            continue
        last = node.body[-1]
        if isinstance(last, ast.Raise) and last.exc is None:
            continue
        found.append(module.find(node, f"catches everything in {enclosing(module, node.lineno)!r}: name the errors"))
    return found


def test_time_chance_identity_and_environment_are_handed_in() -> None:
    found = [
        (finding, (finding.path, banned))
        for module in python("paddock")
        if not module.path.startswith(SOURCES_OF_CHANCE)
        for banned, finding in banned_in(module)
    ]
    report("Time, chance, identity and settings are handed in.", [f for f, key in found if key not in MAY_CALL])
    stale = set(MAY_CALL) - {key for _, key in found}
    assert not stale, f"MAY_CALL excuses nothing: {stale}"


def test_catch_in_one_place() -> None:
    modules = {module.path: module for module in python("paddock")}
    found = [
        (finding, (finding.path, enclosing(modules[finding.path], finding.line)))
        for module in modules.values()
        for finding in broad_catches(module)
    ]
    report(
        "Errors are rendered in one place; only named loops catch everything, log it and carry on.",
        [finding for finding, key in found if key not in MAY_CATCH_ALL],
    )
    stale = set(MAY_CATCH_ALL) - {key for _, key in found}
    assert not stale, f"MAY_CATCH_ALL excuses nothing: {stale}"


def test_exceptions_to_the_rules_have_reasons() -> None:
    for table in (MAY_CALL, MAY_CATCH_ALL):
        for key, reason in table.items():
            assert len(reason.split()) >= 4, f"{key}: say why in a sentence"


def test_the_rules_see_what_they_forbid() -> None:
    def told(source: str) -> list[str]:
        return [banned for banned, _ in banned_in(Module("paddock/x.py", source))]

    assert told("import time\ntime.time()") == ["time.time"]
    assert told("from time import monotonic as m\nclock = m") == ["time.monotonic"]
    assert told("import datetime as d\nd.datetime.now(d.UTC)") == ["datetime.datetime.now"]
    assert told("from datetime import datetime\ndatetime.utcnow()") == ["datetime.datetime.utcnow"]
    assert told("import random\nrandom.SystemRandom().choice('a')") == ["random."]
    assert told("from uuid import uuid4\nuuid4()") == ["uuid.uuid4"]
    assert told("import os\nos.environ['A']") == ["os.environ"]
    assert told("import asyncio\nawait_it = asyncio.sleep(1)") == ["asyncio.sleep"]
    assert not told("async def f(clock): await clock.sleep(1)\ntime = 3\nimport os\nos.getpid()")
    assert broad_catches(Module("x.py", "try: f()\nexcept (ValueError, Exception): pass"))
    assert broad_catches(Module("x.py", "try: f()\nexcept: pass"))
    assert broad_catches(Module("x.py", "try: f()\nexcept BaseException as e: raise X() from e"))
    assert not broad_catches(Module("x.py", "try: f()\nexcept BaseException:\n    close()\n    raise"))
    assert not broad_catches(Module("x.py", "try: f()\nexcept OSError: pass"))
