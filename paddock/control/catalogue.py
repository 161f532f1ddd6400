"""The catalogue of functions: what exists, in which state, and every change of it.

How a change goes. It is checked, its zip is stored (durable), its row is committed (durable), and only then does the
copy in memory change and the caller get an answer. After a kill anywhere in between the store alone is believed:
no half function, and a zip nobody refers to is collected at start. Then, in the background, the fleet makes the
version startable and a second commit settles it (paddock/control/states.py); a restart takes that up again.
Publishing from what serves already has nothing to prepare, and is settled by its one commit.

Changes of one function follow each other, each under the function's lock; changes of different functions share the
store's group commit. A change whose caller goes away is finished all the same, since half of it may be durable.

Reads and `resolve` look only at memory and do not wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import replace
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from paddock.control import aliases, listing, lookup, pools, publishing, records, rules, states
from paddock.control.aliases import AliasChange
from paddock.control.book import Book, Key, Page, Usage, VersionPage, key_of
from paddock.control.changes import Change, NewFunction
from paddock.control.layers import Layers
from paddock.control.listing import AliasPage
from paddock.control.shelf import CodeShelf, Unpacked, digests_of
from paddock.interfaces import Blobs, Clock, Fleet, Ids, Store, Tx
from paddock.model.alias import Alias
from paddock.model.arn import FunctionRef
from paddock.model.errors import (
    InternalError,
    InvalidParameterValue,
    ResourceConflict,
    ServiceError,
)
from paddock.model.function import CodeArtifact, Function, FunctionVersion, Signer, State
from paddock.model.image import ContainerImage
from paddock.model.package import inspect
from paddock.model.quotas import Quotas

T = TypeVar("T")
Code = bytes | ContainerImage
"""What a function is made of: a zip, or an image that was found."""

RETRY_S = 1.0
BUILD_ID_DIGITS = 32
DRAW_DIGITS = 12
DRAWS = 1 << 4 * DRAW_DIGITS


def _image(content: Code) -> ContainerImage | None:
    return content if isinstance(content, ContainerImage) else None


class Catalogue:
    """Call start() before anything else and stop() at the end. Errors are those of model.errors."""

    def __init__(
        self, *, store: Store, blobs: Blobs, unpacked: Unpacked, fleet: Fleet, clock: Clock, ids: Ids, quotas: Quotas,
        seals: records.Seals,
    ) -> None:  # fmt: skip
        self._store = store
        self._shelf = CodeShelf(blobs, unpacked)
        self._fleet = fleet
        self._clock = clock
        self._ids = ids
        self._quotas = quotas
        self._seals = seals
        self._book = Book()
        self.layers = Layers(store=store, shelf=self._shelf, book=self._book, clock=clock, ids=ids, quotas=quotas)
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._changes: set[asyncio.Task[Any]] = set()
        self._settling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Load everything, delete code nobody refers to, and take up what an earlier process left unsettled."""
        for function in await self._store.read(lambda tx: records.load(tx, self._seals)):
            self._book.put(function)
            self._shelf.use(digests_of(function))
        if await self._store.read(records.has_open_environments):
            for function in self._book:
                await self._write(records.changes(None, function, self._seals))
        await self.layers.start()
        await self._shelf.collect_orphans()
        for function in self._book:
            self._provision(None, function)
            for version in states.unsettled(function):
                self._settle_later(version)

    async def stop(self) -> None:
        """Finish changes under way; what is not settled yet goes on after the next start."""
        for task in self._settling:
            task.cancel()
        tasks = [*self._settling, *self._changes]
        if tasks:
            await asyncio.wait(tasks)
        await self.layers.stop()

    def functions(self) -> Iterator[Function]:
        """All of them, of every account and region."""
        return iter(self._book)

    def get(self, ref: FunctionRef) -> Function:
        """The function of which `ref` names a version or an alias. Raises ResourceNotFound."""
        return lookup.find(self._book, ref)[0]

    def version(self, ref: FunctionRef) -> FunctionVersion:
        """The version that `ref` names, as reads show it. Raises ResourceNotFound."""
        return lookup.find(self._book, ref)[1]

    def resolve(self, ref: FunctionRef) -> FunctionVersion:
        """What an Invoke of `ref` runs; of an alias with weights, drawn anew each time.

        Raises ResourceNotFound, or ResourceConflict while Pending or Failed.
        """
        return lookup.runnable(self._book, ref, self._draw)

    def list(self, account: str, region: str, *, after: str = "", items_max: int | None = None) -> Page:
        """One page of functions in order of their names, beginning after the name `after`."""
        return self._book.page(account, region, after=after, items_max=self._page_items(items_max))

    def list_all_versions(
        self, account: str, region: str, *, after: tuple[str, int] = ("", -1), items_max: int | None = None
    ) -> VersionPage:
        """One page of the versions of all functions, after (name, number); the number of $LATEST is 0."""
        return self._book.version_page(account, region, after=after, items_max=self._page_items(items_max))

    def list_versions(self, ref: FunctionRef, *, after: int = -1, items_max: int | None = None) -> VersionPage:
        """One page of a function's versions after a number; that of $LATEST, which comes first, is 0."""
        function = lookup.unqualified(self._book, ref)
        return listing.versions(function, after=after, items_max=self._page_items(items_max))

    def list_aliases(
        self, ref: FunctionRef, *, version: str = "", after: str = "", items_max: int | None = None
    ) -> AliasPage:
        """One page of a function's aliases, of all or of those whose primary version is `version`, after a name."""
        function = lookup.unqualified(self._book, ref)
        return listing.aliases(function, version=version, after=after, items_max=self._page_items(items_max))

    def alias(self, ref: FunctionRef, name: str) -> Alias:
        """Raises ResourceNotFound."""
        return lookup.alias_of(self._book, ref, name)

    def reservation(self, ref: FunctionRef) -> int | None:
        """GetFunctionConcurrency's answer. Raises ResourceNotFound, InvalidParameterValue."""
        return lookup.reservable(self._book, ref).reserved_concurrency

    def reserved(self, account: str, region: str, name: str) -> int | None:
        """How many concurrent executions are kept for the function; None without a reservation, or a function."""
        function = self._book.get((account, region, name))
        return None if function is None else function.reserved_concurrency

    def provisioned_of(self, account: str, region: str, name: str) -> int:
        """How many concurrent executions are provisioned of the function's versions and aliases together."""
        function = self._book.get((account, region, name))
        return 0 if function is None else function.provisioned_executions

    def reserved_by_all(self, account: str, region: str) -> int:
        """How many of the account's concurrent executions are kept for single functions, reserved or provisioned."""
        return self._book.reserved(account, region)

    def recursion_allowed(self, account: str, region: str, name: str) -> bool:
        """Whether loops through the function are let go on."""
        function = self._book.get((account, region, name))
        return function is not None and function.recursion_allowed

    def usage(self, account: str, region: str) -> Usage:
        return self._book.usage(account, region)

    async def create_function(
        self, new: NewFunction, content: Code, *, publish: bool = False, signer: Signer | None = None
    ) -> Function:
        """Pending when this returns, and so is its first version if it is published.

        Raises ResourceConflict, InvalidParameterValue, RequestEntityTooLarge, ...
        """
        rules.check_name(new.name, self._quotas)
        version = self._first_version(new)
        rules.check_version(version, self._quotas)
        tags = rules.merged_tags({}, new.tags, self._quotas)
        function = Function(latest=version, tags=tags, code_signing=new.code_signing)
        self._check_absent(key_of(function))
        unzipped = await self._inspect(content)
        return await self._undisturbed(self._create(function, content, unzipped, publish, signer))

    async def update_code(
        self, ref: FunctionRef, content: Code, *, revision_id: str = "", publish: bool = False, dry_run: bool = False,
        signer: Signer | None = None,
    ) -> Function:  # fmt: skip
        """InProgress when this returns; with dry_run everything is checked and nothing changes.

        With publish the function's newest version is the code just sent, Pending unless it was published before.
        """
        lookup.updatable(self._book, ref, revision_id)
        unzipped = await self._inspect(content)
        if dry_run:
            return lookup.updatable(self._book, ref, revision_id)
        return await self._undisturbed(self._update_code(ref, content, unzipped, revision_id, publish, signer))

    async def update_configuration(self, ref: FunctionRef, change: Change, *, revision_id: str = "") -> Function:
        """InProgress when this returns. The change is applied to what is set by then."""
        return await self._undisturbed(self._update_configuration(ref, change, revision_id))

    async def publish_version(
        self, ref: FunctionRef, *, description: str | None = None, code_sha256: str = "", revision_id: str = ""
    ) -> FunctionVersion:
        """The frozen `$LATEST`: a new version, or the newest one if nothing has changed since.

        Raises ResourceConflict, PreconditionFailed, InvalidParameterValue (code_sha256), CodeStorageExceeded.
        """
        return await self._undisturbed(self._publish(ref, description, code_sha256, revision_id))

    async def delete_function(self, ref: FunctionRef) -> None:
        """The function, or the version that is named; a version that is not there is no error.

        Raises ResourceNotFound, ResourceConflict (an alias needs it), InvalidParameterValue for other qualifiers.
        """
        function = lookup.deletable(self._book, ref)
        if not ref.qualifier:
            await self._undisturbed(self._delete(ref))
        elif ref.qualifier in function.versions:
            await self._undisturbed(self._delete_version(ref))

    async def create_alias(self, ref: FunctionRef, name: str, change: AliasChange) -> Alias:
        """Raises ResourceConflict, ResourceNotFound (a version), InvalidParameterValue (its routing)."""
        limit = self._quotas.aliases_per_function_max
        changed = await self._change(
            ref, lambda f: aliases.created(f, name, change, revision_id=self._ids.uuid(), aliases_max=limit)
        )
        return changed.aliases[name]

    async def update_alias(self, ref: FunctionRef, name: str, change: AliasChange, *, revision_id: str = "") -> Alias:
        """Raises ResourceNotFound, PreconditionFailed, InvalidParameterValue (its routing)."""
        changed = await self._change(
            ref,
            lambda f: aliases.updated(
                f, name, change, expected_revision_id=revision_id, revision_id=self._ids.uuid()
            ),
        )  # fmt: skip
        return changed.aliases[name]

    async def delete_alias(self, ref: FunctionRef, name: str) -> None:
        """An alias that is not there is no error."""
        await self._change(ref, lambda f: aliases.deleted(f, name))

    async def reserve(self, ref: FunctionRef, executions: int | None) -> None:
        """Keep that many concurrent executions for the function; None keeps none apart.

        Raises ResourceNotFound, and InvalidParameterValue when too few would be left for all others.
        """
        lookup.reservable(self._book, ref)
        await self.claim(ref, lambda f, claimed: rules.with_reservation(f, executions, claimed, self._quotas))

    async def claim(self, ref: FunctionRef, decide: Callable[[Function, int], Function]) -> Function:
        """As `change`, for what takes concurrency from others: decide is told, too, how much is kept for single
        functions of the account, this one among them. One at a time in a place, so that no two pass together where
        only one may.
        """
        return await self._undisturbed(self._claim(ref, decide))

    async def change(self, ref: FunctionRef, decide: Callable[[Function], Function]) -> Function:
        """Replace the function by what `decide` makes of it (itself for no change), durably. The function afterwards.

        For what control's other modules decide; ref is unqualified. Raises what `decide` does, and ResourceNotFound.
        """
        return await self._change(ref, decide)

    def list_tags(self, ref: FunctionRef) -> Mapping[str, str]:
        return lookup.unqualified(self._book, ref).tags

    async def tag(self, ref: FunctionRef, tags: Mapping[str, str]) -> None:
        more = rules.nonempty_tags(tags)
        await self._retag(ref, lambda now: rules.merged_tags(now, more, self._quotas))

    async def untag(self, ref: FunctionRef, keys: Collection[str]) -> None:
        await self._retag(ref, lambda now: {k: v for k, v in now.items() if k not in keys})

    # Changes: each runs to its end in a task of its own.

    async def _create(
        self, function: Function, content: Code, unzipped: int, publish: bool, signer: Signer | None
    ) -> Function:
        account, region, name = key = key_of(function)
        async with self._lock(key), self._stored(content, unzipped) as code:
            self._check_absent(key)
            last_version = await self._read(lambda tx: records.last_version(tx, account, region, name))
            latest = replace(function.latest, code=replace(code, signer=signer), image=_image(content))
            rules.check_unzipped(latest, self._quotas)
            created = replace(function, latest=latest, last_version=last_version)
            if publish:
                created = publishing.with_version(created, self._frozen(created, None))
            with self._room(latest, created.code_bytes):
                await self._commit(created)
        self._settle_later(*states.unsettled(created))
        return created

    async def _update_code(
        self, ref: FunctionRef, content: Code, unzipped: int, revision_id: str, publish: bool, signer: Signer | None
    ) -> Function:
        async with self._lock((ref.account, ref.region, ref.name)):
            before = lookup.updatable(self._book, ref, revision_id)
            rules.check_package(before.latest, isinstance(content, ContainerImage))
            async with self._stored(content, unzipped) as code:
                changed = replace(before.latest, code=replace(code, signer=signer), image=_image(content))
                return await self._begin_update(before, changed, publish)

    async def _update_configuration(self, ref: FunctionRef, change: Change, revision_id: str) -> Function:
        async with self._lock((ref.account, ref.region, ref.name)):
            before = lookup.updatable(self._book, ref, revision_id)
            changed = change.applied(before.latest)
            rules.check_version(changed, self._quotas)
            return await self._begin_update(before, changed)

    async def _begin_update(self, before: Function, changed: FunctionVersion, publish: bool = False) -> Function:
        rules.check_unzipped(changed, self._quotas)
        latest = states.updating(
            changed,
            revision_id=self._ids.uuid(),
            build_id=self._ids.hex(BUILD_ID_DIGITS),
            now=self._clock.now(),
        )
        function = replace(before, latest=latest)
        waiting = [latest]
        if publish and publishing.already_published(function) is None:
            version = self._frozen(function, None)
            function = publishing.with_version(function, version)
            waiting.append(version)
        with self._room(latest, function.code_bytes - before.code_bytes):
            await self._commit(function)
        self._settle_later(*waiting)
        return function

    async def _publish(
        self, ref: FunctionRef, description: str | None, code_sha256: str, revision_id: str
    ) -> FunctionVersion:
        async with self._lock((ref.account, ref.region, ref.name)):
            before = lookup.updatable(self._book, ref, revision_id)
            publishing.check_code(before, code_sha256)
            same = publishing.already_published(before)
            if same is not None:
                return same
            version = self._frozen(before, description)
            after = publishing.with_version(states.revised(before, self._ids.uuid()), version)
            with self._room(version, version.code.size_bytes):
                await self._commit(after)
        if version.state is State.PENDING:
            self._settle_later(version)
        return version

    async def _delete(self, ref: FunctionRef) -> None:
        key = (ref.account, ref.region, ref.name)
        async with self._lock(key):
            function = lookup.unqualified(self._book, ref)
            await self._write(records.deletion(function))
            removed = self._book.remove(key)
            self._fleet.provision(ref.function_arn, ())
        await self._fleet.retire(ref.function_arn, frozenset())
        await self._shelf.release(digests_of(removed))

    async def _delete_version(self, ref: FunctionRef) -> None:
        whole = replace(ref, qualifier="")
        function = await self._changed(whole, lambda f: publishing.without_version(f, ref.qualifier))
        await self._fleet.retire(ref.function_arn, function.builds)

    async def _claim(self, ref: FunctionRef, decide: Callable[[Function, int], Function]) -> Function:
        account, region = ref.account, ref.region
        async with self._lock((account, region, "")):
            return await self._changed(ref, lambda f: decide(f, self.reserved_by_all(account, region)))

    async def _retag(self, ref: FunctionRef, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        await self._change(ref, lambda f: replace(states.revised(f, self._ids.uuid()), tags=change(f.tags)))

    async def _change(self, ref: FunctionRef, decide: Callable[[Function], Function]) -> Function:
        """Replace a function by what `decide` makes of it. The function afterwards."""
        return await self._undisturbed(self._changed(ref, decide))

    async def _changed(self, ref: FunctionRef, decide: Callable[[Function], Function]) -> Function:
        async with self._lock((ref.account, ref.region, ref.name)):
            before = lookup.unqualified(self._book, ref)
            after = decide(before)
            if after is not before:
                await self._commit(after)
        return after

    # Settling: from Pending or InProgress to where it ends.

    def _settle_later(self, *waiting: FunctionVersion) -> None:
        for group in states.settling_alone(waiting):
            task = asyncio.get_running_loop().create_task(self._settle(group))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def _settle(self, waiting: Sequence[FunctionVersion]) -> None:
        """Bring versions of one function, with the same code and runtime, to where they end, all at once."""
        first = waiting[0]
        outcome = await self._prepare(first)
        key = (first.account, first.region, first.name)
        while not await self._settled(key, waiting, outcome):
            # The disk is full. Waiting is all one can do: the state must not be shown before it is durable.
            await self._clock.sleep(RETRY_S)
        function = self._book.get(key)
        if function is not None and not outcome.code:
            await self._fleet.retire(first.function_arn, function.builds)

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

    async def _settled(self, key: Key, waiting: Sequence[FunctionVersion], outcome: states.Outcome) -> bool:
        """Commit the end of these versions. False when the store cannot be written."""
        async with self._lock(key):
            before = self._book.get(key)
            if before is None:
                return True  # deleted meanwhile
            after = states.settled(before, waiting, outcome, self._ids.uuid)
            if after is before:
                return True  # created anew meanwhile
            try:
                await self._commit(after)
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
            tenant_isolation=new.tenant_isolation,
            revision_id=self._ids.uuid(),
            build_id=self._ids.hex(BUILD_ID_DIGITS),
            last_modified=self._clock.now(),
        )
        return states.creating(settings.applied(blank))

    def _frozen(self, function: Function, description: str | None) -> FunctionVersion:
        return publishing.frozen(
            function,
            description=description,
            revision_id=self._ids.uuid(),
            build_id=self._ids.hex(BUILD_ID_DIGITS),
        )

    def _draw(self) -> float:
        """A number in [0, 1), each as likely as the other."""
        return int(self._ids.hex(DRAW_DIGITS), 16) / DRAWS

    def _page_items(self, items_max: int | None) -> int:
        return min(items_max or self._quotas.page_items_max, self._quotas.page_items_max)

    def _check_absent(self, key: Key) -> None:
        if self._book.get(key) is not None:
            raise ResourceConflict(f"Function already exist: {key[2]}")

    def _stored(self, content: Code, unzipped: int) -> AbstractAsyncContextManager[CodeArtifact]:
        if isinstance(content, ContainerImage):
            return self._shelf.imaged(content)
        return self._shelf.stored(content, unzipped)

    def is_used(self, digest: str) -> bool:
        """Whether a function, or what is being made of one, needs the code or the layer."""
        return self._shelf.is_used(digest)

    async def _inspect(self, content: Code) -> int:
        """The unzipped size. Raises as model.package does. An image is not here yet."""
        if isinstance(content, ContainerImage):
            return 0
        return await asyncio.to_thread(inspect, content, self._quotas)

    def _room(self, version: FunctionVersion, more_bytes: int) -> AbstractContextManager[None]:
        return self._book.room_for(version.account, version.region, more_bytes, self._quotas.code_storage_bytes_max)

    async def _commit(self, function: Function) -> None:
        """Make it durable, then show it, then let go of code that nobody refers to any more."""
        digests = digests_of(function)
        if not self._shelf.use_present(digests):
            raise InvalidParameterValue("A layer of the function was deleted while the function was being changed.")
        try:
            await self._write(records.changes(self._book.get(key_of(function)), function, self._seals))
        except BaseException:
            await self._shelf.release(digests)
            raise
        before = self._book.put(function)
        self._provision(before, function)
        await self._shelf.release(digests_of(before))

    def _provision(self, before: Function | None, function: Function) -> None:
        """Tell the fleet which environments are to wait."""
        if function.provisioned or (before is not None and before.provisioned):
            self._fleet.provision(function.latest.function_arn, tuple(pools.pools(function)))

    async def _write(self, statements: Sequence[records.Statement]) -> None:
        try:
            await self._store.write(lambda tx: records.run(tx, statements))
        except OSError as error:
            raise InternalError("The change could not be stored: the disk is full or fails. Try again.") from error

    async def _read(self, work: Callable[[Tx], T]) -> T:
        try:
            return await self._store.read(work)
        except OSError as error:
            raise InternalError("The catalogue could not be read: the disk fails. Try again.") from error

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
