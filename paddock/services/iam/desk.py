"""What the operations of IAM may ask, and what they share.

Policies are stored and validated, and nothing else yet: enforcing them is a later piece of work of its own, and the
server's banner says that every caller is its account's root until then.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from paddock.interfaces import Clock, Ids, Store, Tx
from paddock.model.errors import ClientError, ServiceError
from paddock.model.policy import Kind, MalformedPolicy, parse
from paddock.observe.invocation_log import epoch_ms
from paddock.services.iam.managed import AWS_PREFIX
from paddock.services.iam.nouns import ManagedPolicy, Role, policy_from, role_from
from paddock.services.service import Call

T = TypeVar("T")

TAGS_MAX = 50
PAGE_DEFAULT = 100
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """store: the catalogue. managed: AWS's own policies, by ARN (managed.load_managed)."""

    store: Store
    clock: Clock
    ids: Ids
    managed: Mapping[str, ManagedPolicy]

    def now_ms(self) -> int:
        return epoch_ms(self.clock.now())

    def identifier(self, prefix: str) -> str:
        """AROA..., ANPA...: the prefix and 17 random characters of base 32."""
        number = int(self.ids.hex(22), 16)
        return prefix + "".join(_BASE32[(number >> (5 * place)) & 31] for place in range(17))


def no_such(message: str) -> ServiceError:
    return ClientError(message, code="NoSuchEntityException", status=404)


def already_exists(message: str) -> ServiceError:
    return ClientError(message, code="EntityAlreadyExistsException", status=409)


def conflict(message: str) -> ServiceError:
    return ClientError(message, code="DeleteConflictException", status=409)


def limit_exceeded(message: str) -> ServiceError:
    return ClientError(message, code="LimitExceededException", status=409)


def invalid(message: str) -> ServiceError:
    return ClientError(message, code="InvalidInputException")


def check_document(document: str, kind: Kind) -> None:
    """Raises MalformedPolicyDocument."""
    try:
        parse(document, kind)
    except MalformedPolicy as error:
        raise ClientError(str(error), code="MalformedPolicyDocumentException") from error


def role_in(tx: Tx, call: Call, name: str) -> Role:
    """Raises NoSuchEntity."""
    row = tx.row("iam_role_get", account=call.caller.account, name_key=name.lower())
    if row is None:
        raise no_such(f"The role with name {name} cannot be found.")
    return role_from(row)


def policy_in(tx: Tx, desk: Desk, call: Call, arn: str) -> ManagedPolicy | None:
    """A customer's policy, or one of AWS's with the number of times this account has attached it."""
    account = call.caller.account
    if arn.startswith(AWS_PREFIX):
        policy = desk.managed.get(arn)
        return attached_count(tx, account, policy) if policy else None
    row = tx.row("iam_policy_get", account=account, arn=arn)
    return policy_from(row) if row is not None else None


def attached_count(tx: Tx, account: str, policy: ManagedPolicy) -> ManagedPolicy:
    row = tx.row("iam_attachment_count", account=account, policy_arn=policy.arn)
    return replace(policy, attachments=row["attachments"] if row else 0)


def tags_from(entries: Sequence[Mapping[str, str]], present: Mapping[str, str]) -> dict[str, str]:
    """The tags with these set. Raises InvalidInput for a key twice or reserved, LimitExceeded over 50."""
    keys = [entry["Key"] for entry in entries]
    if len({key.lower() for key in keys}) < len(keys):
        raise invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if any(key.lower().startswith("aws:") for key in keys):
        raise invalid("Tag keys starting with aws: are reserved for system use.")
    tags = dict(present)
    for entry in entries:
        same = next((key for key in tags if key.lower() == entry["Key"].lower()), entry["Key"])
        tags[same] = entry["Value"]
    if len(tags) > TAGS_MAX:
        raise limit_exceeded(f"The number of tags has reached the maximum limit of {TAGS_MAX}.")
    return tags


# --- pages ---------------------------------------------------------------------------------------------------------


def page_size(call: Call) -> int:
    return int(call.params.get("MaxItems", PAGE_DEFAULT))


def marker(call: Call) -> str:
    """The key that the page goes on after; "" at the beginning. Raises ValidationError for a marker we never gave."""
    given = call.params.get("Marker", "")
    try:
        return base64.b64decode(given.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise ClientError(f"Invalid Marker: {given}", code="ValidationError") from error


def page(call: Call, entries: Sequence[T], key: Callable[[T], str]) -> tuple[Sequence[T], dict[str, Any]]:
    """(the page, IsTruncated and Marker) of entries that may hold one more than the page does."""
    size = page_size(call)
    if len(entries) <= size:
        return entries, {"IsTruncated": False}
    last = base64.urlsafe_b64encode(key(entries[size - 1]).encode()).decode()
    return entries[:size], {"IsTruncated": True, "Marker": last}


def page_of_all(call: Call, entries: Sequence[T], key: Callable[[T], str]) -> tuple[Sequence[T], dict[str, Any]]:
    """A page of a list that is whole in memory and ordered by `key`."""
    after = marker(call)
    return page(call, [entry for entry in entries if key(entry) > after][: page_size(call) + 1], key)
