"""A call of each operation of Lambda that succeeds, in an order in which each may: the life of the function `whole`.

Words in angle brackets stand for what only the running server knows. Some are known from the start (<zip>, <runtime>,
<queue>, <profile>), others are taken from the answer of a call, as its `keep` says: {word: member}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

ARN = "arn:aws:lambda:us-east-1:000000000000:function:whole"
LAYER = "arn:aws:lambda:us-east-1:000000000000:layer:whole:1"


class Good(NamedTuple):
    """settles: the function is on its way afterwards, and the next call waits for its end."""

    operation: str
    params: Mapping[str, Any] = {}
    keep: Mapping[str, str] = {}
    settles: bool = False


def _f(**more: Any) -> dict[str, Any]:
    return {"FunctionName": "whole", **more}


_CREATE = _f(
    Runtime="<runtime>",
    Role="arn:aws:iam::000000000000:role/test",
    Handler="app.handler",
    Code={"ZipFile": "<zip>"},
    Environment={"Variables": {"KEY": "value"}},
    Layers=["<layer>"],
    Tags={"a": "b"},
    DeadLetterConfig={"TargetArn": "<queue>"},
    LoggingConfig={"LogFormat": "JSON"},
)
NEVER_GOOD = frozenset({"GetFunctionScalingConfig", "PutFunctionScalingConfig"})
"""Of functions on capacity providers, which there are not."""

_CSC = {"CodeSigningConfigArn": "<config>"}
_MAPPING = {"UUID": "<new mapping>"}
_POLICY = {"ResourceArn": ARN}
_VERSION = {"LayerName": "whole", "VersionNumber": 1}

GOOD: tuple[Good, ...] = (
    Good("GetAccountSettings"),
    Good("PublishLayerVersion", {"LayerName": "whole", "Content": {"ZipFile": "<zip>"}, "LicenseInfo": "MIT",
         "CompatibleRuntimes": ["python3.12"], "CompatibleArchitectures": ["x86_64"]}, {"<layer>": "LayerVersionArn"}),
    Good("GetLayerVersion", _VERSION),
    Good("GetLayerVersionByArn", {"Arn": LAYER}),
    Good("ListLayers"),
    Good("ListLayerVersions", {"LayerName": "whole"}),
    Good("AddLayerVersionPermission", {**_VERSION, "StatementId": "all", "Action": "lambda:GetLayerVersion",
         "Principal": "*"}),
    Good("GetLayerVersionPolicy", _VERSION),
    Good("RemoveLayerVersionPermission", {**_VERSION, "StatementId": "all"}),
    Good("CreateFunction", _CREATE, settles=True),
    Good("GetFunction", _f()),
    Good("GetFunctionConfiguration", _f()),
    Good("Invoke", _f(LogType="Tail", Payload=b"{}")),
    Good("InvokeAsync", _f(InvokeArgs=b"{}")),
    Good("InvokeWithResponseStream", _f(LogType="Tail", Payload=b"{}")),
    Good("PublishVersion", _f(Description="first")),
    Good("UpdateFunctionCode", _f(ZipFile="<zip>"), settles=True),
    Good("UpdateFunctionConfiguration", _f(Timeout=7, MemorySize=192, EphemeralStorage={"Size": 600}), settles=True),
    Good("ListVersionsByFunction", _f()),
    Good("ListFunctions"),
    Good("ListFunctions", {"FunctionVersion": "ALL"}),
    Good("CreateAlias", _f(Name="live", FunctionVersion="1", Description="d")),
    Good("UpdateAlias", _f(Name="live", Description="e")),
    Good("GetAlias", _f(Name="live")),
    Good("ListAliases", _f()),
    Good("Invoke", _f(Qualifier="live", Payload=b"{}")),
    Good("GetFunction", _f(Qualifier="live")),
    Good("AddPermission", _f(StatementId="one", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com")),
    Good("GetPolicy", _f()),
    Good("RemovePermission", _f(StatementId="one")),
    Good("PutResourcePolicy", {**_POLICY, "Policy": "<policy of whole>"}),
    Good("GetResourcePolicy", _POLICY),
    Good("DeleteResourcePolicy", _POLICY),
    Good("PutFunctionConcurrency", _f(ReservedConcurrentExecutions=5)),
    Good("GetFunctionConcurrency", _f()),
    Good("GetFunction", _f()),
    Good("DeleteFunctionConcurrency", _f()),
    Good("PutProvisionedConcurrencyConfig", _f(Qualifier="live", ProvisionedConcurrentExecutions=1)),
    Good("GetProvisionedConcurrencyConfig", _f(Qualifier="live")),
    Good("ListProvisionedConcurrencyConfigs", _f()),
    Good("DeleteProvisionedConcurrencyConfig", _f(Qualifier="live")),
    Good("PutFunctionEventInvokeConfig", _f(MaximumRetryAttempts=1, DestinationConfig={
         "OnFailure": {"Destination": "<queue>"}})),
    Good("UpdateFunctionEventInvokeConfig", _f(MaximumEventAgeInSeconds=60)),
    Good("GetFunctionEventInvokeConfig", _f()),
    Good("ListFunctionEventInvokeConfigs", _f()),
    Good("DeleteFunctionEventInvokeConfig", _f()),
    Good("CreateFunctionUrlConfig", _f(AuthType="NONE", Cors={"AllowOrigins": ["*"]})),
    Good("UpdateFunctionUrlConfig", _f(InvokeMode="RESPONSE_STREAM")),
    Good("GetFunctionUrlConfig", _f()),
    Good("ListFunctionUrlConfigs", _f()),
    Good("DeleteFunctionUrlConfig", _f()),
    Good("PutFunctionRecursionConfig", _f(RecursiveLoop="Allow")),
    Good("GetFunctionRecursionConfig", _f()),
    Good("PutRuntimeManagementConfig", _f(UpdateRuntimeOn="Auto")),
    Good("GetRuntimeManagementConfig", _f()),
    Good("CreateEventSourceMapping", _f(EventSourceArn="<queue>", BatchSize=3, Tags={"a": "b"}, FilterCriteria={
         "Filters": [{"Pattern": '{"body":["x"]}'}]}, FunctionResponseTypes=["ReportBatchItemFailures"]),
         {"<new mapping>": "UUID"}),
    Good("GetEventSourceMapping", _MAPPING),
    Good("ListEventSourceMappings", _f()),
    Good("UpdateEventSourceMapping", {**_MAPPING, "ScalingConfig": {"MaximumConcurrency": 2}}),
    Good("DeleteEventSourceMapping", _MAPPING),
    Good("TagResource", {"Resource": ARN, "Tags": {"c": "d"}}),
    Good("ListTags", {"Resource": ARN}),
    Good("UntagResource", {"Resource": ARN, "TagKeys": ["a"]}),
    Good("CreateCodeSigningConfig", {"AllowedPublishers": {"SigningProfileVersionArns": ["<profile>"]}},
         {"<config>": "CodeSigningConfig.CodeSigningConfigArn"}),
    Good("GetCodeSigningConfig", _CSC),
    Good("UpdateCodeSigningConfig", {**_CSC, "Description": "d"}),
    Good("ListCodeSigningConfigs"),
    Good("PutFunctionCodeSigningConfig", _f(**_CSC)),
    Good("GetFunctionCodeSigningConfig", _f()),
    Good("ListFunctionsByCodeSigningConfig", _CSC),
    Good("DeleteFunctionCodeSigningConfig", _f()),
    Good("DeleteCodeSigningConfig", _CSC),
    Good("DeleteAlias", _f(Name="live")),
    Good("DeleteFunction", _f(Qualifier="1")),
    Good("DeleteFunction", _f()),
    Good("DeleteLayerVersion", _VERSION),
)  # fmt: skip
