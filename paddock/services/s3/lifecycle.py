"""Lifecycle configurations: which objects a bucket's rules let expire, and when.

Days count from an object's birth, are rounded up to the next midnight (UTC), and that is when it expires, as on AWS:
born on the 15th at 10:30, with three days, it is gone from the 19th, 00:00. A version that is not the latest counts
from the moment at which it ceased to be; an upload from its start. sweep.py carries out what is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from paddock.model.errors import ClientError, NotYet
from paddock.services.s3 import view
from paddock.services.s3.desk import Desk
from paddock.services.s3.errors import invalid_argument, invalid_request, malformed_xml
from paddock.services.s3.nouns import Bucket, Version
from paddock.services.service import Call

RULES_MAX = 1_000
ID_CHARS_MAX = 255
NEWER_MAX = 100
DAY_MS = 86_400_000
DEFAULT_SIZE = "all_storage_classes_128K"
"""What AWS answers for TransitionDefaultMinimumObjectSize; it is about transitions only, which are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An enabled rule. days, noncurrent_days, abort_days: None for none of that kind. date_ms: since 1970."""

    id: str
    prefix: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    larger_than: int = -1
    smaller_than: int | None = None
    days: int | None = None
    date_ms: int | None = None
    drops_markers: bool = False
    noncurrent_days: int | None = None
    noncurrent_kept: int = 0
    abort_days: int | None = None

    def means(self, version: Version) -> bool:
        return (
            version.key.startswith(self.prefix)
            and self.tags.items() <= version.tags.items()
            and version.size > self.larger_than
            and (self.smaller_than is None or version.size < self.smaller_than)
        )

    def end_ms(self, version: Version) -> int | None:
        """When the rule lets the latest version expire; None for never."""
        if self.date_ms is not None:
            return self.date_ms
        return None if self.days is None else due_ms(version.modified_ms, self.days)


def due_ms(from_ms: int, days: int) -> int:
    """So many days later, at the midnight that follows."""
    return -(-(from_ms + days * DAY_MS) // DAY_MS) * DAY_MS


def rules_of(bucket: Bucket) -> list[Rule]:
    """The enabled ones."""
    found = bucket.settings.get("lifecycle") or {}
    return [_rule(each) for each in found.get("Rules", ()) if each["Status"] == "Enabled"]


def _rule(given: Mapping[str, Any]) -> Rule:
    chosen = _filter(given)
    expiration = given.get("Expiration") or {}
    noncurrent = given.get("NoncurrentVersionExpiration") or {}
    return Rule(
        id=given["ID"],
        prefix=given.get("Prefix") or chosen.get("Prefix") or "",
        tags={tag["Key"]: tag.get("Value", "") for tag in chosen.get("Tags", ())},
        larger_than=chosen.get("ObjectSizeGreaterThan", -1),
        smaller_than=chosen.get("ObjectSizeLessThan"),
        days=expiration.get("Days"),
        date_ms=_date_ms(expiration.get("Date")),
        drops_markers=bool(expiration.get("ExpiredObjectDeleteMarker")),
        noncurrent_days=noncurrent.get("NoncurrentDays"),
        noncurrent_kept=noncurrent.get("NewerNoncurrentVersions") or 0,
        abort_days=(given.get("AbortIncompleteMultipartUpload") or {}).get("DaysAfterInitiation"),
    )


def _filter(given: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the rule's Filter asks for, with its tags in Tags."""
    chosen = dict(given.get("Filter") or {})
    chosen |= chosen.pop("And", None) or {}
    if "Tag" in chosen:
        chosen["Tags"] = [chosen.pop("Tag")]
    return chosen


def _date_ms(date: str | None) -> int | None:
    return None if date is None else int(datetime.fromisoformat(date).timestamp() * 1000)


# ---- what expires


def expired(rules: Sequence[Rule], version: Version, *, alone: bool, now_ms: int) -> bool:
    """Whether the latest version of a key is to go. alone: the key has no other version.

    A delete marker goes when nothing is left under it; it has no tags and no size.
    """
    for rule in rules:
        if version.marker:
            if not alone or rule.tags or not version.key.startswith(rule.prefix):
                continue
            if rule.drops_markers:
                return True
        elif not rule.means(version):
            continue
        end_ms = rule.end_ms(version)
        if end_ms is not None and end_ms <= now_ms:
            return True
    return False


def expired_noncurrent(rules: Sequence[Rule], version: Version, *, since_ms: int, newer: int, now_ms: int) -> bool:
    """Whether a version that is not the latest is to go. since_ms: when it was replaced. newer: how many such versions
    of its key are newer.
    """
    return any(
        rule.noncurrent_days is not None
        and newer >= rule.noncurrent_kept
        and due_ms(since_ms, rule.noncurrent_days) <= now_ms
        and (rule.means(version) if not version.marker else version.key.startswith(rule.prefix) and not rule.tags)
        for rule in rules
    )


def abort_of(bucket: Bucket, key: str, created_ms: int) -> tuple[int, str] | None:
    """(when an upload is aborted, the rule's id), by the earliest rule; None for never."""
    ends = [
        (due_ms(created_ms, rule.abort_days), rule.id)
        for rule in rules_of(bucket)
        if rule.abort_days is not None and key.startswith(rule.prefix)
    ]
    return min(ends, default=None)


def expiration_of(bucket: Bucket, version: Version) -> dict[str, str]:
    """The member Expiration (x-amz-expiration) of an object whose end is known, or nothing."""
    if "lifecycle" not in bucket.settings or not version.latest:
        return {}
    ends = [
        (end_ms, rule.id)
        for rule in rules_of(bucket)
        if rule.means(version) and (end_ms := rule.end_ms(version)) is not None
    ]
    if not ends:
        return {}
    end_ms, rule_id = min(ends)
    date = format_datetime(datetime.fromtimestamp(end_ms / 1000, UTC), usegmt=True)
    return {"Expiration": f'expiry-date="{date}", rule-id="{view.url_encoded(rule_id)}"'}


# ---- operations


async def get_bucket_lifecycle_configuration(desk: Desk, call: Call) -> dict[str, Any]:
    found = desk.bucket_of(call).settings.get("lifecycle")
    if found is None:
        message = "The lifecycle configuration does not exist"
        members = {"BucketName": call.params["Bucket"]}
        raise ClientError(message, code="NoSuchLifecycleConfiguration", status=404, members=members)
    return {**found, "Rules": [_shown(rule) for rule in found["Rules"]]}


def _shown(rule: Mapping[str, Any]) -> dict[str, Any]:
    expiration = dict(rule.get("Expiration") or {})
    if "Date" in expiration:
        expiration["Date"] = datetime.fromisoformat(expiration["Date"])
    return {**rule, "Expiration": expiration} if expiration else dict(rule)


async def put_bucket_lifecycle_configuration(desk: Desk, call: Call) -> dict[str, Any]:
    bucket = desk.bucket_of(call)
    given = (call.params.get("LifecycleConfiguration") or {}).get("Rules") or []
    size = call.params.get("TransitionDefaultMinimumObjectSize") or DEFAULT_SIZE
    if not 1 <= len(given) <= RULES_MAX:
        raise malformed_xml()
    rules = [_checked(rule, rule.get("ID") or desk.ids.hex(48)) for rule in given]
    ids = [rule["ID"] for rule in rules]
    if len(set(ids)) < len(ids):
        raise invalid_argument("Rule ID must be unique. Found same ID for more than one rule", "ID")
    found = {"Rules": rules, "TransitionDefaultMinimumObjectSize": size}
    await desk.change(bucket, lifecycle=found)
    desk.lifecycles_changed += 1
    return {"TransitionDefaultMinimumObjectSize": size}


async def delete_bucket_lifecycle(desk: Desk, call: Call) -> None:
    await desk.change(desk.bucket_of(call), lifecycle=None)


def _checked(rule: Mapping[str, Any], rule_id: str) -> dict[str, Any]:
    """The rule as it is kept. Raises AWS's errors; NotYet for transitions."""
    for name in ("Transitions", "NoncurrentVersionTransitions"):
        if rule.get(name):
            raise NotYet(f"{name} are not supported yet: there is one storage class.")
    if len(rule_id) > ID_CHARS_MAX:
        raise invalid_argument("ID length should not exceed allowed limit of 255", "ID", rule_id)
    if ("Filter" in rule) is (rule.get("Prefix") is not None) or rule["Status"] not in ("Enabled", "Disabled"):
        raise malformed_xml()
    kinds = ("Expiration", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    actions = {name: rule[name] for name in kinds if rule.get(name)}
    if not actions:
        raise invalid_request("At least one action needs to be specified in a rule")
    chosen = _filter_checked(rule.get("Filter") or {})
    if "Expiration" in actions:
        actions["Expiration"] = _expiration(actions["Expiration"], chosen)
    _check_noncurrent(actions.get("NoncurrentVersionExpiration"), "Filter" in rule)
    days = (actions.get("AbortIncompleteMultipartUpload") or {}).get("DaysAfterInitiation")
    if "AbortIncompleteMultipartUpload" in actions:
        _check_days(days, "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action")
        if chosen.keys() - {"Prefix"}:
            raise invalid_request("AbortIncompleteMultipartUpload cannot be specified with Tags or object sizes.")
    where = {"Filter": dict(rule["Filter"])} if "Filter" in rule else {"Prefix": rule["Prefix"]}
    return {"ID": rule_id, "Status": rule["Status"], **where, **actions}


def _filter_checked(given: Mapping[str, Any]) -> dict[str, Any]:
    if len(given) > 1 or ("And" in given and len(given["And"]) == 0):
        raise malformed_xml()
    chosen = _filter({"Filter": given})
    view.tags_of_set(chosen.get("Tags") or [], view.TAGS_MAX)
    least, most = chosen.get("ObjectSizeGreaterThan"), chosen.get("ObjectSizeLessThan")
    if least is not None and most is not None and least >= most:
        raise invalid_request("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")
    return chosen


def _expiration(given: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    if sum(given.get(name) is not None for name in ("Date", "Days", "ExpiredObjectDeleteMarker")) != 1:
        raise malformed_xml()
    if given.get("ExpiredObjectDeleteMarker") is not None:
        if chosen.get("Tags"):
            raise invalid_request("ExpiredObjectDeleteMarker cannot be specified with Tags.")
        return {"ExpiredObjectDeleteMarker": bool(given["ExpiredObjectDeleteMarker"])}
    if given.get("Days") is not None:
        _check_days(given["Days"], "'Days' for Expiration action")
        return {"Days": given["Days"]}
    date = given["Date"].astimezone(UTC)
    if (date.hour, date.minute, date.second, date.microsecond) != (0, 0, 0, 0):
        raise invalid_argument("'Date' must be at midnight GMT", "Date", date.isoformat())
    return {"Date": date.isoformat()}


def _check_noncurrent(given: Mapping[str, Any] | None, has_filter: bool) -> None:
    if given is None:
        return
    if given.get("NoncurrentDays") is None:
        raise malformed_xml()
    _check_days(given["NoncurrentDays"], "'NoncurrentDays' for NoncurrentVersionExpiration action")
    kept = given.get("NewerNoncurrentVersions")
    if kept is not None and not (1 <= kept <= NEWER_MAX and has_filter):
        raise invalid_argument(
            f"'NewerNoncurrentVersions' must be a positive integer not above {NEWER_MAX}, in a rule with a Filter",
            "NewerNoncurrentVersions", str(kept),
        )  # fmt: skip


def _check_days(days: int | None, what: str) -> None:
    if days is None or days < 1:
        raise invalid_argument(f"{what} must be a positive integer", "Days", str(days))
