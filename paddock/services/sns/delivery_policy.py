"""Delivery policies: how often, and after how long, an HTTP subscriber that does not answer is tried again.

    numRetries in all = numNoDelayRetries at once
                      + numMinDelayRetries minDelayTarget apart
                      + the rest, from minDelayTarget to maxDelayTarget by backoffFunction
                      + numMaxDelayRetries maxDelayTarget apart

A topic has one for all its subscribers; a subscription may have its own, unless the topic disables that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from paddock.invoke.outbox import RetryPolicy
from paddock.model.errors import NotYet
from paddock.services.sns.desk import check_json, invalid

RETRIES_MAX = 100
DELAY_S_MAX = 3_600
RETRY_AGE_S_MAX = 3_600.0
PLAIN_TEXT = "text/plain; charset=UTF-8"
FUNCTIONS = ("linear", "arithmetic", "geometric", "exponential")
DEFAULTS: Mapping[str, Any] = {
    "minDelayTarget": 20, "maxDelayTarget": 20, "numRetries": 3, "numMaxDelayRetries": 0, "numNoDelayRetries": 0,
    "numMinDelayRetries": 0, "backoffFunction": "linear",
}  # fmt: skip
_COUNTS = ("numRetries", "numMaxDelayRetries", "numNoDelayRetries", "numMinDelayRetries")


@dataclass(frozen=True, kw_only=True)
class DeliveryPolicy:
    """retries: DEFAULTS with what was given. content_type: of what is posted."""

    retries: Mapping[str, Any]
    content_type: str = PLAIN_TEXT

    def as_retry_policy(self) -> RetryPolicy:
        delays_s = delays_of(self.retries)
        age_s = RETRY_AGE_S_MAX + 20 * len(delays_s)  # the tries themselves take their time, too
        return RetryPolicy(attempts_max=len(delays_s) + 1, age_s_max=age_s, delays_s=delays_s)


def effective(topic: str, subscription: str) -> DeliveryPolicy:
    """What holds for a subscription. Both are DeliveryPolicy attributes, "" for none."""
    whole: Any = (msgspec.json.decode(topic) if topic else {}).get("http") or {}
    retries = whole.get("defaultHealthyRetryPolicy") or {}
    request = whole.get("defaultRequestPolicy") or {}
    if subscription and not whole.get("disableSubscriptionOverrides"):
        own = msgspec.json.decode(subscription)
        retries, request = own.get("healthyRetryPolicy") or retries, own.get("requestPolicy") or request
    return DeliveryPolicy(retries={**DEFAULTS, **retries}, content_type=request.get("headerContentType") or PLAIN_TEXT)


def topic_view(text: str) -> str:
    """EffectiveDeliveryPolicy of a topic."""
    policy = effective(text, "")
    whole = (msgspec.json.decode(text) if text else {}).get("http") or {}
    shown = {
        "defaultHealthyRetryPolicy": policy.retries,
        "disableSubscriptionOverrides": bool(whole.get("disableSubscriptionOverrides")),
        "defaultRequestPolicy": {"headerContentType": policy.content_type},
    }
    return msgspec.json.encode({"http": shown}).decode()


def subscription_view(topic: str, text: str) -> str:
    """EffectiveDeliveryPolicy of a subscription."""
    policy = effective(topic, text)
    shown = {
        "healthyRetryPolicy": policy.retries, "sicklyRetryPolicy": None, "throttlePolicy": None,
        "requestPolicy": {"headerContentType": policy.content_type}, "guaranteed": False,
    }  # fmt: skip
    return msgspec.json.encode(shown).decode()


def check_topic(text: str) -> None:
    """Raises InvalidParameter; NotYet for throttling."""
    whole = _object(check_json("DeliveryPolicy", text), "DeliveryPolicy")
    http = _object(whole.get("http"), "DeliveryPolicy: http")
    if set(whole) - {"http"}:
        raise invalid("DeliveryPolicy: only http can be specified")
    known = {"defaultHealthyRetryPolicy", "defaultThrottlePolicy", "defaultRequestPolicy",
             "disableSubscriptionOverrides"}  # fmt: skip
    _check_parts(http, known, "defaultHealthyRetryPolicy", "defaultThrottlePolicy", "defaultRequestPolicy")
    if not isinstance(http.get("disableSubscriptionOverrides", False), bool):
        raise invalid("DeliveryPolicy: http.disableSubscriptionOverrides must be a boolean")


def check_subscription(text: str) -> None:
    """Raises InvalidParameter; NotYet for throttling."""
    whole = _object(check_json("DeliveryPolicy", text), "DeliveryPolicy")
    known = {"healthyRetryPolicy", "sicklyRetryPolicy", "throttlePolicy", "requestPolicy", "guaranteed"}
    _check_parts(whole, known, "healthyRetryPolicy", "throttlePolicy", "requestPolicy")
    if whole.get("sicklyRetryPolicy") or whole.get("guaranteed"):
        raise NotYet("sicklyRetryPolicy and guaranteed of a DeliveryPolicy are not supported yet.")


def delays_of(retries: Mapping[str, Any]) -> tuple[float, ...]:
    """Seconds before each try again, in order."""
    low, high = float(retries["minDelayTarget"]), float(retries["maxDelayTarget"])
    at_once: int
    first: int
    last: int
    at_once, first, last = (
        retries["numNoDelayRetries"], retries["numMinDelayRetries"], retries["numMaxDelayRetries"],
    )  # fmt: skip
    count = retries["numRetries"] - at_once - first - last
    between = (_between(retries["backoffFunction"], low, high, step, count) for step in range(1, count + 1))
    return (0.0,) * at_once + (low,) * first + tuple(between) + (high,) * last


def _between(function: str, low: float, high: float, step: int, count: int) -> float:
    """The delay of one of `count` steps from low to high."""
    part = step / count
    match function:
        case "arithmetic":
            return low + (high - low) * part * (step + 1) / (count + 1)
        case "geometric":
            return float(low * (high / low) ** part)
        case "exponential":
            return low + (high - low) * (2.0**step - 1) / (2.0**count - 1)
        case _:
            return low + (high - low) * part


def _check_parts(whole: Mapping[str, Any], known: set[str], retries: str, throttle: str, request: str) -> None:
    unknown = sorted(set(whole) - known)
    if unknown:
        raise invalid(f"DeliveryPolicy: unknown member {unknown[0]}")
    if (whole.get(throttle) or {}) not in ({}, {"maxReceivesPerSecond": None}):
        raise NotYet("throttlePolicy of a DeliveryPolicy is not supported yet.")
    if whole.get(retries) is not None:
        _check_retries(_object(whole[retries], f"DeliveryPolicy: {retries}"), retries)
    if whole.get(request) is not None:
        given = _object(whole[request], f"DeliveryPolicy: {request}").get("headerContentType")
        if given is not None and not (isinstance(given, str) and given.isascii() and given.isprintable()):
            raise invalid(f"DeliveryPolicy: {request}.headerContentType is invalid")


def _check_retries(given: Mapping[str, Any], where: str) -> None:
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise invalid(f"DeliveryPolicy: {where}: unknown member {unknown[0]}")
    merged = {**DEFAULTS, **given}
    for name in (*_COUNTS, "minDelayTarget", "maxDelayTarget"):
        value, high = merged[name], RETRIES_MAX if name in _COUNTS else DELAY_S_MAX
        low = 0 if name in _COUNTS else 1
        if type(value) is not int or not low <= value <= high:
            raise invalid(f"DeliveryPolicy: {where}.{name} must be between {low} and {high}")
    if merged["minDelayTarget"] > merged["maxDelayTarget"]:
        raise invalid(f"DeliveryPolicy: {where}.maxDelayTarget must be greater than or equal to minDelayTarget")
    if sum(merged[name] for name in _COUNTS[1:]) > merged["numRetries"]:
        raise invalid(f"DeliveryPolicy: {where}.numRetries must be greater than or equal to the sum of "
                      "numNoDelayRetries, numMinDelayRetries and numMaxDelayRetries")  # fmt: skip
    if merged["backoffFunction"] not in FUNCTIONS:
        raise invalid(f"DeliveryPolicy: {where}.backoffFunction must be one of {', '.join(FUNCTIONS)}")
    if sum(delays_of(merged)) > RETRY_AGE_S_MAX:
        raise invalid("DeliveryPolicy: the total policy retry time must not exceed 3600 seconds")


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"{what} must be a JSON object")
    return value
