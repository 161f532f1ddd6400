"""Who may do what with a bucket: its policy, its public access block, and whose it is.

    nobody in particular (an unsigned request)   what the policy allows everybody, and nothing else
    another account                              what the policy allows it
    the bucket's own account                     everything, save what the policy denies; its policy always

Callers are their account's root here. A bucket whose public access is restricted lets a policy that opens it to
everybody open it to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from paddock.model.errors import ClientError, NotYet, ServiceError
from paddock.model.permission import Asker, Decision, ResourcePolicy, decide
from paddock.model.policy import MalformedPolicy, Statement
from paddock.services.s3.errors import access_denied
from paddock.services.s3.nouns import Bucket
from paddock.services.service import Call, Params

POLICY_BYTES_MAX = 20_480

ACTIONS: Mapping[str, str] = {
    "HeadBucket": "ListBucket", "ListObjects": "ListBucket", "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions", "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts", "HeadObject": "GetObject", "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject", "UploadPart": "PutObject", "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject", "DeleteObjects": "DeleteObject",
    "GetBucketCors": "GetBucketCORS", "PutBucketCors": "PutBucketCORS", "DeleteBucketCors": "PutBucketCORS",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration", "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock", "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "DeleteBucketTagging": "PutBucketTagging", "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
}  # fmt: skip
"""Operation -> its action, where that is not the operation's own name."""

_OF_VERSIONS = frozenset(
    {
        "GetObject", "DeleteObject", "GetObjectAcl", "GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging",
        "GetObjectAttributes",
    }
)  # fmt: skip
_OWNERS_ALWAYS = frozenset({"GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy"})
"""What no policy takes from the owner's root: nobody locks himself out for good."""

_FROM_PARAMS: Mapping[str, str] = {
    "s3:prefix": "Prefix", "s3:delimiter": "Delimiter", "s3:max-keys": "MaxKeys", "s3:VersionId": "VersionId",
    "s3:x-amz-acl": "ACL", "s3:x-amz-server-side-encryption": "ServerSideEncryption",
    "s3:x-amz-storage-class": "StorageClass", "s3:x-amz-copy-source": "CopySource",
    "s3:x-amz-metadata-directive": "MetadataDirective", "s3:if-none-match": "IfNoneMatch", "s3:if-match": "IfMatch",
}  # fmt: skip
"""Condition key -> the member that it looks at."""

_FROM_REQUEST = frozenset(
    {
        "aws:sourceip", "aws:securetransport", "aws:useragent", "aws:referer", "aws:currenttime", "aws:epochtime",
        "aws:principalarn", "aws:principalaccount", "aws:principalisawsservice", "aws:principaltype", "aws:sourcearn",
        "aws:sourceaccount", "aws:principalorgid", "aws:sourcevpc", "aws:sourcevpce", "aws:viaawsservice",
        "s3:x-amz-content-sha256", "s3:resourceaccount", "aws:resourceaccount",
    }
)  # fmt: skip
"""Further condition keys; those of organizations and VPCs are absent from every request, as they are here."""

_KNOWN = _FROM_REQUEST | {key.lower() for key in _FROM_PARAMS}

_NARROWING = frozenset(
    {
        "aws:sourceip", "aws:sourcearn", "aws:sourceaccount", "aws:sourcevpc", "aws:sourcevpce", "aws:principalorgid",
        "aws:principalarn", "aws:principalaccount",
    }
)  # fmt: skip
"""Keys by which a statement for everybody means only some: then it is not public (as AWS counts)."""


def checked(text: str, bucket: Bucket) -> ResourcePolicy:
    """A policy that the bucket may have. Raises MalformedPolicy, PolicyTooLarge; NotYet for unknown condition keys."""
    if len(text.encode()) > POLICY_BYTES_MAX:
        raise ClientError("Policies must be no larger than 20 KB.", code="PolicyTooLarge")
    try:
        found = ResourcePolicy.of(text)
    except MalformedPolicy as error:
        raise _malformed(str(error)) from error
    for statement in found.policy.statements:
        _check(statement, bucket)
    return found


def _check(statement: Statement, bucket: Bucket) -> None:
    for resource in statement.resources:
        if resource not in ("*", bucket.arn) and not resource.startswith((f"{bucket.arn}/", f"{bucket.arn}*")):
            raise _malformed("Policy has invalid resource")
    for action in statement.actions:
        if action != "*" and not action.lower().startswith("s3:"):
            raise _malformed("Policy has invalid action")
    for condition in statement.conditions:
        if condition.key.lower() not in _KNOWN:
            raise NotYet(f"Policy with the condition key {condition.key} is not supported yet.")


def _malformed(message: str) -> ServiceError:
    return ClientError(message, code="MalformedPolicy")


def is_public(policy: ResourcePolicy) -> bool:
    """Whether the policy lets everybody do something."""
    return any(
        statement.allow
        and any("*" in names for names in statement.principals.values())
        and not any(one.key.lower() in _NARROWING and "Not" not in one.operator for one in statement.conditions)
        for statement in policy.policy.statements
    )


def action_of(operation: str, params: Params) -> str:
    """ "GetObject" -> "s3:GetObject", and "s3:GetObjectVersion" for a named version."""
    action = ACTIONS.get(operation, operation)
    if action in _OF_VERSIONS and params.get("VersionId"):
        suffix = action.removeprefix("GetObject").removeprefix("PutObject").removeprefix("DeleteObject")
        action = f"{action.removesuffix(suffix)}Version{suffix}" if suffix else f"{action}Version"
    return f"s3:{action}"


def allows(
    bucket: Bucket, policy: ResourcePolicy | None, call: Call, action: str, key: str | None, now: datetime
) -> bool:
    """key: of the object that it is about, None for the bucket itself. policy: the bucket's, None for none."""
    caller = call.caller
    own = not caller.anonymous and caller.account == bucket.account
    if policy is None or (own and call.operation in _OWNERS_ALWAYS):
        return own
    resource = bucket.arn if key is None else f"{bucket.arn}/{key}"
    asker = Asker(
        account="" if caller.anonymous else caller.account,
        arn="" if caller.anonymous else caller.arn,
        role_arn="" if caller.anonymous else caller.role_arn,
        further=_context(call, bucket, now),
    )
    decision = decide(policy, asker, action, resource)
    if own:
        return decision is not Decision.DENIED
    block = bucket.settings.get("public_access_block") or {}
    if block.get("RestrictPublicBuckets") and is_public(policy):
        return False
    return decision is Decision.ALLOWED or (decision is Decision.DELEGATED and not caller.anonymous)


def _context(call: Call, bucket: Bucket, now: datetime) -> dict[str, str]:
    """Condition keys of the request. What comes over loopback nobody listens to: it counts as secure."""
    address = call.source_ip
    local = address in ("", "::1") or address.startswith("127.")
    found = {
        "aws:SourceIp": address, "aws:SecureTransport": "true" if local else "false",
        "aws:UserAgent": call.headers.get("user-agent"), "aws:Referer": call.headers.get("referer"),
        "aws:PrincipalType": "Anonymous" if call.caller.anonymous else "Account", "aws:ViaAWSService": "false",
        "s3:x-amz-content-sha256": call.headers.get("x-amz-content-sha256"),
        "aws:CurrentTime": now.isoformat(), "aws:EpochTime": str(int(now.timestamp())),
        "s3:ResourceAccount": bucket.account, "aws:ResourceAccount": bucket.account,
    }  # fmt: skip
    for key, member in _FROM_PARAMS.items():
        value = call.params.get(member)
        if value is not None:
            found[key] = str(value)
    return found


def check_signed(call: Call) -> None:
    """For what belongs to no bucket. Raises AccessDenied for nobody in particular."""
    if call.caller.anonymous:
        raise access_denied()
