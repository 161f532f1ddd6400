"""Secrets. Their values lie sealed in the database, with the master key or with a key of KMS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from paddock.interfaces import Tx
from paddock.model.errors import ClientError
from paddock.services.refusing import refuse_others
from paddock.services.secretsmanager.desk import CURRENT, Desk, Secret, Version, every, find, put
from paddock.services.service import Call, Params

VALUE_BYTES_MAX = 65_536
RECOVERY_DAYS = 30
PAGE = 100
DEFAULT_KEY = "alias/aws/secretsmanager"
_SUFFIX_CHARS = 6
_CREATE = frozenset(
    {"Name", "ClientRequestToken", "Description", "KmsKeyId", "SecretBinary", "SecretString", "Tags"}
)  # fmt: skip
_PUT = frozenset({"SecretId", "ClientRequestToken", "SecretBinary", "SecretString", "VersionStages"})
_UPDATE = frozenset({"SecretId", "ClientRequestToken", "Description", "KmsKeyId", "SecretBinary", "SecretString"})


async def create_secret(desk: Desk, call: Call) -> Params:
    params, caller, now = call.params, call.caller, desk.clock.now()
    refuse_others(params, _CREATE)
    name = params["Name"]
    secret = Secret(
        name=name,
        arn=f"arn:aws:secretsmanager:{caller.region}:{caller.account}:secret:{name}-{desk.ids.hex(_SUFFIX_CHARS)}",
        description=params.get("Description", ""),
        key=params.get("KmsKeyId") or "",
        tags={tag["Key"]: tag["Value"] for tag in params.get("Tags") or ()},
        created_at=now,
        changed_at=now,
    )
    value = _value(params)

    def work(tx: Tx) -> Secret:
        _check_absent(tx, call, name, now)
        made = secret if value is None else secret.with_version(_version(desk, call, secret, value, (CURRENT,)))
        put(tx, call, made)
        return made

    return _named(await desk.store.write(work), CURRENT)


async def get_secret_value(desk: Desk, call: Call) -> Params:
    params, now = call.params, desk.clock.now()
    secret = _living(await desk.store.read(lambda tx: find(tx, call, params["SecretId"], now)))
    version_id, stage = params.get("VersionId"), params.get("VersionStage")
    version = secret.versions.get(version_id) if version_id else secret.staged(stage or CURRENT)
    if version is None or (stage and stage not in version.stages):
        wanted = f"VersionId: {version_id}" if version_id else f"staging label: {stage or CURRENT}"
        text = f"Secrets Manager can't find the specified secret value for {wanted}"
        raise ClientError(text, code="ResourceNotFoundException")
    plain = _opened(desk, call, secret, version)
    value = {"SecretString": plain.decode()} if version.is_text else {"SecretBinary": plain}
    return {
        "ARN": secret.arn,
        "Name": secret.name,
        "VersionId": version.id,
        "VersionStages": list(version.stages),
        "CreatedDate": version.created_at,
        **value,
    }


async def put_secret_value(desk: Desk, call: Call) -> Params:
    params = call.params
    refuse_others(params, _PUT)
    value, stages = _value(params), tuple(params.get("VersionStages") or (CURRENT,))
    if value is None:
        raise ClientError("You must provide either SecretString or SecretBinary.", code="InvalidRequestException")
    made: list[Version] = []

    def changed(secret: Secret) -> Secret:
        made.append(_version(desk, call, secret, value, stages))
        return _with_new(desk, call, secret, made[-1])

    secret = await _change(desk, call, changed)
    return {"ARN": secret.arn, "Name": secret.name, "VersionId": made[-1].id, "VersionStages": list(stages)}


async def update_secret(desk: Desk, call: Call) -> Params:
    params = call.params
    refuse_others(params, _UPDATE)
    value = _value(params)

    def changed(secret: Secret) -> Secret:
        described = replace(
            secret,
            description=params.get("Description", secret.description),
            key=params.get("KmsKeyId", secret.key),
            changed_at=desk.clock.now(),
        )
        if value is None:
            return described
        return _with_new(desk, call, described, _version(desk, call, described, value, (CURRENT,)))

    secret = await _change(desk, call, changed)
    return _named(secret, CURRENT if value is not None else "")


async def describe_secret(desk: Desk, call: Call) -> Params:
    now = desk.clock.now()
    return _described(await desk.store.read(lambda tx: find(tx, call, call.params["SecretId"], now)))


async def list_secrets(desk: Desk, call: Call) -> Params:
    params, now = call.params, desk.clock.now()
    refuse_others(params, frozenset({"IncludePlannedDeletion", "MaxResults", "NextToken"}))
    limit, after = params.get("MaxResults") or PAGE, params.get("NextToken") or ""
    everything = await desk.store.read(lambda tx: every(tx, call))
    doomed = bool(params.get("IncludePlannedDeletion"))
    shown = [one for one in everything if one.deleted_at is None or (doomed and one.deleted_at > now)]
    left = [one for one in shown if one.name > after]
    members: dict[str, Any] = {"SecretList": [_listed(one) for one in left[:limit]]}
    return {**members, "NextToken": left[limit - 1].name} if len(left) > limit else members


async def delete_secret(desk: Desk, call: Call) -> Params:
    params, now = call.params, desk.clock.now()
    force, days = bool(params.get("ForceDeleteWithoutRecovery")), params.get("RecoveryWindowInDays")
    if force and days:
        text = "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."
        raise ClientError(text, code="InvalidParameterException")
    when = now if force else now + timedelta(days=days or RECOVERY_DAYS)
    secret = await _change(desk, call, lambda found: replace(found, deleted_at=when))
    return {"ARN": secret.arn, "Name": secret.name, "DeletionDate": when}


async def restore_secret(desk: Desk, call: Call) -> Params:
    now = desk.clock.now()

    def work(tx: Tx) -> Secret:
        secret = replace(find(tx, call, call.params["SecretId"], now), deleted_at=None)
        put(tx, call, secret)
        return secret

    return _named(await desk.store.write(work), "")


async def _change(desk: Desk, call: Call, changed: Callable[[Secret], Secret]) -> Secret:
    """Raises ResourceNotFoundException, and InvalidRequestException for one that is to be deleted."""
    now = desk.clock.now()

    def work(tx: Tx) -> Secret:
        secret = changed(_living(find(tx, call, call.params["SecretId"], now)))
        put(tx, call, secret)
        return secret

    return await desk.store.write(work)


def _living(secret: Secret) -> Secret:
    if secret.deleted_at is not None:
        text = "You can't perform this operation on the secret because it was marked for deletion."
        raise ClientError(text, code="InvalidRequestException")
    return secret


def _check_absent(tx: Tx, call: Call, name: str, now: datetime) -> None:
    try:
        found = find(tx, call, name, now)
    except ClientError:
        return
    if found.deleted_at is not None:
        text = "You can't create this secret because a secret with this name is already scheduled for deletion."
        raise ClientError(text, code="InvalidRequestException")
    text = f"The operation failed because the secret {name} already exists."
    raise ClientError(text, code="ResourceExistsException")


def _value(params: Params) -> tuple[bytes, bool] | None:
    """What was sent, and whether it is text. Raises InvalidParameterException."""
    text, binary = params.get("SecretString"), params.get("SecretBinary")
    if text is not None and binary is not None:
        raise ClientError("You can't specify both SecretString and SecretBinary.", code="InvalidParameterException")
    value = binary if text is None else text.encode()
    if value is None:
        return None
    if len(value) > VALUE_BYTES_MAX:
        raise ClientError(f"The value is larger than {VALUE_BYTES_MAX} bytes.", code="InvalidParameterException")
    return value, text is not None


def _version(desk: Desk, call: Call, secret: Secret, value: tuple[bytes, bool], stages: tuple[str, ...]) -> Version:
    plain, is_text = value
    by_key = secret.key not in ("", DEFAULT_KEY)
    if by_key:
        key = desk.keys.usable(secret.key, call.caller.account, call.caller.region)
        sealed = desk.keys.encrypt(key, plain, secret.arn.encode())
    else:
        sealed = desk.keys.seal(plain, secret.arn)
    return Version(
        id=call.params.get("ClientRequestToken") or desk.ids.uuid(),
        sealed=sealed.hex(),
        by_key=by_key,
        is_text=is_text,
        stages=stages,
        created_at=desk.clock.now(),
    )


def _with_new(desk: Desk, call: Call, secret: Secret, version: Version) -> Secret:
    """A token that was used before names a version that exists: the same value again changes nothing."""
    before = secret.versions.get(version.id)
    if before is None:
        return secret.with_version(version)
    sent = _value(call.params)
    if sent is None or _opened(desk, call, secret, before) != sent[0]:
        text = "You can't use ClientRequestToken again with another value."
        raise ClientError(text, code="ResourceExistsException")
    return secret


def _opened(desk: Desk, call: Call, secret: Secret, version: Version) -> bytes:
    sealed = bytes.fromhex(version.sealed)
    if version.by_key:
        return desk.keys.decrypt(sealed, secret.arn.encode(), call.caller.account, call.caller.region)[1]
    return desk.keys.unseal(sealed, secret.arn)


def _named(secret: Secret, stage: str) -> dict[str, Any]:
    version = secret.staged(stage) if stage else None
    members = {"ARN": secret.arn, "Name": secret.name}
    return {**members, "VersionId": version.id} if version else members


def _listed(secret: Secret) -> dict[str, Any]:
    members = _described(secret)
    stages = members.pop("VersionIdsToStages", None)
    return members if stages is None else {**members, "SecretVersionsToStages": stages}


def _described(secret: Secret) -> dict[str, Any]:
    members: dict[str, Any] = {
        "ARN": secret.arn,
        "Name": secret.name,
        "CreatedDate": secret.created_at,
        "LastChangedDate": secret.changed_at,
    }
    if secret.description:
        members["Description"] = secret.description
    if secret.key:
        members["KmsKeyId"] = secret.key
    if secret.tags:
        members["Tags"] = [{"Key": key, "Value": value} for key, value in secret.tags.items()]
    if secret.deleted_at is not None:
        members["DeletedDate"] = secret.deleted_at
    if secret.versions:
        members["VersionIdsToStages"] = {one.id: list(one.stages) for one in secret.versions.values()}
    return members
