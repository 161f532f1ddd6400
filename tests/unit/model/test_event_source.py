"""The rules of event source mappings: what an answer says of its batch, how many lanes, which states."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.event_source import (
    TRANSITIONS,
    IllegalTransition,
    MappingState,
    checked,
    compiled,
    failed_keys,
    lanes_max,
    visibility_s,
    wanted,
)

ALL = frozenset({"a", "b", "c"})

# Spec 04 §12, recorded on AWS. None: the whole batch failed.
ANSWERS: list[tuple[bytes, frozenset[str] | None]] = [
    (b"", frozenset()),
    (b'""', frozenset()),
    (b"[]", frozenset()),
    (b"null", frozenset()),
    (b"{}", frozenset()),
    (b'{"batchItemFailures":[]}', frozenset()),
    (b'{"batchItemFailures":null}', frozenset()),
    (b'{"statusCode":200}', frozenset()),
    (b'{"batchItemFailures":[{"itemIdentifier":"b"}]}', frozenset({"b"})),
    (b'{"batchItemFailures":[{"itemIdentifier":"b"},{"itemIdentifier":"b"},{"itemIdentifier":"c"}]}', frozenset("bc")),
    (b'{"batchItemFailures":[{"itemIdentifier":"123"}]}', None),
    (b'{"batchItemFailures":[{"itemIdentifier":123}]}', None),
    (b'{"batchItemFailures":[{"itemIdentifier":""}]}', None),
    (b'{"batchItemFailures":[{"itemIdentifier":null}]}', None),
    (b'{"batchItemFailures":[{"itemIdentifier":["a"]}]}', None),
    (b'{"batchItemFailures":[{"foo":"a"}]}', None),
    (b'{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"z"}]}', None),
    (b'{"batchItemFailures":["a"]}', None),
    (b'{"batchItemFailures":"a"}', None),
    (b'"text"', None),
    (b"[1]", None),
    (b"7", None),
    (b"{", None),
]


@pytest.mark.parametrize(("payload", "expected"), ANSWERS, ids=[repr(row[0]) for row in ANSWERS])
def test_what_an_answer_says_of_its_batch(payload: bytes, expected: frozenset[str] | None) -> None:
    assert failed_keys(payload, ALL) == expected


@given(payload=st.binary(max_size=60))
def test_any_answer_is_understood(payload: bytes) -> None:
    failed = failed_keys(payload, ALL)
    assert failed is None or failed <= ALL


def test_lanes_grow_with_the_backlog() -> None:
    assert lanes_max(0, None) == 5
    assert lanes_max(60, None) == 305
    assert lanes_max(3600, None) == 1250
    assert lanes_max(3600, 2) == 2


def test_messages_are_hidden_long_enough() -> None:
    assert visibility_s(0, 900, 30) is None
    assert visibility_s(5, 20, 30) is None
    assert visibility_s(20, 20, 30) == 70


def test_only_settled_states_take_a_change() -> None:
    for state in MappingState:
        assert (MappingState.DELETING in TRANSITIONS[state]) is (state.value in ("Enabled", "Disabled"))
    with pytest.raises(IllegalTransition):
        checked(MappingState.CREATING, MappingState.DELETING)


# Spec 04 §14.
FILTERS: list[tuple[str, Any, bool]] = [
    ('{"body":{"my-key":["my-value"]}}', {"body": {"my-key": "my-value"}}, True),
    ('{"body":{"my-key":["my-value"]}}', {"body": {"my-key": "other"}}, False),
    ('{"body":{"my-key":["my-value"]}}', {"body": "plain text"}, False),
    ('{"body":[{"prefix":"abc"}]}', {"body": "abcdef"}, True),
    ('{"body":[{"prefix":"abc"}]}', {"body": {"abc": 1}}, False),
    ('{"eventName":["INSERT","MODIFY"]}', {"eventName": "INSERT"}, True),
    ('{"dynamodb":{"NewImage":{"n":{"N":[{"numeric":[">",100]}]}}}}', {"dynamodb": {"NewImage": {"n": {"N": "101"}}}},
     True),
    ('{"dynamodb":{"NewImage":{"p":{"S":[{"prefix":"us-1"}]}}}}', {"dynamodb": {"NewImage": {"p": {"S": "us-1-x"}}}},
     True),
    ('{"dynamodb":{"NewImage":{"k":{"S":[{"exists":false}]}}}}', {"dynamodb": {"NewImage": {"k": {"N": "1"}}}}, True),
    ('{"data":{"event_type":["function_1"]}}', {"data": {"event_type": "function_1"}}, True),
    ('{"data":{"event_type":["function_1"]}}', {"data": "AAEC"}, False),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "record", "expected"), FILTERS)
def test_filters_as_documented(pattern: str, record: Any, expected: bool) -> None:
    assert wanted(compiled((pattern,)), record) is expected
    assert wanted((), record)
    assert wanted(compiled(('{"no":["such"]}', pattern)), record) is expected
