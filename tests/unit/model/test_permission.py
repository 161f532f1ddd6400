"""What a resource policy allows: the truth table of spec 06 section 14, and that nothing is allowed by accident."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.permission import (
    INVOKE,
    INVOKE_URL,
    Asker,
    Decision,
    ResourcePolicy,
    decide,
    is_public,
    permits,
)

A, B = "111111111111", "222222222222"
F = f"arn:aws:lambda:us-east-1:{A}:function:f"
BUCKET = "arn:aws:s3:::bucket1"
ROLE = f"arn:aws:iam::{A}:role/r"
SESSION = f"arn:aws:sts::{A}:assumed-role/r/s"
S3 = Asker(service="s3.amazonaws.com", source_arn=BUCKET, source_account=A)


def statement(principal: Any, **more: Any) -> dict[str, Any]:
    return {"Sid": "s", "Effect": "Allow", "Principal": principal, "Action": INVOKE, "Resource": F, **more}


def policy(*statements: dict[str, Any], version: str = "2012-10-17") -> ResourcePolicy:
    numbered = [{**one, "Sid": f"s{number}"} for number, one in enumerate(statements)]
    return ResourcePolicy.of(json.dumps({"Version": version, "Statement": numbered}))


def of_bucket(**more: Any) -> dict[str, Any]:
    conditions = {"ArnLike": {"AWS:SourceArn": BUCKET}, "StringEquals": {"AWS:SourceAccount": A}}
    return statement({"Service": "s3.amazonaws.com"}, Condition=conditions, **more)


def test_a_service_needs_the_policy_and_its_conditions() -> None:
    allowed = policy(of_bucket())
    assert permits(allowed, S3, INVOKE, F)
    assert not permits(None, S3, INVOKE, F)
    for other in (
        Asker(service="s3.amazonaws.com", source_arn="arn:aws:s3:::bucket2", source_account=A),
        Asker(service="s3.amazonaws.com", source_arn=BUCKET, source_account=B),
        Asker(service="s3.amazonaws.com"),
        Asker(service="sns.amazonaws.com", source_arn=BUCKET, source_account=A),
        Asker(),
    ):
        assert decide(allowed, other, INVOKE, F) is Decision.SILENT
    assert permits(policy(statement({"Service": "s3.amazonaws.com"})), S3, INVOKE, F), "without a condition: any"


def test_a_policy_says_nothing_of_other_qualifiers_and_actions() -> None:
    allowed = policy(of_bucket())
    assert not permits(allowed, S3, INVOKE, f"{F}:live")
    assert not permits(policy(of_bucket(Resource=f"{F}:live")), S3, INVOKE, F)
    assert not permits(allowed, S3, "lambda:InvokeFunctionUrl", F)
    for action in ("*", "lambda:*", "lambda:invoke*", "LAMBDA:INVOKEFUNCTION"):
        assert permits(policy(of_bucket(Action=action)), S3, INVOKE, F)


def test_a_denial_wins_wherever_it_stands() -> None:
    deny = of_bucket(Effect="Deny")
    for both in (policy(of_bucket(), deny), policy(deny, of_bucket())):
        assert decide(both, S3, INVOKE, F) is Decision.DENIED


@pytest.mark.parametrize(
    ("principal", "asker", "expected"),
    [
        ({"AWS": ROLE}, Asker(account=A, arn=ROLE), Decision.ALLOWED),
        ({"AWS": ROLE}, Asker(account=A, arn=SESSION, role_arn=ROLE), Decision.ALLOWED),
        ({"AWS": SESSION}, Asker(account=A, arn=SESSION, role_arn=ROLE), Decision.ALLOWED),
        ({"AWS": SESSION}, Asker(account=A, arn=SESSION + "2", role_arn=ROLE), Decision.SILENT),
        ({"AWS": A}, Asker(account=A, arn=ROLE), Decision.DELEGATED),
        ({"AWS": f"arn:aws:iam::{B}:root"}, Asker(account=B, arn=f"arn:aws:iam::{B}:user/u"), Decision.DELEGATED),
        ({"AWS": f"arn:aws:iam::{B}:root"}, Asker(account=A, arn=ROLE), Decision.SILENT),
        ({"AWS": f"arn:aws:iam::{A}:root"}, Asker(account=A, arn=f"arn:aws:iam::{A}:root"), Decision.DELEGATED),
        ({"AWS": "*"}, Asker(account=B, arn="x"), Decision.ALLOWED),
        ("*", Asker(), Decision.ALLOWED),
        ({"AWS": A}, Asker(), Decision.SILENT),
        ({"Service": "s3.amazonaws.com"}, Asker(account=A, arn=ROLE), Decision.SILENT),
    ],
)
def test_principals(principal: Any, asker: Asker, expected: Decision) -> None:
    assert decide(policy(statement(principal)), asker, INVOKE, F) is expected


def test_not_principal_denies_all_others_and_allows_nobody() -> None:
    named = {"NotPrincipal": {"AWS": ROLE}, "Action": INVOKE, "Resource": F}
    other = Asker(account=B, arn="arn:aws:iam::222222222222:user/u")
    deny = policy({"Effect": "Deny", **named}, statement("*"))
    assert decide(deny, other, INVOKE, F) is Decision.DENIED
    assert decide(deny, Asker(account=A, arn=ROLE), INVOKE, F) is Decision.ALLOWED
    assert decide(policy({"Effect": "Allow", **named}), other, INVOKE, F) is Decision.SILENT


def test_not_action_and_not_resource() -> None:
    most = {"Effect": "Allow", "Principal": "*", "NotAction": "lambda:Delete*", "NotResource": f"{F}:1"}
    allowed = policy(most)
    assert permits(allowed, Asker(), INVOKE, F)
    assert not permits(allowed, Asker(), "lambda:DeleteFunction", F)
    assert not permits(allowed, Asker(), INVOKE, f"{F}:1")


def test_the_two_statements_of_an_open_url_do_not_open_the_api() -> None:
    url = policy(
        statement("*", Action=INVOKE_URL, Condition={"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}),
        statement("*", Condition={"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}),
    )
    through = Asker(further={"lambda:FunctionUrlAuthType": "NONE", "lambda:InvokedViaFunctionUrl": "true"})
    assert permits(url, through, INVOKE_URL, F)
    assert permits(url, through, INVOKE, F)
    assert not permits(url, Asker(), INVOKE, F)
    signed = Asker(further={"lambda:FunctionUrlAuthType": "AWS_IAM"})
    assert not permits(url, signed, INVOKE_URL, F)


def test_organizations() -> None:
    allowed = policy(statement("*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}}))
    assert permits(allowed, Asker(account=B, arn="x", organization="o-1234567890"), INVOKE, F)
    assert not permits(allowed, Asker(account=B, arn="x", organization="o-0987654321"), INVOKE, F)
    assert not permits(allowed, Asker(account=B, arn="x"), INVOKE, F)


def test_variables_have_a_meaning_in_the_newer_version_only() -> None:
    own = statement("*", Condition={"StringEquals": {"aws:SourceAccount": "${aws:PrincipalAccount}"}})
    asker = Asker(account=B, source_account=B)
    assert permits(policy(own), asker, INVOKE, F)
    assert not permits(policy(own, version="2008-10-17"), asker, INVOKE, F)


def test_what_is_public() -> None:
    assert is_public(policy(statement("*")))
    assert is_public(policy(statement({"AWS": "*"})))
    assert not is_public(policy(statement({"AWS": A})))
    assert not is_public(policy(statement("*", Effect="Deny")))
    assert not is_public(policy(statement("*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}})))
    assert is_public(policy(statement("*", Condition={"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}})))


SERVICES = st.sampled_from(["", "s3.amazonaws.com", "sns.amazonaws.com"])
ARNS = st.sampled_from(["", BUCKET, "arn:aws:s3:::bucket2", "arn:aws:sns:us-east-1:111111111111:t"])
ACCOUNTS = st.sampled_from(["", A, B])
PRINCIPALS = st.sampled_from(["*", {"Service": "s3.amazonaws.com"}, {"AWS": A}, {"AWS": ROLE}])
CONDITIONS = st.dictionaries(
    st.sampled_from(["StringEquals", "ArnLike", "StringLike", "ArnEquals"]),
    st.dictionaries(
        st.sampled_from(["aws:SourceArn", "AWS:SourceAccount", "aws:PrincipalArn"]),
        st.sampled_from([BUCKET, A, B, ROLE]),
        min_size=1,
    ),
)
STATEMENTS = st.builds(
    lambda p, c, r, e: statement(p, Condition=c, Resource=r, Effect=e),
    PRINCIPALS, CONDITIONS, st.sampled_from([F, f"{F}:live"]), st.sampled_from(["Allow", "Deny"]),
)  # fmt: skip
POLICIES = st.lists(STATEMENTS, min_size=1, max_size=4)
ASKERS = st.builds(
    Asker, service=SERVICES, source_arn=ARNS, source_account=ACCOUNTS, account=ACCOUNTS,
    arn=st.sampled_from(["", ROLE]),
)  # fmt: skip


@given(POLICIES, ASKERS)
def test_more_conditions_never_allow_more(statements: list[dict[str, Any]], asker: Asker) -> None:
    stricter = [
        {**one, "Condition": {**one["Condition"], "Bool": {"lambda:InvokedViaFunctionUrl": "true"}}}
        for one in statements
    ]
    if decide(policy(*[one for one in stricter if one["Effect"] == "Allow"] or stricter), asker, INVOKE, F) in (
        Decision.ALLOWED,
        Decision.DELEGATED,
    ):
        raise AssertionError("a condition on a key that is missing let somebody in")


@given(POLICIES, ASKERS)
def test_a_denial_of_everybody_leaves_nothing(statements: list[dict[str, Any]], asker: Asker) -> None:
    denied = policy(*statements, statement("*", Effect="Deny", Resource="*"))
    assert decide(denied, asker, INVOKE, F) is Decision.DENIED


@given(POLICIES, ASKERS, st.randoms(use_true_random=False))
def test_the_order_of_statements_means_nothing(statements: list[dict[str, Any]], asker: Asker, chance: Any) -> None:
    shuffled = list(statements)
    chance.shuffle(shuffled)
    assert decide(policy(*shuffled), asker, INVOKE, F) is decide(policy(*statements), asker, INVOKE, F)


@given(POLICIES, ASKERS)
def test_whoever_is_allowed_is_named(statements: list[dict[str, Any]], asker: Asker) -> None:
    if decide(policy(*statements), asker, INVOKE, F) is Decision.ALLOWED:
        named = [one["Principal"] for one in statements if one["Effect"] == "Allow" and one["Resource"] == F]
        wanted = ["*", {"Service": asker.service}] if asker.service else ["*", {"AWS": asker.arn}]
        assert any(one in wanted for one in named)
