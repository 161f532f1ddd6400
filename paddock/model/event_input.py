"""What a target of a rule gets: the event, a part of it, a constant, or a template filled from it.

    InputPathsMap   {"id": "$.detail.instance-id", "state": "$.detail.state"}
    InputTemplate   {"what": "<id> is <state>", "state": <state>}

Within quotes a variable's value stands as text, outside as JSON. A variable whose path leads nowhere is nothing within
quotes and null outside. EventBridge's own variables are <aws.events.rule-arn>, <aws.events.rule-name>,
<aws.events.event.ingestion-time>, <aws.events.event> (without its detail) and <aws.events.event.json>.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

VARIABLES_MAX = 100
RESERVED = "aws."
_STEP = re.compile(r"\.([^.\[\]'\"\s*?@()]+)|\[(\d{1,6})\]|\['([^']+)'\]|\[\"([^\"]+)\"\]")
_VARIABLE = re.compile(r"<([^<>\s]{1,256})>")
_ABSENT = object()


class InvalidInput(ValueError):
    """No path or no template; the text says which part."""


def parse_path(path: str) -> tuple[str | int, ...]:
    """`$.detail.items[0]` as keys and indexes. Raises InvalidInput."""
    if not path.startswith("$"):
        raise InvalidInput("a path begins with $")
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise InvalidInput(f"{path[at:]!r} is no step of a path")
        name, index, single, double = found.groups()
        steps.append(int(index) if index is not None else name or single or double)
        at = found.end()
    return tuple(steps)


def value_at(event: Any, steps: Sequence[str | int]) -> Any:
    """The value that a path leads to, or None."""
    found = _walked(event, steps)
    return None if found is _ABSENT else found


def check_template(paths: Mapping[str, str], template: str) -> None:
    """Raises InvalidInput when a path is none, a name is reserved, or the template asks for what nobody defines."""
    if len(paths) > VARIABLES_MAX:
        raise InvalidInput(f"more than {VARIABLES_MAX} variables")
    for name, path in paths.items():
        if name.lower().startswith(RESERVED):
            raise InvalidInput(f"the name {name} is reserved")
        parse_path(path)
    for name in _VARIABLE.findall(template):
        if name not in paths and not name.startswith(RESERVED):
            raise InvalidInput(f"the template asks for <{name}>, which InputPathsMap does not have")


def transformed(event: Mapping[str, Any], paths: Mapping[str, str], template: str, own: Mapping[str, Any]) -> str:
    """The template with its variables filled in. own: EventBridge's own variables, by name."""
    values: dict[str, Any] = {name: _walked(event, parse_path(path)) for name, path in paths.items()}
    values |= own
    pieces: list[str] = []
    at, quoted = 0, False
    for found in _VARIABLE.finditer(template):
        before = template[at : found.start()]
        quoted = _ends_quoted(before, quoted)
        pieces += [before, _filled(values.get(found[1], _ABSENT), quoted)]
        at = found.end()
    return "".join([*pieces, template[at:]])


def _filled(value: Any, quoted: bool) -> str:
    if not quoted:
        return json.dumps(None if value is _ABSENT else value, separators=(",", ":"), ensure_ascii=False)
    if value is _ABSENT:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _ends_quoted(text: str, quoted: bool) -> bool:
    """Whether the end of a piece of JSON stands within quotes."""
    skip = False
    for char in text:
        if skip:
            skip = False
        elif char == "\\":
            skip = True
        elif char == '"':
            quoted = not quoted
    return quoted


def _walked(value: Any, steps: Sequence[str | int]) -> Any:
    for step in steps:
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return _ABSENT
            value = value[step]
        else:
            if not isinstance(value, Mapping) or step not in value:
                return _ABSENT
            value = value[step]
    return value
