"""What the operations of CloudWatch Logs may ask, and what they share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from paddock.interfaces import Clock, Store, Tx
from paddock.model.errors import ClientError
from paddock.observe import log_store
from paddock.observe.invocation_log import epoch_ms
from paddock.observe.logbook import LogBook
from paddock.services.service import Call

T = TypeVar("T")

_GROUP_ARN = re.compile(r"arn:aws:logs:([a-z0-9-]+):(\d{12}):log-group:([^:*]+)(?::\*)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """store: logs.db. book: where invocations log; flushed before every answer, so that nothing put is missing."""

    store: Store
    book: LogBook
    clock: Clock

    def now_ms(self) -> int:
        return epoch_ms(self.clock.now())

    async def read(self, work: Callable[[Tx], T]) -> T:
        await self.book.flush()
        return await self.store.read(work)

    async def write(self, work: Callable[[Tx], T]) -> T:
        await self.book.flush()
        return await self.store.write(work)


def invalid(message: str) -> ClientError:
    return ClientError(message, code="InvalidParameterException")


def no_such_group() -> ClientError:
    return ClientError("The specified log group does not exist.", code="ResourceNotFoundException")


def no_such_stream() -> ClientError:
    return ClientError("The specified log stream does not exist.", code="ResourceNotFoundException")


def already_exists(what: str) -> ClientError:
    return ClientError(f"The specified {what} already exists", code="ResourceAlreadyExistsException")


def group_name(call: Call) -> str:
    """logGroupName, or the name inside logGroupIdentifier: exactly one of them is to be given."""
    name, identifier = call.params.get("logGroupName"), call.params.get("logGroupIdentifier")
    if name and identifier:
        raise invalid("LogGroup name and LogGroup ARN are mutually exclusive parameters.")
    if name:
        return str(name)
    if not identifier:
        raise invalid("Either the log group name or the log group identifier must be specified.")
    return name_in(call, str(identifier))


def name_in(call: Call, identifier: str) -> str:
    """The name in a group's name or ARN. An ARN of another account or region names no group that is here."""
    if not identifier.startswith("arn:"):
        return identifier
    found = _GROUP_ARN.match(identifier)
    if not found:
        raise invalid(f"Invalid log group ARN: {identifier}")
    if (found[1], found[2]) != (call.caller.region, call.caller.account):
        raise no_such_group()
    return found[3]


def group_in(tx: Tx, call: Call, name: str) -> log_store.Group:
    """Raises ResourceNotFoundException."""
    group = log_store.group_of(tx, call.caller.account, call.caller.region, name)
    if group is None:
        raise no_such_group()
    return group


def stream_in(tx: Tx, group: log_store.Group, name: str) -> log_store.Stream:
    """Raises ResourceNotFoundException."""
    stream = log_store.stream_of(tx, group, name)
    if stream is None:
        raise no_such_stream()
    return stream
