"""What is asked of the catalogue: a new function, or a change of an existing one's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from paddock.control.rules import merged_logging
from paddock.model.function import FileSystemUse, FunctionVersion, LayerUse, LoggingConfig, VpcConfig
from paddock.model.image import ImageConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingChange:
    """Members of LoggingConfig as sent; "" for not sent."""

    format: str = ""
    application_level: str = ""
    system_level: str = ""
    group: str = ""

    def applied(self, current: LoggingConfig) -> LoggingConfig:
        return merged_logging(
            current,
            log_format=self.format,
            application_level=self.application_level,
            system_level=self.system_level,
            group=self.group,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Settings as sent. None leaves a setting as it is (at its default, in a new function)."""

    runtime: str | None = None
    handler: str | None = None
    role: str | None = None
    description: str | None = None
    timeout_s: int | None = None
    memory_mb: int | None = None
    ephemeral_mb: int | None = None
    environment: Mapping[str, str] | None = None
    logging: LoggingChange | None = None
    vpc: VpcConfig | None = None
    file_systems: tuple[FileSystemUse, ...] | None = None
    layers: tuple[LayerUse, ...] | None = None
    dead_letter_arn: str | None = None
    kms_key_arn: str | None = None
    snap_start: bool | None = None
    image_config: ImageConfig | None = None

    def applied(self, version: FunctionVersion) -> FunctionVersion:
        """Raises InvalidParameterValue when the logging settings contradict each other."""
        if self.logging is not None:
            version = replace(version, logging=self.logging.applied(version.logging))
        return replace(
            version,
            runtime=version.runtime if self.runtime is None else self.runtime,
            handler=version.handler if self.handler is None else self.handler,
            role=version.role if self.role is None else self.role,
            description=version.description if self.description is None else self.description,
            timeout_s=version.timeout_s if self.timeout_s is None else self.timeout_s,
            memory_mb=version.memory_mb if self.memory_mb is None else self.memory_mb,
            ephemeral_mb=version.ephemeral_mb if self.ephemeral_mb is None else self.ephemeral_mb,
            file_systems=version.file_systems if self.file_systems is None else self.file_systems,
            vpc=version.vpc if self.vpc is None else self.vpc,
            environment=version.environment if self.environment is None else self.environment,
            layers=version.layers if self.layers is None else self.layers,
            dead_letter_arn=version.dead_letter_arn if self.dead_letter_arn is None else self.dead_letter_arn,
            kms_key_arn=version.kms_key_arn if self.kms_key_arn is None else self.kms_key_arn,
            snap_start=version.snap_start if self.snap_start is None else self.snap_start,
            image_config=version.image_config if self.image_config is None else self.image_config,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFunction:
    """CreateFunction. Runtime, handler and role must stand in `settings`; of an image, the role and IMAGE_RUNTIME."""

    account: str
    region: str
    name: str
    architecture: str
    settings: Change
    code_signing: str = ""
    tenant_isolation: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
