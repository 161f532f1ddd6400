"""What the operations on secrets may ask, and a secret as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec

from paddock.control.keys import Keys
from paddock.interfaces import Clock, Ids, Store, Tx
from paddock.model.errors import ClientError
from paddock.services.service import Call

CURRENT, PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    store: Store
    keys: Keys
    clock: Clock
    ids: Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """sealed: the value, hex. by_key: with a key of KMS. is_text: SecretString, or else SecretBinary."""

    id: str
    sealed: str
    by_key: bool
    is_text: bool
    stages: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """deleted_at: when it is gone for good; until then it can be restored. key: of KMS, "" for the default one."""

    name: str
    arn: str
    description: str = ""
    key: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime
    changed_at: datetime
    deleted_at: datetime | None = None
    versions: Mapping[str, Version] = field(default_factory=dict)

    def staged(self, stage: str) -> Version | None:
        return next((one for one in self.versions.values() if stage in one.stages), None)

    def with_version(self, version: Version) -> Secret:
        """With one more version. Its stages leave the version that had them; what was current becomes previous."""
        versions: dict[str, Version] = {}
        current = self.staged(CURRENT)
        for one in self.versions.values():
            stages = [stage for stage in one.stages if stage not in version.stages]
            if CURRENT in version.stages:
                stages = [stage for stage in stages if stage != PREVIOUS]
                if current is not None and one.id == current.id:
                    stages.append(PREVIOUS)
            if stages:  # what has no stage is deprecated, and is not kept
                versions[one.id] = replace(one, stages=tuple(stages))
        return replace(self, versions={**versions, version.id: version}, changed_at=version.created_at)


def not_found() -> ClientError:
    return ClientError("Secrets Manager can't find the specified secret.", code="ResourceNotFoundException")


def find(tx: Tx, call: Call, secret_id: str, now: datetime) -> Secret:
    """By name or ARN, deleted ones that can be restored, too. Raises ResourceNotFoundException."""
    caller = call.caller
    row = tx.row("secret_get", account=caller.account, region=caller.region, id=secret_id)
    if row is None:
        raise not_found()
    secret = msgspec.json.decode(row["document"], type=Secret)
    if secret.deleted_at is not None and secret.deleted_at <= now:
        raise not_found()
    return secret


def every(tx: Tx, call: Call) -> list[Secret]:
    """By name."""
    rows = tx.rows("secrets_all", account=call.caller.account, region=call.caller.region)
    return [msgspec.json.decode(row["document"], type=Secret) for row in rows]


def put(tx: Tx, call: Call, secret: Secret) -> None:
    tx.run(
        "secret_put",
        account=call.caller.account,
        region=call.caller.region,
        name=secret.name,
        arn=secret.arn,
        document=msgspec.json.encode(secret).decode(),
    )
