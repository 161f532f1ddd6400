"""Resource policies: who may do what with a function (or a layer), by the policy that hangs on it. Closed by default.

A policy hangs on the unqualified function, on one version or on one alias, and each is asked on its own: what allows
`f` says nothing of `f:live`, and the other way round (spec 06 section 1). What a caller's own policies allow is not
looked at here; `Decision.DELEGATED` says that they have to be:

    ALLOWED     the policy names this caller (or everybody, or the calling service): no more is needed in this account
    DELEGATED   the policy names the caller's account: its own policies must allow it, too
    DENIED      whatever else may say yes
    SILENT      nothing here allows it

Example: may a bucket's notification invoke this alias?

    permits(policy, Asker(service="s3.amazonaws.com", source_arn=bucket, source_account=owner),
            "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:123456789012:function:f:live")
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from paddock.model import condition
from paddock.model.condition import Context
from paddock.model.policy import VERSIONS, Kind, Policy, Statement, parse

POLICY_BYTES_MAX = 20_480
INVOKE = "lambda:InvokeFunction"
INVOKE_URL = "lambda:InvokeFunctionUrl"
POLICY_VARIABLES_SINCE = VERSIONS[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePolicy:
    """text: the document as it is shown. policy: the same, parsed."""

    text: str
    policy: Policy

    @staticmethod
    def of(text: str) -> ResourcePolicy:
        """Raises MalformedPolicy."""
        return ResourcePolicy(text=text, policy=parse(text, Kind.RESOURCE))


class Decision(Enum):
    ALLOWED = "allowed"
    DELEGATED = "delegated"
    DENIED = "denied"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks. service: "s3.amazonaws.com" for a calling service; else arn and account of a principal; else nobody
    in particular (an unsigned request to a function URL).

    arn: of a user, a role or the account's root; of a role session the session's ARN, its role's in role_arn.
    source_arn, source_account: the resource for which a service calls. organization: the account's, if it has one.
    further: other condition keys in any case, such as lambda:FunctionUrlAuthType.
    """

    service: str = ""
    account: str = ""
    arn: str = ""
    role_arn: str = ""
    source_arn: str = ""
    source_account: str = ""
    organization: str = ""
    further: Mapping[str, str] = field(default_factory=dict)

    @property
    def context(self) -> Context:
        known = {
            "aws:SourceArn": self.source_arn,
            "aws:SourceAccount": self.source_account,
            "aws:PrincipalArn": self.role_arn or self.arn,
            "aws:PrincipalAccount": self.account,
            "aws:PrincipalOrgID": self.organization,
            "aws:PrincipalIsAWSService": "true" if self.service else "false",
            **self.further,
        }
        return {key.lower(): (value,) for key, value in known.items() if value}


def permits(policy: ResourcePolicy | None, asker: Asker, action: str, resource: str) -> bool:
    """Whether the policy alone lets it happen: what counts for a service, an unsigned caller, and (in the function's
    own account) for a principal that the policy names.
    """
    return decide(policy, asker, action, resource) is Decision.ALLOWED


def decide(policy: ResourcePolicy | None, asker: Asker, action: str, resource: str) -> Decision:
    """action: "lambda:InvokeFunction". resource: the ARN, qualified exactly as the function was named."""
    if policy is None:
        return Decision.SILENT
    context = asker.context
    variables = policy.policy.version == POLICY_VARIABLES_SINCE
    found = Decision.SILENT
    for statement in policy.policy.statements:
        named = _named(statement, asker)
        if named is Decision.SILENT or not _applies(statement, action, resource, context, variables):
            continue
        if not statement.allow:
            return Decision.DENIED
        if found is not Decision.ALLOWED:
            found = named
    return found


def is_public(policy: ResourcePolicy) -> bool:
    """Whether some statement allows everybody without a condition on who, or for what, is meant."""
    return any(
        statement.allow
        and _names_everybody(statement)
        and not any(one.key.lower() in _RESTRICTING for one in statement.conditions)
        for statement in policy.policy.statements
    )


_RESTRICTING = frozenset(
    {"aws:sourcearn", "aws:sourceaccount", "aws:principalorgid", "aws:principalarn", "aws:principalaccount"}
)


def document(statements: list[Mapping[str, object]]) -> str:
    """The policy document that AddPermission's statements make, as GetPolicy shows it."""
    whole = {"Version": VERSIONS[1], "Id": "default", "Statement": statements}
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False)


def _applies(statement: Statement, action: str, resource: str, context: Context, variables: bool) -> bool:
    known = context if variables else None
    does = any(condition.matches(one, action, ignore_case=True) for one in statement.actions)
    meant = any(condition.matches(one, resource, known) for one in statement.resources)
    return (
        does is not statement.negated_actions
        and meant is not statement.negated_resources
        and all(condition.holds(one, context, variables=variables) for one in statement.conditions)
    )


def _named(statement: Statement, asker: Asker) -> Decision:
    """ALLOWED or DELEGATED as the statement means the asker; SILENT when it does not."""
    named = _as_named(statement, asker)
    if not statement.negated_principals:
        return named
    # NotPrincipal together with Allow would mean everybody else, for ever: no policy of AWS's may say that.
    return Decision.ALLOWED if named is Decision.SILENT and not statement.allow else Decision.SILENT


def _as_named(statement: Statement, asker: Asker) -> Decision:
    if _names_everybody(statement):
        return Decision.ALLOWED
    if asker.service:
        return Decision.ALLOWED if asker.service in statement.principals.get("Service", ()) else Decision.SILENT
    names = statement.principals.get("AWS", ())
    if any(name and name in names for name in (asker.arn, asker.role_arn) if not name.endswith(":root")):
        return Decision.ALLOWED
    account = asker.account
    if account and any(name == account or name.endswith(f":iam::{account}:root") for name in names):
        return Decision.DELEGATED
    return Decision.SILENT


def _names_everybody(statement: Statement) -> bool:
    return "*" in statement.principals or "*" in statement.principals.get("AWS", ())
