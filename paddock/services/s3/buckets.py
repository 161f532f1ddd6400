"""Buckets: create, look at, list, delete."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Any

from paddock.interfaces import Tx
from paddock.model.errors import ClientError, NotYet
from paddock.services.s3 import view
from paddock.services.s3.access import check_signed
from paddock.services.s3.desk import Desk, refuse
from paddock.services.s3.errors import invalid_argument
from paddock.services.s3.multipart import abort
from paddock.services.s3.nouns import Bucket, upload_from
from paddock.services.service import Call, Reply

BUCKETS_MAX = 10_000
BUCKET_TAGS_MAX = 50
CLOSED = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
"""The public access block that AWS gives to every new bucket."""
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_RESERVED = (("xn--", "sthree-", "amzn-s3-demo-"), ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"))
_CLASSIC = "us-east-1"


def check_name(name: str) -> None:
    """Raises InvalidBucketName."""
    valid = _NAME.match(name) is not None and ".." not in name and ".-" not in name and "-." not in name
    if valid:
        try:
            ipaddress.ip_address(name)
            valid = False
        except ValueError:
            valid = not name.startswith(_RESERVED[0]) and not name.endswith(_RESERVED[1])
    if not valid:
        message = "The specified bucket is not valid."
        raise ClientError(message, code="InvalidBucketName", members={"BucketName": name})


async def create_bucket(desk: Desk, call: Call) -> dict[str, Any]:
    """One's own bucket again is an error, save in us-east-1, where AWS lets it pass."""
    params, name = call.params, call.params["Bucket"]
    check_signed(call)
    refuse(params)
    view.check_acl(params)
    check_name(name)
    ownership = params.get("ObjectOwnership", "BucketOwnerEnforced")
    if ownership != "BucketOwnerEnforced":
        raise NotYet(f"ObjectOwnership {ownership} is not supported yet: objects have no ACLs.")
    region = _region(call)
    tags = (params.get("CreateBucketConfiguration") or {}).get("Tags")
    settings: dict[str, Any] = {"public_access_block": dict(CLOSED)}
    if tags:
        settings["tagging"] = view.tags_of_set(tags, BUCKET_TAGS_MAX)
    bucket = Bucket(name=name, account=call.caller.account, region=region, created_ms=desk.now_ms(), settings=settings)
    added = await desk.write(lambda tx: tx.run("s3_bucket_add", **bucket.row()))
    if added:
        desk.buckets[name] = bucket
    else:
        owner = desk.buckets[name].account if name in desk.buckets else ""
        if owner != call.caller.account:
            message = (
                "The requested bucket name is not available. The bucket namespace is shared by all users of the "
                "system. Please select a different name and try again."
            )
            raise ClientError(message, code="BucketAlreadyExists", status=409, members={"BucketName": name})
        if region != _CLASSIC or desk.buckets[name].region != _CLASSIC:
            message = "Your previous request to create the named bucket succeeded and you already own it."
            raise ClientError(message, code="BucketAlreadyOwnedByYou", status=409, members={"BucketName": name})
    return {"Location": f"/{name}", "BucketArn": bucket.arn}


def _region(call: Call) -> str:
    """Where the bucket is: as its configuration says, which must be where the request goes. Raises AWS's errors."""
    given = call.params.get("CreateBucketConfiguration") or {}
    if given.get("Location") or given.get("Bucket"):
        raise NotYet("CreateBucketConfiguration with Location or Bucket (directory buckets) is not supported yet.")
    constraint, here = given.get("LocationConstraint"), call.caller.region
    if constraint is None:
        if here != _CLASSIC:
            message = (
                "The unspecified location constraint is incompatible for the region specific endpoint this request was "
                "sent to."
            )
            raise ClientError(message, code="IllegalLocationConstraintException")
        return here
    region = "eu-west-1" if constraint == "EU" else str(constraint)
    if region != here or region == _CLASSIC:
        message = (
            f"The {constraint} location constraint is incompatible for the region specific endpoint this request was "
            "sent to."
        )
        raise ClientError(
            message, code="InvalidLocationConstraint" if region == _CLASSIC else "IllegalLocationConstraintException"
        )
    return region


async def delete_bucket(desk: Desk, call: Call) -> None:
    """Uploads that were never completed go with it, as on AWS."""
    bucket = desk.bucket_of(call)

    def work(tx: Tx) -> list[str]:
        if tx.row("s3_bucket_used", name=bucket.name) is not None:
            message = "The bucket you tried to delete is not empty"
            if bucket.versioning:
                message += ". You must delete all versions in the bucket."
            members = {"BucketName": bucket.name}
            raise ClientError(message, code="BucketNotEmpty", status=409, members=members)
        garbage: list[str] = []
        for row in tx.rows("s3_uploads_page", bucket=bucket.name, start="", after="", limit=-1):
            garbage += abort(tx, upload_from({"bucket": bucket.name, "tags": "{}", **row}))
        tx.run("s3_bucket_delete", name=bucket.name)
        return garbage

    garbage = await desk.write(work)
    desk.buckets.pop(bucket.name, None)
    await desk.discard(garbage)


async def head_bucket(desk: Desk, call: Call) -> Reply:
    bucket = desk.bucket_of(call)
    return Reply({"BucketArn": bucket.arn, "BucketRegion": bucket.region})


async def get_bucket_location(desk: Desk, call: Call) -> dict[str, Any]:
    """Nothing for us-east-1, as it has been since it was the only one."""
    bucket = desk.bucket_of(call)
    return {} if bucket.region == _CLASSIC else {"LocationConstraint": bucket.region}


async def list_buckets(desk: Desk, call: Call) -> dict[str, Any]:
    check_signed(call)
    params, account = call.params, call.caller.account
    prefix, region = params.get("Prefix") or "", params.get("BucketRegion")
    most = int(params.get("MaxBuckets") or BUCKETS_MAX)
    if not 1 <= most <= BUCKETS_MAX:
        raise invalid_argument(f"Argument max-buckets must be an integer between 1 and {BUCKETS_MAX}", "max-buckets")
    after = _token(params.get("ContinuationToken"))
    mine = sorted(
        (
            bucket
            for bucket in desk.buckets.values()
            if bucket.account == account and bucket.name.startswith(prefix) and bucket.name > after
            and region in (None, bucket.region)
        ),
        key=lambda bucket: bucket.name,
    )  # fmt: skip
    page = mine[:most]
    shown: dict[str, Any] = {
        "Owner": {"ID": view.canonical_id(account)},
        "Buckets": [
            {"Name": each.name, "CreationDate": view.instant(each.created_ms), "BucketArn": each.arn}
            | ({"BucketRegion": each.region} if len(params) else {})
            for each in page
        ],
    }
    if prefix:
        shown["Prefix"] = prefix
    if len(mine) > most:
        shown["ContinuationToken"] = base64.urlsafe_b64encode(page[-1].name.encode()).decode()
    return shown


def _token(token: str | None) -> str:
    try:
        return base64.b64decode((token or "").encode("ascii"), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise invalid_argument("The continuation token provided is incorrect", "continuation-token") from None
