"""How often a function may be invoked, and which reason a throttled caller is given."""

from __future__ import annotations

import pytest

from paddock.invoke.admission import Admission
from paddock.invoke.rates import Bucket, InvocationRates, taken
from paddock.model.errors import TooManyRequests
from paddock.model.quotas import PROFILES, Quotas


class Reserved:
    """Every function has the same reservation, or none."""

    def __init__(self, executions: int | None) -> None:
        self.executions = executions

    def reserved(self, account: str, region: str, name: str) -> int | None:
        return self.executions

    def provisioned_of(self, account: str, region: str, name: str) -> int:
        return 0

    def reserved_by_all(self, account: str, region: str) -> int:
        return 0

    def recursion_allowed(self, account: str, region: str, name: str) -> bool:
        return False


def passed(admission: Admission, now_s: float | None, count: int, name: str = "f") -> tuple[int, str]:
    """How many of so many that end at once pass, and the reason of those that do not."""
    done, reason = 0, ""
    for _ in range(count):
        try:
            admission.give_back(admission.take("0", "r", name, now_s))
            done += 1
        except TooManyRequests as error:
            reason = error.members["Reason"]
    return done, reason


@pytest.mark.parametrize(
    ("bucket", "now", "expected"),
    [
        (None, 5.0, Bucket(9.0, 5.0)),
        (Bucket(0.5, 5.0), 5.0, None),
        (Bucket(0.0, 5.0), 5.125, Bucket(0.25, 5.125)),
        (Bucket(3.0, 5.0), 99.0, Bucket(9.0, 99.0)),
    ],
)
def test_a_bucket_of_ten(bucket: Bucket | None, now: float, expected: Bucket | None) -> None:
    assert taken(bucket, 10.0, now) == expected


def test_ten_times_the_reservation_in_a_second() -> None:
    admission = Admission(Quotas(), Reserved(2))
    assert passed(admission, 100.0, 25) == (20, "ReservedFunctionInvocationRateLimitExceeded")
    assert passed(admission, 100.5, 25) == (10, "ReservedFunctionInvocationRateLimitExceeded")
    assert passed(admission, 100.5, 5, "g") == (5, ""), "no two functions share a bucket"
    assert passed(admission, None, 100) == (100, ""), "event mode waits in its queue"


def test_ten_times_what_is_not_reserved() -> None:
    admission = Admission(Quotas(concurrency_max=3), Reserved(None))
    assert passed(admission, 0.0, 31) == (30, "FunctionInvocationRateLimitExceeded")


def test_what_runs_counts_first() -> None:
    admission = Admission(Quotas(), Reserved(1))
    permit = admission.take("0", "r", "f", 0.0)
    assert passed(admission, 0.0, 30) == (0, "ReservedFunctionConcurrentInvocationLimitExceeded")
    admission.give_back(permit)
    assert passed(admission, 0.0, 30)[0] == 9, "what was refused has taken no token"


def test_a_reservation_of_none_is_no_matter_of_rates() -> None:
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert passed(Admission(Quotas(), Reserved(0)), 0.0, 1) == (0, reason)


def test_a_profile_without_limits() -> None:
    assert passed(Admission(PROFILES["unlimited"], Reserved(1)), 0.0, 1000) == (1000, "")


def test_many_functions_are_forgotten_again() -> None:
    rates = InvocationRates(10)
    assert all(rates.take(number, 1, number / 100) for number in range(5000))
    assert len(rates._buckets) <= 1024
