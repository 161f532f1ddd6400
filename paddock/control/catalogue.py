"""The catalogue of functions: what exists, in which state, and every change of it.

How a change goes. It is checked, its zip is stored (durable), its row is committed (durable), and only then does the
copy in memory change and the caller get an answer. After a kill anywhere in between the store alone is believed:
no half function, and a zip nobody refers to is collected at start. Then, in the background, the fleet makes the
version startable and a second commit settles it (paddock/control/states.py); a restart takes that up again.

Changes of one function follow each other, each under the function's lock; changes of different functions share the
store's group commit. A change whose caller goes away is finished all the same, since half of it may be durable.

Reads and `resolve` look only at memory and do not wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from paddock.control import lookup, records, rules, states
from paddock.control.book import Book, Key, Page, Usage, key_of
from paddock.control.changes import Change, NewFunction
from paddock.control.shelf import CodeShelf, Unpacked, digests_of
from paddock.interfaces import Blobs, Clock, Fleet, Ids, Store, Tx
from paddock.model.arn import FunctionRef
from paddock.model.errors import InternalError, RequestEntityTooLarge, ResourceConflict, ServiceError
from paddock.model.function import Function, FunctionVersion
from paddock.model.package import inspect
from paddock.model.quotas import Quotas

T = TypeVar("T")

RETRY_S = 1.0
BUILD_ID_DIGITS = 32


class Catalogue:
    """Call start() before anything else and stop() at the end. Errors are those of model.errors."""

    def __init__(
        self, *, store: Store, blobs: Blobs, unpacked: Unpacked, fleet: Fleet, clock: Clock, ids: Ids, quotas: Quotas
    ) -> None:
        self._store = store
        self._shelf = CodeShelf(blobs, unpacked)
        self._fleet = fleet
        self._clock = clock
        self._ids = ids
        self._quotas = quotas
        self._book = Book()
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._changes: set[asyncio.Task[Any]] = set()
        self._settling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Load everything, delete code nobody refers to, and take up what an earlier process left unsettled."""
        for row in await self._store.read(lambda tx: tx.rows("functions_all")):
            function = records.function_of(row)
            self._book.put(function)
            self._shelf.use(digests_of(function))
        await self._shelf.collect_orphans()
        for function in self._book:
            if states.is_unsettled(function):
                self._settle_later(function)

    async def stop(self) -> None:
        """Finish changes under way; what is not settled yet goes on after the next start."""
        for task in self._settling:
            task.cancel()
        tasks = [*self._settling, *self._changes]
        if tasks:
            await asyncio.wait(tasks)

    def get(self, ref: FunctionRef) -> Function:
        """Raises ResourceNotFound."""
        return lookup.find(self._book, ref)

    def resolve(self, ref: FunctionRef) -> FunctionVersion:
        """What an Invoke of `ref` runs. Raises ResourceNotFound, or ResourceConflict while Pending or Failed."""
        return lookup.runnable(self._book, ref)

    def list(self, account: str, region: str, *, after: str = "", items_max: int | None = None) -> Page:
        """One page of functions in order of their names, beginning after the name `after`."""
        page_max = self._quotas.page_items_max
        return self._book.page(account, region, after=after, items_max=min(items_max or page_max, page_max))

    def usage(self, account: str, region: str) -> Usage:
        return self._book.usage(account, region)

    async def create_function(self, new: NewFunction, content: bytes) -> Function:
        """Pending when this returns. Raises ResourceConflict, InvalidParameterValue, RequestEntityTooLarge, ..."""
        rules.check_name(new.name, self._quotas)
        version = self._first_version(new)
        rules.check_version(version, self._quotas)
        tags = rules.merged_tags({}, new.tags, self._quotas)
        self._check_absent(key_of(Function(latest=version)))
        unzipped = await self._inspect(content)
        return await self._undisturbed(self._create(Function(latest=version, tags=tags), content, unzipped))

    async def update_code(
        self, ref: FunctionRef, content: bytes, *, revision_id: str = "", dry_run: bool = False
    ) -> Function:
        """InProgress when this returns; with dry_run everything is checked and nothing changes."""
        lookup.updatable(self._book, ref, revision_id)
        unzipped = await self._inspect(content)
        if dry_run:
            return lookup.updatable(self._book, ref, revision_id)
        return await self._undisturbed(self._update_code(ref, content, unzipped, revision_id))

    async def update_configuration(self, ref: FunctionRef, change: Change, *, revision_id: str = "") -> Function:
        """InProgress when this returns. The change is applied to what is set by then."""
        return await self._undisturbed(self._update_configuration(ref, change, revision_id))

    async def delete_function(self, ref: FunctionRef) -> None:
        """Raises ResourceNotFound, and InvalidParameterValue for a qualifier that cannot be deleted."""
        if lookup.deletable(self._book, ref) is not None:
            await self._undisturbed(self._delete(ref))

    def list_tags(self, ref: FunctionRef) -> Mapping[str, str]:
        return lookup.unqualified(self._book, ref).tags

    async def tag(self, ref: FunctionRef, tags: Mapping[str, str]) -> None:
        more = rules.nonempty_tags(tags)
        await self._undisturbed(self._retag(ref, lambda now: rules.merged_tags(now, more, self._quotas)))

    async def untag(self, ref: FunctionRef, keys: Collection[str]) -> None:
        await self._undisturbed(self._retag(ref, lambda now: {k: v for k, v in now.items() if k not in keys}))

    # Changes: each runs to its end in a task of its own.

    async def _create(self, function: Function, content: bytes, unzipped: int) -> Function:
        latest = function.latest
        async with self._lock(key_of(function)), self._shelf.stored(content, unzipped) as code:
            self._check_absent(key_of(function))
            with self._room(latest, code.size_bytes):
                created = replace(function, latest=replace(latest, code=code))
                await self._commit(created)
        self._settle_later(created)
        return created

    async def _update_code(self, ref: FunctionRef, content: bytes, unzipped: int, revision_id: str) -> Function:
        async with self._lock((ref.account, ref.region, ref.name)):
            before = lookup.updatable(self._book, ref, revision_id)
            async with self._shelf.stored(content, unzipped) as code:
                with self._room(before.latest, code.size_bytes - before.latest.code.size_bytes):
                    return await self._begin_update(before, replace(before.latest, code=code))

    async def _update_configuration(self, ref: FunctionRef, change: Change, revision_id: str) -> Function:
        async with self._lock((ref.account, ref.region, ref.name)):
            before = lookup.updatable(self._book, ref, revision_id)
            changed = change.applied(before.latest)
            rules.check_version(changed, self._quotas)
            return await self._begin_update(before, changed)

    async def _begin_update(self, before: Function, changed: FunctionVersion) -> Function:
        latest = states.updating(
            changed,
            revision_id=self._ids.uuid(),
            build_id=self._ids.hex(BUILD_ID_DIGITS),
            now=self._clock.now(),
        )
        function = replace(before, latest=latest)
        await self._commit(function)
        self._settle_later(function)
        return function

    async def _delete(self, ref: FunctionRef) -> None:
        key = (ref.account, ref.region, ref.name)
        async with self._lock(key):
            lookup.unqualified(self._book, ref)
            account, region, name = key
            await self._write(lambda tx: tx.run("function_delete", account=account, region=region, name=name))
            removed = self._book.remove(key)
        await self._fleet.retire(ref.function_arn, None)
        await self._shelf.release(digests_of(removed))

    async def _retag(self, ref: FunctionRef, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        async with self._lock((ref.account, ref.region, ref.name)):
            before = lookup.unqualified(self._book, ref)
            latest = replace(before.latest, revision_id=self._ids.uuid())
            # What serves is the same configuration, so its revision follows; its build, and so its warm
            # environments, stay.
            serving = latest if before.serving == before.latest else before.serving
            await self._commit(replace(before, latest=latest, serving=serving, tags=change(before.tags)))

    # Settling: from Pending or InProgress to where it ends.

    def _settle_later(self, function: Function) -> None:
        task = asyncio.get_running_loop().create_task(self._settle(function.latest))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(self, version: FunctionVersion) -> None:
        outcome = await self._prepare(version)
        key = (version.account, version.region, version.name)
        while not await self._settled(key, version.build_id, outcome):
            # The disk is full. Waiting is all one can do: the state must not be shown before it is durable.
            await self._clock.sleep(RETRY_S)
        if not outcome.code:
            await self._fleet.retire(version.function_arn, version.build_id)

    async def _prepare(self, version: FunctionVersion) -> states.Outcome:
        try:
            await self._fleet.prepare(version)
        except (ServiceError, OSError) as error:
            return states.failure(error)
        except Exception as error:  # a function that stayed Pending for ever would hang every client's waiter
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": f"preparing {version.version_arn} failed", "exception": error})
            return states.failure(error)
        return states.Outcome()

    async def _settled(self, key: Key, build_id: str, outcome: states.Outcome) -> bool:
        """Commit the end of this build. False when the store cannot be written."""
        async with self._lock(key):
            function = self._book.get(key)
            if function is None or function.latest.build_id != build_id:
                return True  # deleted meanwhile, or even created anew
            try:
                await self._commit(states.settled(function, outcome, self._ids.uuid()))
            except InternalError:
                return False
        return True

    # Small parts.

    def _first_version(self, new: NewFunction) -> FunctionVersion:
        settings = new.settings
        blank = FunctionVersion(
            account=new.account,
            region=new.region,
            name=new.name,
            runtime=settings.runtime or "",
            handler=settings.handler or "",
            role=settings.role or "",
            code=records.NO_CODE,
            architecture=new.architecture,
            revision_id=self._ids.uuid(),
            build_id=self._ids.hex(BUILD_ID_DIGITS),
            last_modified=self._clock.now(),
        )
        return states.creating(settings.applied(blank))

    def _check_absent(self, key: Key) -> None:
        if self._book.get(key) is not None:
            raise ResourceConflict(f"Function already exist: {key[2]}")

    async def _inspect(self, content: bytes) -> int:
        """The unzipped size. Raises as model.package does, and RequestEntityTooLarge."""
        limit = self._quotas.zipped_bytes_max
        if len(content) > limit:
            raise RequestEntityTooLarge(f"Zipped size must be smaller than {limit} bytes")
        return await asyncio.to_thread(inspect, content, self._quotas)

    def _room(self, version: FunctionVersion, more_bytes: int) -> AbstractContextManager[None]:
        return self._book.room_for(version.account, version.region, more_bytes, self._quotas.code_storage_bytes_max)

    async def _commit(self, function: Function) -> None:
        """Make it durable, then show it, then let go of code that nobody refers to any more."""
        row = records.row_of(function)
        await self._write(lambda tx: tx.run("function_put", **row))
        self._shelf.use(digests_of(function))
        before = self._book.put(function)
        await self._shelf.release(digests_of(before))

    async def _write(self, work: Callable[[Tx], int]) -> None:
        try:
            await self._store.write(work)
        except OSError as error:
            raise InternalError("The change could not be stored: the disk is full or fails. Try again.") from error

    async def _undisturbed(self, change: Coroutine[Any, Any, T]) -> T:
        """Run a change to its end, also when its caller is cancelled meanwhile."""
        task = asyncio.get_running_loop().create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    def _lock(self, key: Key) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock
