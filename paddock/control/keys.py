"""Keys: the master key that seals what lies in the database, and customers' own (KMS) below it.

A customer's key has material of its own, sealed by the master key. What is encrypted with it carries its id, so that
decrypting needs no other hint:

    1 (version) | id of the key, 16 bytes | sealed text (model/sealing.py)

Disabling a key, or scheduling its deletion, takes away what it has encrypted until that is undone.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import msgspec

from paddock.control.records import Statement, run
from paddock.control.undisturbed import Undisturbed
from paddock.interfaces import Clock, Ids, Store, Tx
from paddock.model.errors import ClientError, InternalError
from paddock.model.sealing import KEY_BYTES, NONCE_BYTES, BrokenSeal, seal, unseal

FORMAT = b"\x01"
OWN = b"\x00"
ID_BYTES = 16
AWS_ALIAS = "alias/aws/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """deletion_at: when it is to be deleted, None for never. sealed: its material, sealed by the master key, hex."""

    account: str
    region: str
    id: str
    description: str = ""
    enabled: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime
    deletion_at: datetime | None = None
    sealed: str

    @property
    def arn(self) -> str:
        return f"arn:aws:kms:{self.region}:{self.account}:key/{self.id}"

    @property
    def state(self) -> str:
        if self.deletion_at is not None:
            return "PendingDeletion"
        return "Enabled" if self.enabled else "Disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """name: with "alias/" before it."""

    account: str
    region: str
    name: str
    key_id: str
    created_at: datetime

    @property
    def arn(self) -> str:
        return f"arn:aws:kms:{self.region}:{self.account}:{self.name}"


def not_found(what: str) -> ClientError:
    return ClientError(what, code="NotFoundException")


class Keys:
    """master: KEY_BYTES. Call start() before anything else. Errors are KMS's own."""

    def __init__(self, *, store: Store, master: bytes, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._master = master
        self._clock = clock
        self._ids = ids
        self._keys: dict[str, Key] = {}
        self._aliases: dict[str, Alias] = {}
        self._lock = asyncio.Lock()
        self._changes = Undisturbed()

    async def start(self) -> None:
        keys, aliases = await self._store.read(_load)
        self._keys = {key.id: key for key in keys}
        self._aliases = {alias.arn: alias for alias in aliases}

    async def stop(self) -> None:
        await self._changes.finish()

    # What Paddock itself keeps.

    def seal(self, plain: bytes, about: str) -> bytes:
        """With the master key. about: what it is for; the same must be said to open it."""
        return seal(self._master, plain, about.encode(), self._nonce())

    def unseal(self, sealed: bytes, about: str) -> bytes:
        """Raises BrokenSeal."""
        return unseal(self._master, sealed, about.encode())

    def seal_for(self, plain: bytes, about: str, key: str) -> bytes:
        """With a customer's key (checked when it was set, so not here again), or "" for the master key."""
        if not key:
            return OWN + self.seal(plain, about)
        account, region = key.split(":")[4], key.split(":")[3]
        return self.encrypt(self.find(key, account, region), plain, about.encode())

    def open_for(self, sealed: bytes, about: str) -> bytes:
        """What seal_for has sealed, whatever has become of the customer's key since. Raises BrokenSeal."""
        if sealed[:1] == OWN:
            return self.unseal(sealed[1:], about)
        key = self._keys.get(str(uuid.UUID(bytes=sealed[1 : 1 + ID_BYTES])))
        if key is None:
            raise BrokenSeal("The key that it was sealed with is not there.")
        return unseal(self._material(key), sealed[1 + ID_BYTES :], about.encode())

    # What customers do.

    def find(self, name: str, account: str, region: str) -> Key:
        """By id, ARN, alias or ARN of an alias. Raises NotFoundException; deleted is what its time has come for."""
        alias_arn = f"arn:aws:kms:{region}:{account}:{name}" if name.startswith("alias/") else name
        alias = self._aliases.get(alias_arn)
        key = self._keys.get(alias.key_id if alias else name.rpartition("/")[2] if ":key/" in name else name)
        due = key is not None and key.deletion_at is not None and key.deletion_at <= self._clock.now()
        if key is None or due or (key.account, key.region) != (account, region):
            raise not_found(f"Key '{name}' does not exist")
        return key

    def usable(self, name: str, account: str, region: str) -> Key:
        """Raises NotFoundException, DisabledException, KMSInvalidStateException."""
        key = self.find(name, account, region)
        if key.deletion_at is not None:
            raise ClientError(f"{key.arn} is pending deletion.", code="KMSInvalidStateException")
        if not key.enabled:
            raise ClientError(f"{key.arn} is disabled.", code="DisabledException")
        return key

    def encrypt(self, key: Key, plain: bytes, about: bytes) -> bytes:
        material = self._material(key)
        return FORMAT + uuid.UUID(key.id).bytes + seal(material, plain, about, self._nonce())

    def decrypt(self, blob: bytes, about: bytes, account: str, region: str) -> tuple[Key, bytes]:
        """The key that it was encrypted with, and the text. Raises InvalidCiphertextException, and as usable()."""
        if len(blob) <= 1 + ID_BYTES or blob[:1] != FORMAT:
            raise ClientError("", code="InvalidCiphertextException")
        key = self.usable(str(uuid.UUID(bytes=blob[1 : 1 + ID_BYTES])), account, region)
        try:
            return key, unseal(self._material(key), blob[1 + ID_BYTES :], about)
        except BrokenSeal as error:
            raise ClientError("", code="InvalidCiphertextException") from error

    def keys(self, account: str, region: str) -> Sequence[Key]:
        """By id."""
        return sorted(
            (one for one in self._keys.values() if (one.account, one.region) == (account, region)),
            key=lambda one: one.id,
        )

    def aliases(self, account: str, region: str) -> Sequence[Alias]:
        """By name."""
        return sorted(
            (one for one in self._aliases.values() if (one.account, one.region) == (account, region)),
            key=lambda one: one.name,
        )

    async def create(self, account: str, region: str, *, description: str, tags: Mapping[str, str]) -> Key:
        key_id = self._ids.uuid()
        material = bytes.fromhex(self._ids.hex(2 * KEY_BYTES))
        key = Key(
            account=account,
            region=region,
            id=key_id,
            description=description,
            tags=tags,
            created_at=self._clock.now(),
            sealed=self.seal(material, _about(key_id)).hex(),
        )
        await self._changes.run(self._put(key))
        return key

    async def enable(self, key: Key, enabled: bool) -> None:
        await self._changes.run(self._change(key, lambda now: replace(now, enabled=enabled)))

    async def delete_later(self, key: Key, days: int | None) -> Key:
        """After so many days; None takes that back, and leaves the key disabled."""
        when = None if days is None else self._clock.now() + timedelta(days=days)
        return await self._changes.run(self._change(key, lambda now: replace(now, deletion_at=when, enabled=False)))

    async def alias(self, alias: Alias) -> None:
        """Raises AlreadyExistsException."""
        await self._changes.run(self._alias(alias))

    async def unalias(self, name: str, account: str, region: str) -> None:
        """Raises NotFoundException."""
        await self._changes.run(self._unalias(f"arn:aws:kms:{region}:{account}:{name}"))

    async def _alias(self, alias: Alias) -> None:
        async with self._lock:
            if alias.arn in self._aliases:
                raise ClientError(f"An alias with the name {alias.arn} already exists", code="AlreadyExistsException")
            document = msgspec.json.encode(alias).decode()
            await self._write([("kms_alias_put", {"arn": alias.arn, "document": document})])
            self._aliases[alias.arn] = alias

    async def _unalias(self, arn: str) -> None:
        async with self._lock:
            if arn not in self._aliases:
                raise not_found(f"Alias {arn} is not found.")
            await self._write([("kms_alias_delete", {"arn": arn})])
            del self._aliases[arn]

    async def _change(self, key: Key, changed: Callable[[Key], Key]) -> Key:
        async with self._lock:
            after = changed(self._keys[key.id])
            await self._put(after)
        return after

    async def _put(self, key: Key) -> None:
        await self._write([("kms_key_put", {"id": key.id, "document": msgspec.json.encode(key).decode()})])
        self._keys[key.id] = key

    async def _write(self, statements: Sequence[Statement]) -> None:
        try:
            await self._store.write(lambda tx: run(tx, statements))
        except OSError as error:
            raise InternalError("The change could not be stored: the disk is full or fails. Try again.") from error

    def _material(self, key: Key) -> bytes:
        return self.unseal(bytes.fromhex(key.sealed), _about(key.id))

    def _nonce(self) -> bytes:
        return bytes.fromhex(self._ids.hex(2 * NONCE_BYTES))


def _about(key_id: str) -> str:
    return f"kms key {key_id}"


def _load(tx: Tx) -> tuple[list[Key], list[Alias]]:
    keys = [msgspec.json.decode(row["document"], type=Key) for row in tx.rows("kms_keys_all")]
    aliases = [msgspec.json.decode(row["document"], type=Alias) for row in tx.rows("kms_aliases_all")]
    return keys, aliases
