"""What a function may look like, beyond the service model's own constraints. Texts are AWS's (spec 01 §4.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from paddock.model.errors import InvalidParameterValue, NotYet, ValidationError
from paddock.model.function import (
    SNAP_START_EPHEMERAL_MB_MAX,
    SNAP_START_PYTHON_MIN,
    Function,
    FunctionVersion,
    LoggingConfig,
)
from paddock.model.image import IMAGE_RUNTIME
from paddock.model.quotas import Quotas

RESERVED_KEYS = frozenset(
    [
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
    ]
)


_ENVIRONMENT = (
    "Lambda was unable to configure your environment variables because the environment variables you have provided "
)
_LEVEL_WITH_TEXT = (
    'LogLevel is not supported when LogFormat is set to "Text". '
    'Remove LogLevel from your request or change the LogFormat to "JSON" and try again.'
)
_TAGS = "An error occurred and the request cannot be processed."


def check_name(name: str, quotas: Quotas) -> None:
    """CreateFunction alone limits the bare name, and not with a ValidationException."""
    if len(name) > quotas.function_name_chars_max:
        raise InvalidParameterValue(
            f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: "
            f"Member must have length less than or equal to {quotas.function_name_chars_max}"
        )


def check_version(version: FunctionVersion, quotas: Quotas) -> None:
    """Limits that the service model sets higher, for kinds of functions Paddock does not have; the environment."""
    too_much = [
        f"Value '{value}' at '{path}' failed to satisfy constraint: "
        f"Member must have value less than or equal to {limit}"
        for path, value, limit in (
            ("timeout", version.timeout_s, quotas.timeout_s_max),
            ("memorySize", version.memory_mb, quotas.memory_mb_max),
            ("ephemeralStorage.size", version.ephemeral_mb, quotas.ephemeral_mb_max),
        )
        if value > limit
    ]
    if too_much:
        plural = "s" if len(too_much) > 1 else ""
        raise ValidationError(f"{len(too_much)} validation error{plural} detected: {'; '.join(too_much)}")
    if version.memory_mb % quotas.memory_mb_step:
        raise InvalidParameterValue(
            f"'MemorySize' value failed to satisfy constraint: Member must be a multiple of {quotas.memory_mb_step} MB"
        )
    check_environment(version.environment or {}, quotas)
    check_snap_start(version)


def check_package(version: FunctionVersion, is_image: bool) -> None:
    """A function stays what it was made as: a zip or an image. Raises InvalidParameterValue."""
    if version.image is not None and not is_image:
        raise InvalidParameterValue("Please provide ImageUri when updating a function with packageType Image.")
    if version.image is None and is_image:
        raise InvalidParameterValue("Please don't provide ImageUri when updating a function with packageType Zip.")


def check_snap_start(version: FunctionVersion) -> None:
    """What a function with SnapStart may not have besides. Raises InvalidParameterValue, and NotYet for a processor."""
    if not version.snap_start:
        return
    if version.runtime == IMAGE_RUNTIME:
        raise InvalidParameterValue("SnapStart is not supported for functions with packageType Image.")
    python = re.fullmatch(r"python3\.(\d+)", version.runtime)
    if python is None or int(python[1]) < SNAP_START_PYTHON_MIN:
        raise InvalidParameterValue(f"{version.runtime} is not supported for SnapStart enabled functions.")
    unfit = {
        "Amazon EFS": bool(version.file_systems),
        f"ephemeral storage greater than {SNAP_START_EPHEMERAL_MB_MAX} MB": (
            version.ephemeral_mb > SNAP_START_EPHEMERAL_MB_MAX
        ),
        "tenant isolation": version.tenant_isolation,
    }
    for what, is_so in unfit.items():
        if is_so:
            raise InvalidParameterValue(f"SnapStart enabled functions do not support {what}.")
    if version.architecture != "x86_64":
        raise NotYet(f"SnapStart is not supported by Paddock on {version.architecture} yet.")


def check_unzipped(version: FunctionVersion, quotas: Quotas) -> None:
    """Code and layers together. Raises InvalidParameterValue."""
    if version.layers and version.unzipped_bytes > quotas.unzipped_bytes_max:
        raise InvalidParameterValue(
            f"Function code combined with layers exceeds the maximum allowed size of {quotas.unzipped_bytes_max} "
            f"bytes. The actual size is {version.unzipped_bytes} bytes."
        )


def check_environment(variables: Mapping[str, str], quotas: Quotas) -> None:
    reserved = [key for key in variables if key in RESERVED_KEYS]
    if reserved:
        raise InvalidParameterValue(
            f"{_ENVIRONMENT}contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = json.dumps(dict(variables), separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode("utf-8", "surrogatepass")) > quotas.environment_bytes_max:
        raise InvalidParameterValue(f"{_ENVIRONMENT}exceeded the 4KB limit. String measured: {measured}")


def with_reservation(function: Function, wanted: int | None, claimed_by_all: int, quotas: Quotas) -> Function:
    """The function with another reservation, None for none. claimed_by_all: kept for single functions before.

    It may not grow if that leaves the account too little, nor be less than what is provisioned. Raises
    InvalidParameterValue.
    """
    if wanted is None:
        return replace(function, reserved_concurrency=None)
    if wanted < function.provisioned_executions:
        raise InvalidParameterValue(
            f" ReservedConcurrentExecutions  {wanted} should not be lower than function's total provisioned "
            f"concurrency [{function.provisioned_executions}]."
        )
    current = function.claimed_executions
    left = quotas.concurrency_max - (claimed_by_all - current) - wanted
    if wanted > current and left < quotas.unreserved_concurrency_min:
        raise InvalidParameterValue(
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            f"below its minimum value of [{quotas.unreserved_concurrency_min}]."
        )
    return replace(function, reserved_concurrency=wanted)


def merged_logging(
    current: LoggingConfig, *, log_format: str, application_level: str, system_level: str, group: str
) -> LoggingConfig:
    """What was sent ("" for not sent) over what is set. JSON levels are INFO unless given; Text has none."""
    result = replace(current, format=log_format or current.format, group=group or current.group)
    if result.format == "Text":
        if application_level or system_level:
            raise InvalidParameterValue(_LEVEL_WITH_TEXT)
        return replace(result, application_level="", system_level="")
    return replace(
        result,
        application_level=application_level or current.application_level or "INFO",
        system_level=system_level or current.system_level or "INFO",
    )


def merged_tags(current: Mapping[str, str], more: Mapping[str, str], quotas: Quotas) -> dict[str, str]:
    """Tags after TagResource (or CreateFunction, from nothing)."""
    for key, value in more.items():
        if key.lower().startswith("aws:"):
            raise InvalidParameterValue(f"{_TAGS} The tag key {key!r} starts with the reserved prefix aws:.")
        if len(key) > quotas.tag_key_chars_max or len(value) > quotas.tag_value_chars_max:
            raise InvalidParameterValue(
                f"{_TAGS} A tag key has at most {quotas.tag_key_chars_max} characters, "
                f"a tag value at most {quotas.tag_value_chars_max}."
            )
    merged = {**current, **more}
    if len(merged) > quotas.tags_max:
        raise InvalidParameterValue("Number of tags exceeds resource tag limit.")
    return merged


def nonempty_tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    """TagResource with nothing in it is refused."""
    if not tags:
        raise InvalidParameterValue(_TAGS)
    return tags
