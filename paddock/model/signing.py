"""Code signing configurations: whose signatures a function's code must carry, and what happens when it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

WARN, ENFORCE = "Warn", "Enforce"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSigningConfig:
    """id: "csc-" and 17 letters and digits. publishers: ARNs of versions of signing profiles. policy: WARN, ENFORCE."""

    account: str
    region: str
    id: str
    description: str = ""
    publishers: tuple[str, ...]
    policy: str = WARN
    tags: Mapping[str, str] = field(default_factory=dict)
    last_modified: datetime

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:code-signing-config:{self.id}"
