"""Every operator of a policy's conditions, and what a missing key means (spec 06 section 16)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.condition import Context, holds, matches, matches_arn
from paddock.model.policy import Condition, Kind, parse


def condition(operator: str, *values: str, key: str = "k") -> Condition:
    """As a policy's own parser reads it."""
    listed = ",".join(f'"{value}"' for value in values)
    text = (
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*",'
        f'"Condition":{{"{operator}":{{"{key}":[{listed}]}}}}}}}}'
    )
    return parse(text, Kind.IDENTITY).statements[0].conditions[0]


def has(*values: str) -> Context:
    return {"k": values}


@pytest.mark.parametrize(
    ("operator", "wanted", "present", "expected"),
    [
        ("StringEquals", ["b", "a"], ("a",), True),
        ("StringEquals", ["a"], None, False),
        ("StringEqualsIfExists", ["a"], None, True),
        ("StringEqualsIfExists", ["a"], ("b",), False),
        ("StringEquals", ["A"], ("a",), False),
        ("StringEqualsIgnoreCase", ["A"], ("a",), True),
        ("StringNotEquals", ["a"], None, True),
        ("StringNotEquals", ["a", "b"], ("a",), False),
        ("StringNotEquals", ["a", "b"], ("c",), True),
        ("StringNotEqualsIgnoreCase", ["A"], ("a",), False),
        ("StringLike", ["arn:*"], ("arn:x:y",), True),
        ("StringNotLike", ["arn:*"], ("arn:x:y",), False),
        ("ArnLike", ["arn:aws:s3:::b?"], ("arn:aws:s3:::b1",), True),
        ("ArnEquals", ["arn:aws:s3:::b?"], ("arn:aws:s3:::b1",), True),
        ("ArnLike", ["arn:aws:lambda:*:a:function:*"], ("arn:aws:lambda:r:a:function:f",), True),
        ("ArnLike", ["arn:aws:lambda:*:f"], ("arn:aws:lambda:r:a:function:f",), False),
        ("ArnLike", ["arn:aws:s3:::b"], ("b",), False),
        ("ArnNotLike", ["arn:aws:s3:::b"], ("arn:aws:s3:::c",), True),
        ("ArnNotEquals", ["arn:aws:s3:::b"], ("arn:aws:s3:::b",), False),
        ("Bool", ["TRUE"], ("true",), True),
        ("Bool", ["true"], ("false",), False),
        ("Bool", ["true"], None, False),
        ("Null", ["false"], ("x",), True),
        ("Null", ["true"], None, True),
        ("Null", ["true"], ("x",), False),
        ("NumericLessThanEquals", ["900"], ("900",), True),
        ("NumericLessThan", ["900"], ("900",), False),
        ("NumericEquals", ["9"], ("9.0",), True),
        ("NumericNotEquals", ["9"], ("8",), True),
        ("NumericGreaterThan", ["9"], ("nine",), False),
        ("NumericGreaterThanEquals", ["9"], ("9",), True),
        ("DateGreaterThan", ["2026-01-01T00:00:00Z"], ("2026-01-02T00:00:00Z",), True),
        ("DateLessThan", ["2026-01-01"], ("1767225599",), True),
        ("DateEquals", ["2026-01-01T00:00:00"], ("1767225600",), True),
        ("DateLessThan", ["soon"], ("1767225599",), False),
        ("IpAddress", ["10.0.0.0/8"], ("10.1.2.3",), True),
        ("IpAddress", ["10.0.0.0/8"], ("2001:db8::1",), False),
        ("IpAddress", ["ten"], ("10.1.2.3",), False),
        ("NotIpAddress", ["10.0.0.0/8"], ("11.1.2.3",), True),
        ("BinaryEquals", ["YQ=="], ("YQ==",), True),
        ("ForAllValues:StringEquals", ["a"], None, True),
        ("ForAllValues:StringLike", ["l:*"], ("l:1", "l:2"), True),
        ("ForAllValues:StringLike", ["l:*"], ("l:1", "m:2"), False),
        ("ForAnyValue:StringLike", ["l:*"], ("l:1", "m:1"), True),
        ("ForAnyValue:StringLike", ["l:*"], ("m:1",), False),
        ("ForAnyValue:StringEquals", ["a"], None, False),
    ],
)
def test_operators(operator: str, wanted: list[str], present: tuple[str, ...] | None, expected: bool) -> None:
    assert holds(condition(operator, *wanted), {} if present is None else has(*present)) is expected


def test_keys_are_looked_up_in_any_case() -> None:
    assert holds(condition("StringEquals", "1", key="AWS:SourceAccount"), {"aws:sourceaccount": ("1",)})


def test_variables_stand_for_text_and_never_for_a_pattern() -> None:
    context = {"aws:username": ("a*",), "k": ("home/a*",)}
    assert holds(condition("StringLike", "home/${aws:username}"), context)
    assert not holds(condition("StringLike", "home/${aws:username}"), {**context, "k": ("home/abc",)})
    assert holds(condition("StringEquals", "home/${aws:username}"), context)
    assert not holds(condition("StringEquals", "home/${aws:username}"), context, variables=False)
    assert holds(condition("StringEquals", "${aws:userid, 'nobody'}"), has("nobody"))
    assert not holds(condition("StringLike", "${aws:userid}"), has("anything"))
    assert holds(condition("StringLike", "${*}"), has("*"))
    assert not holds(condition("StringLike", "${*}"), has("x"))


def regex(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(char) or re.escape(char) for char in pattern)


@given(st.text("ab*?"), st.text("ab"))
def test_wildcards_are_those_of_a_regular_expression(pattern: str, text: str) -> None:
    assert matches(pattern, text) is (re.fullmatch(regex(pattern), text) is not None)


def test_a_pattern_of_many_stars_is_soon_answered() -> None:
    # A backtracking matcher would take longer than the universe has existed.
    assert not matches("*a" * 200 + "c", "a" * 2000)


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_compared_gets_an_answer(pattern: str, text: str) -> None:
    assert matches_arn(pattern, text) in (True, False)
    assert matches(pattern, text, {"k": (text,)}) in (True, False)
    for operator in ("NumericEquals", "DateEquals", "IpAddress", "ArnLike"):
        assert holds(Condition(operator=operator, key="k", values=(pattern,)), has(text)) in (True, False)
