"""Members of requests that a service does not honour are refused by name; what is empty says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.model.errors import NotYet


def refuse_others(params: Mapping[str, Any], honoured: frozenset[str]) -> None:
    """Raises NotYet naming the first member that is not honoured."""
    for name, value in params.items():
        if name not in honoured and value not in (None, False, "", [], {}):
            raise NotYet(f"The setting {name} is not supported by Paddock yet. See docs/refused-settings.md.")
