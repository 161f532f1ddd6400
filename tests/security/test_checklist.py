"""README.md of this directory tells the truth: every test there exists, every test here is there, skips are told."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = (HERE / "README.md").read_text()
OWN = {"test_checklist.py"}


def held_by(name: str) -> dict[str, bool]:
    """test -> whether it skips when rootless."""
    functions = [node for node in ast.parse((HERE / name).read_text()).body if isinstance(node, ast.FunctionDef)]
    return {
        node.name.removeprefix("test_"): 'if mode == "rootless":\n        pytest.skip' in ast_text(name, node)
        for node in functions
        if node.name.startswith("test_")
    }


def ast_text(name: str, node: ast.FunctionDef) -> str:
    return ast.get_source_segment((HERE / name).read_text(), node) or ""


def rows() -> list[tuple[str, list[str], str]]:
    """(file, tests, modes) of each row that names tests; a file stands until the next one is named."""
    found, file = [], ""
    for line in TABLE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| ") or len(cells) != 3 or not cells[1] or cells[0] == "what":
            continue
        named = re.match(r"`(test_\w+\.py)`: ", cells[1])
        file = named[1] if named else file
        tests = re.findall(r"`([a-z_0-9]+)`", cells[1])
        if cells[1].endswith(": all"):
            tests = list(held_by(file))
        if tests:
            found.append((file, tests, cells[2]))
    return found


def test_every_test_that_is_named_exists() -> None:
    missing = [f"{file}: {test}" for file, tests, _ in rows() for test in tests if test not in held_by(file)]
    assert missing == []


def test_every_test_is_named() -> None:
    named = {(file, test) for file, tests, _ in rows() for test in tests}
    here = {(path.name, test) for path in HERE.glob("test_*.py") if path.name not in OWN for test in held_by(path.name)}
    assert here - named == set()


def test_what_is_skipped_rootless_says_why() -> None:
    untold = [
        f"{file}: {test}"
        for file, tests, modes in rows()
        for test in tests
        if held_by(file)[test] and not modes.startswith("root: ")
    ]
    assert untold == []
    assert any(held_by(path.name)[test] for path in HERE.glob("test_*.py") for test in held_by(path.name))
