"""Layers: archives that several functions share, in numbered versions that never change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from paddock.model.function import CodeArtifact, LayerUse
from paddock.model.permission import ResourcePolicy

_ARN = re.compile(r"arn:aws[a-zA-Z-]*:lambda:([a-z0-9-]+):(\d{12}):layer:([a-zA-Z0-9_-]+)(?::(\d+))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRef:
    """Which layer is meant, and (unless it is 0) which version of it."""

    account: str
    region: str
    name: str
    version: int = 0

    @property
    def layer_arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:layer:{self.name}"

    @property
    def arn(self) -> str:
        return f"{self.layer_arn}:{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerVersion:
    """ref.version is its number. runtimes, architectures: what it says it is made for; nothing is checked by them.

    policy: who else may use it. policy_revision_id: of that policy, "" without one.
    """

    ref: LayerRef
    code: CodeArtifact
    description: str = ""
    license: str = ""
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    created_at: datetime
    policy: ResourcePolicy | None = None
    policy_revision_id: str = ""

    def suits(self, *, runtime: str, architecture: str) -> bool:
        """Whether it declares what is looked for ("" for anything). What declares nothing is found by no filter."""
        return (not runtime or runtime in self.runtimes) and (not architecture or architecture in self.architectures)

    @property
    def use(self) -> LayerUse:
        return LayerUse(arn=self.ref.arn, code=self.code)


def parse_layer_ref(text: str, *, account: str, region: str, version: int = 0) -> LayerRef | None:
    """A layer's name, ARN, or (with version 0) the ARN of a layer version. None when it is none of these.

    A bare name is of the caller's account and region.
    """
    if not text.startswith("arn:"):
        return LayerRef(account=account, region=region, name=text, version=version)
    found = _ARN.fullmatch(text)
    if found is None:
        return None
    return LayerRef(account=found[2], region=found[1], name=found[3], version=int(found[4] or version))
