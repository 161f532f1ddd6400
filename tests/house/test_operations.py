"""Every operation of a service model is a function or stands in NOT_YET, never both; coverage.md says which."""

from __future__ import annotations

import ast
import re

import pytest

from paddock.services import SERVICES
from paddock.services.service import Service, operations_of
from paddock.wire.service import load_service
from tests.house.reading import ROOT, Finding, Module, python, report
from tools import coverage

REFUSED = ROOT / "docs" / "refused-settings.md"


def disagreements(modelled: frozenset[str], done: frozenset[str], not_yet: frozenset[str]) -> list[str]:
    return [
        *(f"{name}: write it, or list it in NOT_YET" for name in sorted(modelled - done - not_yet)),
        *(f"{name}: it is written, so take it out of NOT_YET" for name in sorted(done & not_yet)),
        *(f"{name}: the service model has no such operation" for name in sorted(not_yet - modelled)),
    ]


def refusals(module: Module) -> list[tuple[str, Finding]]:
    """(message, place) of every NotYet that is raised with a text: f-string fields become a star."""
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "NotYet":
            for argument in node.args[:1]:
                found.append((_text(argument), module.find(node, "")))
    return found


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "*" for part in node.values)
    return "*"


def undocumented(refused: list[tuple[str, Finding]], page: str) -> list[Finding]:
    """Refusals that name a setting (a member in Pascal case) which the page does not."""
    return [
        Finding(place.path, place.line, f"refuses {name}: add it to docs/refused-settings.md")
        for message, place in refused
        for name in re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z0-9]*)+\b", message)
        if f"`{name}`" not in page and f"`{name}." not in page and f".{name}`" not in page
    ]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_operation_is_done_or_listed(service: Service) -> None:
    modelled = tuple(load_service(service.name).operation_names)
    done = frozenset(operations_of(modelled, *service.modules))
    found = disagreements(frozenset(modelled), done, service.not_yet)
    assert not found, "\n".join(found)
    assert done, f"{service.name} answers nothing: do not mount it"


def test_the_coverage_page_is_up_to_date() -> None:
    assert coverage.PAGE.read_text(encoding="utf-8") == coverage.page(), "run `make docs`"


def test_refused_settings_are_listed() -> None:
    refused = [refusal for module in python("paddock") for refusal in refusals(module)]
    report(
        "What is refused is documented: users decide by it.",
        undocumented(refused, REFUSED.read_text(encoding="utf-8")),
    )


def test_the_rules_see_what_they_forbid() -> None:
    found = disagreements(frozenset({"A", "B", "C"}), frozenset({"A", "B"}), frozenset({"B", "Gone"}))
    assert [line.split(":")[0] for line in found] == ["C", "B", "Gone"]
    sample = Module("paddock/x.py", "raise NotYet(f'VpcConfig of {name} is not supported yet')")
    refused = refusals(sample)
    assert refused[0][0] == "VpcConfig of * is not supported yet"
    assert "add it to" in str(undocumented(refused, "| `KMSKeyArn` |")[0])
    assert not undocumented(refused, "| `VpcConfig` | ... |")
