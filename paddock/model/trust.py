"""Trust policies: who may assume a role."""

from __future__ import annotations

from dataclasses import replace

from paddock.model import permission
from paddock.model.permission import Asker, Decision, ResourcePolicy
from paddock.model.policy import Kind, parse

ASSUME = "sts:AssumeRole"
_ANY = ("*",)


def trusts(document: str, asker: Asker, role_arn: str, action: str = ASSUME) -> bool:
    """Whether the role's trust policy lets the asker in. It names no resource: it is about the role it belongs to.

    A policy that names the asker's account leaves it to that account who of it; every caller is its account's root or
    acts for it, as long as identities' own policies are not enforced.
    """
    policy = parse(document, Kind.TRUST)
    about_this = replace(policy, statements=tuple(replace(one, resources=_ANY) for one in policy.statements))
    decision = permission.decide(ResourcePolicy(text=document, policy=about_this), asker, action, role_arn)
    return decision in (Decision.ALLOWED, Decision.DELEGATED)
