"""Filter patterns: the user guide's examples, what is refused, and properties against a simpler truth."""

from __future__ import annotations

import json
import operator
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.observe.filter_pattern import InvalidPattern, compile_pattern
from paddock.observe.linear_regex import InvalidRegex, LinearRegex, wildcard

LOGIN = json.dumps(
    {
        "eventType": "UpdateTrail",
        "sourceIPAddress": "111.111.111.111",
        "arrayKey": ["value", "another value"],
        "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "SomeObject": None,
        "ThisFlag": True,
        "off": False,
        "latency": 12.5,
        "code": "404",
        "a.b": {"c d": "x"},
    }
)
ACCESS = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'


@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        ("", "anything", True),
        ("ERROR", "[ERROR 400] BAD REQUEST", True),
        ("ERROR", "[error 400]", False),
        ("ERROR ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", True),
        ("ERROR ARGUMENTS", "[ERROR 400] BAD REQUEST", False),
        ("?ERROR ?ARGUMENTS", "MISSING ARGUMENTS", True),
        ("?ERROR ?WARN", "INFO", False),
        ("?ERROR REQUEST", "a REQUEST", True),
        ("ERROR -EXITING", "ERROR EXITING", False),
        ("ERROR -EXITING", "ERROR", True),
        ("-EXITING", "fine", True),
        ('"INTERNAL SERVER ERROR"', "[ERROR 500] INTERNAL SERVER ERROR", True),
        ('"INTERNAL SERVER ERROR"', "INTERNAL ERROR SERVER", False),
        (r'"say \"hi\""', 'say "hi"', True),
        ('-"a b" c', "c a b", False),
        ("%^caf.$%", "café", True),
        ("%caf[^e]%", "café", True),
        ("%AUTHORIZED%", "[ERROR 401] UNAUTHORIZED", True),
        (r"%status=[45]\d\d$%", "x status=503", True),
        (r"%status=[45]\d\d$%", "x status=503 y", False),
        ("{ $.eventType = \"UpdateTrail\" }", LOGIN, True),
        ("{$.eventType=UpdateTrail}", LOGIN, True),
        ("{ $.eventType = \"Update*\" }", LOGIN, True),
        ("{ $.eventType = \"*Trail\" }", LOGIN, True),
        ("{ $.eventType != \"Update*\" }", LOGIN, False),
        ("{ $.sourceIPAddress != 123.123.* }", LOGIN, True),
        ("{ $.sourceIPAddress = %111.111.111.1[01]{2}% }", LOGIN, True),
        ('{ $.arrayKey[0] = "value" }', LOGIN, True),
        ('{ $.arrayKey[9] = "value" }', LOGIN, False),
        ('{ $.arrayKey[*] = "another*" }', LOGIN, True),
        ("{ $.objectList[1].id = 2 }", LOGIN, True),
        ("{ $.objectList[*].id > 1 }", LOGIN, True),
        ("{ $.objectList[*].id > 2 }", LOGIN, False),
        ("{ $.SomeObject IS NULL }", LOGIN, True),
        ("{ $.ThisFlag IS TRUE }", LOGIN, True),
        ("{ $.off IS FALSE }", LOGIN, True),
        ("{ $.off IS NULL }", LOGIN, False),
        ("{ $.missing NOT EXISTS }", LOGIN, True),
        ("{ $.SomeObject NOT EXISTS }", LOGIN, False),
        ("{ $.SomeObject EXISTS }", LOGIN, True),
        ("{ $.missing != 3 }", LOGIN, False),
        ("{ $.latency > 12 && $.latency <= 1.25e1 }", LOGIN, True),
        ("{ $.latency = 12.5 || $.x = 1 }", LOGIN, True),
        ("{ $.x = 1 && $.y = 1 || $.latency >= 3 }", LOGIN, True),
        ("{ $.x = 1 && ($.y = 1 || $.latency >= 3) }", LOGIN, False),
        ("{ $.code = 404 }", LOGIN, False),
        ('{ $.code = "404" }', LOGIN, True),
        ("{ $.ThisFlag = 1 }", LOGIN, False),
        ("{ $['a.b']['c d'] = x }", LOGIN, True),
        ("{ $.a = 1 }", "not json", False),
        ("{ $.a = 1 }", "{broken", False),
        ("[ip, id, user, time, request, status_code = 4*, bytes]", ACCESS, True),
        ("[ip, id, user, time, request, status_code = 404, bytes > 1000]", ACCESS, True),
        ("[ip, id, user, time, request, status_code = 5*, bytes]", ACCESS, False),
        ("[ip, id, user, time, request, status_code = 5* || status_code = 4*, bytes]", ACCESS, True),
        ("[ip, id, user, time, request, status_code != 4* && status_code != 5*, bytes]", ACCESS, False),
        ('[ip, id, user, time, request = "*index.html*", ...]', ACCESS, True),
        ("[..., status_code = 4*, bytes]", ACCESS, True),
        ("[..., status_code = 4*]", ACCESS, False),
        ("[ip=%127[.]0%, ..., bytes]", ACCESS, True),
        ("[w1=ERROR, w2]", "ERROR here", True),
        ("[w1=ERROR, w2]", "ERROR here too", False),
        ("[...]", "", True),
    ],
)  # fmt: skip
def test_what_a_pattern_selects(pattern: str, message: str, expected: bool) -> None:
    assert compile_pattern(pattern)(message) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "foo:bar", "a/b", '"open', "%open", '"a"b', "{", "{}", "{ $.a }", "{ $.a = }", "{ a = 1 }", "{ $.a = 1",
        "{ $.a = 1 } x", "{ $.a == 1 }", "{ $.a > x }", '{ $.a < "1" }', "{ $.a IS MAYBE }", "{ $.a NOT NULL }",
        "{ ($.a = 1 }", "{ $.a = 1 && }", "{ " + "(" * 60 + "$.a = 1" + ")" * 60 + " }",
        "[", "[]", "[a", "[a,]", "[a, ..., b, ...]", "[a = 1 && b = 2]", "[a] b", "[a > x]", "%a(b)%", "%é%",
        "{ $.a = %x% && $.b = %y% && $.c = %z% }", "x" * 1025, "- foo", "--a",
    ],
)  # fmt: skip
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(InvalidPattern):
        compile_pattern(pattern)


def test_the_text_for_a_term_that_needs_quotes() -> None:
    with pytest.raises(InvalidPattern, match=r"Invalid character\(s\) in term 'foo:bar'"):
        compile_pattern("foo:bar")


@given(st.text(max_size=60))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        test = compile_pattern(text)
    except InvalidPattern:
        return
    assert test('{"a": [1, "x", null]}') in (True, False)


@given(st.text(alphabet='ab"\\ {}[]%?-', max_size=30), st.text(alphabet='ab"\\ {}', max_size=30))
def test_a_quoted_phrase_is_a_substring(phrase: str, message: str) -> None:
    quoted = '"' + phrase.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert compile_pattern(quoted)(message) is (phrase in message)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    ),
    st.integers(min_value=-10, max_value=10),
)
def test_a_comparison_agrees_with_python(value: object, number: int) -> None:
    message = json.dumps({"v": value})
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    for sign, truth in ((">", operator.gt), ("<=", operator.le), ("!=", operator.ne)):
        assert compile_pattern(f"{{ $.v {sign} {number} }}")(message) is (is_number and truth(value, number))


ATOMS = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", "\\d", "1"])
COUNTS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}", "{0,}"])
SEQUENCES = st.lists(st.tuples(ATOMS, COUNTS), max_size=5).map(lambda parts: "".join(a + c for a, c in parts))


@given(st.booleans(), SEQUENCES, st.booleans(), SEQUENCES, st.text(alphabet="abc1", max_size=12))
def test_regexes_agree_with_pythons(start: bool, first: str, end: bool, second: str, text: str) -> None:
    pattern = ("^" if start else "") + first + ("$" if end else "") + "|" + second
    assert LinearRegex(pattern).search(text) is (re.search(pattern, text) is not None)


def test_a_regex_that_would_hang_a_backtracker() -> None:
    assert not LinearRegex(".*a.*a.*a.*a.*a.*b").search("a" * 20_000)
    # Every step leads to a new set of states: nothing that was remembered helps.
    assert not LinearRegex("a[ab]{100}c").search("ab" * 5_000 + "aab" * 5_000)


@pytest.mark.parametrize(
    "pattern", ["(", "a(b)", "[", "[]", "a{", "a{1", "a{3,1}", "a{101}", "a$b", "\\", "\\q", "*", "[b-a]", "[é]", "é"]
)
def test_what_is_no_regex(pattern: str) -> None:
    with pytest.raises(InvalidRegex):
        LinearRegex(pattern)


@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab", max_size=10))
def test_wildcards_agree_with_a_regex(pattern: str, text: str) -> None:
    truth = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None
    assert wildcard(pattern)(text) is truth
