"""Delivery policies of SNS: when a subscriber is tried again, whose policy counts, and what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.model.errors import ClientError, NotYet
from paddock.services.sns import delivery_policy
from paddock.services.sns.delivery_policy import DEFAULTS, FUNCTIONS, delays_of, effective


def delays(**given: Any) -> tuple[float, ...]:
    return delays_of({**DEFAULTS, **given})


def test_phases_in_order() -> None:
    assert delays() == (20.0, 20.0, 20.0)
    assert delays(numRetries=0) == ()
    assert delays(
        numRetries=7, numNoDelayRetries=2, numMinDelayRetries=1, numMaxDelayRetries=1, minDelayTarget=1,
        maxDelayTarget=10,
    ) == (0, 0, 1, 4, 7, 10, 10)  # fmt: skip
    four = {"numRetries": 4, "minDelayTarget": 1, "maxDelayTarget": 16}
    assert delays(**four, backoffFunction="geometric") == (2, 4, 8, 16)
    assert [round(one, 2) for one in delays(**four, backoffFunction="exponential")] == [2, 4, 8, 16]
    assert [round(one, 2) for one in delays(**four, backoffFunction="arithmetic")] == [2.5, 5.5, 10, 16]


@given(st.sampled_from(FUNCTIONS), st.integers(1, 100), st.integers(1, 60), st.integers(0, 60))
def test_backoff_never_shrinks_and_stays_between_its_targets(function: str, count: int, low: int, more: int) -> None:
    found = delays(numRetries=count, minDelayTarget=low, maxDelayTarget=low + more, backoffFunction=function)
    assert len(found) == count
    assert list(found) == sorted(found)
    assert low <= found[0] <= found[-1] <= low + more + 1e-6


def test_whose_policy_counts() -> None:
    topic = {"http": {"defaultHealthyRetryPolicy": {"numRetries": 5}, "disableSubscriptionOverrides": False}}
    own = json.dumps({"healthyRetryPolicy": {"numRetries": 1}, "requestPolicy": {"headerContentType": "a/b"}})
    assert effective("", "").retries["numRetries"] == 3
    assert effective(json.dumps(topic), "").retries["numRetries"] == 5
    assert (effective(json.dumps(topic), own).retries["numRetries"], effective("", own).content_type) == (1, "a/b")
    topic["http"]["disableSubscriptionOverrides"] = True
    policy = effective(json.dumps(topic), own)
    assert (policy.retries["numRetries"], policy.content_type) == (5, "text/plain; charset=UTF-8")
    assert policy.as_retry_policy().attempts_max == 6


BAD = [
    "{", "[]", "{}", '{"http":1}', '{"http":{},"https":{}}', '{"http":{"x":1}}',
    '{"http":{"disableSubscriptionOverrides":"no"}}',
    *(
        json.dumps({"http": {"defaultHealthyRetryPolicy": each}})
        for each in (
            [], {"x": 1}, {"numRetries": 101}, {"numRetries": -1}, {"numRetries": True}, {"numRetries": "3"},
            {"minDelayTarget": 0}, {"minDelayTarget": 30}, {"maxDelayTarget": 3601, "minDelayTarget": 1},
            {"numNoDelayRetries": 4}, {"backoffFunction": "cubic"},
            {"numRetries": 100, "minDelayTarget": 600, "maxDelayTarget": 600},
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_delivery_policy(text: str) -> None:
    with pytest.raises(ClientError) as caught:
        delivery_policy.check_topic(text)
    assert caught.value.code == "InvalidParameterException"


@pytest.mark.parametrize("text", ['{"throttlePolicy":{"maxReceivesPerSecond":1}}', '{"sicklyRetryPolicy":{"a":1}}'])
def test_throttling_is_refused(text: str) -> None:
    with pytest.raises(NotYet):
        delivery_policy.check_subscription(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from([*DEFAULTS, "http", "healthyRetryPolicy", "requestPolicy", "x"]), inner,
                        max_size=4)))  # fmt: skip
def test_anything_at_all_is_a_policy_or_refused(value: Any) -> None:
    for check in (delivery_policy.check_topic, delivery_policy.check_subscription):
        try:
            check(json.dumps(value))
        except (ClientError, NotYet):
            continue
        text = json.dumps(value)
        policy = effective(text, "") if check is delivery_policy.check_topic else effective("", text)
        assert policy.as_retry_policy().attempts_max <= 101
