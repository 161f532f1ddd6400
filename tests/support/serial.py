"""Is what many callers saw at once what they would have seen one after the other, in some order?

A history is a list of calls, each with the moments of its start and its end and what came of it. It is serial when the
calls can be put in an order that keeps to time (what ended before another began comes first) and in which a simple
model, one function as its users know it, gives every call the very outcome that it had. The search is Wing and Gong's:
of the calls that may be next, try one that the model agrees with, and take it back when that leads nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

NOT_FOUND, CONFLICT, BUSY = "ResourceNotFoundException", "ResourceConflictException", "busy"
"""BUSY: refused because an update is under way, or the function is not Active yet."""

Names = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class One:
    """A function. latest: its timeout, all that is ever changed. last: the highest number given to a version, ever."""

    exists: bool = False
    latest: int = 0
    versions: Names = ()
    aliases: Names = ()
    tags: Names = ()
    statements: frozenset[str] = frozenset()
    reserved: int = -1
    last: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """outcome: what the model has to say of it, too."""

    started: float
    ended: float
    operation: str
    arguments: Mapping[str, str] = field(hash=False)
    outcome: str


Step = tuple[str, One]
"""(outcome, the function afterwards)"""


def step(one: One, operation: str, arguments: Mapping[str, str]) -> Step:
    """What the operation does to the function when nothing else is under way."""
    if operation == "create":
        if one.exists:
            return CONFLICT, one
        return "", One(exists=True, latest=int(arguments["timeout"]), last=one.last)
    if not one.exists:
        return NOT_FOUND, one
    return _STEPS[operation](one, arguments)


def _delete(one: One, arguments: Mapping[str, str]) -> Step:
    return "", One(last=one.last)


def _update(one: One, arguments: Mapping[str, str]) -> Step:
    return "", replace(one, latest=int(arguments["timeout"]))


def _publish(one: One, arguments: Mapping[str, str]) -> Step:
    versions = dict(one.versions)
    newest = max(versions, key=int, default="")
    if newest and versions[newest] == str(one.latest):
        return newest, one
    number = str(one.last + 1)
    return number, replace(one, versions=_with(one.versions, number, str(one.latest)), last=one.last + 1)


def _unpublish(one: One, arguments: Mapping[str, str]) -> Step:
    number = arguments["version"]
    if number not in dict(one.versions):
        return "", one
    if number in dict(one.aliases).values():
        return CONFLICT, one
    return "", replace(one, versions=_without(one.versions, number))


def _alias(one: One, arguments: Mapping[str, str]) -> Step:
    if arguments["version"] not in dict(one.versions):
        return NOT_FOUND, one
    if arguments["name"] in dict(one.aliases):
        return CONFLICT, one
    return "", replace(one, aliases=_with(one.aliases, arguments["name"], arguments["version"]))


def _move(one: One, arguments: Mapping[str, str]) -> Step:
    if arguments["name"] not in dict(one.aliases) or arguments["version"] not in dict(one.versions):
        return NOT_FOUND, one
    return "", replace(one, aliases=_with(one.aliases, arguments["name"], arguments["version"]))


def _unalias(one: One, arguments: Mapping[str, str]) -> Step:
    return "", replace(one, aliases=_without(one.aliases, arguments["name"]))


def _tag(one: One, arguments: Mapping[str, str]) -> Step:
    return "", replace(one, tags=_with(one.tags, arguments["key"], arguments["value"]))


def _reserve(one: One, arguments: Mapping[str, str]) -> Step:
    return "", replace(one, reserved=int(arguments["executions"]))


def _allow(one: One, arguments: Mapping[str, str]) -> Step:
    if arguments["sid"] in one.statements:
        return CONFLICT, one
    return "", replace(one, statements=one.statements | {arguments["sid"]})


def _forbid(one: One, arguments: Mapping[str, str]) -> Step:
    if arguments["sid"] not in one.statements:
        return NOT_FOUND, one
    return "", replace(one, statements=one.statements - {arguments["sid"]})


_STEPS: Mapping[str, Callable[[One, Mapping[str, str]], Step]] = {
    "delete": _delete,
    "update": _update,
    "publish": _publish,
    "unpublish": _unpublish,
    "alias": _alias,
    "move": _move,
    "unalias": _unalias,
    "tag": _tag,
    "reserve": _reserve,
    "allow": _allow,
    "forbid": _forbid,
}


def is_serial(history: Sequence[Seen], end: One) -> bool:
    """Whether some order explains every outcome, and leaves the function as it was found in the end."""
    calls = sorted(history, key=lambda seen: seen.ended)
    all_done = (1 << len(calls)) - 1
    been: set[tuple[int, One]] = set()
    paths = [(0, One())]
    while paths:
        done, one = paths.pop()
        if done == all_done:
            if replace(one, last=0) == replace(end, last=0):  # nobody sees the highest number there ever was
                return True
            continue
        if (done, one) in been:
            continue
        been.add((done, one))
        left = [number for number in range(len(calls)) if not done >> number & 1]
        # The first to end bounds who may be next: whoever began after that comes after it.
        latest_start = calls[left[0]].ended
        following = []
        for number in left:
            seen = calls[number]
            if seen.started > latest_start:
                continue
            outcome, after = step(one, seen.operation, seen.arguments)
            if seen.outcome == BUSY and one.exists:
                following.append((done | 1 << number, one))
            elif outcome == seen.outcome:
                following.append((done | 1 << number, after))
        paths.extend(reversed(following))  # the one that ended first is tried first
    return False


def _with(names: Names, name: str, value: str) -> Names:
    return tuple(sorted({**dict(names), name: value}.items()))


def _without(names: Names, name: str) -> Names:
    return tuple(pair for pair in names if pair[0] != name)
