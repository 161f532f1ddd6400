"""The grammar of policy documents (spec 06 §15), each rule with IAM's text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.policy import SYNTAX, Condition, Kind, MalformedPolicy, parse, size_chars

ALLOW = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
INVOKE = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*", "Principal": "*", "Sid": "a-b_c"}


def document(*statements: Any, **more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more})


def without(statement: dict[str, Any], *names: str, **more: Any) -> dict[str, Any]:
    return {key: value for key, value in statement.items() if key not in names} | more


def test_one_and_many_are_the_same() -> None:
    one = parse(json.dumps({"Statement": ALLOW}), Kind.IDENTITY)
    assert one.version == "2008-10-17"
    (statement,) = one.statements
    assert (statement.allow, statement.actions, statement.resources) == (True, ("s3:GetObject",), ("arn:aws:s3:::b/*",))
    many = parse(
        document(without(ALLOW, "Action", Action=["s3:Get*", "*"]), without(ALLOW, Effect="Deny")), Kind.IDENTITY
    )
    assert many.statements[0].actions == ("s3:Get*", "*")
    assert not many.statements[1].allow


def test_negations_principals_and_conditions() -> None:
    condition = {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ForAllValues:StringLikeIfExists": {"aws:TagKeys": ["a", "b*"]},
        "Bool": {"aws:SecureTransport": True},
        "NumericLessThan": {"s3:max-keys": 10},
    }
    statement = {
        "Effect": "Deny", "NotAction": "s3:*", "NotResource": ["*"],
        "NotPrincipal": {"AWS": ["123456789012", "arn:aws:iam::123456789012:root"]}, "Condition": condition,
    }  # fmt: skip
    (parsed,) = parse(document(statement), Kind.RESOURCE).statements
    assert parsed.negated_actions
    assert parsed.negated_resources
    assert parsed.negated_principals
    assert parsed.principals == {"AWS": ("123456789012", "arn:aws:iam::123456789012:root")}
    assert parsed.conditions == (
        Condition(operator="StringEquals", key="aws:SourceAccount", values=("123456789012",)),
        Condition(
            operator="StringLike", key="aws:TagKeys", values=("a", "b*"), quantifier="ForAllValues", if_exists=True
        ),
        Condition(operator="Bool", key="aws:SecureTransport", values=("true",)),
        Condition(operator="NumericLessThan", key="s3:max-keys", values=("10",)),
    )
    assert parse(document(INVOKE), Kind.RESOURCE).statements[0].principals == {"*": ("*",)}
    assert parse(document(TRUST), Kind.TRUST).statements[0].principals == {"Service": ("lambda.amazonaws.com",)}


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("{", Kind.IDENTITY, SYNTAX),
        ("{", Kind.TRUST, "This policy contains invalid Json"),
        ("[]", Kind.IDENTITY, SYNTAX),
        ('{"Statement": NaN}', Kind.IDENTITY, SYNTAX),
        ("[" * 100_000, Kind.IDENTITY, SYNTAX),
        ('{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}', Kind.IDENTITY, SYNTAX),
        (document(), Kind.IDENTITY, SYNTAX),
        (json.dumps({"Version": "2012-10-17"}), Kind.IDENTITY, SYNTAX),
        (document(ALLOW, Extra=1), Kind.IDENTITY, SYNTAX),
        (document(ALLOW, Id=1), Kind.IDENTITY, SYNTAX),
        (document(ALLOW, Version="2020-01-01"), Kind.IDENTITY, "The policy must contain a valid version string."),
        (document(ALLOW, Version=["2012-10-17"]), Kind.IDENTITY, "The policy must contain a valid version string."),
        (document("x"), Kind.IDENTITY, SYNTAX),
        (document(without(ALLOW, Extra="x")), Kind.IDENTITY, SYNTAX),
        (document(without(ALLOW, NotAction="s3:*")), Kind.IDENTITY, SYNTAX),
        (document(without(ALLOW, "Effect")), Kind.IDENTITY, "Missing required field Effect"),
        (document(without(ALLOW, Effect="allow")), Kind.IDENTITY, SYNTAX),
        (document(without(ALLOW, "Action")), Kind.IDENTITY, "Policy statement must contain actions."),
        (document(without(ALLOW, Action=[])), Kind.IDENTITY, "Policy statement must contain actions."),
        (document(without(ALLOW, Action=[1])), Kind.IDENTITY, SYNTAX),
        (document(without(ALLOW, "Resource")), Kind.IDENTITY, "Policy statement must contain resources."),
        (document(without(ALLOW, Resource={"a": 1})), Kind.IDENTITY, SYNTAX),
        (
            document(without(ALLOW, Action="GetObject")), Kind.IDENTITY,
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (document(without(ALLOW, Action="a:b:c")), Kind.IDENTITY, "Actions/Condition can contain only one colon."),
        (document(without(ALLOW, Action="a b:c")), Kind.IDENTITY, "Vendor a b is not valid"),
        (document(without(ALLOW, Action="s3:")), Kind.IDENTITY, SYNTAX),
        (document(without(ALLOW, Resource="b")), Kind.IDENTITY, 'Resource b must be in ARN format or "*".'),
        (
            document(without(ALLOW, Resource="arn:aws:iam:us-east-1:1:role/r")), Kind.IDENTITY,
            "IAM resource arn:aws:iam:us-east-1:1:role/r cannot contain region information.",
        ),
        (document(without(ALLOW, Principal="*")), Kind.IDENTITY, "Policy document should not specify a principal."),
        (document(without(ALLOW, Sid="a"), without(ALLOW, Sid="a")), Kind.IDENTITY,
         "Statement IDs (SID) in a single policy must be unique."),
        (document(without(ALLOW, Sid="a-b")), Kind.IDENTITY,
         "Statement IDs (SID) must be alpha-numeric. "
         "Check that your input satisfies the regular expression [0-9A-Za-z]*"),
        (document(without(TRUST, Resource="*")), Kind.TRUST, "Has prohibited field Resource"),
        (document(without(TRUST, "Principal")), Kind.TRUST, "Missing required field Principal"),
        (document(without(TRUST, Principal={})), Kind.TRUST, "Invalid principal in policy."),
        (document(without(TRUST, Principal={"AWS": "me"})), Kind.TRUST, 'Invalid principal in policy: "AWS":"me"'),
        (document(without(TRUST, Principal={"Service": "Lambda"})), Kind.TRUST,
         'Invalid principal in policy: "SERVICE":"Lambda"'),
        (document(without(TRUST, Principal={"Who": "x"})), Kind.TRUST, 'Invalid principal in policy: "WHO":"x"'),
        (document(without(TRUST, Action="s3:GetObject")), Kind.TRUST,
         "AssumeRole policy may only specify STS AssumeRole actions."),
        (document(without(ALLOW, Condition=[])), Kind.IDENTITY, SYNTAX),
        (document(without(ALLOW, Condition={"Bool": 1})), Kind.IDENTITY, SYNTAX),
        (document(without(ALLOW, Condition={"Bool": {"a": {}}})), Kind.IDENTITY, SYNTAX),
        (document(without(ALLOW, Condition={"Likes": {"a": "b"}})), Kind.IDENTITY, "Invalid Condition type : Likes."),
    ],
)  # fmt: skip
def test_what_is_no_policy(text: str, kind: Kind, message: str) -> None:
    with pytest.raises(MalformedPolicy) as caught:
        parse(text, kind)
    assert str(caught.value) == message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["Allow", "*", "sts:AssumeRole"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Version", "Statement", "Effect", "Action", "Resource", "Principal", "Condition", "Sid", "AWS"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(Kind))
def test_any_json_is_a_policy_or_refused(content: Any, kind: Kind) -> None:
    for text in (json.dumps(content), json.dumps({"Statement": content})):
        try:
            parsed = parse(text, kind)
        except MalformedPolicy:
            continue
        assert parsed.statements


def test_sizes_do_not_count_white_space() -> None:
    assert size_chars('{ "a":\n\t1 }') == 7
