"""FunctionRef: every way of naming a function, parsed once.

Accepted (developer guide and the service model's pattern for FunctionName):

    f    f:live    function:f    123456789012:function:f:1    us-east-1:123456789012:function:f
    arn:aws:lambda:us-east-1:123456789012:function:f[:qualifier]

Region and account may be left out and then are the caller's. A prefix counts as one only if a name follows it, so
`function` alone, and an ARN that stops after `function`, name a function called "function", as on AWS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from paddock.model.errors import AccessDenied, InvalidParameterValue, ResourceNotFound, ValidationError
from paddock.model.function import LATEST

_PARTITION = re.compile(r"aws[a-zA-Z-]*|")
_REGION = re.compile(r"(eusc-)?[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]+-\d", re.ASCII)
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_NAME = re.compile(r"[a-zA-Z0-9_.-]+")
_QUALIFIER = re.compile(r"\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9_-]+")
_FUNCTION = re.compile("function")


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRef:
    """Which function is meant, and which version of it. qualifier is "" when none was given."""

    account: str
    region: str
    name: str
    qualifier: str = ""

    @property
    def function_arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.name}"

    @property
    def arn(self) -> str:
        """Qualified exactly as it was given."""
        return f"{self.function_arn}:{self.qualifier}" if self.qualifier else self.function_arn

    @property
    def is_latest(self) -> bool:
        """Whether it means the version that updates replace."""
        return self.qualifier in ("", LATEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spelling:
    region: str
    account: str
    name: str
    qualifier: str


@lru_cache(maxsize=4096)
def parse_function_ref(text: str, *, account: str, region: str, qualifier: str = "") -> FunctionRef:
    """What `text` and the Qualifier parameter name, for a caller of `account` in `region`.

    Raises ValidationError (not a name), ResourceNotFound (another region), AccessDenied (another account),
    InvalidParameterValue (two qualifiers that differ).
    """
    spelling = _split(text)
    if spelling is None:
        raise ValidationError(
            f"1 validation error detected: Value '{text}' at 'functionName' failed to satisfy constraint: "
            "Member must be a function name, a partial ARN or a function ARN"
        )
    if spelling.region and spelling.region != region:
        raise ResourceNotFound(f"Functions from '{spelling.region}' are not reachable in this region ('{region}')")
    named = FunctionRef(
        account=spelling.account or account,
        region=region,
        name=spelling.name,
        qualifier=spelling.qualifier or qualifier,
    )
    if named.account != account:
        raise AccessDenied(
            f"Account {account} has no permission on the function {named.function_arn} of another account."
        )
    if qualifier and spelling.qualifier and qualifier != spelling.qualifier:
        raise InvalidParameterValue(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    return named


def _split(text: str) -> _Spelling | None:
    parts = text.split(":")
    if len(parts) > 3 and parts[0] == "arn" and parts[2] == "lambda" and _PARTITION.fullmatch(parts[1]):
        parts = parts[3:]
    region, parts = _prefix(_REGION, parts)
    account, parts = _prefix(_ACCOUNT, parts)
    _, parts = _prefix(_FUNCTION, parts)
    name, qualifiers = parts[0], parts[1:]
    if not _NAME.fullmatch(name) or len(qualifiers) > 1:
        return None
    if qualifiers and not _QUALIFIER.fullmatch(qualifiers[0]):
        return None
    return _Spelling(region=region, account=account, name=name, qualifier=qualifiers[0] if qualifiers else "")


def _prefix(pattern: re.Pattern[str], parts: list[str]) -> tuple[str, list[str]]:
    """The optional first part, if it matches and a name still follows."""
    if len(parts) > 1 and pattern.fullmatch(parts[0]) and _NAME.fullmatch(parts[1]):
        return parts[0], parts[1:]
    return "", parts
