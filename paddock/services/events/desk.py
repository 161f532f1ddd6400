"""What EventBridge's operations may ask, and what they share."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from paddock.control.archives import Archives
from paddock.control.event_buses import Buses
from paddock.control.replays import Replays
from paddock.interfaces import Clock, Ids
from paddock.model.errors import ClientError, ServiceError
from paddock.model.event_bus import DEFAULT_BUS, EventBus, Rule, bus_arn
from paddock.services.service import Call

T = TypeVar("T")

PAGE_MAX = 100
TAGS_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    buses: Buses
    archives: Archives
    replays: Replays
    clock: Clock
    ids: Ids


def invalid(message: str) -> ServiceError:
    return ClientError(message, code="ValidationException")


def missing(message: str) -> ServiceError:
    return ClientError(message, code="ResourceNotFoundException")


def exists(message: str) -> ServiceError:
    return ClientError(message, code="ResourceAlreadyExistsException")


def limit_exceeded() -> ServiceError:
    return ClientError("The requested resource exceeds the maximum number allowed.", code="LimitExceededException")


def bus_name(call: Call, name: str | None) -> str:
    """The name that EventBusName stands for: a name, the ARN of one of the caller's buses, or the default."""
    if not name:
        return DEFAULT_BUS
    if not name.startswith("arn:"):
        return name
    bare = name.rpartition("/")[2]
    if name != bus_arn(call.caller.account, call.caller.region, bare):
        raise missing(f"Event bus {name} does not exist.")
    return bare


def bus_of(desk: Desk, call: Call, name: str | None) -> EventBus:
    """Raises ResourceNotFoundException."""
    bare = bus_name(call, name)
    found = desk.buses.bus(call.caller.account, call.caller.region, bare)
    if found is None:
        raise missing(f"Event bus {bare} does not exist.")
    return found


def rule_of(rule: Rule | None, name: str, bus: str) -> Rule:
    if rule is None:
        raise missing(f"Rule {name} does not exist on EventBus {bus}.")
    return rule


def page(items: Sequence[T], params: Mapping[str, Any]) -> tuple[Sequence[T], dict[str, str]]:
    """A page of items, and the NextToken member if others follow. The token is a number of items passed by."""
    start = _position(params.get("NextToken") or "")
    limit = min(params.get("Limit") or PAGE_MAX, PAGE_MAX)
    end = start + limit
    more = {"NextToken": base64.urlsafe_b64encode(str(end).encode()).decode()} if end < len(items) else {}
    return items[start:end], more


def tags_of(given: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in given or ()}


def checked_tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    if len(tags) > TAGS_MAX:
        raise invalid(f"The maximum number of tags is {TAGS_MAX}.")
    for key in tags:
        if key.lower().startswith("aws:"):
            raise invalid("User-defined tag keys can't start with 'aws:'.")
    return tags


def _position(token: str) -> int:
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise invalid(f"NextToken {token} is not valid.") from None
    if text and not text.isdecimal():
        raise invalid(f"NextToken {token} is not valid.")
    return int(text or 0)
