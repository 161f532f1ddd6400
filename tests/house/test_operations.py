"""Every operation of a service model is a function or stands in NOT_YET, never both; coverage.md says which.

And every member of a done operation's request is looked at: honoured, or refused and listed for users.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Mapping

import pytest
from botocore import xform_name
from botocore.model import Shape

from paddock.services import SERVICES
from paddock.services.service import Service, operations_of
from paddock.wire.service import ServiceModel, load_service
from tests.house.reading import ROOT, Finding, Module, dotted, functions, python, report
from tests.house.table import MEANINGLESS
from tools import coverage

REFUSED = ROOT / "docs" / "refused-settings.md"


@functools.cache
def model_of(name: str) -> ServiceModel:
    """Read once: a model has megabytes."""
    return load_service(name)


def disagreements(modelled: frozenset[str], done: frozenset[str], not_yet: frozenset[str]) -> list[str]:
    return [
        *(f"{name}: write it, or list it in NOT_YET" for name in sorted(modelled - done - not_yet)),
        *(f"{name}: it is written, so take it out of NOT_YET" for name in sorted(done & not_yet)),
        *(f"{name}: the service model has no such operation" for name in sorted(not_yet - modelled)),
    ]


def refusals(module: Module) -> list[tuple[str, Finding]]:
    """(message, place) of every NotYet that is raised with a text: fields of an f-string become a star."""
    return [
        (_text(argument), module.find(node, ""))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "NotYet"
        for argument in node.args[:1]
    ]


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "*" for part in node.values)
    return "*"


def undocumented(refused: list[tuple[str, Finding]], members: frozenset[str], page: str) -> list[Finding]:
    """Refusals that name a member of a request which the page does not."""
    return [
        Finding(place.path, place.line, f"refuses {name}: add it to docs/refused-settings.md")
        for message, place in refused
        for name in re.findall(r"\b\w+\b", message)
        if name in members and re.search("[a-z][A-Z]", name) and name not in listed(page)
    ]


def listed(page: str) -> frozenset[str]:
    """The settings in the first column of the page's tables."""
    return frozenset(
        name for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)", row)
    )


def words_of(modules: Iterable[Module]) -> frozenset[str]:
    """Every text in the code that is one name, and every name within the message of a refusal."""
    words: set[str] = set()
    for module in modules:
        words |= {n.value for n in ast.walk(module.tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        words |= {name for message, _ in refusals(module) for name in re.findall(r"\w+", message)}
    return frozenset(words)


def ignored(service: str, operations: Mapping[str, Iterable[str]], words: frozenset[str]) -> list[str]:
    """Members of done operations' requests that the service's code never names: accepted, and then ignored."""
    return [
        f"{service}:{operation} takes {member} and never looks at it: honour it, or raise NotYet"
        for operation, members in operations.items()
        for member in members
        if member not in words and (service, member) not in MEANINGLESS
    ]


def refusing(modules: Iterable[Module]) -> frozenset[str]:
    """Operations (snake case) that refuse every member they do not name: those that call refuse_others."""
    return frozenset(
        function.name
        for module in modules
        for function in functions(module.tree)
        if any(isinstance(n, ast.Call) and dotted(n.func) == "refuse_others" for n in ast.walk(function))
    )


def honoured_in(modules: Iterable[Module]) -> frozenset[str]:
    """The names in set literals: what such operations do not refuse."""
    return frozenset(
        entry.value
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Set)
        for entry in node.elts
        if isinstance(entry, ast.Constant) and isinstance(entry.value, str)
    )


def names_in(shape: Shape | None, seen: set[str]) -> frozenset[str]:
    """Every member and every enumerated value of a request, at any depth. Shapes in `seen` are passed over."""
    if shape is None or shape.name in seen:
        return frozenset()
    seen.add(shape.name)
    found = set(getattr(shape, "enum", ()))
    for name, member in getattr(shape, "members", {}).items():
        found |= {name} | names_in(member, seen)
    for part in ("member", "key", "value"):
        found |= names_in(getattr(shape, part, None), seen)
    return frozenset(found)


@functools.cache
def done_in(service: Service) -> frozenset[str]:
    return frozenset(operations_of(tuple(model_of(service.name).operation_names), *service.modules))


@functools.cache
def members_of(service: Service, operation: str) -> tuple[str, ...]:
    shape = model_of(service.name).operation(operation).input_shape
    return tuple(shape.members) if shape is not None else ()


@functools.cache
def folder_of(service: Service) -> tuple[Module, ...]:
    folder = service.modules[0].__name__.rpartition(".")[0].replace(".", "/") + "/"
    return tuple(module for module in python("paddock") if module.path.startswith(folder))


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_operation_is_done_or_listed(service: Service) -> None:
    done = done_in(service)
    found = disagreements(frozenset(model_of(service.name).operation_names), done, service.not_yet)
    assert not found, "\n".join(found)
    assert done, f"{service.name} answers nothing: do not mount it"


def test_the_coverage_page_is_up_to_date() -> None:
    assert coverage.PAGE.read_text(encoding="utf-8") == coverage.page(), "run `make docs`"


def test_refused_settings_are_listed() -> None:
    members = frozenset(m for s in SERVICES for operation in done_in(s) for m in members_of(s, operation))
    refused = [refusal for module in python("paddock") for refusal in refusals(module)]
    page = REFUSED.read_text(encoding="utf-8")
    report("What is refused is documented: users decide by it.", undocumented(refused, members, page))


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_what_is_refused_by_default_is_listed(service: Service) -> None:
    modules = folder_of(service)
    snake = refusing(modules)
    members = {m for name in done_in(service) if xform_name(name) in snake for m in members_of(service, name)}
    missing = members - honoured_in(modules) - listed(REFUSED.read_text(encoding="utf-8"))
    assert not missing, f"docs/refused-settings.md does not list {sorted(missing)}"


def test_the_list_of_refused_settings_is_true() -> None:
    page = REFUSED.read_text(encoding="utf-8")
    known: set[str] = set()
    for service in SERVICES:
        seen: set[str] = set()
        for name in done_in(service):
            known |= names_in(model_of(service.name).operation(name).input_shape, seen)
    assert not listed(page) - known, f"no request of ours has {sorted(listed(page) - known)}"
    wholly = listed("\n".join(row for row in page.splitlines() if " = " not in row and "other than" not in row))
    modules = [m for s in SERVICES if refusing(folder_of(s)) for m in folder_of(s)]
    assert not wholly & honoured_in(modules), (
        f"listed as refused, and honoured: {sorted(wholly & honoured_in(modules))}"
    )


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_nothing_is_accepted_and_ignored(service: Service) -> None:
    modules = folder_of(service)
    snake = refusing(modules)
    operations = {n: members_of(service, n) for n in sorted(done_in(service)) if xform_name(n) not in snake}
    found = ignored(service.name, operations, words_of(modules))
    assert not found, "\n".join(found)


def test_the_rules_see_what_they_forbid() -> None:
    found = disagreements(frozenset({"A", "B", "C"}), frozenset({"A", "B"}), frozenset({"B", "Gone"}))
    assert [line.split(":")[0] for line in found] == ["C", "B", "Gone"]
    sample = Module("paddock/x.py", "raise NotYet(f'VpcConfig of {name} is not supported yet')\nx = 'Timeout'")
    refused = refusals(sample)
    assert refused[0][0] == "VpcConfig of * is not supported yet"
    members = frozenset({"VpcConfig", "Timeout"})
    assert "refuses VpcConfig" in str(undocumented(refused, members, "| `KMSKeyArn` | x |")[0])
    assert not undocumented(refused, members, "| `VpcConfig` | ... |")
    operations = {"CreateIt": ("VpcConfig", "Timeout", "Layers")}
    assert [line.split()[2] for line in ignored("x", operations, words_of([sample]))] == ["Layers"]
    careful = Module(
        "paddock/x.py", "OK = frozenset({'A'})\nasync def create_it(desk, call):\n    refuse_others(call.params, OK)"
    )
    assert refusing([careful, sample]) == {"create_it"}
    assert honoured_in([careful]) == {"A"}
    names = names_in(model_of("lambda").operation("CreateFunction").input_shape, set())
    assert {"VpcConfig", "S3Bucket", "PassThrough"} <= names
    assert listed("| `A`, `B.C` | x |\n| setting | y |\n| `D` = `E` | `F` |") == {"A", "B", "D", "E"}
