"""A Function as a row of the store, both ways.

latest and serving are JSON documents whose members are FunctionVersion's fields: a field that is added later with a
default is read from old rows without a migration; one that is renamed needs one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from paddock.interfaces import Row
from paddock.model.function import CodeArtifact, Function, FunctionVersion

NO_CODE = CodeArtifact(digest="", size_bytes=0, unzipped_bytes=0)
"""Stands in a version that is checked before its code is stored; never in a row."""


def row_of(function: Function) -> dict[str, Any]:
    """The arguments of the query `function_put`."""
    latest = function.latest
    return {
        "account": latest.account,
        "region": latest.region,
        "name": latest.name,
        "latest": _text(latest),
        "serving": None if function.serving is None else _text(function.serving),
        "tags": _text(dict(function.tags)),
    }


def function_of(row: Row) -> Function:
    """From a row of `functions_all`. Raises msgspec.ValidationError for a row that no Paddock has written."""
    latest = msgspec.json.decode(row["latest"], type=FunctionVersion)
    serving = None if row["serving"] is None else msgspec.json.decode(row["serving"], type=FunctionVersion)
    # Most functions serve what they show; one object for both keeps memory and comparisons small.
    if serving == latest:
        serving = latest
    return Function(latest=latest, serving=serving, tags=msgspec.json.decode(row["tags"], type=dict[str, str]))


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
