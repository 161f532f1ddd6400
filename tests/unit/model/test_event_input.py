"""What targets get: paths and templates against written tables of the documented examples."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.event_input import InvalidInput, check_template, parse_path, transformed, value_at

EVENT = {
    "version": "0",
    "source": "aws.ec2",
    "time": "2015-11-11T21:29:54Z",
    "resources": ["arn:1", "arn:2"],
    "detail": {"instance-id": "i-0123456789", "state": "RUNNING", "count": 5, "deep": [{"x": 1}], 'q"': 'say "hi"'},
}
PATHS = {
    "instance": "$.detail.instance-id",
    "status": "$.detail.state",
    "count": "$.detail.count",
    "all": "$.detail.deep",
    "nowhere": "$.detail.none",
    "said": "$.detail['q\"']",
    "first": "$.resources[0]",
}
OWN = {"aws.events.rule-name": "r", "aws.events.event": {"source": "aws.ec2"}}

TEMPLATES = [
    ('"instance <instance> is in <status>"', '"instance i-0123456789 is in RUNNING"'),
    ('{"instance": <instance>, "status": <status>}', '{"instance": "i-0123456789", "status": "RUNNING"}'),
    ('{"instance": <instance>, "status": "<status>"}', '{"instance": "i-0123456789", "status": "RUNNING"}'),
    ('{"n": <count>, "text": "<count> times"}', '{"n": 5, "text": "5 times"}'),
    ('{"all": <all>, "first": <first>}', '{"all": [{"x":1}], "first": "arn:1"}'),
    ('{"text": "<all>"}', '{"text": "[{\\"x\\":1}]"}'),
    ('{"a": <nowhere>, "b": "<nowhere>!"}', '{"a": null, "b": "!"}'),
    ('{"said": <said>, "quoted": "<said>"}', '{"said": "say \\"hi\\"", "quoted": "say \\"hi\\""}'),
    ('{"rule": "<aws.events.rule-name>", "event": <aws.events.event>}', '{"rule": "r", "event": {"source":"aws.ec2"}}'),
    ('"a \\" quote <instance>"', '"a \\" quote i-0123456789"'),
]


@pytest.mark.parametrize(("template", "expected"), TEMPLATES)
def test_templates(template: str, expected: str) -> None:
    check_template(PATHS, template)
    filled = transformed(EVENT, PATHS, template, OWN)
    assert filled == expected
    json.loads(filled)


def test_paths() -> None:
    for path, expected in (
        ("$", EVENT),
        ("$.source", "aws.ec2"),
        ("$.detail.deep[0].x", 1),
        ("$['detail']['state']", "RUNNING"),
        ("$.resources[7]", None),
        ("$.source.deeper", None),
    ):
        assert value_at(EVENT, parse_path(path)) == expected
    for path in ("", "detail", "$detail", "$..x", "$.a[*]", "$.a[?(@.b)]", "$.a[", "$."):
        with pytest.raises(InvalidInput):
            parse_path(path)


def test_what_is_no_template() -> None:
    for paths, template in (({"aws.mine": "$.a"}, "x"), ({"a": "b"}, "x"), ({}, "<unknown>")):
        with pytest.raises(InvalidInput):
            check_template(paths, template)


@given(value=st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_whatever_stands_outside_quotes_is_json(value: Any) -> None:
    filled = transformed({"v": value}, {"v": "$.v"}, '{"bare": <v>, "text": "<v>"}', {})
    assert json.loads(filled)["bare"] == value
    if isinstance(value, str):
        assert json.loads(filled)["text"] == value
