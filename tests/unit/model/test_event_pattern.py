"""Event patterns against written tables of the documented examples, and against anything at all."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.model.event_pattern import OPERATORS, InvalidPattern, compile_pattern, read_json

EVENT = {
    "version": "0",
    "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
    "detail-type": "EC2 Instance State-change Notification",
    "source": "aws.ec2",
    "time": "2017-12-22T18:43:48Z",
    "resources": ["arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"],
    "detail": {
        "instance-id": "i-1234567890abcdef0",
        "state": "terminated",
        "c-count": 5,
        "d-count": 3,
        "x-limit": 3.018e2,
        "source-ip": "10.0.0.123",
        "empty": "",
        "nothing": None,
        "yes": True,
        "FileName": "picture.png",
        "none": [],
        "tags": [{"k": "a", "v": "1"}, {"k": "b", "v": "2"}],
    },
}

# Each row: what `detail` says in the pattern (user guide, "Comparison operators"), and whether EVENT matches.
DETAIL = [
    ({"state": ["terminated"]}, True),
    ({"state": ["running", "terminated"]}, True),
    ({"state": ["Terminated"]}, False),
    ({"state": [{"prefix": "term"}]}, True),
    ({"state": [{"prefix": {"equals-ignore-case": "TERM"}}]}, True),
    ({"FileName": [{"suffix": ".png"}]}, True),
    ({"FileName": [{"suffix": ".PNG"}]}, False),
    ({"FileName": [{"suffix": {"equals-ignore-case": ".PNG"}}]}, True),
    ({"state": [{"anything-but": "initializing"}]}, True),
    ({"state": [{"anything-but": "terminated"}]}, False),
    ({"state": [{"anything-but": ["stopped", "overloaded"]}]}, True),
    ({"c-count": [{"anything-but": 5}]}, False),
    ({"c-count": [{"anything-but": [100, 200]}]}, True),
    ({"state": [{"anything-but": {"prefix": "init"}}]}, True),
    ({"state": [{"anything-but": {"prefix": ["init", "term"]}}]}, False),
    ({"FileName": [{"anything-but": {"suffix": ".txt"}}]}, True),
    ({"FileName": [{"anything-but": {"suffix": [".txt", ".png"]}}]}, False),
    ({"state": [{"anything-but": {"equals-ignore-case": "TERMINATED"}}]}, False),
    ({"state": [{"anything-but": {"equals-ignore-case": ["initializing", "stopped"]}}]}, True),
    ({"FileName": [{"anything-but": {"wildcard": "*.p*g"}}]}, False),
    ({"FileName": [{"anything-but": {"wildcard": ["*.txt", "*.zip"]}}]}, True),
    ({"absent": [{"anything-but": "x"}]}, False),
    ({"c-count": [{"numeric": [">", 0, "<=", 5]}], "d-count": [{"numeric": ["<", 10]}]}, True),
    ({"x-limit": [{"numeric": ["=", 3.018e2]}]}, True),
    ({"x-limit": [{"numeric": ["=", 301.80]}]}, True),
    ({"c-count": [{"numeric": ["<", 5]}]}, False),
    ({"state": [{"numeric": ["<", 5]}]}, False),
    ({"c-count": [5]}, True),
    ({"c-count": [5.0]}, False),
    ({"c-count": ["5"]}, False),
    ({"source-ip": [{"cidr": "10.0.0.0/24"}]}, True),
    ({"source-ip": [{"cidr": "10.0.1.0/24"}]}, False),
    ({"state": [{"cidr": "10.0.1.0/24"}]}, False),
    ({"state": [{"exists": True}]}, True),
    ({"state": [{"exists": False}]}, False),
    ({"absent": [{"exists": False}]}, True),
    ({"absent": {"below": [{"exists": False}]}}, True),
    ({"absent": [{"exists": True}]}, False),
    ({"tags": [{"exists": True}]}, False),
    ({"none": [{"exists": False}]}, True),
    ({"state": [{"exists": False}, "terminated"]}, True),
    ({"state": [{"equals-ignore-case": "tErMiNaTeD"}]}, True),
    ({"empty": [""]}, True),
    ({"nothing": [None]}, True),
    ({"empty": [None]}, False),
    ({"yes": [True]}, True),
    ({"yes": [False]}, False),
    ({"yes": ["true"]}, False),
    ({"FileName": [{"wildcard": "pic*.png"}]}, True),
    ({"FileName": [{"wildcard": "*"}]}, True),
    ({"FileName": [{"wildcard": "pic*.jpg"}]}, False),
    ({"FileName": [{"wildcard": "picture.png"}]}, True),
    ({"FileName": [{"wildcard": "picture.png*g"}]}, False),
    ({"$or": [{"c-count": [{"numeric": [">", 9]}]}, {"d-count": [3]}]}, True),
    ({"$or": [{"c-count": [9]}, {"d-count": [9]}]}, False),
    ({"$or": [{"c-count": [9]}, {"d-count": [3]}], "state": ["running"]}, False),
    ({"$or": [{"c-count": [9]}, {"$or": [{"d-count": [3]}, {"d-count": [4]}]}]}, True),
    ({"tags": {"k": ["a"], "v": ["1"]}}, True),
    ({"tags": {"k": ["a"], "v": ["2"]}}, False),
    ({"tags": {"x": [{"exists": False}]}}, True),
    ({"tags": {"k": [{"exists": False}]}}, False),
    ({"state": {"deeper": ["x"]}}, False),
]


@pytest.mark.parametrize(("detail", "expected"), DETAIL, ids=[json.dumps(row[0])[:60] for row in DETAIL])
def test_documented_operators(detail: dict[str, Any], expected: bool) -> None:
    pattern = compile_pattern(json.dumps({"detail": detail}))
    assert pattern.matches(read_json(json.dumps(EVENT))) is expected


def test_numbers_compare_by_their_text_unless_numeric() -> None:
    event = read_json('{"a": 300, "b": 300.0, "c": 3.0e2}')
    for key, text in (("a", "300"), ("b", "300.0"), ("c", "3.0e2")):
        for other in ("300", "300.0", "3.0e2"):
            assert compile_pattern(f'{{"{key}": [{other}]}}').matches(event) is (other == text)
            assert compile_pattern(f'{{"{key}": [{{"numeric": ["=", {other}]}}]}}').matches(event)


def test_numbers_within_strings_only_where_asked() -> None:
    text = '{"dynamodb":{"NewImage":{"n":{"N":[{"numeric":[">",100]}]}}}}'
    event = {"dynamodb": {"NewImage": {"n": {"N": "101"}}}}
    assert compile_pattern(text, numeric_strings=True).matches(event)
    assert not compile_pattern(text).matches(event)


def test_an_array_matches_by_any_element() -> None:
    event = {"resources": ["a", ["b", ["c"]]]}
    assert compile_pattern('{"resources": ["c"]}').matches(event)
    assert compile_pattern('{"resources": [{"anything-but": "a"}]}').matches(event)
    assert not compile_pattern('{"resources": ["d"]}').matches(event)


def test_a_dollar_or_that_is_no_choice_is_a_key() -> None:
    assert compile_pattern('{"$or": ["x", "y"]}').matches({"$or": "x"})
    assert compile_pattern('{"$or": [{"prefix": "a"}, {"prefix": "b"}]}').matches({"$or": "bc"})


INVALID = [
    ("", "Invalid JSON"),
    ("null", "Filter is not an object"),
    ('"x"', "Filter is not an object"),
    ("[]", "Filter is not an object"),
    ("{}", "Empty objects are not allowed"),
    ('{"source": "aws.sqs"}', '"source" must be an object or an array'),
    ('{"source": []}', "Empty arrays are not allowed"),
    ('{"a": {}}', "Empty objects are not allowed"),
    ('{"a": [{"postfix": "x"}]}', "Unrecognized match type postfix"),
    ('{"a": [["x"]]}', "Match value must be String, number, true, false, or null"),
    ('{"a": [{}]}', "Only one key allowed in match expression"),
    ('{"a": [{"prefix": "x", "suffix": "y"}]}', "Only one key allowed in match expression"),
    ('{"a": [{"prefix": 1}]}', "prefix match pattern must be a string"),
    ('{"a": [{"prefix": {"suffix": "x"}}]}', "Unsupported prefix pattern"),
    ('{"a": [{"suffix": null}]}', "suffix match pattern must be a string"),
    ('{"a": [{"exists": "yes"}]}', "exists match pattern must be either true or false."),
    ('{"a": [{"wildcard": "a**b"}]}', "Consecutive wildcard characters at pos 1"),
    ('{"a": [{"wildcard": "a\\\\b"}]}', "Invalid escape character at pos 1"),
    ('{"a": [{"anything-but": ["x", 1]}]}', "mixed type is not supported"),
    ('{"a": [{"anything-but": []}]}', "Empty arrays are not allowed"),
    ('{"a": [{"anything-but": null}]}', "Value of anything-but must be"),
    ('{"a": [{"anything-but": [null]}]}', "Inside anything but list"),
    ('{"a": [{"anything-but": {"numeric": ["=", 1]}}]}', "Unsupported anything-but pattern: numeric"),
    ('{"a": [{"numeric": 5}]}', "Value of numeric must be an array."),
    ('{"a": [{"numeric": [">", "5"]}]}', "Value of > must be numeric"),
    ('{"a": [{"numeric": ["=", "5"]}]}', "Value of equals must be numeric."),
    ('{"a": [{"numeric": ["!", 5]}]}', "Unrecognized numeric range operator: !"),
    ('{"a": [{"numeric": [">", 5, "<", 5]}]}', "Bottom must be less than top"),
    ('{"a": [{"numeric": ["<", 5, ">", 1]}]}', "Bad numeric range operator: <"),
    ('{"a": [{"numeric": [">", 5e10]}]}', "Value must be between"),
    ('{"a": [{"numeric": [">", 1, "<", 2, "<", 3]}]}', "Too many elements in numeric expression"),
    ('{"a": [{"cidr": "10.0.0.0"}]}', "Malformed CIDR, one '/' required"),
    ('{"a": [{"cidr": "10.0.0.0/99"}]}', "Malformed CIDR"),
    ('{"a": [NaN]}', "Invalid JSON"),
    ("[" * 100_000, "Invalid JSON"),
    ('{"a":' * 500 + "[1]" + "}" * 500, "nested too deeply"),
    ('{"$or":[{"b":[1]},' * 200 + '{"a":[1]}' + "]}" * 200, "nested too deeply"),
]


@pytest.mark.parametrize(("text", "reason"), INVALID, ids=[row[0][:40] or "nothing" for row in INVALID])
def test_what_is_no_pattern(text: str, reason: str) -> None:
    with pytest.raises(InvalidPattern, match=re.escape(reason)):
        compile_pattern(text)


def test_huge_numbers_are_no_trouble() -> None:
    pattern = compile_pattern('{"a": [{"numeric": [">", 0]}]}')
    for number in ("9" * 100_000, "1e999999999", "1e-999999999", "1e99999999999999999999"):
        assert pattern.matches(read_json(f'{{"a": {number}}}')) in (True, False)
    with pytest.raises(InvalidPattern):
        compile_pattern('{"a": [{"numeric": [">", 1e999999999]}]}')


# --- anything at all -----------------------------------------------------------------------------------------------

KEYS = st.sampled_from(["a", "b", "$or", *sorted(OPERATORS)])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("ab*\\/0.:")
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


@settings(max_examples=300)
@given(pattern=st.dictionaries(KEYS, JSON, max_size=3) | JSON, event=JSON)
def test_never_anything_but_a_verdict_or_a_reason(pattern: Any, event: Any) -> None:
    try:
        compiled = compile_pattern(json.dumps(pattern))
    except InvalidPattern:
        return
    assert compiled.matches(event) in (True, False)
    assert compiled.matches(event) == compiled.matches(read_json(json.dumps(event)))


@given(text=st.text(max_size=30))
def test_any_text_is_refused_or_compiled(text: str) -> None:
    try:
        assert compile_pattern(text).text == text
    except InvalidPattern:
        return


@given(pieces=st.lists(st.sampled_from(["a", "b", "ab", "*"]), max_size=6), text=st.text("ab", max_size=8))
def test_wildcards_agree_with_regular_expressions(pieces: list[str], text: str) -> None:
    wildcard = "".join(pieces)
    if "**" in wildcard:
        return
    expected = re.fullmatch(wildcard.replace("*", ".*"), text) is not None
    assert compile_pattern(json.dumps({"k": [{"wildcard": wildcard}]})).matches({"k": text}) is expected


def test_wildcards_do_not_backtrack() -> None:
    pattern = compile_pattern(json.dumps({"k": [{"wildcard": "*a" * 1000 + "*b"}]}))
    assert not pattern.matches({"k": "a" * 200_000})
