"""Event patterns: which events a JSON pattern selects (Lambda filter criteria, EventBridge rules, SNS filter policies).

    {"source": ["shop"], "detail": {"total": [{"numeric": [">", 100]}], "state": [{"anything-but": "draft"}]}}

A key of the pattern must be in the event; a list holds alternatives, an object goes deeper. Keys are joined by AND,
`"$or": [{...}, {...}]` joins objects by OR. An array in the event matches when any of its elements does; what a
pattern says of several keys below an array of objects must be true of one and the same element. A key that is absent
matches only `{"exists": false}`, which asks the whole event: an object, or an empty array, is no leaf and so "absent".

Alternatives: a string, number, true, false or null as it is (numbers by their text: 300 is not 300.0), or one of
prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, exists, cidr.

`compile_pattern` parses once; `Pattern.matches` takes what `read_json` read. Matching costs no more than the size of
the event times that of the pattern, whatever the wildcards. What is no pattern raises InvalidPattern with the reason
as AWS words it, without AWS's line and column.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

DEPTH_MAX = 100
NUMERIC_LIMIT = Decimal("5e9")
OPERATORS = frozenset(
    {"prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "exists", "cidr"}
)

Test = Callable[[Any], bool]
Path = tuple[str, ...]


class InvalidPattern(ValueError):
    """Not an event pattern; the text is AWS's reason."""


class Number(str):
    """A number of a JSON text as it was written, so that 300 and 300.0 stay apart."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _Leaf:
    """path: keys from the root. tests: alternatives. absent: {"exists": false} is one of them."""

    path: Path
    tests: tuple[Test, ...]
    absent: bool


@dataclass(frozen=True, slots=True)
class _Node:
    """fields: all must match. choices: of each, one must."""

    fields: tuple[tuple[str, _Node | _Leaf], ...]
    choices: tuple[tuple[_Node, ...], ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern. text: as it was given."""

    text: str
    _root: _Node = field(repr=False, compare=False)

    def matches(self, event: Any) -> bool:
        """event: what read_json returned, or plain dicts, lists and values."""
        return _Match(event).node(self._root, event)


def read_json(text: str | bytes) -> Any:
    """JSON with numbers as Number. Raises ValueError, also for what is nested too deeply or is not UTF-8."""
    try:
        return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def compile_pattern(text: str, *, numeric_strings: bool = False) -> Pattern:
    """numeric_strings: `numeric` also compares numbers that the event holds as strings (DynamoDB's "N").

    Raises InvalidPattern.
    """
    try:
        parsed = read_json(text)
    except ValueError as error:
        raise InvalidPattern(f"Invalid JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise InvalidPattern("Filter is not an object")
    return Pattern(text, _Compiler(numeric_strings).node(parsed, ()))


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# --- matching ------------------------------------------------------------------------------------------------------


class _Match:
    """One event. Remembers which paths have a leaf, since every element of an array may ask the same."""

    def __init__(self, event: Any) -> None:
        self._event = event
        self._present: dict[Path, bool] = {}

    def node(self, node: _Node, value: Any) -> bool:
        """Whether the object `value`, or any object of the array, matches; what has no object matches as an absent."""
        objects = [item for item in _elements(value) if isinstance(item, Mapping)]
        return any(self._object(node, item) for item in objects or ({},))

    def _object(self, node: _Node, item: Mapping[str, Any]) -> bool:
        for key, below in node.fields:
            value = item.get(key, _ABSENT)
            if not (self._leaf(below, value) if isinstance(below, _Leaf) else self.node(below, value)):
                return False
        return all(any(self._object(one, item) for one in choice) for choice in node.choices)

    def _leaf(self, leaf: _Leaf, value: Any) -> bool:
        if leaf.absent and not self._has(leaf.path):
            return True
        values = [each for each in _elements(value) if not isinstance(each, Mapping)]
        return any(test(each) for test in leaf.tests for each in values)

    def _has(self, path: Path) -> bool:
        if path not in self._present:
            level = [self._event]
            for key in path:
                level = [
                    item[key]
                    for value in level
                    for item in _elements(value)
                    if isinstance(item, Mapping) and key in item
                ]
            self._present[path] = any(
                not isinstance(each, Mapping) for value in level for each in _elements(value)
            )  # fmt: skip
        return self._present[path]


_ABSENT = object()


def _elements(value: Any) -> Iterator[Any]:
    """The value itself, or whatever an array holds, arrays within it opened too."""
    if not isinstance(value, list):
        if value is not _ABSENT:
            yield value
        return
    waiting = [iter(value)]
    while waiting:
        for item in waiting[-1]:
            if isinstance(item, list):
                waiting.append(iter(item))
                break
            yield item
        else:
            waiting.pop()


def _written(value: Any) -> str | None:
    """The text by which numbers are compared, or None for what is no number."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(value)
    return None


def _text(value: Any) -> str | None:
    """The value if it is a string of the event."""
    return value if isinstance(value, str) and not isinstance(value, Number) else None


def _decimal(value: Any, numeric_strings: bool) -> Decimal | None:
    written = _text(value) if numeric_strings and _text(value) is not None else _written(value)
    if written is None or len(written) > 64:
        return None
    try:
        number = Decimal(written)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


# --- compiling -----------------------------------------------------------------------------------------------------


class _Compiler:
    def __init__(self, numeric_strings: bool) -> None:
        self._numeric_strings = numeric_strings

    def node(self, pattern: Mapping[str, Any], path: Path) -> _Node:
        if not pattern:
            raise InvalidPattern("Empty objects are not allowed")
        if len(path) > DEPTH_MAX:
            raise InvalidPattern("Pattern is nested too deeply")
        fields: list[tuple[str, _Node | _Leaf]] = []
        choices: list[tuple[_Node, ...]] = []
        for key, value in pattern.items():
            if key == "$or" and _is_choice(value):
                choices.append(tuple(self._choice(one, path) for one in value))
            elif isinstance(value, Mapping):
                fields.append((key, self.node(value, (*path, key))))
            elif isinstance(value, list):
                fields.append((key, self._leaf(value, (*path, key))))
            else:
                raise InvalidPattern(f'"{key}" must be an object or an array')
        return _Node(tuple(fields), tuple(choices))

    def _choice(self, one: Mapping[str, Any], path: Path) -> _Node:
        # A $or within a $or does not lengthen the path of keys, and must not nest without end either.
        if _or_depth(one) > DEPTH_MAX:
            raise InvalidPattern("Pattern is nested too deeply")
        return self.node(one, path)

    def _leaf(self, alternatives: Sequence[Any], path: Path) -> _Leaf:
        if not alternatives:
            raise InvalidPattern("Empty arrays are not allowed")
        tests: list[Test] = []
        absent = False
        for one in alternatives:
            if isinstance(one, Mapping) and _only_key(one) == "exists":
                if not isinstance(one["exists"], bool):
                    raise InvalidPattern("exists match pattern must be either true or false.")
                absent = absent or not one["exists"]
                if one["exists"]:
                    tests.append(_anything)
            elif isinstance(one, Mapping):
                tests.append(self._operator(one))
            elif isinstance(one, list):
                raise InvalidPattern("Match value must be String, number, true, false, or null")
            else:
                tests.append(_exactly(one))
        return _Leaf(path, tuple(tests), absent)

    def _operator(self, one: Mapping[str, Any]) -> Test:
        name = _only_key(one)
        value = one[name]
        match name:
            case "prefix" | "suffix":
                return _affix(name, value)
            case "equals-ignore-case" | "wildcard":
                return _textual(name, value)
            case "anything-but":
                return _anything_but(value)
            case "numeric":
                return _numeric(value, self._numeric_strings)
            case "cidr":
                return _cidr(value)
        raise InvalidPattern(f"Unrecognized match type {name}")


def _is_choice(value: Any) -> bool:
    """$or joins two or more objects of keys; anything else under that key is an ordinary field of the event."""
    return (
        isinstance(value, list)
        and len(value) >= 2
        and all(isinstance(one, Mapping) and one and not (one.keys() & OPERATORS) for one in value)
    )


def _or_depth(pattern: Any) -> int:
    """How deeply $or is nested in $or."""
    depth, level = 0, [pattern]
    while level:
        level = [
            one
            for each in level
            if isinstance(each, Mapping) and isinstance(each.get("$or"), list)
            for one in each["$or"]
        ]
        depth += 1
    return depth


def _only_key(one: Mapping[str, Any]) -> str:
    if len(one) != 1:
        raise InvalidPattern("Only one key allowed in match expression")
    return next(iter(one))


def _anything(value: Any) -> bool:
    return True


def _exactly(wanted: Any) -> Test:
    if wanted is None or isinstance(wanted, bool):
        return lambda value: value is wanted
    written = _written(wanted)
    if written is not None:
        return lambda value: _written(value) == written
    return lambda value: _text(value) == wanted


def _affix(name: str, value: Any) -> Test:
    """prefix and suffix, of a string or of {"equals-ignore-case": string}."""
    folded = isinstance(value, Mapping)
    if folded:
        if _only_key(value) != "equals-ignore-case":
            raise InvalidPattern(f"Unsupported {name} pattern: {_only_key(value)}")
        value = value["equals-ignore-case"]
    if _text(value) is None:
        raise InvalidPattern(f"{name} match pattern must be a string")
    wanted = value.lower() if folded else value
    tell = str.startswith if name == "prefix" else str.endswith

    def test(each: Any) -> bool:
        text = _text(each)
        return text is not None and tell(text.lower() if folded else text, wanted)

    return test


def _textual(name: str, value: Any) -> Test:
    if _text(value) is None:
        raise InvalidPattern(f"{name} match pattern must be a string")
    if name == "wildcard":
        return _wildcard(value)
    wanted = value.lower()

    def test(each: Any) -> bool:
        text = _text(each)
        return text is not None and text.lower() == wanted

    return test


def _wildcard(pattern: str) -> Test:
    """`*` stands for any characters, `\\*` and `\\\\` for themselves. Pieces in order, each at its first place."""
    pieces = [""]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
            if at == len(pattern) or pattern[at] not in "*\\":
                raise InvalidPattern(f"Invalid escape character at pos {at - 1}")
            pieces[-1] += pattern[at]
        elif char == "*":
            if at and pattern[at - 1] == "*" and not pieces[-1]:
                raise InvalidPattern(f"Consecutive wildcard characters at pos {at - 1}")
            pieces.append("")
        else:
            pieces[-1] += char
        at += 1
    first, *rest = pieces
    return lambda value: _glob(_text(value), first, rest)


def _glob(text: str | None, first: str, rest: Sequence[str]) -> bool:
    if text is None or not text.startswith(first):
        return False
    if not rest:
        return len(text) == len(first)
    at = len(first)
    for piece in rest[:-1]:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(text) - at >= len(rest[-1]) and text.endswith(rest[-1])


def _anything_but(value: Any) -> Test:
    if isinstance(value, Mapping):
        name = _only_key(value)
        if name not in ("prefix", "suffix", "equals-ignore-case", "wildcard"):
            raise InvalidPattern(f"Unsupported anything-but pattern: {name}")
        listed = value[name] if isinstance(value[name], list) else [value[name]]
        if not listed:
            raise InvalidPattern("Empty arrays are not allowed")
        make = _affix if name in ("prefix", "suffix") else _textual
        tests = [make(name, each) for each in listed]
    else:
        tests = [_exactly(each) for each in _excluded(value)]
    return lambda each: not any(test(each) for test in tests)


def _excluded(value: Any) -> Sequence[Any]:
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise InvalidPattern("Empty arrays are not allowed")
    if any(not isinstance(each, str | int | float) or isinstance(each, bool) for each in listed):
        raise InvalidPattern(
            "Inside anything but list, start|null|boolean is not supported."
            if isinstance(value, list)
            else "Value of anything-but must be an array or single string/number value."
        )
    if len({_text(each) is None for each in listed}) > 1:
        raise InvalidPattern(
            "Inside anything but list, either all values are number or string, mixed type is not supported"
        )
    return listed


def _numeric(value: Any, numeric_strings: bool) -> Test:
    if not isinstance(value, list):
        raise InvalidPattern("Value of numeric must be an array.")
    if not value:
        raise InvalidPattern("Invalid member in numeric match: ]")
    if len(value) not in (2, 4):
        raise InvalidPattern("Too many elements in numeric expression" if len(value) > 4 else "Bad numeric range")
    bounds = [(_comparison(value[at]), _bound(value[at], value[at + 1])) for at in range(0, len(value), 2)]
    operators = value[0::2]
    if len(bounds) == 2:
        if operators[0] not in (">", ">=") or operators[1] not in ("<", "<="):
            raise InvalidPattern(
                f"Bad numeric range operator: {operators[0 if operators[0] not in ('>', '>=') else 1]}"
            )
        if bounds[0][1] >= bounds[1][1]:
            raise InvalidPattern("Bottom must be less than top")

    def test(each: Any) -> bool:
        number = _decimal(each, numeric_strings)
        return number is not None and all(compare(number, bound) for compare, bound in bounds)

    return test


def _comparison(operator: Any) -> Callable[[Decimal, Decimal], bool]:
    match operator:
        case "=":
            return Decimal.__eq__
        case ">":
            return Decimal.__gt__
        case ">=":
            return Decimal.__ge__
        case "<":
            return Decimal.__lt__
        case "<=":
            return Decimal.__le__
    raise InvalidPattern(f"Unrecognized numeric range operator: {operator}")


def _bound(operator: Any, value: Any) -> Decimal:
    number = _decimal(value, numeric_strings=False)
    if number is None:
        raise InvalidPattern(
            "Value of equals must be numeric." if operator == "=" else f"Value of {operator} must be numeric"
        )
    if number.copy_abs() > NUMERIC_LIMIT:
        raise InvalidPattern(f"Value must be between {-5.0e9} and {5.0e9}, inclusive")
    return number


def _cidr(value: Any) -> Test:
    if _text(value) is None:
        raise InvalidPattern("prefix match pattern must be a string")
    if value.count("/") != 1:
        raise InvalidPattern("Malformed CIDR, one '/' required")
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise InvalidPattern(f"Malformed CIDR: {value}") from None

    def test(each: Any) -> bool:
        text = _text(each)
        try:
            return text is not None and ipaddress.ip_address(text) in network
        except ValueError:
            return False

    return test
