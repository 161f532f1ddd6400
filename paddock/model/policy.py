"""IAM policy documents: their grammar, as values. Parsing and validation; what they allow is decided elsewhere.

Three kinds differ in what a statement must and must not hold:

    IDENTITY   Resource or NotResource, no principal      managed and inline policies
    TRUST      Principal or NotPrincipal, no resource     AssumeRolePolicyDocument; sts actions only
    RESOURCE   Principal or NotPrincipal, and a resource  Lambda's function policies

Everything that may be one string or a list of them is a tuple here. Errors carry IAM's own short texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

VERSIONS = ("2008-10-17", "2012-10-17")
MANAGED_CHARS_MAX = 6_144
INLINE_CHARS_MAX = 10_240
TRUST_CHARS_MAX = 2_048

SYNTAX = "Syntax errors in policy."

_STATEMENT_KEYS = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_OPERATORS = frozenset(
    f"{family}{test}"
    for family, tests in (
        ("String", ("Equals", "NotEquals", "EqualsIgnoreCase", "NotEqualsIgnoreCase", "Like", "NotLike")),
        ("Numeric", ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")),
        ("Date", ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")),
        ("Arn", ("Equals", "NotEquals", "Like", "NotLike")),
        ("", ("Bool", "BinaryEquals", "IpAddress", "NotIpAddress", "Null")),
    )
    for test in tests
)
_QUANTIFIER = re.compile(r"(?:ForAllValues|ForAnyValue):", re.IGNORECASE)
_SID = re.compile(r"[0-9A-Za-z]*\Z")
_LAMBDA_SID = re.compile(r"[0-9A-Za-z_-]*\Z")
_VENDOR = re.compile(r"[A-Za-z0-9-]+\Z")
_AWS_PRINCIPAL = re.compile(r"(?:\*|\d{12}|arn:[\w*-]+:(?:iam|sts)::\d{12}:.+|A[A-Z]{3}[A-Z0-9]{12,})\Z", re.DOTALL)
_SERVICE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+\Z")


class Kind(str, Enum):
    IDENTITY = "identity"
    TRUST = "trust"
    RESOURCE = "resource"


class MalformedPolicy(ValueError):
    """Not a policy of that kind. The text is meant for the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """operator as written, without `ForAllValues:`/`ForAnyValue:` (quantifier) and `IfExists`."""

    operator: str
    key: str
    values: tuple[str, ...]
    quantifier: str = ""
    if_exists: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """negated_*: the tuple came as NotAction, NotResource or NotPrincipal. principals: type ("*" alone too) -> ids."""

    sid: str = ""
    allow: bool
    actions: tuple[str, ...]
    negated_actions: bool = False
    resources: tuple[str, ...] = ()
    negated_resources: bool = False
    principals: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    negated_principals: bool = False
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A validated document. Policy variables have a meaning only in version 2012-10-17."""

    version: str
    id: str = ""
    statements: tuple[Statement, ...]


def size_chars(document: str) -> int:
    """A document's length as IAM's quotas count it: without white space."""
    return sum(not char.isspace() for char in document)


def parse(document: str, kind: Kind) -> Policy:
    """Read and validate. Raises MalformedPolicy."""
    try:
        content = json.loads(document, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        text = "This policy contains invalid Json" if kind is Kind.TRUST else SYNTAX
        raise MalformedPolicy(text) from error
    if not isinstance(content, dict) or not content.keys() <= {"Version", "Id", "Statement"}:
        raise MalformedPolicy(SYNTAX)
    version, policy_id = content.get("Version", VERSIONS[0]), content.get("Id", "")
    if version not in VERSIONS:
        raise MalformedPolicy("The policy must contain a valid version string.")
    found = content.get("Statement")
    statements = found if isinstance(found, list) else [found]
    if not statements or not isinstance(policy_id, str):
        raise MalformedPolicy(SYNTAX)
    parsed = tuple(_statement(each, kind) for each in statements)
    sids = [statement.sid for statement in parsed if statement.sid]
    if len(set(sids)) < len(sids):
        raise MalformedPolicy("Statement IDs (SID) in a single policy must be unique.")
    return Policy(version=version, id=policy_id, statements=parsed)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _statement(content: Any, kind: Kind) -> Statement:
    if not isinstance(content, dict) or not content.keys() <= _STATEMENT_KEYS:
        raise MalformedPolicy(SYNTAX)
    for one, other in (("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal")):
        if one in content and other in content:
            raise MalformedPolicy(SYNTAX)
    if content.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicy(SYNTAX if "Effect" in content else "Missing required field Effect")
    sid = content.get("Sid", "")
    if not isinstance(sid, str) or not (_LAMBDA_SID if kind is Kind.RESOURCE else _SID).match(sid):
        raise MalformedPolicy(
            "Statement IDs (SID) must be alpha-numeric. "
            "Check that your input satisfies the regular expression [0-9A-Za-z]*"
        )
    return Statement(
        sid=sid,
        allow=content["Effect"] == "Allow",
        actions=_actions(content, kind),
        negated_actions="NotAction" in content,
        resources=_resources(content, kind),
        negated_resources="NotResource" in content,
        principals=_principals(content, kind),
        negated_principals="NotPrincipal" in content,
        conditions=_conditions(content.get("Condition", {})),
    )


def _texts(value: Any) -> tuple[str, ...]:
    """One string or a list of strings."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) and each for each in values):
        raise MalformedPolicy(SYNTAX)
    return tuple(values)


def _actions(content: Mapping[str, Any], kind: Kind) -> tuple[str, ...]:
    actions = _texts(content.get("Action", content.get("NotAction", [])))
    if not actions:
        raise MalformedPolicy("Policy statement must contain actions.")
    for action in actions:
        vendor, colon, name = action.partition(":")
        if kind is Kind.TRUST:
            if vendor.lower() != "sts" or not name:
                raise MalformedPolicy("AssumeRole policy may only specify STS AssumeRole actions.")
        elif action != "*":
            _check_action(vendor, colon, name)
    return actions


def _check_action(vendor: str, colon: str, name: str) -> None:
    if not colon:
        raise MalformedPolicy("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
    if ":" in name:
        raise MalformedPolicy("Actions/Condition can contain only one colon.")
    if not _VENDOR.match(vendor):
        raise MalformedPolicy(f"Vendor {vendor} is not valid")
    if not name or any(char.isspace() for char in name):
        raise MalformedPolicy(SYNTAX)


def _resources(content: Mapping[str, Any], kind: Kind) -> tuple[str, ...]:
    named = next((name for name in ("Resource", "NotResource") if name in content), None)
    if kind is Kind.TRUST:
        if named:
            raise MalformedPolicy(f"Has prohibited field {named}")
        return ()
    resources = _texts(content[named]) if named else ()
    if not resources:
        raise MalformedPolicy("Policy statement must contain resources.")
    for resource in resources:
        parts = resource.split(":", 5)
        if resource != "*" and (parts[0] != "arn" or (len(parts) < 6 and not resource.endswith("*"))):
            raise MalformedPolicy(f'Resource {resource} must be in ARN format or "*".')
        if len(parts) == 6 and parts[2] == "iam" and parts[3]:
            raise MalformedPolicy(f"IAM resource {resource} cannot contain region information.")
    return resources


def _principals(content: Mapping[str, Any], kind: Kind) -> Mapping[str, tuple[str, ...]]:
    named = next((name for name in ("Principal", "NotPrincipal") if name in content), None)
    if kind is Kind.IDENTITY:
        if named:
            raise MalformedPolicy("Policy document should not specify a principal.")
        return {}
    if named is None:
        raise MalformedPolicy("Missing required field Principal")
    value = content[named]
    if value == "*":
        return {"*": ("*",)}
    if not isinstance(value, dict) or not value:
        raise MalformedPolicy("Invalid principal in policy.")
    principals = {type_: _texts(ids) for type_, ids in value.items()}
    for type_, ids in principals.items():
        for each in ids:
            _check_principal(type_, each)
    return principals


def _check_principal(type_: str, principal: str) -> None:
    valid = {
        "AWS": _AWS_PRINCIPAL.match(principal) is not None,
        "Service": _SERVICE.match(principal) is not None,
        "Federated": True,
        "CanonicalUser": True,
    }
    if not valid.get(type_, False):
        raise MalformedPolicy(f'Invalid principal in policy: "{type_.upper()}":"{principal}"')


def _conditions(content: Any) -> tuple[Condition, ...]:
    if not isinstance(content, dict):
        raise MalformedPolicy(SYNTAX)
    found: list[Condition] = []
    for written, block in content.items():
        if not isinstance(block, dict):
            raise MalformedPolicy(SYNTAX)
        quantifier = _QUANTIFIER.match(written)
        operator = written[quantifier.end() :] if quantifier else written
        if_exists = operator.endswith("IfExists") and operator != "NullIfExists"
        operator = operator.removesuffix("IfExists") if if_exists else operator
        if operator not in _OPERATORS:
            raise MalformedPolicy(f"Invalid Condition type : {written}.")
        found.extend(
            Condition(
                operator=operator,
                key=key,
                values=_condition_values(value),
                quantifier=written[: quantifier.end() - 1] if quantifier else "",
                if_exists=if_exists,
            )
            for key, value in block.items()
        )
    return tuple(found)


def _condition_values(value: Any) -> tuple[str, ...]:
    """Strings; booleans and numbers may be given as themselves."""
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    if not all(isinstance(each, (str, int, float)) for each in values):
        raise MalformedPolicy(SYNTAX)
    return tuple(each if isinstance(each, str) else json.dumps(each) for each in values)
