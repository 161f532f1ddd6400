"""EventSourceMapping: a source whose records a function is invoked with, and the rules of its life and its batches.

    create   Creating -> Enabled | Disabled
    update   Updating | Enabling | Disabling -> Enabled | Disabled
    delete   Deleting -> (gone)

A change is asked for, stored with the state on the left, carried out by the poller, and settled into the state on
the right. What is on its way takes no further change.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from paddock.model.event_pattern import Pattern, compile_pattern

BATCH_DEFAULT = 10
BATCH_WITHOUT_WINDOW_MAX = 10
LANES_FIRST = 5
LANES_PER_MINUTE = 300
LANES_MAX = 1250
VISIBILITY_MARGIN_S = 30
VISIBILITY_S_MAX = 43_200


class MappingState(str, Enum):
    """Lambda's states of an event source mapping."""

    CREATING = "Creating"
    ENABLING = "Enabling"
    ENABLED = "Enabled"
    DISABLING = "Disabling"
    DISABLED = "Disabled"
    UPDATING = "Updating"
    DELETING = "Deleting"


_S = MappingState
# State -> what may follow. A mapping in one of the first five is on its way and takes no change.
TRANSITIONS: Mapping[MappingState, frozenset[MappingState]] = {
    _S.CREATING: frozenset({_S.ENABLED, _S.DISABLED}),
    _S.ENABLING: frozenset({_S.ENABLED}),
    _S.DISABLING: frozenset({_S.DISABLED}),
    _S.UPDATING: frozenset({_S.ENABLED, _S.DISABLED}),
    _S.DELETING: frozenset(),
    _S.ENABLED: frozenset({_S.DISABLING, _S.UPDATING, _S.DELETING}),
    _S.DISABLED: frozenset({_S.ENABLING, _S.UPDATING, _S.DELETING}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSourceMapping:
    """One mapping. (account, region, uuid) is its identity.

    function_arn: qualified exactly as it was given. enabled: what its owner wants; `state` is where it has got to.
    window_s: how long a batch may wait to be filled. filters: patterns, of which one must match; none means all.
    maximum_concurrency: batches at once, None for AWS's own bound. partial: ReportBatchItemFailures.
    """

    uuid: str
    account: str
    region: str
    function_arn: str
    source_arn: str
    state: MappingState
    enabled: bool = True
    batch_size: int = BATCH_DEFAULT
    window_s: int = 0
    filters: tuple[str, ...] = ()
    maximum_concurrency: int | None = None
    partial: bool = False
    last_modified: datetime
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:event-source-mapping:{self.uuid}"

    @property
    def settled(self) -> bool:
        """Whether it may be changed."""
        return self.state in (MappingState.ENABLED, MappingState.DISABLED)

    @property
    def goal(self) -> MappingState:
        """The state that a mapping on its way will settle in."""
        return MappingState.ENABLED if self.enabled else MappingState.DISABLED

    @property
    def fifo(self) -> bool:
        return self.source_arn.endswith(".fifo")


class IllegalTransition(RuntimeError):
    """A step that TRANSITIONS does not hold: a defect in Paddock."""


def checked(before: MappingState, after: MappingState) -> MappingState:
    """`after`. Raises IllegalTransition."""
    if after not in TRANSITIONS[before]:
        raise IllegalTransition(f"an event source mapping does not go from {before.value} to {after.value}")
    return after


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of a batch. key: by which a function names it (itemIdentifier). event: its JSON within the event.

    handle: what the source needs to have it checkpointed.
    """

    key: str
    event: bytes
    handle: str


def wanted(filters: Sequence[Pattern], view: Any) -> bool:
    """Whether any of the filters matches; without filters, everything is wanted."""
    return not filters or any(pattern.matches(view) for pattern in filters)


def compiled(filters: Sequence[str]) -> tuple[Pattern, ...]:
    """Raises InvalidPattern."""
    return tuple(compile_pattern(text, numeric_strings=True) for text in filters)


def failed_keys(payload: bytes, keys: Collection[str]) -> frozenset[str] | None:
    """What a function's answer says of its batch: the keys that failed, or None when the whole batch did.

    An answer of nothing ("", [], {}, null, or no failures listed) is success; one that is no such object, or that
    names an unknown, empty or missing identifier, fails everything (spec 04 §12).
    """
    try:
        answer = json.loads(payload or b"null")
    except (ValueError, RecursionError):
        return None
    if answer is None or answer in ("", [], {}):
        return frozenset()
    if not isinstance(answer, dict):
        return None
    failures = answer.get("batchItemFailures")
    if failures is None:
        return frozenset()
    if not isinstance(failures, list):
        return None
    named = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in failures]
    known = frozenset(name for name in named if isinstance(name, str) and name in keys)
    return known if all(isinstance(name, str) and name in known for name in named) else None


def lanes_max(busy_s: float, maximum_concurrency: int | None) -> int:
    """How many batches may be under way after so many seconds of backlog: 5, and 300 more each minute."""
    grown = LANES_FIRST + int(busy_s * LANES_PER_MINUTE / 60)
    return min(grown, LANES_MAX if maximum_concurrency is None else maximum_concurrency)


def visibility_s(window_s: int, function_timeout_s: int, queue_visibility_s: int) -> int | None:
    """For how long a read hides its messages, when the queue's own time is too short for window and function."""
    if not window_s or window_s + function_timeout_s <= queue_visibility_s:
        return None
    return min(window_s + function_timeout_s + VISIBILITY_MARGIN_S, VISIBILITY_S_MAX)
