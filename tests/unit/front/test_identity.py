"""The caller behind a credential."""

from __future__ import annotations

import asyncio

import pytest

from paddock.front.identity import caller_of
from paddock.front.unmounted import MODELS_KEPT_MAX, Unmounted
from paddock.model.caller import Caller
from paddock.model.errors import AccessDenied
from paddock.wire.sigv4 import Credential


def credential(key: str, region: str = "eu-west-1") -> Credential:
    return Credential(key, "20260504", region, "lambda")


@pytest.mark.parametrize(
    ("key", "account"),
    [
        ("111122223333", "111122223333"),
        ("11112222333", "999999999999"),
        ("1111222233334", "999999999999"),
        ("AKIAIOSFODNN", "999999999999"),
        ("\uff11" * 12, "999999999999"),
    ],
)
def test_account_and_region(key: str, account: str) -> None:
    expected = Caller(account=account, region="eu-west-1", access_key_id=key)
    assert caller_of(credential(key), "999999999999", "us-east-1") == expected


def test_unsigned_requests_get_the_defaults() -> None:
    nobody = Caller(account="999999999999", region="us-east-1", anonymous=True)
    assert caller_of(None, "999999999999", "us-east-1") == nobody


@pytest.mark.parametrize("region", ["", "us:east", "a" * 33, "US-EAST-1", "us-east-1\n"])
def test_impossible_regions(region: str) -> None:
    with pytest.raises(AccessDenied):
        caller_of(credential("x", region), "999999999999", "us-east-1")


def test_few_unmounted_models_are_kept() -> None:
    async def main() -> None:
        unmounted = Unmounted()
        assert await unmounted.find("no-such-service") is None
        assert await unmounted.find("../lambda") is None
        names = ["sqs", "sns", "xray", "scheduler", "pipes", "ecr", "kms", "sso", "firehose", "ec2"]
        for name in names:
            model = await unmounted.find(name)
            assert model is None if name == "ec2" else model is not None and model.name == name
        assert list(unmounted.kept) == names[-MODELS_KEPT_MAX:]

    asyncio.run(main())
