"""Layers: published once, numbered for ever, kept as long as anybody uses them (spec 01 section 6).

A version that is deleted can not be named any more, but functions that have it keep its bytes: content is shared by
digest on the same shelf as functions' code, and each function counts as a user of its layers' content. Numbers are
never given out twice, not even after every version of a layer was deleted.

Changes of layers follow each other; they are rare.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from paddock.control.book import Book
from paddock.control.records import Statement, run
from paddock.control.shelf import CodeShelf
from paddock.control.undisturbed import Undisturbed
from paddock.interfaces import Clock, Ids, Store, Tx
from paddock.model import permission
from paddock.model.errors import (
    AccessDenied,
    InternalError,
    InvalidParameterValue,
    PolicyLengthExceeded,
    PreconditionFailed,
    ResourceConflict,
    ResourceNotFound,
)
from paddock.model.function import LayerUse, Signer
from paddock.model.layer import LayerRef, LayerVersion
from paddock.model.package import inspect
from paddock.model.permission import POLICY_BYTES_MAX, Asker, Decision, ResourcePolicy
from paddock.model.quotas import Quotas

GET = "lambda:GetLayerVersion"
ABSENT = "The resource you requested does not exist."

Name = tuple[str, str, str]
"""(account, region, name) of a layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLayerVersion:
    """PublishLayerVersion without its content. ref.version is not looked at."""

    ref: LayerRef
    description: str = ""
    license: str = ""
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()


class Layers:
    """Call start() before the shelf's orphans are collected. Errors are those of model.errors."""

    def __init__(
        self, *, store: Store, shelf: CodeShelf, book: Book, clock: Clock, ids: Ids, quotas: Quotas
    ) -> None:  # fmt: skip
        self._store = store
        self._shelf = shelf
        self._book = book
        self._clock = clock
        self._ids = ids
        self._quotas = quotas
        self._versions: dict[Name, dict[int, LayerVersion]] = {}
        self._last: dict[Name, int] = {}
        self._lock = asyncio.Lock()
        self._changes = Undisturbed()

    async def start(self) -> None:
        """Load every layer."""
        versions, self._last = await self._store.read(_load)
        for version in versions:
            self._enter(version)

    async def stop(self) -> None:
        await self._changes.finish()

    def get(self, ref: LayerRef, account: str) -> LayerVersion:
        """For a caller of `account`. Raises ResourceNotFound, AccessDenied."""
        _check_number(ref)
        version = self._find(ref)
        if ref.account != account and not _may_use(version, account):
            raise _denied(ref, account)
        if version is None:
            raise ResourceNotFound(ABSENT)
        return version

    def versions(
        self, ref: LayerRef, *, before: int = 0, runtime: str = "", architecture: str = "", items_max: int | None = None
    ) -> tuple[Sequence[LayerVersion], bool]:
        """A page of a layer's versions, newest first, below the number `before` (0: all); whether more follow."""
        fitting = [
            version
            for number, version in sorted(self._versions.get(_name(ref), {}).items(), reverse=True)
            if (not before or number < before) and version.suits(runtime=runtime, architecture=architecture)
        ]
        return self._page(fitting, items_max)

    def list(
        self, account: str, region: str, *, after: str = "", runtime: str = "", architecture: str = "",
        items_max: int | None = None,
    ) -> tuple[Sequence[LayerVersion], bool]:  # fmt: skip
        """A page of layers by name, of each the newest version that fits; whether more follow."""
        fitting = []
        for name, versions in sorted(self._versions.items()):
            if name[:2] != (account, region) or name[2] <= after:
                continue
            suiting = [v for v in versions.values() if v.suits(runtime=runtime, architecture=architecture)]
            if suiting:
                fitting.append(max(suiting, key=lambda version: version.ref.version))
        return self._page(fitting, items_max)

    def uses(self, wanted: Iterable[tuple[str, LayerRef | None]], account: str, region: str) -> tuple[LayerUse, ...]:
        """What a function of that account and region gets for its Layers: ARNs, and what they name.

        Raises InvalidParameterValue, AccessDenied (another account's, without its leave).
        """
        found: dict[str, LayerRef] = {}
        uses = []
        for arn, ref in wanted:
            version = None if ref is None else self._usable(ref, account, region)
            if ref is None or version is None:
                raise InvalidParameterValue(f"Layer version {arn} does not exist.")
            if ref.layer_arn in found:
                raise InvalidParameterValue(
                    "Two different versions of the same layer are not allowed to be referenced in the same function. "
                    f"{found[ref.layer_arn].arn} and {arn} are versions of the same layer."
                )
            found[ref.layer_arn] = ref
            uses.append(version.use)
        if len(uses) > self._quotas.layers_max:
            raise InvalidParameterValue(f"Cannot reference more than {self._quotas.layers_max} layers.")
        return tuple(uses)

    async def publish(self, new: NewLayerVersion, content: bytes, signer: Signer | None = None) -> LayerVersion:
        """The next version. Raises InvalidParameterValue (the zip), CodeStorageExceeded."""
        unzipped = await asyncio.to_thread(inspect, content, self._quotas)
        return await self._changes.run(self._publish(new, content, unzipped, signer))

    async def delete(self, ref: LayerRef) -> None:
        """One that is not there is no error."""
        _check_number(ref)
        await self._changes.run(self._delete(ref))

    def policy(self, ref: LayerRef) -> tuple[ResourcePolicy, str]:
        """The version's policy and its RevisionId. Raises ResourceNotFound."""
        version = self._there(ref)
        if version.policy is None:
            raise ResourceNotFound("No policy is associated with the given resource.")
        return version.policy, version.policy_revision_id

    async def allow(self, ref: LayerRef, statement: Mapping[str, Any], *, revision_id: str = "") -> str:
        """One more statement in the version's policy; its new RevisionId."""

        def changed(version: LayerVersion) -> list[Mapping[str, Any]]:
            present = _statements(version)
            if any(one["Sid"] == statement["Sid"] for one in present):
                raise ResourceConflict(
                    f"The statement id ({statement['Sid']}) provided already exists. "
                    "Please provide a new statement id, or remove the existing statement."
                )
            return [*present, statement]

        return await self._changes.run(self._set_policy(ref, changed, revision_id))

    async def forbid(self, ref: LayerRef, sid: str, *, revision_id: str = "") -> None:
        """Take a statement away. Raises ResourceNotFound."""

        def changed(version: LayerVersion) -> list[Mapping[str, Any]]:
            present = _statements(version)
            left = [one for one in present if one["Sid"] != sid]
            if len(left) == len(present):
                raise ResourceNotFound(f"Statement {sid} is not found in resource policy.")
            return left

        await self._changes.run(self._set_policy(ref, changed, revision_id))

    async def _publish(
        self, new: NewLayerVersion, content: bytes, unzipped: int, signer: Signer | None
    ) -> LayerVersion:
        name = _name(new.ref)
        async with self._lock, self._shelf.stored(content, unzipped) as code:
            version = LayerVersion(
                ref=replace(new.ref, version=self._last.get(name, 0) + 1),
                code=replace(code, signer=signer),
                description=new.description,
                license=new.license,
                runtimes=new.runtimes,
                architectures=new.architectures,
                created_at=self._clock.now(),
            )
            account, region, _ = name
            with self._book.room_for(account, region, code.size_bytes, self._quotas.code_storage_bytes_max):
                await self._write([_put(version), _last(version.ref)])
                self._enter(version)
            self._last[name] = version.ref.version
        return version

    async def _delete(self, ref: LayerRef) -> None:
        async with self._lock:
            version = self._find(ref)
            if version is None:
                return
            await self._write([("layer_version_delete", _identity(ref))])
            versions = self._versions[_name(ref)]
            del versions[ref.version]
            if not versions:
                del self._versions[_name(ref)]
            self._book.count_layer(ref.account, ref.region, -version.code.size_bytes)
            await self._shelf.release((version.code.digest,))

    async def _set_policy(self, ref: LayerRef, changed: Any, revision_id: str) -> str:
        async with self._lock:
            version = self._there(ref)
            if revision_id and revision_id != version.policy_revision_id:
                raise PreconditionFailed(
                    "The Revision Id provided does not match the latest Revision Id. "
                    "Call the GetLayerPolicy API to retrieve the latest Revision Id"
                )
            statements = changed(version)
            policy = ResourcePolicy.of(permission.document(statements)) if statements else None
            size = 0 if policy is None else len(policy.text.encode())
            if size > POLICY_BYTES_MAX:
                raise PolicyLengthExceeded(
                    f"The final policy size ({size}) is bigger than the limit ({POLICY_BYTES_MAX})."
                )
            after = replace(version, policy=policy, policy_revision_id=self._ids.uuid() if policy else "")
            await self._write([_put(after)])
            self._versions[_name(ref)][ref.version] = after
        return after.policy_revision_id

    def _enter(self, version: LayerVersion) -> None:
        ref = version.ref
        self._versions.setdefault(_name(ref), {})[ref.version] = version
        self._book.count_layer(ref.account, ref.region, version.code.size_bytes)
        self._shelf.use((version.code.digest,))

    def _find(self, ref: LayerRef) -> LayerVersion | None:
        return self._versions.get(_name(ref), {}).get(ref.version)

    def _there(self, ref: LayerRef) -> LayerVersion:
        """Raises ResourceNotFound, and InvalidParameterValue for a number that no version has."""
        _check_number(ref)
        version = self._find(ref)
        if version is None:
            raise ResourceNotFound(f"Layer version {ref.arn} does not exist.")
        return version

    def _usable(self, ref: LayerRef, account: str, region: str) -> LayerVersion | None:
        """For a function. Whether another account's layer is there is not told to those who may not use it."""
        version = self._find(ref)
        if ref.account != account and not _may_use(version, account):
            raise _denied(ref, account)
        if ref.region != region:
            raise InvalidParameterValue(
                "Layers are not in the same region as the function. "
                f"Layers are expected to be in region {region}."
            )  # fmt: skip
        return version

    def _page(self, fitting: Sequence[LayerVersion], items_max: int | None) -> tuple[Sequence[LayerVersion], bool]:
        limit = min(items_max or self._quotas.page_items_max, self._quotas.page_items_max)
        return fitting[:limit], len(fitting) > limit

    async def _write(self, statements: Sequence[Statement]) -> None:
        try:
            await self._store.write(lambda tx: run(tx, statements))
        except OSError as error:
            raise InternalError("The change could not be stored: the disk is full or fails. Try again.") from error


def _check_number(ref: LayerRef) -> None:
    if ref.version < 1:
        raise InvalidParameterValue("Layer Version Cannot be less than 1")


def _name(ref: LayerRef) -> Name:
    return (ref.account, ref.region, ref.name)


def _may_use(version: LayerVersion | None, account: str) -> bool:
    """Whether an account that is not the layer's may use it. Every caller is its account's root, who may delegate."""
    if version is None:
        return False
    asker = Asker(account=account, arn=f"arn:aws:iam::{account}:root")
    return permission.decide(version.policy, asker, GET, version.ref.arn) in (Decision.ALLOWED, Decision.DELEGATED)


def _denied(ref: LayerRef, account: str) -> AccessDenied:
    return AccessDenied(
        f"User: arn:aws:iam::{account}:root is not authorized to perform: {GET} on resource: {ref.arn} "
        f"because no resource-based policy allows the {GET} action"
    )


def _statements(version: LayerVersion) -> list[Mapping[str, Any]]:
    if version.policy is None:
        return []
    found: list[Mapping[str, Any]] = json.loads(version.policy.text)["Statement"]
    return found


def _identity(ref: LayerRef) -> dict[str, Any]:
    return {"account": ref.account, "region": ref.region, "name": ref.name, "version": ref.version}


def _last(ref: LayerRef) -> Statement:
    account, region, name = _name(ref)
    return "layer_number_put", {"account": account, "region": region, "name": name, "last_version": ref.version}


def _put(version: LayerVersion) -> Statement:
    document = msgspec.json.encode(replace(version, policy=None)).decode()
    policy = None if version.policy is None else version.policy.text
    return "layer_version_put", {**_identity(version.ref), "document": document, "policy": policy}


def _load(tx: Tx) -> tuple[list[LayerVersion], dict[Name, int]]:
    versions = []
    for row in tx.rows("layer_versions_all"):
        version = msgspec.json.decode(row["document"], type=LayerVersion)
        policy = None if row["policy"] is None else ResourcePolicy.of(row["policy"])
        versions.append(replace(version, policy=policy))
    numbers = {(r["account"], r["region"], r["name"]): r["last_version"] for r in tx.rows("layer_numbers_all")}
    return versions, numbers
