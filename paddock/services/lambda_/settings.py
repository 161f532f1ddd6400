"""Every member of a request is honoured, or equal to what Paddock provides anyway, or refused by name.

The refusal is the default: a member that a newer service model adds is refused until somebody has looked at it.
docs/refused-settings.md lists what that comes to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.model.errors import NotYet

# Empty values (and these) mean "as AWS does by default", which is what Paddock does.
AS_BY_DEFAULT: Mapping[str, tuple[Any, ...]] = {
    "TracingConfig": ({"Mode": "PassThrough"},),
    "SourceKMSKeyArn": (),
    "MetricsConfig": (),
    "ProvisionedPollerConfig": (),
}


def refuse_others(params: Mapping[str, Any], honoured: frozenset[str], within: str = "") -> None:
    """Raises NotYet naming the first member that is neither honoured nor as by default."""
    for name, value in params.items():
        if name in honoured:
            continue
        if name in AS_BY_DEFAULT and (_is_empty(value) or value in AS_BY_DEFAULT[name]):
            continue
        raise NotYet(f"The setting {within}{name} is not supported by Paddock yet. See docs/refused-settings.md.")


def refuse_architectures(params: Mapping[str, Any], architecture: str) -> None:
    """Functions run on this machine's processor. Raises NotYet."""
    wanted = params.get("Architectures", [architecture])
    if wanted != [architecture]:
        raise NotYet(f"Architectures {wanted} is not supported by Paddock yet: this machine runs {architecture}.")


def _is_empty(value: Any) -> bool:
    """None, "", False, an empty list, or a structure of nothing but these."""
    if isinstance(value, Mapping):
        return all(_is_empty(item) for item in value.values())
    return value is None or value is False or value == "" or value == []
