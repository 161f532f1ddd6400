"""What the operations of S3 may ask, and what they share.

Buckets are few and held in memory whole, as a copy of what the store holds; objects are asked for one by one. Who may
do what with a bucket is decided in access.py.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from paddock.interfaces import Clock, Ids, Segments, Store, Tx
from paddock.model.delivery import TargetEvent
from paddock.model.errors import NotYet, ServiceError
from paddock.model.permission import ResourcePolicy
from paddock.services.s3 import access
from paddock.services.s3.errors import access_denied, disk_full, no_such_bucket
from paddock.services.s3.events import events_of
from paddock.services.s3.nouns import Bucket, Version, bucket_from, dump, segments_from
from paddock.services.service import Call, Params

log = logging.getLogger("paddock.s3")

T = TypeVar("T")

REFUSED = (
    "SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5", "CopySourceSSECustomerAlgorithm",
    "CopySourceSSECustomerKey", "CopySourceSSECustomerKeyMD5", "SSEKMSKeyId", "SSEKMSEncryptionContext",
    "BucketKeyEnabled", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWrite", "GrantWriteACP",
    "ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus", "ObjectLockEventHold",
    "ObjectLockEventHoldDurationDays", "ObjectLockEventHoldDurationYears", "ObjectLockEnabledForBucket",
    "BypassGovernanceRetention", "MFA", "WriteOffsetBytes", "BucketNamespace", "AnnotationDirective",
    "OptionalObjectAttributes",
)  # fmt: skip
"""Settings of requests that are refused wherever they stand (docs/refused-settings.md)."""

STORAGE_CLASSES = frozenset({"STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING"})
"""Those that mean nothing but a price to a client. The others need restoring before they are read."""


class Desk:
    """store: the catalogue. Made by `await Desk.open(...)`, which collects what a crash left.

    outbox: puts an event on its way within a transaction. check_target: raises TargetRefused when a
    target is not there or does not let the event's source in. lifecycles_changed: so many times since the start.
    """

    def __init__(
        self,
        *,
        store: Store,
        segments: Segments,
        clock: Clock,
        ids: Ids,
        outbox: Callable[[Tx, TargetEvent], None],
        check_target: Callable[[TargetEvent], None],
    ) -> None:
        self.store = store
        self.outbox = outbox
        self.check_target = check_target
        self.segments = segments
        self.clock = clock
        self.ids = ids
        self.buckets: dict[str, Bucket] = {}
        self._seq = 0
        self.lifecycles_changed = 0
        self._policies: dict[str, ResourcePolicy] = {}

    @classmethod
    async def open(cls, *, store: Store, **handed: Any) -> Desk:
        desk = cls(store=store, **handed)
        rows = await store.read(lambda tx: tx.rows("s3_buckets_all"))
        desk.buckets = {row["name"]: bucket_from(row) for row in rows}
        last = await store.read(lambda tx: tx.row("s3_seq_last"))
        desk._seq = (last and last["seq"]) or 0
        await desk._collect()
        return desk

    def now_ms(self) -> int:
        return int(self.clock.now().timestamp() * 1000)

    def next_seq(self) -> int:
        """Greater than every one before, after a restart too: microseconds, or one more than the last."""
        self._seq = max(self._seq + 1, int(self.clock.now().timestamp() * 1_000_000))
        return self._seq

    def bucket_of(self, call: Call) -> Bucket:
        """The bucket that the call names and may use so. Raises NoSuchBucket, AccessDenied; NotYet for settings that
        are refused.

        What is done to many keys at once is asked for each of them, by its operation.
        """
        params = call.params
        refuse(params)
        bucket = self.bucket_named(params["Bucket"], params.get("ExpectedBucketOwner"))
        if call.operation != "DeleteObjects":
            action = access.action_of(call.operation, params)
            if not self.allows(bucket, call, action, params.get("Key")):
                raise access_denied()
        return bucket

    def bucket_named(self, name: str, expected_owner: str | None = None) -> Bucket:
        """Raises NoSuchBucket; AccessDenied when it is not the expected owner's."""
        bucket = self.buckets.get(name)
        if bucket is None:
            raise no_such_bucket(name)
        if expected_owner not in (None, bucket.account):
            raise access_denied()
        return bucket

    def allows(self, bucket: Bucket, call: Call, action: str, key: str | None) -> bool:
        """Whether the caller may. action: "s3:GetObject". key: None for the bucket itself."""
        return access.allows(bucket, self._policy_of(bucket), call, action, key, self.clock.now())

    def _policy_of(self, bucket: Bucket) -> ResourcePolicy | None:
        """The bucket's policy, parsed once."""
        text = bucket.settings.get("policy")
        if text is None:
            return None
        kept = self._policies.get(bucket.name)
        if kept is None or kept.text != text:
            kept = self._policies[bucket.name] = ResourcePolicy.of(text)
        return kept

    async def change(
        self,
        bucket: Bucket,
        *,
        versioning: str | None = None,
        also: Callable[[Tx], None] | None = None,
        **settings: Any,
    ) -> Bucket:
        """Store the bucket with another versioning, or with settings changed; None takes a setting away.

        also: done in the same transaction.
        """

        def work(tx: Tx) -> Bucket:
            now = self.buckets.get(bucket.name)
            if now is None:
                raise no_such_bucket(bucket.name)
            merged = {name: value for name, value in {**now.settings, **settings}.items() if value is not None}
            changed = replace(now, settings=merged, versioning=versioning or now.versioning)
            tx.run("s3_bucket_update", name=now.name, versioning=changed.versioning, settings=dump(merged))
            if also is not None:
                also(tx)
            # Within the transaction, so that of two changes at once each sees the other's; undone if it fails.
            self.buckets[now.name] = changed
            return now

        try:
            before = await self.write(work)
        except ServiceError:
            self.buckets[bucket.name] = bucket
            raise
        return before

    def announce(self, tx: Tx, bucket: Bucket, event: str, version: Version, call: Call) -> None:
        """Put the event of a change on its way, within the change's transaction: by the rules of this moment."""
        current = self.buckets.get(bucket.name, bucket)
        for sent in events_of(current, event, version, call, self.clock.now()):
            self.outbox(tx, sent)

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Store.write with S3's error for a full disk."""
        try:
            return await self.store.write(work)
        except OSError as error:
            log.error("S3 can not write: %s", error)
            raise disk_full() from error

    async def discard(self, segments: Iterable[str]) -> None:
        """Delete segments that no row names any more. A failure is for the log: the next start collects them."""
        names = list(segments)
        if names:
            with suppress(OSError):
                await asyncio.shield(self.segments.delete(names))

    async def _collect(self) -> None:
        """Delete what a killed server left: segments that were written and never committed."""

        def named(tx: Tx) -> set[str]:
            names = {row["segment"] for row in tx.rows("s3_parts_all")}
            for row in tx.rows("s3_segments_all"):
                names.update(name for name, _ in segments_from(row["segments"]))
            return names

        kept = await self.store.read(named)
        orphans = [name for name in await self.segments.names() if name not in kept]
        if orphans:
            log.info("%d segments of unfinished uploads are deleted", len(orphans))
            await self.discard(orphans)


def refuse(params: Params) -> None:
    """Raises NotYet for a setting that is not honoured; AWS's error for ACLs, which new buckets do not have."""
    for name in REFUSED:
        if params.get(name):
            raise NotYet(f"{name} is not supported yet.")
    if params.get("ServerSideEncryption", "AES256") != "AES256":
        raise NotYet("ServerSideEncryption other than AES256 is not supported yet.")
    if params.get("StorageClass", "STANDARD") not in STORAGE_CLASSES:
        raise NotYet(f"StorageClass {json.dumps(params['StorageClass'])} is not supported yet.")
