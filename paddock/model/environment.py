"""The life of an execution environment, as a table. What the table does not hold is an error.

    STARTING -> INITIALIZING -> READY <-> INVOKING
    any living state -> SHUTTING_DOWN -> TERMINATED

STARTING: the sandbox exists or is being made. INITIALIZING: code is mounted, the runtime imports the handler,
until the runtime asks for its first event. READY: waits for an event (frozen when idle for long enough).
INVOKING: exactly one event is inside. Names after AWS's execution environment lifecycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class EnvironmentState(str, Enum):
    STARTING = "Starting"
    INITIALIZING = "Initializing"
    READY = "Ready"
    INVOKING = "Invoking"
    SHUTTING_DOWN = "ShuttingDown"
    TERMINATED = "Terminated"


_S = EnvironmentState

TRANSITIONS: Mapping[EnvironmentState, frozenset[EnvironmentState]] = {
    _S.STARTING: frozenset({_S.INITIALIZING, _S.SHUTTING_DOWN}),
    _S.INITIALIZING: frozenset({_S.READY, _S.SHUTTING_DOWN}),
    _S.READY: frozenset({_S.INVOKING, _S.SHUTTING_DOWN}),
    _S.INVOKING: frozenset({_S.READY, _S.SHUTTING_DOWN}),
    _S.SHUTTING_DOWN: frozenset({_S.TERMINATED}),
    _S.TERMINATED: frozenset(),
}


class IllegalTransition(RuntimeError):
    """A defect in Paddock: the table does not allow this step."""


def step(current: EnvironmentState, to: EnvironmentState) -> EnvironmentState:
    """The state after the step. Raises IllegalTransition when the table does not hold it."""
    if to not in TRANSITIONS[current]:
        raise IllegalTransition(f"{current.value} -> {to.value}")
    return to
