"""min, max, pattern, enum and required, checked from the model and reported in AWS's grammar (spec 01 §1.1).

    2 validation errors detected: Value '' at 'functionName' failed to satisfy constraint: Member must have length
    greater than or equal to 1; Value null at 'role' failed to satisfy constraint: Member must not be null

Lists and maps of simple values are reported as a whole, with every constraint of their members; elements that are
structures by a path `tags.1.member.key`. Of a sensitive value nothing is shown: AWS writes `Value at 'x' failed`.

Patterns are Java's. What differs in Python is translated in `compiled`: classes such as \\d are ASCII unless the
pattern speaks of Unicode properties. In the models \\p{L} stands beside \\p{N} and the underscore in one class,
which together is Python's \\w; a test holds the models to that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from botocore.model import OperationModel, Shape

VIOLATIONS_MAX = 100
SHOWN_CHARS_MAX = 8_192
PATTERN_CHARS_MAX = 65_536
"""A value longer than this and longer than its own maximum is not run through its pattern as well."""

_SEPARATORS = "\\u0020\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
_NUMBERS = frozenset({"byte", "short", "integer", "long", "float", "double"})
_NOT_NULL = "Member must not be null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """A service's departure from the plain rules, recorded on AWS. path: as printed. but: operations without it."""

    service: str
    path: str
    but: frozenset[str] = frozenset()


PATTERN_HIDES_LENGTH = (Habit(service="lambda", path="functionName", but=frozenset({"CreateFunction"})),)
"""Where a failed pattern keeps the length from being reported too."""

ENUM_LEFT_TO_SERVICE = (Habit(service="lambda", path="runtime"),)
"""Where the service refuses unknown values itself, with another error code (spec 01 §4.1)."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """kind: length, range, pattern or enum."""

    kind: str
    text: str


def violations(operation: OperationModel, params: Mapping[str, Any]) -> list[str]:
    """What is wrong with parsed params, in model order; empty when all is well. At most VIOLATIONS_MAX."""
    shape = operation.input_shape
    if shape is None:
        return []
    found: list[str] = []
    for text in _structure(operation, shape, params, ""):
        found.append(text)
        if len(found) == VIOLATIONS_MAX:
            break
    return found


def message(found: Sequence[str]) -> str:
    """The text of the ValidationException."""
    return f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: {'; '.join(found)}"


def _structure(operation: OperationModel, shape: Shape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    if getattr(shape, "is_document_type", False):
        return
    required = shape.required_members
    for name, member in shape.members.items():
        item = value.get(name)
        if item is None:
            if name in required:
                yield f"Value null at '{path}{_camel(name)}' failed to satisfy constraint: {_NOT_NULL}"
        else:
            yield from _member(operation, member, item, path + _camel(name))


def _member(operation: OperationModel, shape: Shape, value: Any, path: str) -> Iterator[str]:
    failures = _observed(operation, path, list(_failures(shape, value)))
    for failure in failures:
        yield _violation(shape, value, path, failure.text)
    match shape.type_name:
        case "structure":
            yield from _structure(operation, shape, value, path + ".")
        case "list":
            yield from _list(operation, shape, value, path)
        case "map":
            yield from _map(operation, shape, value, path)


def _list(operation: OperationModel, shape: Shape, value: Sequence[Any], path: str) -> Iterator[str]:
    member = shape.member
    if _is_simple(member):
        if any(item is None or _fails(operation, member, item) for item in value):
            yield _violation(shape, value, path, f"Member must satisfy constraint: [{_rules(member, null=True)}]")
        return
    for number, item in enumerate(value, 1):
        if item is None:
            yield f"Value null at '{path}.{number}.member' failed to satisfy constraint: {_NOT_NULL}"
        else:
            yield from _member(operation, member, item, f"{path}.{number}.member")


def _map(operation: OperationModel, shape: Shape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    if any(_fails(operation, shape.key, key) for key in value):
        yield _violation(shape, value, path, f"Map keys must satisfy constraint: [{_rules(shape.key, null=False)}]")
    inner = shape.value
    if _is_simple(inner):
        if any(item is None or _fails(operation, inner, item) for item in value.values()):
            yield _violation(shape, value, path, f"Map value must satisfy constraint: [{_rules(inner, null=True)}]")
        return
    for key, item in value.items():
        if item is None:
            yield f"Value null at '{path}.{_cut(key)}.member' failed to satisfy constraint: {_NOT_NULL}"
        else:
            yield from _member(operation, inner, item, f"{path}.{_cut(key)}.member")


def _observed(operation: OperationModel, path: str, failures: list[_Failure]) -> list[_Failure]:
    """The failures that the service reports here, by its habits."""
    if not failures:
        return failures
    kinds = {failure.kind for failure in failures}
    if "pattern" in kinds and _has(PATTERN_HIDES_LENGTH, operation, path):
        failures = [failure for failure in failures if failure.kind != "length"]
    if "enum" in kinds and (_checks_enums_itself(operation) or _has(ENUM_LEFT_TO_SERVICE, operation, path)):
        failures = [failure for failure in failures if failure.kind != "enum"]
    return failures


def _checks_enums_itself(operation: OperationModel) -> bool:
    """Services that once spoke the query protocol report unknown names by errors of their own, and take older names."""
    return "awsQueryCompatible" in operation.service_model.metadata


def _has(habits: tuple[Habit, ...], operation: OperationModel, path: str) -> bool:
    service = operation.service_model.service_name
    return any(each.service == service and each.path == path and operation.name not in each.but for each in habits)


# ---- one shape


def _is_simple(shape: Shape) -> bool:
    return shape.type_name not in ("structure", "list", "map")


def _fails(operation: OperationModel, shape: Shape, value: Any) -> bool:
    failures = _failures(shape, value)
    return any(failure.kind != "enum" or not _checks_enums_itself(operation) for failure in failures)


def _failures(shape: Shape, value: Any) -> Iterator[_Failure]:
    """The shape's own constraints that the value breaks; not those of its members."""
    limits = shape.metadata
    low, high, pattern = limits.get("min"), limits.get("max"), limits.get("pattern")
    if low is None and high is None and pattern is None and "enum" not in limits:
        return
    number = shape.type_name in _NUMBERS
    if not number and not isinstance(value, str | bytes | list | dict):
        return
    size: int | float = value if number else len(value)
    kind = "range" if number else "length"
    too_much = high is not None and size > high
    if too_much:
        yield _Failure(kind, _bound(shape, "less", high))
    if low is not None and size < low:
        yield _Failure(kind, _bound(shape, "greater", low))
    if not isinstance(value, str):
        return
    if pattern is not None and not (too_much and size > PATTERN_CHARS_MAX) and not compiled(pattern).fullmatch(value):
        yield _Failure("pattern", f"Member must satisfy regular expression pattern: {pattern}")
    if "enum" in limits and value not in limits["enum"]:
        yield _Failure("enum", _enum(limits["enum"]))


def _rules(shape: Shape, *, null: bool) -> str:
    """Every constraint of a member, broken or not: so AWS reports lists and maps."""
    limits = shape.metadata
    rules = []
    if "max" in limits:
        rules.append(_bound(shape, "less", limits["max"]))
    if "min" in limits:
        rules.append(_bound(shape, "greater", limits["min"]))
    if "pattern" in limits:
        rules.append(f"Member must satisfy regular expression pattern: {limits['pattern']}")
    if "enum" in limits:
        rules.append(_enum(limits["enum"]))
    if null:
        rules.append(_NOT_NULL)
    return ", ".join(rules)


def _bound(shape: Shape, word: str, limit: int | float) -> str:
    what = "value" if shape.type_name in _NUMBERS else "length"
    shown = float(limit) if shape.type_name in ("float", "double") else int(limit)
    return f"Member must have {what} {word} than or equal to {shown}"


def _enum(values: Sequence[str]) -> str:
    return f"Member must satisfy enum value set: [{', '.join(values)}]"


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """A Java pattern of the model as Python's. Raises re.error for what can not be translated."""
    flags = 0 if "\\p{" in pattern else re.ASCII
    translated = pattern.replace("\\p{L}", "\\w").replace("\\p{N}", "\\d").replace("\\p{Z}", _SEPARATORS)
    # Java takes the dash in [\w-_] literally; Python wants it escaped.
    translated = re.sub(r"(\\[wdsWDS])-(?=[^\]])", r"\1\\-", translated)
    return re.compile(translated, flags)


# ---- printing


def _violation(shape: Shape, value: Any, path: str, constraint: str) -> str:
    shown = "" if _is_sensitive(shape) else f" '{_cut(_shown(value))}'"
    return f"Value{shown} at '{path}' failed to satisfy constraint: {constraint}"


def _is_sensitive(shape: Shape) -> bool:
    if shape.metadata.get("sensitive") or shape.type_name == "structure":
        return True
    match shape.type_name:
        case "list":
            return _is_sensitive(shape.member) if _is_simple(shape.member) else True
        case "map":
            return _is_sensitive(shape.key) or not _is_simple(shape.value) or _is_sensitive(shape.value)
    return False


def _shown(value: Any) -> str:
    """As Java prints it: [a, b], {k=v}, true, 1.0."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case bytes():
            return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
        case Mapping():
            return "{" + ", ".join(f"{key}={_shown(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return f"[{', '.join(_shown(item) for item in value)}]"
        case _:
            return str(value)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS_MAX else text[:SHOWN_CHARS_MAX] + "..."


def _camel(name: str) -> str:
    """FunctionName -> functionName, KMSKeyArn -> kMSKeyArn: only the first letter changes."""
    return name[:1].lower() + name[1:]
