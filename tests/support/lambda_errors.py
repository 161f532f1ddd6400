"""For each operation of Lambda and each error that its service model documents: a call that provokes it.

CASES holds calls against one real server (tests/acceptance/test_every_error.py says what stands there: the function
`audited` with two versions, the alias `live`, a policy, a layer, ...). ELSEWHERE names the test that shows an error
which needs a world of its own (small quotas, a fleet that waits). CANNOT_HAPPEN says why an error is never given.
Words in angle brackets in parameters stand for what only the running server knows, such as <csc>.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

ARN = "arn:aws:lambda:us-east-1:000000000000:function"
LAYER = "arn:aws:lambda:us-east-1:000000000000:layer"
CSC = "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-0123456789abcdef0"
UUID = "00000000-0000-4000-8000-000000000000"
PROFILE = "arn:aws:signer:us-east-1:000000000000:/signing-profiles/other/0123456789"

INVALID, ABSENT, CONFLICT = "InvalidParameterValueException", "ResourceNotFoundException", "ResourceConflictException"
STALE, LONG, IN_USE = "PreconditionFailedException", "PolicyLengthExceededException", "ResourceInUseException"
NO_SIGNING, FULL = "CodeSigningConfigNotFoundException", "CodeStorageExceededException"
FORGED, UNTRUSTED = "InvalidCodeSignatureException", "CodeVerificationFailedException"

MISMATCH = "^The derived qualifier from the function name does not match the specified qualifier.$"
UNQUALIFIED = "^This operation is permitted on Lambda functions only. Aliases and versions do not support"
NOT_FOUND = f"^Function not found: {ARN}:nobody$"
GONE = "^The resource you requested does not exist.$"
NO_MARKER = "^Invalid Marker: nonsense!$"
LAYER_ZERO = "^Layer Version Cannot be less than 1$"
LAYER_ABSENT = f"^Layer version {LAYER}:audited:99 does not exist.$"
SID_TWICE = r"^The statement id \(first\) provided already exists. Please provide a new statement id, or remove"
NO_LATEST = r"^We currently do not support adding policies for \$LATEST.$"
NO_PRINCIPAL = "^The provided principal was invalid. Please check the principal and try again.$"
REVISION = "^The Revision Id provided does not match the latest Revision Id. Call the {} API to retrieve the latest Rev"
OF_FUNCTION, OF_POLICY = REVISION.format("GetFunction/GetAlias"), REVISION.format("GetPolicy")
OF_LAYER = REVISION.format("GetLayerPolicy")
TOO_LONG = r"^The final policy size \(\d+\) is bigger than the limit \(20480\).$"
NO_CSC = f"^The Lambda code signing configuration {CSC} can not be found.$"
NO_CSC_HERE = "^The code signing configuration cannot be found. Check that the provided configuration is not deleted: "
NO_EVENT_FUNCTION = "^The function doesn't exist.$"
NO_EVENT_CONFIG = f"^The function {ARN}:nobody:.LATEST doesn't have an EventInvokeConfig$"
FAILED_STATE = "^The operation cannot be performed at this time. The function is currently in the following state: "
NO_BUCKET = "^Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does"
BAD_TAGS = "^Tags on function aliases and versions are not supported. Please specify a function ARN.$"
FORGERY = "^The package was changed after it was signed.$"
NO_TRUST = "^The code signature failed one or more of the validation checks"


class Case(NamedTuple):
    """params: of boto3's call. text: a regular expression for the message."""

    params: Mapping[str, Any]
    text: str


def _f(name: str = "nobody", **more: Any) -> dict[str, Any]:
    return {"FunctionName": name, **more}


_MISMATCHED = _f("audited:live", Qualifier="1")
_STATEMENT = {"StatementId": "new", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
_LAYER_STATEMENT = {"StatementId": "new", "Action": "lambda:GetLayerVersion", "Principal": "*"}
_CREATE = {
    "FunctionName": "unmade",
    "Role": "arn:aws:iam::000000000000:role/test",
    "Runtime": "<runtime>",
    "Handler": "app.handler",
    "Code": {"ZipFile": "<zip>"},
}
_MUST_BE_PUBLISHED = "^The function resource provided must be an alias or a published version.$"
_ORDINARY = f"^The function {ARN}:audited does not have a capacity provider. "
_LONG_SOURCE = "arn:aws:s3:::" + "b" * 200
_CSC = {"CodeSigningConfigArn": CSC}
_RETRIES = {"MaximumRetryAttempts": 1}
_EVIL_DESTINATION = {"DestinationConfig": {"OnSuccess": {"Destination": "arn:aws:ec2:us-east-1:000000000000:x"}}}
_EVIL = r"^The provided destination config DestinationConfig\(onSuccess=OnSuccess\(destination=arn:aws:ec2"


def _layer(number: int, **more: Any) -> dict[str, Any]:
    return {"LayerName": "audited", "VersionNumber": number, **more}


CASES: Mapping[tuple[str, str], Case] = {
    # -- functions
    ("CreateFunction", INVALID): Case(
        {**_CREATE, "Code": {"S3Bucket": "no-such-bucket-here", "S3Key": "k"}}, NO_BUCKET
    ),
    ("CreateFunction", CONFLICT): Case({**_CREATE, "FunctionName": "audited"}, "^Function already exist: audited$"),
    ("CreateFunction", NO_SIGNING): Case({**_CREATE, **_CSC}, NO_CSC_HERE),
    ("CreateFunction", UNTRUSTED): Case({**_CREATE, "CodeSigningConfigArn": "<csc>"}, NO_TRUST),
    ("CreateFunction", FORGED): Case(
        {**_CREATE, "CodeSigningConfigArn": "<csc>", "Code": {"ZipFile": "<forged>"}}, FORGERY
    ),
    ("GetFunction", INVALID): Case(_MISMATCHED, MISMATCH),
    ("GetFunction", ABSENT): Case(_f(), NOT_FOUND),
    ("GetFunctionConfiguration", INVALID): Case(_MISMATCHED, MISMATCH),
    ("GetFunctionConfiguration", ABSENT): Case(_f(), NOT_FOUND),
    ("ListFunctions", INVALID): Case({"Marker": "nonsense!"}, NO_MARKER),
    ("DeleteFunction", INVALID): Case(
        _f("audited", Qualifier="live"), "^Deletion of aliases is not currently supported.$"
    ),
    ("DeleteFunction", ABSENT): Case(_f(Qualifier="7"), NOT_FOUND),
    ("DeleteFunction", CONFLICT): Case(
        _f("audited", Qualifier="1"), r"^Unable to delete version because the following aliases reference it: \[live\]$"
    ),
    ("UpdateFunctionCode", INVALID): Case(_f("audited:1", ZipFile="<zip>"), UNQUALIFIED),
    ("UpdateFunctionCode", ABSENT): Case(_f(ZipFile="<zip>"), NOT_FOUND),
    ("UpdateFunctionCode", STALE): Case(_f("audited", ZipFile="<zip>", RevisionId=UUID), OF_FUNCTION),
    ("UpdateFunctionCode", UNTRUSTED): Case(_f("signed", ZipFile="<zip>"), NO_TRUST),
    ("UpdateFunctionCode", FORGED): Case(_f("signed", ZipFile="<forged>"), FORGERY),
    ("UpdateFunctionConfiguration", INVALID): Case(_f("audited:1", Timeout=9), UNQUALIFIED),
    ("UpdateFunctionConfiguration", ABSENT): Case(_f(Timeout=9), NOT_FOUND),
    ("UpdateFunctionConfiguration", STALE): Case(_f("audited", Timeout=9, RevisionId=UUID), OF_FUNCTION),
    ("UpdateFunctionConfiguration", UNTRUSTED): Case(_f("signed", Layers=["<layer>"]), NO_TRUST),
    # -- versions and aliases
    ("PublishVersion", INVALID): Case(
        _f("audited", CodeSha256="other"), r"^CodeSHA256 \(other\) is different from current CodeSHA256 in \$LATEST \("
    ),
    ("PublishVersion", ABSENT): Case(_f(), NOT_FOUND),
    ("PublishVersion", STALE): Case(_f("audited", RevisionId=UUID), OF_FUNCTION),
    ("ListVersionsByFunction", INVALID): Case(_f("audited", Marker="nonsense!"), NO_MARKER),
    ("ListVersionsByFunction", ABSENT): Case(_f(), NOT_FOUND),
    ("CreateAlias", INVALID): Case(
        _f("audited", Name="new", FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {"1": 0.1}}),
        "^Invalid function version 1. Function version 1 is already included in routing configuration.$",
    ),
    ("CreateAlias", ABSENT): Case(
        _f("audited", Name="new", FunctionVersion="99"), f"^Function not found: {ARN}:audited:99$"
    ),
    ("CreateAlias", CONFLICT): Case(
        _f("audited", Name="live", FunctionVersion="1"), f"^Alias already exists: {ARN}:audited:live$"
    ),
    ("GetAlias", INVALID): Case(_f("audited:1", Name="live"), UNQUALIFIED),
    ("GetAlias", ABSENT): Case(_f("audited", Name="none"), f"^Cannot find alias arn: {ARN}:audited:none$"),
    ("UpdateAlias", INVALID): Case(
        _f("audited", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 0.1, "3": 0.1}}),
        "^Number of items in AdditionalVersionWeights cannot be greater than 1$",
    ),
    ("UpdateAlias", ABSENT): Case(_f("audited", Name="none"), f"^Alias not found: {ARN}:audited:none$"),
    ("UpdateAlias", STALE): Case(_f("audited", Name="live", RevisionId=UUID), OF_FUNCTION),
    ("DeleteAlias", INVALID): Case(_f("audited:1", Name="live"), UNQUALIFIED),
    ("DeleteAlias", ABSENT): Case(_f(Name="live"), NOT_FOUND),
    ("ListAliases", INVALID): Case(_f("audited", Marker="nonsense!"), NO_MARKER),
    ("ListAliases", ABSENT): Case(_f(), NOT_FOUND),
    # -- policies
    ("AddPermission", INVALID): Case(_f("audited", **{**_STATEMENT, "Principal": "nonsense"}), NO_PRINCIPAL),
    ("AddPermission", ABSENT): Case(_f(**_STATEMENT), NOT_FOUND),
    ("AddPermission", CONFLICT): Case(_f("audited", **{**_STATEMENT, "StatementId": "first"}), SID_TWICE),
    ("AddPermission", STALE): Case(_f("audited", **_STATEMENT, RevisionId=UUID), OF_POLICY),
    ("AddPermission", LONG): Case(_f("long", **_STATEMENT, SourceArn=_LONG_SOURCE), TOO_LONG),
    ("GetPolicy", INVALID): Case(_f("audited", Qualifier="$LATEST"), NO_LATEST),
    ("GetPolicy", ABSENT): Case(_f("audited", Qualifier="2"), GONE),
    ("RemovePermission", INVALID): Case(_f("audited", StatementId="first", Qualifier="$LATEST"), NO_LATEST),
    ("RemovePermission", ABSENT): Case(
        _f("audited", StatementId="none"), "^Statement none is not found in resource policy.$"
    ),
    ("RemovePermission", STALE): Case(_f("audited", StatementId="first", RevisionId=UUID), OF_FUNCTION),
    ("PutResourcePolicy", INVALID): Case({"ResourceArn": f"{ARN}:audited", "Policy": "{}"}, "."),
    ("PutResourcePolicy", ABSENT): Case({"ResourceArn": f"{ARN}:nobody", "Policy": "<policy of nobody>"}, NOT_FOUND),
    ("PutResourcePolicy", STALE): Case(
        {"ResourceArn": f"{ARN}:audited", "Policy": "<policy of audited>", "RevisionId": UUID}, OF_POLICY
    ),
    ("GetResourcePolicy", INVALID): Case({"ResourceArn": f"{ARN}:audited:$LATEST"}, NO_LATEST),
    ("GetResourcePolicy", ABSENT): Case({"ResourceArn": f"{ARN}:audited:2"}, GONE),
    ("DeleteResourcePolicy", INVALID): Case({"ResourceArn": f"{ARN}:audited:$LATEST"}, NO_LATEST),
    ("DeleteResourcePolicy", ABSENT): Case({"ResourceArn": f"{ARN}:audited:2"}, GONE),
    ("DeleteResourcePolicy", STALE): Case({"ResourceArn": f"{ARN}:audited", "RevisionId": UUID}, OF_POLICY),
    # -- layers
    ("PublishLayerVersion", INVALID): Case(
        {"LayerName": "audited", "Content": {"ZipFile": b"no zip"}}, "^Could not unzip uploaded file. Please check"
    ),
    ("PublishLayerVersion", ABSENT): Case(
        {"LayerName": LAYER.replace("us-east-1", "eu-west-1") + ":audited", "Content": {"ZipFile": "<zip>"}},
        r"^Layers from 'eu-west-1' are not reachable in this region \('us-east-1'\)$",
    ),
    ("GetLayerVersion", INVALID): Case(_layer(0), LAYER_ZERO),
    ("GetLayerVersion", ABSENT): Case(_layer(99), GONE),
    ("GetLayerVersionByArn", INVALID): Case({"Arn": f"{LAYER}:audited:0"}, LAYER_ZERO),
    ("GetLayerVersionByArn", ABSENT): Case({"Arn": f"{LAYER}:audited:99"}, GONE),
    ("DeleteLayerVersion", INVALID): Case(_layer(0), LAYER_ZERO),
    ("DeleteLayerVersion", ABSENT): Case(
        {"LayerName": LAYER.replace("us-east-1", "eu-west-1") + ":audited", "VersionNumber": 1},
        r"^Layers from 'eu-west-1' are not reachable in this region \('us-east-1'\)$",
    ),
    ("ListLayers", INVALID): Case({"Marker": "nonsense!"}, NO_MARKER),
    ("ListLayerVersions", INVALID): Case({"LayerName": "audited", "Marker": "nonsense!"}, NO_MARKER),
    ("ListLayerVersions", ABSENT): Case(
        {"LayerName": LAYER.replace("us-east-1", "eu-west-1") + ":audited"},
        r"^Layers from 'eu-west-1' are not reachable in this region \('us-east-1'\)$",
    ),
    ("AddLayerVersionPermission", INVALID): Case(_layer(0, **_LAYER_STATEMENT), LAYER_ZERO),
    ("AddLayerVersionPermission", ABSENT): Case(_layer(99, **_LAYER_STATEMENT), LAYER_ABSENT),
    ("AddLayerVersionPermission", CONFLICT): Case(_layer(1, **{**_LAYER_STATEMENT, "StatementId": "first"}), SID_TWICE),
    ("AddLayerVersionPermission", STALE): Case(_layer(1, **_LAYER_STATEMENT, RevisionId=UUID), OF_LAYER),
    ("AddLayerVersionPermission", LONG): Case(_layer(2, **_LAYER_STATEMENT), TOO_LONG),
    ("GetLayerVersionPolicy", INVALID): Case(_layer(0), LAYER_ZERO),
    ("GetLayerVersionPolicy", ABSENT): Case(_layer(99), LAYER_ABSENT),
    ("RemoveLayerVersionPermission", INVALID): Case(_layer(0, StatementId="first"), LAYER_ZERO),
    ("RemoveLayerVersionPermission", ABSENT): Case(
        _layer(1, StatementId="none"), "^Statement none is not found in resource policy.$"
    ),
    ("RemoveLayerVersionPermission", STALE): Case(_layer(1, StatementId="first", RevisionId=UUID), OF_LAYER),
    # -- concurrency
    ("PutFunctionConcurrency", INVALID): Case(
        _f("audited", ReservedConcurrentExecutions=901),
        "^Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below",
    ),
    ("PutFunctionConcurrency", ABSENT): Case(
        _f(ReservedConcurrentExecutions=1), rf"^Function not found: {ARN}:nobody:\$LATEST$"
    ),
    ("GetFunctionConcurrency", INVALID): Case(_f("audited:1"), UNQUALIFIED),
    ("GetFunctionConcurrency", ABSENT): Case(_f(), NOT_FOUND),
    ("DeleteFunctionConcurrency", INVALID): Case(_f("audited:1"), UNQUALIFIED),
    ("DeleteFunctionConcurrency", ABSENT): Case(_f(), NOT_FOUND),
    ("PutProvisionedConcurrencyConfig", INVALID): Case(
        _f("audited", Qualifier="$LATEST", ProvisionedConcurrentExecutions=1),
        "^Provisioned Concurrency Configs cannot be applied to unpublished function versions.$",
    ),
    ("PutProvisionedConcurrencyConfig", ABSENT): Case(
        _f("audited", Qualifier="nope", ProvisionedConcurrentExecutions=1),
        f"^Cannot find alias arn: {ARN}:audited:nope$",
    ),
    ("GetProvisionedConcurrencyConfig", INVALID): Case(_f("audited", Qualifier="$LATEST"), _MUST_BE_PUBLISHED),
    ("GetProvisionedConcurrencyConfig", ABSENT): Case(
        _f("audited", Qualifier="9"), f"^Function not found: {ARN}:audited:9$"
    ),
    ("GetProvisionedConcurrencyConfig", "ProvisionedConcurrencyConfigNotFoundException"): Case(
        _f("audited", Qualifier="1"), "^No Provisioned Concurrency Config found for this function$"
    ),
    ("DeleteProvisionedConcurrencyConfig", INVALID): Case(_f("audited", Qualifier="$LATEST"), _MUST_BE_PUBLISHED),
    ("DeleteProvisionedConcurrencyConfig", ABSENT): Case(
        _f("audited", Qualifier="9"), f"^Function not found: {ARN}:audited:9$"
    ),
    ("ListProvisionedConcurrencyConfigs", INVALID): Case(_f("audited", Marker="nonsense!"), NO_MARKER),
    ("ListProvisionedConcurrencyConfigs", ABSENT): Case(_f(), NOT_FOUND),
    ("PutFunctionScalingConfig", INVALID): Case(_f("audited", Qualifier="1"), _ORDINARY),
    ("PutFunctionScalingConfig", ABSENT): Case(_f(Qualifier="1"), f"^Function not found: {ARN}:nobody:1$"),
    ("GetFunctionScalingConfig", INVALID): Case(_f("audited", Qualifier="$LATEST.PUBLISHED"), _ORDINARY),
    ("GetFunctionScalingConfig", ABSENT): Case(_f("audited", Qualifier="9"), f"^Function not found: {ARN}:audited:9$"),
    # -- event mode
    ("PutFunctionEventInvokeConfig", INVALID): Case(
        _f("audited"), "^You must specify at least one of error handling or destination setting.$"
    ),
    ("PutFunctionEventInvokeConfig", ABSENT): Case(_f(**_RETRIES), NO_EVENT_FUNCTION),
    ("UpdateFunctionEventInvokeConfig", INVALID): Case(_f("audited", **_EVIL_DESTINATION), _EVIL),
    ("UpdateFunctionEventInvokeConfig", ABSENT): Case(_f(**_RETRIES), NO_EVENT_FUNCTION),
    ("GetFunctionEventInvokeConfig", INVALID): Case(_MISMATCHED, MISMATCH),
    ("GetFunctionEventInvokeConfig", ABSENT): Case(_f(), NO_EVENT_CONFIG),
    ("DeleteFunctionEventInvokeConfig", INVALID): Case(_MISMATCHED, MISMATCH),
    ("DeleteFunctionEventInvokeConfig", ABSENT): Case(_f(), NO_EVENT_CONFIG),
    ("ListFunctionEventInvokeConfigs", INVALID): Case(_f("audited", Marker="nonsense!"), NO_MARKER),
    ("ListFunctionEventInvokeConfigs", ABSENT): Case(_f(), NO_EVENT_FUNCTION),
    ("PutFunctionRecursionConfig", ABSENT): Case(_f(RecursiveLoop="Allow"), NOT_FOUND),
    ("GetFunctionRecursionConfig", ABSENT): Case(_f(), NOT_FOUND),
    # -- function URLs
    ("CreateFunctionUrlConfig", INVALID): Case(_f("audited:live", AuthType="NONE", Qualifier="other"), MISMATCH),
    ("CreateFunctionUrlConfig", ABSENT): Case(_f(AuthType="NONE"), "^Function does not exist$"),
    ("CreateFunctionUrlConfig", CONFLICT): Case(
        _f("audited", AuthType="NONE"),
        rf"^Failed to create function url config for \[functionArn = {ARN}:audited\]. Error message:  FunctionUrlConf",
    ),
    ("GetFunctionUrlConfig", INVALID): Case(_f("audited:live", Qualifier="other"), MISMATCH),
    ("GetFunctionUrlConfig", ABSENT): Case(_f(), GONE),
    ("UpdateFunctionUrlConfig", INVALID): Case(_f("audited:live", Qualifier="other"), MISMATCH),
    ("UpdateFunctionUrlConfig", ABSENT): Case(_f(), "^Function does not exist$"),
    ("DeleteFunctionUrlConfig", INVALID): Case(_f("audited:live", Qualifier="other"), MISMATCH),
    ("DeleteFunctionUrlConfig", ABSENT): Case(_f(), GONE),
    ("ListFunctionUrlConfigs", INVALID): Case(_f("audited", Marker="nonsense!"), NO_MARKER),
    ("ListFunctionUrlConfigs", ABSENT): Case(_f(), "^Function does not exist$"),
    # -- event source mappings
    ("CreateEventSourceMapping", INVALID): Case(_f(EventSourceArn="<queue>"), "^Function does not exist$"),
    ("CreateEventSourceMapping", CONFLICT): Case(
        _f("audited", EventSourceArn="<queue>"),
        r'^An event source mapping with SQS arn \(" <queue> "\) and function \(" audited "\) already exists. Please '
        "update or delete the existing mapping with UUID <mapping>$",
    ),
    ("GetEventSourceMapping", ABSENT): Case({"UUID": UUID}, GONE),
    ("UpdateEventSourceMapping", INVALID): Case(
        {"UUID": "<mapping>", "BatchSize": 50},
        "^Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10$",
    ),
    ("UpdateEventSourceMapping", ABSENT): Case({"UUID": UUID}, GONE),
    ("DeleteEventSourceMapping", ABSENT): Case({"UUID": UUID}, GONE),
    ("ListEventSourceMappings", INVALID): Case({"Marker": "nonsense!"}, NO_MARKER),
    # -- tags
    ("TagResource", INVALID): Case({"Resource": f"{ARN}:audited:live", "Tags": {"a": "b"}}, BAD_TAGS),
    ("TagResource", ABSENT): Case({"Resource": f"{ARN}:nobody", "Tags": {"a": "b"}}, NOT_FOUND),
    ("UntagResource", INVALID): Case({"Resource": f"{ARN}:audited:live", "TagKeys": ["a"]}, BAD_TAGS),
    ("UntagResource", ABSENT): Case({"Resource": f"{ARN}:nobody", "TagKeys": ["a"]}, NOT_FOUND),
    ("ListTags", INVALID): Case({"Resource": f"{ARN}:audited:live"}, BAD_TAGS),
    ("ListTags", ABSENT): Case({"Resource": f"{ARN}:nobody"}, NOT_FOUND),
    # -- code signing
    ("CreateCodeSigningConfig", INVALID): Case(
        {"AllowedPublishers": {"SigningProfileVersionArns": [f"{LAYER}:x:1"]}}, "is not the ARN of a version of a sign"
    ),
    ("UpdateCodeSigningConfig", INVALID): Case(
        {"CodeSigningConfigArn": "<csc>", "AllowedPublishers": {"SigningProfileVersionArns": [f"{LAYER}:x:1"]}},
        "is not the ARN of a version of a signing profile.$",
    ),
    ("UpdateCodeSigningConfig", ABSENT): Case(_CSC, NO_CSC),
    ("GetCodeSigningConfig", ABSENT): Case(_CSC, NO_CSC),
    ("DeleteCodeSigningConfig", ABSENT): Case(_CSC, NO_CSC),
    ("DeleteCodeSigningConfig", CONFLICT): Case({"CodeSigningConfigArn": "<csc>"}, "is used by functions.$"),
    ("ListCodeSigningConfigs", INVALID): Case({"Marker": "nonsense!"}, NO_MARKER),
    ("ListFunctionsByCodeSigningConfig", INVALID): Case(
        {"CodeSigningConfigArn": "<csc>", "Marker": "nonsense!"}, NO_MARKER
    ),
    ("ListFunctionsByCodeSigningConfig", ABSENT): Case(_CSC, NO_CSC),
    ("PutFunctionCodeSigningConfig", INVALID): Case(
        {"FunctionName": "audited:1", "CodeSigningConfigArn": "<csc>"}, UNQUALIFIED
    ),
    ("PutFunctionCodeSigningConfig", ABSENT): Case({**_f(), "CodeSigningConfigArn": "<csc>"}, NOT_FOUND),
    ("PutFunctionCodeSigningConfig", NO_SIGNING): Case({**_f("audited"), **_CSC}, NO_CSC_HERE),
    ("GetFunctionCodeSigningConfig", INVALID): Case(_f("audited:1"), UNQUALIFIED),
    ("GetFunctionCodeSigningConfig", ABSENT): Case(_f(), NOT_FOUND),
    ("DeleteFunctionCodeSigningConfig", INVALID): Case(_f("audited:1"), UNQUALIFIED),
    ("DeleteFunctionCodeSigningConfig", ABSENT): Case(_f(), NOT_FOUND),
    # -- runtimes
    ("PutRuntimeManagementConfig", INVALID): Case(
        _f("audited", UpdateRuntimeOn="Manual"), "^RuntimeVersionArn is required when UpdateRuntimeOn is Manual.$"
    ),
    ("PutRuntimeManagementConfig", ABSENT): Case(_f(UpdateRuntimeOn="Auto"), NOT_FOUND),
    ("GetRuntimeManagementConfig", INVALID): Case(_MISMATCHED, MISMATCH),
    ("GetRuntimeManagementConfig", ABSENT): Case(_f(), NOT_FOUND),
    # -- invocations
    ("Invoke", INVALID): Case(_MISMATCHED, MISMATCH),
    ("Invoke", ABSENT): Case(_f(), rf"^Function not found: {ARN}:nobody:\$LATEST$"),
    ("Invoke", "InvalidRequestContentException"): Case(_f("audited", Payload=b"{"), "^Could not parse request body"),
    ("Invoke", "TooManyRequestsException"): Case(_f("throttled"), "^Rate Exceeded.$"),
    ("Invoke", "KMSDisabledException"): Case(_f("disabled"), "KMS Message: "),
    ("Invoke", "KMSInvalidStateException"): Case(_f("pending"), "KMS Message: .* is pending deletion.$"),
    ("InvokeWithResponseStream", INVALID): Case(_MISMATCHED, MISMATCH),
    ("InvokeWithResponseStream", ABSENT): Case(_f(), rf"^Function not found: {ARN}:nobody:\$LATEST$"),
    ("InvokeWithResponseStream", "InvalidRequestContentException"): Case(
        _f("audited", Payload=b"{"), "^Could not parse request body"
    ),
    ("InvokeWithResponseStream", "TooManyRequestsException"): Case(_f("throttled"), "^Rate Exceeded.$"),
    ("InvokeWithResponseStream", "KMSDisabledException"): Case(_f("disabled"), "KMS Message: "),
    ("InvokeWithResponseStream", "KMSInvalidStateException"): Case(_f("pending"), "KMS Message: .* is pending"),
    ("InvokeAsync", ABSENT): Case(_f(InvokeArgs=b"{}"), rf"^Function not found: {ARN}:nobody:\$LATEST$"),
    ("InvokeAsync", "InvalidRequestContentException"): Case(_f("audited", InvokeArgs=b"{"), "^Could not parse request"),
    ("InvokeAsync", "KMSDisabledException"): Case(_f("disabled", InvokeArgs=b"{}"), "KMS Message: "),
    ("InvokeAsync", "KMSInvalidStateException"): Case(_f("pending", InvokeArgs=b"{}"), "KMS Message: .* is pending"),
    ("PutResourcePolicy", LONG): Case(
        {"ResourceArn": f"{ARN}:audited", "Policy": "<long policy of audited>"}, TOO_LONG
    ),
}

_UNIT = "tests/unit/services/lambda_/test_errors.py"
_STATES = f"{_UNIT}::test_what_is_refused_while_a_function_is_pending"
_STORAGE = f"{_UNIT}::test_what_is_refused_when_the_code_storage_is_full"
_MAPPINGS = f"{_UNIT}::test_a_mapping_on_its_way_takes_no_change"
_KEYS = f"{_UNIT}::test_a_key_that_is_gone"

_SNAPSHOTS = "tests/unit/worker/test_snapshots.py::test_words_for_what_failed"

ELSEWHERE: Mapping[tuple[str, str], str] = {
    **{
        (operation, "SnapStartNotReadyException"): (
            "tests/unit/control/test_snap_start.py::test_a_version_is_pending_until_its_snapshot_is_taken"
        )
        for operation in ("Invoke", "InvokeAsync", "InvokeWithResponseStream")
    },
    **{
        (operation, error): where
        for operation in ("Invoke", "InvokeWithResponseStream")
        for error, where in (
            (
                "SnapStartException",
                "tests/acceptance/test_snap_start.py::test_an_after_restore_hook_that_fails",
            ),
            ("SnapStartTimeoutException", _SNAPSHOTS),
        )
    },
    ("CreateAlias", "AliasLimitExceededException"): f"{_UNIT}::test_the_limit_of_aliases",
    ("CreateFunction", FULL): _STORAGE,
    ("DeleteEventSourceMapping", IN_USE): _MAPPINGS,
    ("Invoke", CONFLICT): _STATES,
    ("Invoke", "KMSNotFoundException"): _KEYS,
    (
        "Invoke",
        "RecursiveInvocationException",
    ): "tests/unit/invoke/test_dispatcher.py::test_a_chain_of_sixteen_executions_is_stopped_before_the_next",
    ("InvokeWithResponseStream", CONFLICT): _STATES,
    ("InvokeWithResponseStream", "KMSNotFoundException"): _KEYS,
    (
        "InvokeWithResponseStream",
        "RecursiveInvocationException",
    ): "tests/unit/invoke/test_dispatcher.py::test_a_chain_of_sixteen_executions_is_stopped_before_the_next",
    ("InvokeAsync", CONFLICT): _STATES,
    ("InvokeAsync", "KMSNotFoundException"): _KEYS,
    (
        "PutProvisionedConcurrencyConfig",
        CONFLICT,
    ): "tests/unit/control/test_provisioned.py::test_what_may_have_any",
    ("PublishLayerVersion", FULL): _STORAGE,
    ("PublishVersion", CONFLICT): _STATES,
    ("PublishVersion", FULL): _STORAGE,
    ("UpdateEventSourceMapping", IN_USE): _MAPPINGS,
    ("UpdateFunctionCode", CONFLICT): _STATES,
    ("UpdateFunctionCode", FULL): _STORAGE,
    ("UpdateFunctionConfiguration", CONFLICT): _STATES,
}

_MANAGED = "There are no capacity providers."
_EC2 = "There is no EC2: a network is a namespace of this machine, checked when a function is configured."
_EFS = "File systems are directories of this machine; one that cannot be mounted fails the start of the environment."
_SNAP = "A snapshot that is gone is taken again in the background: no caller waits for it."
_ARTIFACT = "There is no second copy of code that AWS would keep under a user of its own."
_ONE_BY_ONE = "Changes of one thing follow each other here: none is refused because of another."

NEVER: Mapping[str, str] = {
    "ServiceException": "A defect or a full disk, which no request brings about: tests/unit/front shows how it looks.",
    "FunctionVersionsPerCapacityProviderLimitExceededException": _MANAGED,
    "EC2AccessDeniedException": _EC2,
    "EC2ThrottledException": _EC2,
    "EC2UnexpectedException": _EC2,
    "ENILimitReachedException": _EC2,
    "ENINotReadyException": _EC2,
    "SubnetIPAddressLimitReachedException": _EC2,
    "InvalidSubnetIDException": _EC2,
    "InvalidSecurityGroupIDException": _EC2,
    "EFSIOException": _EFS,
    "EFSMountConnectivityException": _EFS,
    "EFSMountFailureException": _EFS,
    "EFSMountTimeoutException": _EFS,
    "S3FilesMountConnectivityException": "FileSystemConfigs of S3 are refused by their ARN.",
    "S3FilesMountFailureException": "FileSystemConfigs of S3 are refused by their ARN.",
    "S3FilesMountTimeoutException": "FileSystemConfigs of S3 are refused by their ARN.",
    "SnapStartRegenerationFailureException": _SNAP,
    "CodeArtifactUserDeletedException": _ARTIFACT,
    "CodeArtifactUserFailedException": _ARTIFACT,
    "CodeArtifactUserPendingException": _ARTIFACT,
    "RuntimeAliasDeletedException": "There are no customers' runtimes.",
    "RuntimeVersionDeletedException": "There are no customers' runtimes.",
    "NoPublishedVersionException": "Only functions on capacity providers have $LATEST.PUBLISHED.",
    "ModeNotSupportedException": "Only functions on capacity providers refuse a mode.",
    "ServiceQuotaExceededException": "It is about durable executions, which are not there.",
    "DurableExecutionAlreadyStartedException": "There are no durable executions.",
    "KMSAccessDeniedException": "Every caller is its account's root, which may use the account's keys.",
    "InvalidZipFileException": "A package is checked when it is sent: InvalidParameterValueException.",
    "InvalidRuntimeException": "A runtime that is gone fails the start of the environment.",
    "ResourceNotReadyException": "A function that is not ready is ResourceConflictException, as AWS was recorded.",
    "PublicPolicyException": "There is no setting that blocks public access.",
    "UnsupportedMediaTypeException": "A payload is JSON or is none, whatever its Content-Type says.",
    "RequestTooLargeException": (
        "AWS answers RequestEntityTooLargeException (spec 03), and so does Paddock: "
        "tests/unit/services/lambda_/test_lambda.py::test_the_largest_payload_passes_and_one_byte_more_does_not"
    ),
    "SerializedRequestEntityTooLargeException": (
        "A body beyond what any operation takes is RequestEntityTooLargeException: tests/unit/front."
    ),
}
# TooManyRequestsException of everything but invocations.
UNTHROTTLED = "The control plane is not throttled: it refuses nothing because of how much is asked."

CANNOT_HAPPEN: Mapping[tuple[str, str], str] = {
    **{
        ("InvokeAsync", error): "The event is stored, and restored environments come later: its log tells."
        for error in ("SnapStartException", "SnapStartTimeoutException")
    },
    **{
        (operation, CONFLICT): _ONE_BY_ONE
        for operation in (
            "DeleteAlias", "DeleteEventSourceMapping", "DeleteFunctionCodeSigningConfig", "DeleteFunctionConcurrency",
            "DeleteFunctionEventInvokeConfig", "DeleteFunctionUrlConfig", "UpdateFunctionUrlConfig",
            "DeleteProvisionedConcurrencyConfig", "DeleteResourcePolicy", "PutFunctionCodeSigningConfig",
            "PutFunctionConcurrency", "PutFunctionEventInvokeConfig", "PutFunctionRecursionConfig", "PutResourcePolicy",
            "PutRuntimeManagementConfig", "RemoveLayerVersionPermission", "TagResource", "UntagResource", "UpdateAlias",
            "UpdateEventSourceMapping", "UpdateFunctionEventInvokeConfig",
        )
    },
    **{
        (operation, INVALID): "All there is to be wrong is an identifier, and that the model's pattern tells."
        for operation in (
            "DeleteCodeSigningConfig", "DeleteEventSourceMapping", "GetCodeSigningConfig", "GetEventSourceMapping",
            "GetFunctionRecursionConfig", "PutFunctionRecursionConfig",
        )
    },
    **{
        (operation, NO_SIGNING): "A function without a configuration has an empty one, as AWS was recorded."
        for operation in ("GetFunctionCodeSigningConfig", "DeleteFunctionCodeSigningConfig")
    },
    **{
        (operation, NO_SIGNING): "A configuration that a function has cannot be deleted."
        for operation in ("UpdateFunctionCode", "UpdateFunctionConfiguration")
    },
    ("CreateEventSourceMapping", ABSENT): "A function that is not there is InvalidParameterValueException (recorded).",
    ("PutFunctionScalingConfig", CONFLICT): "No function has a capacity provider: the wrong kind comes first.",
    ("CreateFunction", ABSENT): "What is named and not there (a layer, an object) is InvalidParameterValueException.",
    ("ListEventSourceMappings", ABSENT): "A function that is not there has no mappings.",
    ("UpdateFunctionConfiguration", FORGED): "No code is sent; a layer's signature was read when it was published.",
}  # fmt: skip
