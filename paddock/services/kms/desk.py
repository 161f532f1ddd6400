"""What KMS's operations may ask, and the pages that its lists come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from paddock.control.keys import Keys
from paddock.interfaces import Clock, Ids
from paddock.services.service import Params

T = TypeVar("T")
PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    keys: Keys
    clock: Clock
    ids: Ids


def page(params: Params, items: Sequence[T], name: Callable[[T], str], shown: Callable[[T], Any]) -> dict[str, Any]:
    """Items after Marker, in order of their names; {"items", "NextMarker"?, "Truncated"}."""
    limit, after = params.get("Limit") or PAGE, params.get("Marker") or ""
    left = [item for item in items if name(item) > after]
    result: dict[str, Any] = {"items": [shown(item) for item in left[:limit]], "Truncated": len(left) > limit}
    if len(left) > limit:
        result["NextMarker"] = name(left[limit - 1])
    return result
