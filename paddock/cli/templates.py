"""Event templates: for every source of events a data file in events/, and how an event is made of one.

    {"source": ..., "about": ..., "parameters": {"bucket": "pictures"}, "event": {... "${bucket}" ...}}

In the event's strings, ${name} stands for a parameter, or for what is new in each event: ${account}, ${region},
${now} (ISO 8601), ${now_s}, ${now_ms}, ${now_us}, ${now_offset}, ${uuid}, ${hex:16}, ${digits:15}, ${time:%d/%b/%Y}. A
string that is nothing else becomes the value with its type; ${now_ms|text} keeps it a string, ${now_s|whole} cuts it.
What a source encodes stands in the file unencoded, in an object of one member: {"$base64": ...}, {"$gzip": ...},
{"$json": ...}, {"$urlencoded": ...}, {"$md5": ...}, {"$bytes": ...}. So one can set what is inside:

    --set bucket=mine                             a parameter
    --set Records.0.s3.object.size=7              a place in the event
    --set awslogs.data.logGroup=/aws/lambda/x     a place inside of what is gzipped and encoded

A value is JSON, and text where it is no JSON or where text stands already.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from paddock.interfaces import Ids

DIRECTORY = Path(__file__).with_name("events")
NAMES_SHOWN_MAX = 12
_NUMBERS = ("now_s", "now_ms")
_PLACE = re.compile(r"\$\{([a-z0-9_]+)(?::([^}]*))?(?:\|([a-z]+))?\}")


class Unset(Exception):
    """There is no such template, or nothing at such a place. The message says what there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    name: str
    source: str
    about: str
    event: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where and when an event happens."""

    account: str
    region: str
    now: datetime
    ids: Ids


def names() -> Sequence[str]:
    return sorted(path.stem for path in DIRECTORY.glob("*.json"))


def load(name: str) -> Template:
    """Raises Unset."""
    if name not in names():
        near = [one for one in names() if name.lower() in one]
        more = f" These come near: {', '.join(near[:NAMES_SHOWN_MAX])}." if name and near else ""
        raise Unset(f"There is no file and no template {name!r}.{more} `paddock events` lists all templates.")
    return Template(name=name, **json.loads((DIRECTORY / f"{name}.json").read_text(encoding="utf-8")))


def listed() -> Sequence[str]:
    """For people: each source with its templates and their parameters."""
    lines: list[str] = []
    for source, found in _by_source().items():
        lines += ([""] if lines else []) + [source]
        for template in found:
            known = f"  [{', '.join(template.parameters)}]" if template.parameters else ""
            lines.append(f"  {template.name:<36} {template.about}{known}")
    return lines


def _by_source() -> Mapping[str, Sequence[Template]]:
    found: dict[str, list[Template]] = {}
    for name in names():
        template = load(name)
        found.setdefault(template.source, []).append(template)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def event_of(template: Template, sets: Sequence[str], around: Surroundings) -> Any:
    """The event, as the source would send it now. Raises Unset."""
    values = dict(template.parameters)
    event = json.loads(json.dumps(template.event))
    for one in sets:
        place, text = split(one)
        if place in values:
            values[place] = _value(text, values[place])
        else:
            put(event, place, text, template.parameters)
    return _Rendering(values, around).of(event)


def split(one: str) -> tuple[str, str]:
    """`path=value` -> (path, value). Raises Unset."""
    place, equals, text = one.partition("=")
    if not equals or not place:
        raise Unset(f"--set {one}: write it as PATH=VALUE, such as --set Records.0.body=hello.")
    return place, text


def put(event: Any, place: str, text: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Set what stands at `a.0.b`; a dot that belongs to a name is written as `\\.`. Raises Unset."""
    steps = [step.replace("\\.", ".") for step in re.split(r"(?<!\\)\.", place)]
    at = event
    for step in steps[:-1]:
        at = _inside(_entered(at, step, place, parameters))
    if isinstance(at, list) and steps[-1].isdecimal() and int(steps[-1]) == len(at):
        at.append(_value(text, None))
    elif isinstance(at, dict) and steps[-1] not in at:
        at[steps[-1]] = _value(text, None)
    else:
        before = _entered(at, steps[-1], place, parameters)
        encoded = _encoding(before)
        new = _value(text, _meant(before[encoded] if encoded else before, parameters or {}))
        at[int(steps[-1]) if isinstance(at, list) else steps[-1]] = {encoded: new} if encoded else new


def _meant(before: Any, parameters: Mapping[str, Any]) -> Any:
    """What stands there, or what the placeholder there will become."""
    whole = _PLACE.fullmatch(before) if isinstance(before, str) else None
    if whole is None or whole[3] == "text":
        return before
    return parameters.get(whole[1], 0 if whole[1] in _NUMBERS else before)


def _encoding(value: Any) -> str:
    """The name of the encoding that the value is to be put into, or ""."""
    name = next(iter(value)) if isinstance(value, dict) and len(value) == 1 else ""
    return name if name in ENCODINGS else ""


def _inside(value: Any) -> Any:
    encoded = _encoding(value)
    return value[encoded] if encoded else value


def _entered(at: Any, step: str, place: str, parameters: Mapping[str, Any] | None) -> Any:
    if isinstance(at, list) and step.isdecimal() and int(step) < len(at):
        return at[int(step)]
    if isinstance(at, dict) and step in at:
        return at[step]
    there = list(at) if isinstance(at, dict) else [str(i) for i in range(len(at))] if isinstance(at, list) else []
    known = f" The template's parameters: {', '.join(parameters)}." if parameters else ""
    shown = ", ".join(there[:NAMES_SHOWN_MAX]) or "nothing, it is a value"
    raise Unset(f"--set {place}: there is no {step!r} in the event; there is {shown}.{known}")


def _value(text: str, before: Any) -> Any:
    """JSON, unless text stands there and this is not a JSON text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(before, str) and not isinstance(value, str) else value


# -- from the file to the event


def _compact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


ENCODINGS: Mapping[str, Callable[[Any], Any]] = {
    "$base64": lambda value: base64.b64encode(_compact(value).encode()).decode(),
    "$gzip": lambda value: base64.b64encode(gzip.compress(_compact(value).encode(), mtime=0)).decode(),
    "$json": _compact,
    "$urlencoded": lambda value: urllib.parse.quote_plus(_compact(value), safe="/"),
    "$md5": lambda value: hashlib.md5(_compact(value).encode(), usedforsecurity=False).hexdigest(),
    "$bytes": lambda value: list(_compact(value).encode()),
}


class _Rendering:
    """One event: parameters and surroundings in their places, then what is encoded, encoded."""

    def __init__(self, parameters: Mapping[str, Any], around: Surroundings) -> None:
        self._parameters = parameters
        self._around = around

    def of(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self.of(item) for item in value]
        if not isinstance(value, dict):
            return value
        encoded = _encoding(value)
        if encoded:
            return ENCODINGS[encoded](self.of(value[encoded]))
        return {self._text(name): self.of(item) for name, item in value.items()}

    def _text(self, text: str) -> Any:
        whole = _PLACE.fullmatch(text)
        if whole:
            return self._one(whole)
        return _PLACE.sub(lambda match: str(self._one(match)), text)

    def _one(self, match: re.Match[str]) -> Any:
        name, argument, kind = match.groups()
        value = self._parameters[name] if name in self._parameters else self._fact(name, argument or "")
        return str(value) if kind == "text" else int(value) if kind == "whole" else value

    def _fact(self, name: str, argument: str) -> Any:
        around = self._around
        if name in ("hex", "digits", "uuid"):
            return self._chance(name, argument)
        stamp = around.now.timestamp()
        facts = {
            "account": around.account,
            "region": around.region,
            "now": around.now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{around.now.microsecond // 1000:03}Z",
            "now_offset": around.now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{around.now.microsecond // 1000:03}+0000",
            "now_s": round(stamp, 3),
            "now_ms": int(stamp * 1000),
            "now_us": str(int(stamp * 1_000_000)),
            "time": around.now.strftime(argument),
        }
        return facts[name]

    def _chance(self, name: str, argument: str) -> str:
        if name == "uuid":
            return self._around.ids.uuid()
        digits = self._around.ids.hex(int(argument))
        return digits if name == "hex" else "".join(str(int(digit, 16) % 10) for digit in digits)
