"""Configurations of buckets. What is stored here is also honoured, or means nothing more to a client than its return.

Configurations that Paddock does not know are never there: reading them answers as AWS answers for a bucket that has
none, and setting them is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from paddock.model.errors import ClientError, NotYet, ServiceError
from paddock.model.permission import ResourcePolicy
from paddock.services.s3 import access, view
from paddock.services.s3.buckets import CLOSED
from paddock.services.s3.desk import Desk
from paddock.services.s3.objects import owner_only
from paddock.services.service import Call

BUCKET_TAGS_MAX = 50

ABSENT: Mapping[str, tuple[str, str]] = {
    "tagging": ("NoSuchTagSet", "The TagSet does not exist"),
    "policy": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "cors": ("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
    "public_access_block": (
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
    ),
    "ownership": ("OwnershipControlsNotFoundError", "The bucket ownership controls were not found"),
    "website": ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
    "replication": ("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
    "object_lock": (
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ),
}
"""Setting -> AWS's error for a bucket without it."""

DEFAULT_ENCRYPTION = {
    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]
}
ENFORCED = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def absent(desk: Desk, call: Call, name: str) -> ServiceError:
    code, message = ABSENT[name]
    return ClientError(message, code=code, status=404, members={"BucketName": desk.bucket_of(call).name})


def _found(desk: Desk, call: Call, name: str) -> Any:
    setting = desk.bucket_of(call).settings.get(name)
    if setting is None:
        raise absent(desk, call, name)
    return setting


async def _set(desk: Desk, call: Call, name: str, value: Any) -> None:
    """None takes the setting away."""
    await desk.change(desk.bucket_of(call), **{name: value})


# ---- versioning


async def get_bucket_versioning(desk: Desk, call: Call) -> dict[str, Any]:
    bucket = desk.bucket_of(call)
    return {"Status": bucket.versioning} if bucket.versioning else {}


async def put_bucket_versioning(desk: Desk, call: Call) -> None:
    given = call.params["VersioningConfiguration"]
    if given.get("MFADelete") == "Enabled":
        raise NotYet("MFADelete is not supported yet.")
    if "Status" not in given:
        message = "The Versioning element must be specified"
        raise ClientError(message, code="IllegalVersioningConfigurationException")
    await desk.change(desk.bucket_of(call), versioning=given["Status"])


# ---- tags


async def get_bucket_tagging(desk: Desk, call: Call) -> dict[str, Any]:
    return {"TagSet": view.tag_set(_found(desk, call, "tagging"))}


async def put_bucket_tagging(desk: Desk, call: Call) -> None:
    await _set(desk, call, "tagging", view.tags_of_set(call.params["Tagging"]["TagSet"], BUCKET_TAGS_MAX))


async def delete_bucket_tagging(desk: Desk, call: Call) -> None:
    await _set(desk, call, "tagging", None)


# ---- policy


async def get_bucket_policy(desk: Desk, call: Call) -> dict[str, Any]:
    return {"Policy": _found(desk, call, "policy")}


async def put_bucket_policy(desk: Desk, call: Call) -> None:
    """What it says holds from now on: access.py asks it."""
    text, bucket = call.params["Policy"], desk.bucket_of(call)
    policy = access.checked(text, bucket)
    if call.params.get("ConfirmRemoveSelfBucketAccess"):
        raise NotYet("ConfirmRemoveSelfBucketAccess is not supported yet.")
    block = bucket.settings.get("public_access_block") or {}
    if block.get("BlockPublicPolicy") and access.is_public(policy):
        message = (
            "Public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access of this bucket."
        )
        raise ClientError(message, code="AccessDenied", status=403)
    await _set(desk, call, "policy", text)


async def delete_bucket_policy(desk: Desk, call: Call) -> None:
    await _set(desk, call, "policy", None)


async def get_bucket_policy_status(desk: Desk, call: Call) -> dict[str, Any]:
    """Whether the policy lets everybody in."""
    policy = ResourcePolicy.of(_found(desk, call, "policy"))
    return {"PolicyStatus": {"IsPublic": access.is_public(policy)}}


# ---- CORS


async def get_bucket_cors(desk: Desk, call: Call) -> dict[str, Any]:
    return {"CORSRules": _found(desk, call, "cors")}


async def delete_bucket_cors(desk: Desk, call: Call) -> None:
    await _set(desk, call, "cors", None)


# ---- encryption: AWS's own default, which a client notices by a header only


async def get_bucket_encryption(desk: Desk, call: Call) -> dict[str, Any]:
    found = desk.bucket_of(call).settings.get("encryption", DEFAULT_ENCRYPTION)
    return {"ServerSideEncryptionConfiguration": found}


async def put_bucket_encryption(desk: Desk, call: Call) -> None:
    given = call.params["ServerSideEncryptionConfiguration"]
    for rule in given["Rules"]:
        default = rule.get("ApplyServerSideEncryptionByDefault") or {}
        if default.get("SSEAlgorithm", "AES256") != "AES256" or default.get("KMSMasterKeyID"):
            raise NotYet("ServerSideEncryptionConfiguration with a KMS key is not supported yet.")
    await _set(desk, call, "encryption", given)


async def delete_bucket_encryption(desk: Desk, call: Call) -> None:
    await _set(desk, call, "encryption", None)


# ---- who owns objects, and public access


async def get_public_access_block(desk: Desk, call: Call) -> dict[str, Any]:
    return {"PublicAccessBlockConfiguration": _found(desk, call, "public_access_block")}


async def put_public_access_block(desk: Desk, call: Call) -> None:
    given = call.params["PublicAccessBlockConfiguration"]
    await _set(desk, call, "public_access_block", {name: bool(given.get(name)) for name in CLOSED})


async def delete_public_access_block(desk: Desk, call: Call) -> None:
    await _set(desk, call, "public_access_block", None)


async def get_bucket_ownership_controls(desk: Desk, call: Call) -> dict[str, Any]:
    found = desk.bucket_of(call).settings.get("ownership", ENFORCED)
    if not found["Rules"]:
        raise absent(desk, call, "ownership")
    return {"OwnershipControls": found}


async def put_bucket_ownership_controls(desk: Desk, call: Call) -> None:
    given = call.params["OwnershipControls"]
    for rule in given["Rules"]:
        if rule["ObjectOwnership"] != "BucketOwnerEnforced":
            raise NotYet(
                f"ObjectOwnership {json.dumps(rule['ObjectOwnership'])} is not supported yet: there are no ACLs."
            )
    await _set(desk, call, "ownership", given)


async def delete_bucket_ownership_controls(desk: Desk, call: Call) -> None:
    """A new bucket has some; once they are deleted there are none, and Terraform waits until it sees that."""
    await _set(desk, call, "ownership", {"Rules": []})


async def get_bucket_acl(desk: Desk, call: Call) -> dict[str, Any]:
    return owner_only(desk.bucket_of(call))


async def put_bucket_acl(desk: Desk, call: Call) -> None:
    """Buckets have no ACLs; only their absence may be set."""
    bucket = desk.bucket_of(call)
    view.check_acl(call.params)
    if call.params.get("AccessControlPolicy") not in (None, owner_only(bucket)):
        raise ClientError("The bucket does not allow ACLs", code="AccessControlListNotSupported")


# ---- what no bucket here has


async def get_bucket_website(desk: Desk, call: Call) -> dict[str, Any]:
    raise absent(desk, call, "website")


async def get_bucket_replication(desk: Desk, call: Call) -> dict[str, Any]:
    raise absent(desk, call, "replication")


async def get_object_lock_configuration(desk: Desk, call: Call) -> dict[str, Any]:
    raise absent(desk, call, "object_lock")


async def get_bucket_logging(desk: Desk, call: Call) -> dict[str, Any]:
    desk.bucket_of(call)
    return {}


async def get_bucket_accelerate_configuration(desk: Desk, call: Call) -> dict[str, Any]:
    desk.bucket_of(call)
    return {}


async def get_bucket_request_payment(desk: Desk, call: Call) -> dict[str, Any]:
    desk.bucket_of(call)
    return {"Payer": "BucketOwner"}
