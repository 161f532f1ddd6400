"""Function and Version: what is created, updated, frozen by publishing, and run.

A FunctionVersion is one immutable configuration with its code; `$LATEST` is the version that updates replace.
Lambda's own defaults stand here (developer guide and recorded responses, see docs/decisions).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from paddock.model.alias import Alias
from paddock.model.event_invoke import EventInvokeConfig
from paddock.model.function_url import FunctionUrl
from paddock.model.image import ContainerImage, ImageConfig
from paddock.model.permission import ResourcePolicy
from paddock.model.provisioned import ProvisionedConfig

LATEST = "$LATEST"
SNAP_START = "snap-start"
SNAP_START_PYTHON_MIN = 12
SNAP_START_EPHEMERAL_MB_MAX = 512


class State(str, Enum):
    """Lambda's function states (service model, `State`)."""

    PENDING = "Pending"
    ACTIVE = "Active"
    INACTIVE = "Inactive"
    FAILED = "Failed"


class UpdateStatus(str, Enum):
    """Lambda's `LastUpdateStatus`. NONE renders as an absent member (a function never yet active)."""

    NONE = ""
    IN_PROGRESS = "InProgress"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who signed a package: ARNs of the version of a signing profile, and of the job that signed."""

    profile: str
    job: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeArtifact:
    """The uploaded package: its bytes live in Blobs under `digest`.

    digest: SHA-256 of the zip's bytes, lower-case hex. size_bytes: of the zip. unzipped_bytes: real size. Of an image:
    the digest of its configuration, and no bytes are counted.
    signer: None unless a signature was looked for and is genuine.
    """

    digest: str
    size_bytes: int
    unzipped_bytes: int
    signer: Signer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerUse:
    """A layer version as a function uses it: mounted into /opt in order, a later one over an earlier one.

    arn: of the layer version, which may have been deleted since; its code stays as long as a function uses it.
    """

    arn: str
    code: CodeArtifact


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingConfig:
    """format: Text or JSON. Levels only with JSON. group: the log group's name."""

    format: str = "Text"
    application_level: str = ""
    system_level: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VpcConfig:
    """The named network that a version joins; without one (network "") it was taken out of it again.

    subnets, security_groups, vpc_id: as shown; they stand for the network, the rules are the operator's.
    """

    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    vpc_id: str = ""
    network: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystemUse:
    """One of the operator's directories, by its arn, and where it is mounted (/mnt/...)."""

    arn: str
    mount_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionVersion:
    """One runnable configuration. (account, region, name, version) is its identity.

    environment None means never set (absent on the wire); an empty mapping was sent empty and is rendered.
    revision_id is AWS's RevisionId: it changes with every change of anything, tags included. build_id is ours:
    it changes only when the code or the configuration that runs changes, and a published version has its own.
    frozen_description: of a published version, what $LATEST's description was; publishing may have set another.
    runtime_version_arn: the one version of the runtime that it may run on; "" for the machine's current one.
    kms_key_arn: the customer's key that seals the environment at rest, "" for Paddock's own. sealed_environment: hex,
    in stored documents only, where environment is None.
    snap_start: published versions start from a snapshot.
    image: what it runs instead of a zip; its runtime is IMAGE_RUNTIME then. image_config: what it sets over that.
    tenant_isolation: each tenant has environments of its own. tenant_id: for whom it runs, at an invocation only.
    provisioned_for: the qualifier whose provisioned environments it may use, or is one of; at an invocation only.
    by_snapshot: it starts from a snapshot though it was not asked to; of environments only.
    is_debugged: a debugger holds it (development.py); at an invocation only.
    """

    account: str
    region: str
    name: str
    version: str = LATEST
    runtime: str
    handler: str
    role: str
    code: CodeArtifact
    description: str = ""
    frozen_description: str = ""
    timeout_s: int = 3
    memory_mb: int = 128
    ephemeral_mb: int = 512
    environment: Mapping[str, str] | None = None
    architecture: str = "x86_64"
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    dead_letter_arn: str = ""
    vpc: VpcConfig | None = None
    file_systems: tuple[FileSystemUse, ...] = ()
    layers: tuple[LayerUse, ...] = ()
    runtime_version_arn: str = ""
    kms_key_arn: str = ""
    sealed_environment: str = ""
    tenant_isolation: bool = False
    tenant_id: str = ""
    provisioned_for: str = ""
    by_snapshot: bool = False
    is_debugged: bool = False
    snap_start: bool = False
    image: ContainerImage | None = None
    image_config: ImageConfig = field(default_factory=ImageConfig)
    state: State = State.PENDING
    state_reason: str = ""
    state_reason_code: str = ""
    update_status: UpdateStatus = UpdateStatus.NONE
    update_reason: str = ""
    update_reason_code: str = ""
    revision_id: str
    build_id: str
    last_modified: datetime

    @property
    def function_arn(self) -> str:
        """The unqualified ARN."""
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.name}"

    @property
    def version_arn(self) -> str:
        """The ARN with this version as its qualifier."""
        return f"{self.function_arn}:{self.version}"

    @property
    def initialization_type(self) -> str:
        """Of its environments, as functions and logs are told."""
        if self.provisioned_for:
            return "provisioned-concurrency"
        return SNAP_START if self.by_snapshot or self.starts_by_snapshot else "on-demand"

    @property
    def starts_by_snapshot(self) -> bool:
        return self.snap_start and self.version != LATEST

    @property
    def network(self) -> str:
        """The named network it is in, "" for none."""
        return self.vpc.network if self.vpc is not None else ""

    @property
    def log_group(self) -> str:
        return self.logging.group or f"/aws/lambda/{self.name}"

    @property
    def unzipped_bytes(self) -> int:
        """Of its code and its layers together."""
        return self.code.unzipped_bytes + sum(layer.code.unzipped_bytes for layer in self.layers)

    @property
    def code_sha256(self) -> str:
        """As it is shown: base64 for a zip, hex for an image."""
        if self.image is not None:
            return self.code.digest
        return base64.b64encode(bytes.fromhex(self.code.digest)).decode()

    @property
    def digests(self) -> tuple[str, ...]:
        """Everything unpacked that it needs: its code, then its layers, or its image's, in order."""
        layers = self.image.layers if self.image is not None else ()
        return (
            self.code.digest, *(layer.code.digest for layer in self.layers), *(layer.digest for layer in layers)
        )  # fmt: skip

    @property
    def layers_digest(self) -> str:
        """What names its layers, merged in their order; "" without any, and of a single one its own digest."""
        digests = [layer.code.digest for layer in self.layers]
        if len(digests) < 2:
            return "".join(digests)
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()

    @property
    def environment_key(self) -> tuple[str, ...]:
        """What an execution environment may be reused for: this very code and configuration, for one tenant.

        build_id changes with every update, so an environment of old code never matches again.
        """
        identity = (self.account, self.region, self.name, self.version)
        if self.tenant_id or self.provisioned_for:  # never both: functions with tenants have nothing provisioned
            return (*identity, self.tenant_id, self.provisioned_for, self.build_id)
        return (*identity, self.build_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function as a whole: its `$LATEST` and what belongs to no version.

    latest is what reads show; serving is what invocations run: the same once an update is Successful, the old
    configuration while it is InProgress or after it Failed, None while the function was never Active.
    versions: the published ones by number, in ascending order. last_version: the highest number ever given out,
    which a deleted version or function does not give back. reserved_concurrency: None for no reservation.
    code_signing: the ARN of a code signing configuration, or "".
    policies: by what each hangs on: "" for the function itself, a version's number, an alias's name.
    event_invokes: by qualifier, `$LATEST` for none. recursion_allowed: whether loops through it are let go on.
    urls: by alias, "" for the function itself. provisioned: by version or alias.
    """

    latest: FunctionVersion
    serving: FunctionVersion | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, FunctionVersion] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    last_version: int = 0
    reserved_concurrency: int | None = None
    policies: Mapping[str, ResourcePolicy] = field(default_factory=dict)
    code_signing: str = ""
    event_invokes: Mapping[str, EventInvokeConfig] = field(default_factory=dict)
    recursion_allowed: bool = False
    urls: Mapping[str, FunctionUrl] = field(default_factory=dict)
    provisioned: Mapping[str, ProvisionedConfig] = field(default_factory=dict)

    def with_version(self, number: str, change: Callable[[FunctionVersion], FunctionVersion]) -> Function:
        """With one version changed in what does not make another build of it; of `$LATEST` what serves, too, if that
        is the same configuration. A number that it does not have changes nothing.
        """
        if number == LATEST:
            latest = change(self.latest)
            return replace(self, latest=latest, serving=latest if self.serving == self.latest else self.serving)
        if number not in self.versions:
            return self
        return replace(self, versions={**self.versions, number: change(self.versions[number])})

    @property
    def newest(self) -> FunctionVersion | None:
        """The published version with the highest number of those that exist."""
        numbers = list(self.versions)
        return self.versions[numbers[-1]] if numbers else None

    @property
    def provisioned_executions(self) -> int:
        """Of all its versions and aliases together."""
        return sum(config.executions for config in self.provisioned.values())

    @property
    def claimed_executions(self) -> int:
        """What it takes from all others: its reservation, in which what is provisioned counts, or else that alone."""
        provisioned = self.provisioned_executions if self.provisioned else 0
        return max(self.reserved_concurrency or 0, provisioned)

    @property
    def code_bytes(self) -> int:
        """What it takes of the account's code storage: every version counts its zip."""
        return self.latest.code.size_bytes + sum(version.code.size_bytes for version in self.versions.values())

    @property
    def builds(self) -> frozenset[str]:
        """The builds that invocations may still ask for."""
        serving = () if self.serving is None else (self.serving.build_id,)
        return frozenset((*serving, *(version.build_id for version in self.versions.values())))
