"""Pages of what belongs to one function."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from paddock.control.book import VersionPage, first_versions, versions_after
from paddock.model.alias import Alias
from paddock.model.function import Function


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasPage:
    """Some aliases in order of their names. `more`: others follow the last one."""

    aliases: tuple[Alias, ...]
    more: bool = False


def versions(function: Function, *, after: int, items_max: int) -> VersionPage:
    """`$LATEST` and then ascending, those after a number (-1 for all; $LATEST is 0)."""
    return first_versions(versions_after(function, after), items_max)


def aliases(function: Function, *, version: str, after: str, items_max: int) -> AliasPage:
    """Those that follow the name `after`; unless version is "", only those whose primary version it is."""
    fitting = (alias for alias in function.aliases.values() if alias.name > after and version in ("", alias.version))
    found = heapq.nsmallest(items_max + 1, fitting, key=lambda alias: alias.name)
    return AliasPage(aliases=tuple(found[:items_max]), more=len(found) > items_max)
