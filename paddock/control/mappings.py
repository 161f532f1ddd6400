"""The catalogue of event source mappings: what exists, in which state, and every change of it.

A change is checked, committed with the state of being on its way, and only then shown. Whoever polls (event_sources)
waits for `changed`, carries it out and settles it here; what an earlier process left unsettled is settled by the next
one. Reads look only at memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import msgspec

from paddock.control import rules
from paddock.control.catalogue import Catalogue
from paddock.interfaces import Clock, Ids, Row, Store, Tx
from paddock.model.arn import FunctionRef, parse_function_ref
from paddock.model.errors import (
    ClientError,
    InvalidParameterValue,
    NotYet,
    ResourceConflict,
    ResourceNotFound,
    ServiceError,
)
from paddock.model.event_pattern import InvalidPattern
from paddock.model.event_source import (
    BATCH_DEFAULT,
    BATCH_WITHOUT_WINDOW_MAX,
    EventSourceMapping,
    MappingState,
    checked,
    compiled,
)
from paddock.model.quotas import Quotas

T = TypeVar("T")

FILTERS_MAX = 5
FIFO_BATCH_MAX = 10
# ARN's service -> what it is called in a refusal.
LATER: Mapping[str, str] = {
    "kinesis": "Kinesis",
    "dynamodb": "DynamoDB",
    "kafka": "Amazon MSK",
    "mq": "Amazon MQ",
    "rds": "Amazon DocumentDB",
}
_UNRECOGNIZED = "Unrecognized event source."
_STEPS: Mapping[tuple[bool, bool], MappingState] = {
    (True, True): MappingState.UPDATING,
    (False, False): MappingState.UPDATING,
    (False, True): MappingState.ENABLING,
    (True, False): MappingState.DISABLING,
}


class Sources(Protocol):
    """What can be asked of a source before it is mapped."""

    async def check(self, mapping: EventSourceMapping, function_timeout_s: int) -> None:
        """Raises InvalidParameterValue when it is not there, or its settings do not fit the function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingChange:
    """Members as sent; None leaves a setting as it is. maximum_concurrency 0 takes the bound away."""

    function: str | None = None
    enabled: bool | None = None
    batch_size: int | None = None
    window_s: int | None = None
    filters: tuple[str, ...] | None = None
    maximum_concurrency: int | None = None
    partial: bool | None = None

    def applied(self, mapping: EventSourceMapping) -> EventSourceMapping:
        return replace(
            mapping,
            enabled=mapping.enabled if self.enabled is None else self.enabled,
            batch_size=mapping.batch_size if self.batch_size is None else self.batch_size,
            window_s=mapping.window_s if self.window_s is None else self.window_s,
            filters=mapping.filters if self.filters is None else self.filters,
            maximum_concurrency=mapping.maximum_concurrency
            if self.maximum_concurrency is None
            else self.maximum_concurrency or None,
            partial=mapping.partial if self.partial is None else self.partial,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingPage:
    mappings: tuple[EventSourceMapping, ...]
    more: bool = False


class Mappings:
    """Call start() before anything else. Errors are those of model.errors."""

    def __init__(
        self, *, store: Store, catalogue: Catalogue, sources: Sources, clock: Clock, ids: Ids, quotas: Quotas
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._sources = sources
        self._clock = clock
        self._ids = ids
        self._quotas = quotas
        self._all: dict[str, EventSourceMapping] = {}
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._changes: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        for row in await self._store.read(lambda tx: tx.rows("event_source_mappings_all")):
            mapping = _from_row(row)
            self._all[mapping.uuid] = mapping

    # For whoever polls.

    def all(self) -> Sequence[EventSourceMapping]:
        return tuple(self._all.values())

    def current(self, uuid: str) -> EventSourceMapping | None:
        return self._all.get(uuid)

    def function_timeout_s(self, mapping: EventSourceMapping) -> int:
        """Of the function as it is now. Raises ResourceNotFound."""
        ref = parse_function_ref(mapping.function_arn, account=mapping.account, region=mapping.region)
        return self._catalogue.version(ref).timeout_s

    async def changed(self) -> None:
        """Until a mapping was changed since the last call returned."""
        await self._changed.wait()
        self._changed.clear()

    async def settle(self, mapping: EventSourceMapping) -> None:
        """The change that `mapping` is on its way with has been carried out. One that was changed since is left."""
        async with self._lock:
            now = self._all.get(mapping.uuid)
            if now != mapping or now.settled:
                return
            if now.state is MappingState.DELETING:
                await self._store.write(lambda tx: tx.run("event_source_mapping_delete", uuid=mapping.uuid))
                del self._all[mapping.uuid]
            else:
                await self._put(replace(now, state=checked(now.state, now.goal)))

    # For the API.

    def get(self, account: str, region: str, uuid: str) -> EventSourceMapping:
        """Raises ResourceNotFound."""
        found = self._all.get(uuid)
        if found is None or (found.account, found.region) != (account, region):
            raise ResourceNotFound("The resource you requested does not exist.")
        return found

    def page(
        self, account: str, region: str, *, source_arn: str, function_arn: str, after: str, items_max: int
    ) -> MappingPage:
        """In order of their UUIDs, after one; source_arn and function_arn "" for any."""
        fitting = sorted(
            (
                one
                for one in self._all.values()
                if (one.account, one.region) == (account, region)
                and source_arn in ("", one.source_arn)
                and function_arn in ("", one.function_arn)
                and one.uuid > after
            ),
            key=lambda one: one.uuid,
        )
        return MappingPage(mappings=tuple(fitting[:items_max]), more=len(fitting) > items_max)

    async def create(
        self, account: str, region: str, source_arn: str, change: MappingChange, tags: Mapping[str, str]
    ) -> EventSourceMapping:
        """Creating when this returns. Raises InvalidParameterValue, ResourceConflict, NotYet."""
        _check_source(source_arn)
        ref = parse_function_ref(change.function or "", account=account, region=region)
        mapping = change.applied(
            EventSourceMapping(
                uuid=self._ids.uuid(),
                account=account,
                region=region,
                function_arn=ref.arn,
                source_arn=source_arn,
                state=MappingState.CREATING,
                batch_size=BATCH_DEFAULT,
                last_modified=self._clock.now(),
                tags=rules.merged_tags({}, tags, self._quotas),
            )
        )
        await self._check(mapping, ref)
        return await self._undisturbed(self._create(mapping))

    async def _create(self, mapping: EventSourceMapping) -> EventSourceMapping:
        async with self._lock:
            self._check_unique(mapping)
            await self._put(mapping)
        return mapping

    async def update(self, account: str, region: str, uuid: str, change: MappingChange) -> EventSourceMapping:
        """Updating, Enabling or Disabling when this returns. Raises ResourceNotFound, InvalidParameterValue, ..."""
        before = self.get(account, region, uuid)
        ref = parse_function_ref(change.function or before.function_arn, account=account, region=region)
        await self._check(replace(change.applied(before), function_arn=ref.arn), ref)
        return await self._undisturbed(self._update(before, ref, change))

    async def _update(self, before: EventSourceMapping, ref: FunctionRef, change: MappingChange) -> EventSourceMapping:
        async with self._lock:
            before = self.get(before.account, before.region, before.uuid)
            _check_free(before, "update")
            after = replace(change.applied(before), function_arn=ref.arn, last_modified=self._clock.now())
            self._check_unique(after)
            after = replace(after, state=checked(before.state, _STEPS[before.enabled, after.enabled]))
            await self._put(after)
        return after

    async def delete(self, account: str, region: str, uuid: str) -> EventSourceMapping:
        """Deleting when this returns. Raises ResourceNotFound, ResourceInUse."""
        return await self._undisturbed(self._delete(account, region, uuid))

    async def _delete(self, account: str, region: str, uuid: str) -> EventSourceMapping:
        async with self._lock:
            before = self.get(account, region, uuid)
            _check_free(before, "delete")
            after = replace(before, state=checked(before.state, MappingState.DELETING))
            await self._put(after)
        return after

    async def retag(
        self, account: str, region: str, uuid: str, tags: Callable[[Mapping[str, str]], Mapping[str, str]]
    ) -> None:
        await self._undisturbed(self._retag(account, region, uuid, tags))

    async def _retag(
        self, account: str, region: str, uuid: str, tags: Callable[[Mapping[str, str]], Mapping[str, str]]
    ) -> None:
        async with self._lock:
            before = self.get(account, region, uuid)
            await self._put(replace(before, tags=tags(before.tags)))

    async def tag(self, account: str, region: str, uuid: str, tags: Mapping[str, str]) -> None:
        more = rules.nonempty_tags(tags)
        await self.retag(account, region, uuid, lambda now: rules.merged_tags(now, more, self._quotas))

    async def untag(self, account: str, region: str, uuid: str, keys: Collection[str]) -> None:
        await self.retag(account, region, uuid, lambda now: {k: v for k, v in now.items() if k not in keys})

    async def _check(self, mapping: EventSourceMapping, ref: FunctionRef) -> None:
        check_settings(mapping)
        try:
            version = self._catalogue.version(ref)
        except ResourceNotFound:
            raise InvalidParameterValue("Function does not exist") from None
        await self._sources.check(mapping, version.timeout_s)

    def _check_unique(self, mapping: EventSourceMapping) -> None:
        for other in self._all.values():
            if (
                other.uuid != mapping.uuid
                and other.source_arn == mapping.source_arn
                and _unqualified(other.function_arn) == _unqualified(mapping.function_arn)
                and other.account == mapping.account
            ):
                name = _unqualified(mapping.function_arn).rpartition(":")[2]
                raise ResourceConflict(
                    f'An event source mapping with SQS arn (" {mapping.source_arn} ") and function (" {name} ") '
                    f"already exists. Please update or delete the existing mapping with UUID {other.uuid}"
                )

    async def _undisturbed(self, change: Coroutine[Any, Any, T]) -> T:
        """A change whose caller goes away is finished all the same: the store may have it already."""
        task = asyncio.get_running_loop().create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    async def _put(self, mapping: EventSourceMapping) -> None:
        document = msgspec.json.encode(mapping).decode()

        def work(tx: Tx) -> None:
            tx.run("event_source_mapping_put", uuid=mapping.uuid, document=document)

        await self._store.write(work)
        self._all[mapping.uuid] = mapping
        self._changed.set()


def check_settings(mapping: EventSourceMapping) -> None:
    """What the settings of a queue's mapping may be. Raises InvalidParameterValue."""
    if mapping.fifo and mapping.window_s:
        raise InvalidParameterValue("Batching window is not supported for FIFO queues")
    if mapping.fifo and mapping.batch_size > FIFO_BATCH_MAX:
        raise InvalidParameterValue(f"Maximum batch size for FIFO queues is {FIFO_BATCH_MAX}")
    if mapping.batch_size > BATCH_WITHOUT_WINDOW_MAX and not mapping.window_s:
        raise InvalidParameterValue(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than "
            f"{BATCH_WITHOUT_WINDOW_MAX}"
        )
    if len(mapping.filters) > FILTERS_MAX:
        raise InvalidParameterValue(f"The maximum number of filters is {FILTERS_MAX}.")
    try:
        compiled(mapping.filters)
    except InvalidPattern:
        raise InvalidParameterValue("Invalid filter pattern definition.") from None


def _check_source(source_arn: str) -> None:
    parts = source_arn.split(":")
    if len(parts) < 6 or parts[0] != "arn":
        raise InvalidParameterValue(_UNRECOGNIZED)
    if parts[2] in LATER:
        raise NotYet(f"Event sources of {LATER[parts[2]]} (EventSourceArn) are not supported by Paddock yet.")
    if parts[2] != "sqs":
        raise InvalidParameterValue(_UNRECOGNIZED)


def _check_free(mapping: EventSourceMapping, verb: str) -> None:
    if not mapping.settled:
        raise in_use(f"Cannot {verb} the event source mapping because it is in use.")


def in_use(message: str) -> ServiceError:
    return ClientError(message, code="ResourceInUseException")


def _unqualified(function_arn: str) -> str:
    return ":".join(function_arn.split(":")[:7])


def _from_row(row: Row) -> EventSourceMapping:
    return msgspec.json.decode(row["document"], type=EventSourceMapping)
