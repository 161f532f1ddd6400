"""Does what an operation answers fit the shape that the service model gives its output?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from botocore.model import Shape

from paddock.wire.constraints import compiled

_KINDS: Mapping[str, tuple[type, ...]] = {
    "structure": (Mapping,),
    "map": (Mapping,),
    "list": (Sequence,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (float, int),
    "double": (float, int),
    "timestamp": (datetime, int, float, str),
    "blob": (bytes, AsyncIterator),
}

# AWS was recorded answering these (spec 01 section 4.2), though its own model does not list them.
_ANSWERED_ALL_THE_SAME = {("LastUpdateStatusReasonCode", "Creating")}


def misfits(shape: Shape | None, value: Any, path: str = "output") -> list[str]:
    """Every place where the value is not as the shape says: unknown members, missing ones, types, enums, patterns."""
    if shape is None:
        return [f"{path}: the model knows no output"] if value else []
    kinds = _KINDS[shape.type_name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return [f"{path}: {value!r} is no {shape.type_name}"]
    if shape.type_name == "structure":
        return _structure(shape, value, path)
    if shape.type_name == "list":
        return [found for index, one in enumerate(value) for found in misfits(shape.member, one, f"{path}[{index}]")]
    if shape.type_name == "map":
        return [found for key, one in value.items() for found in misfits(shape.value, one, f"{path}.{key}")]
    return _text(shape, value, path) if isinstance(value, str) else []


def _structure(shape: Any, value: Mapping[str, Any], path: str) -> list[str]:
    found = [f"{path}: no member {name}" for name in value if name not in shape.members]
    found += [f"{path}: {name} is missing" for name in shape.required_members if name not in value]
    for name, one in value.items():
        if name in shape.members:
            found += misfits(shape.members[name], one, f"{path}.{name}")
    return found


def _text(shape: Any, value: str, path: str) -> list[str]:
    enum, pattern = shape.enum, shape.metadata.get("pattern")
    if enum and value not in enum and (shape.name, value) not in _ANSWERED_ALL_THE_SAME:
        return [f"{path}: {value!r} is none of {enum}"]
    if pattern and value and not compiled(pattern).fullmatch(value):
        return [f"{path}: {value!r} is not as {pattern}"]
    return []
