"""Between Lambda's wire members and our nouns, both ways. Wire keys stand here and in the operations, nowhere else.

What a minimal function looks like is a recorded response (spec 01 §4).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from paddock.control.changes import Change, LoggingChange
from paddock.model.alias import Alias
from paddock.model.arn import FunctionRef
from paddock.model.function import (
    CodeArtifact,
    FileSystemUse,
    Function,
    FunctionVersion,
    LayerUse,
    LoggingConfig,
    UpdateStatus,
    VpcConfig,
)
from paddock.model.image import IMAGE_RUNTIME
from paddock.model.tenancy import PER_TENANT
from paddock.services.lambda_ import images, snap_start

Members = dict[str, Any]


def change_of(
    params: Mapping[str, Any],
    layers: tuple[LayerUse, ...] | None = None,
    vpc: VpcConfig | None = None,
    file_systems: tuple[FileSystemUse, ...] | None = None,
) -> Change:
    """The settings that CreateFunction and UpdateFunctionConfiguration share; the last three are looked up already."""
    environment = params.get("Environment")
    ephemeral = params.get("EphemeralStorage")
    dead_letters = params.get("DeadLetterConfig")
    return Change(
        runtime=IMAGE_RUNTIME if params.get("PackageType") == "Image" else params.get("Runtime"),
        handler=params.get("Handler"),
        role=params.get("Role"),
        description=params.get("Description"),
        timeout_s=params.get("Timeout"),
        memory_mb=params.get("MemorySize"),
        ephemeral_mb=None if ephemeral is None else ephemeral["Size"],
        environment=None if environment is None else dict(environment.get("Variables") or {}),
        logging=_logging_change(params.get("LoggingConfig")),
        layers=layers,
        dead_letter_arn=None if dead_letters is None else dead_letters.get("TargetArn", ""),
        vpc=vpc,
        file_systems=file_systems,
        kms_key_arn=params.get("KMSKeyArn"),
        snap_start=snap_start.wanted(params),
        image_config=images.config_of(params),
    )


def _logging_change(sent: Mapping[str, str] | None) -> LoggingChange | None:
    if sent is None:
        return None
    return LoggingChange(
        format=sent.get("LogFormat", ""),
        application_level=sent.get("ApplicationLogLevel", ""),
        system_level=sent.get("SystemLogLevel", ""),
        group=sent.get("LogGroup", ""),
    )


def configuration(version: FunctionVersion, arn: str) -> Members:
    """FunctionConfiguration. arn: qualified as the caller did."""
    return {**listed(version, arn), **_states(version)}


def listed(version: FunctionVersion, arn: str) -> Members:
    """FunctionConfiguration as lists show it: without any state."""
    members: Members = {
        "FunctionName": version.name,
        "FunctionArn": arn,
        **({"Runtime": version.runtime, "Handler": version.handler} if version.image is None else {}),
        "Role": version.role,
        "CodeSize": version.code.size_bytes,
        "Description": version.description,
        "Timeout": version.timeout_s,
        "MemorySize": version.memory_mb,
        "LastModified": timestamp(version.last_modified),
        "CodeSha256": version.code_sha256,
        "Version": version.version,
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": version.revision_id,
        "PackageType": "Zip" if version.image is None else "Image",
        "Architectures": [version.architecture],
        "EphemeralStorage": {"Size": version.ephemeral_mb},
        "SnapStart": {
            "ApplyOn": snap_start.APPLIED if version.snap_start else "None",
            "OptimizationStatus": snap_start.status_of(version),
        },
        "LoggingConfig": _logging(version.logging, version.log_group),
    }
    if version.dead_letter_arn:
        members["DeadLetterConfig"] = {"TargetArn": version.dead_letter_arn}
    if version.vpc is not None:
        members["VpcConfig"] = {
            "SubnetIds": list(version.vpc.subnets),
            "SecurityGroupIds": list(version.vpc.security_groups),
            "VpcId": version.vpc.vpc_id,
            "Ipv6AllowedForDualStack": False,
        }
    if version.file_systems:
        members["FileSystemConfigs"] = [
            {"Arn": one.arn, "LocalMountPath": one.mount_path} for one in version.file_systems
        ]
    if version.environment is not None:
        members["Environment"] = {"Variables": dict(version.environment)}
    if version.kms_key_arn:
        members["KMSKeyArn"] = version.kms_key_arn
    if version.tenant_isolation:
        members["TenancyConfig"] = {"TenantIsolationMode": PER_TENANT}
    if version.layers:
        members["Layers"] = [_layer(layer) for layer in version.layers]
    return {**members, **_signer(version.code), **images.config_shown(version)}


def _layer(layer: LayerUse) -> Members:
    return {"Arn": layer.arn, "CodeSize": layer.code.size_bytes, **_signer(layer.code)}


def _signer(code: CodeArtifact) -> Members:
    if code.signer is None:
        return {}
    return {"SigningProfileVersionArn": code.signer.profile, "SigningJobArn": code.signer.job}


def _states(version: FunctionVersion) -> Members:
    members: Members = {"State": version.state.value}
    if version.state_reason:
        members |= {"StateReason": version.state_reason, "StateReasonCode": version.state_reason_code}
    if version.update_status is not UpdateStatus.NONE:
        members["LastUpdateStatus"] = version.update_status.value
    if version.update_reason:
        members |= {
            "LastUpdateStatusReason": version.update_reason,
            "LastUpdateStatusReasonCode": version.update_reason_code,
        }
    return members


def _logging(logging: LoggingConfig, group: str) -> Members:
    members: Members = {"LogFormat": logging.format, "LogGroup": group}
    if logging.application_level:
        members["ApplicationLogLevel"] = logging.application_level
    if logging.system_level:
        members["SystemLogLevel"] = logging.system_level
    return members


def function(found: Function, version: FunctionVersion, arn: str, location: str) -> Members:
    """GetFunction's output. version: the one asked for."""
    members: Members = {
        "Configuration": configuration(version, arn),
        "Code": images.code_shown(version.image) or {"RepositoryType": "S3", "Location": location},
    }
    if found.tags:
        members["Tags"] = dict(found.tags)
    if found.reserved_concurrency is not None:
        members["Concurrency"] = {"ReservedConcurrentExecutions": found.reserved_concurrency}
    return members


def alias(found: Alias, ref: FunctionRef) -> Members:
    """AliasConfiguration of an alias of the function that `ref` names."""
    members: Members = {
        "AliasArn": f"{ref.function_arn}:{found.name}",
        "Name": found.name,
        "FunctionVersion": found.version,
        "Description": found.description,
        "RevisionId": found.revision_id,
    }
    if found.weights:
        members["RoutingConfig"] = {"AdditionalVersionWeights": dict(found.weights)}
    return members


def timestamp(moment: datetime) -> str:
    """Lambda's string timestamps: milliseconds, UTC, `+0000`."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"
