"""Whose a request is: by its access key, or by temporary credentials of ours."""

from __future__ import annotations

import pytest

from paddock.front.identity import with_session
from paddock.model.caller import Caller
from paddock.model.errors import AccessDenied
from paddock.model.session import Session, access_key, account_of
from paddock.wire.messages import Headers, Request
from paddock.wire.sigv4 import session_token_of

CALLER = Caller(account="000000000000", region="us-east-1", access_key_id="ASIAX")
SESSION = Session(account="111122223333", role_arn="arn:aws:iam::111122223333:role/a/b", name="n")


def known(key: str, token: str) -> Session | None:
    if token == "over":
        raise AccessDenied("is expired", code="ExpiredTokenException")
    if token == "forged":
        raise AccessDenied("is invalid", code="UnrecognizedClientException")
    return SESSION if (key, token) == ("ASIAX", "ours") else None


def test_a_session_is_its_own_account_and_name() -> None:
    caller = with_session(CALLER, "ours", known, "json")
    assert (caller.account, caller.arn) == ("111122223333", "arn:aws:sts::111122223333:assumed-role/b/n")
    assert caller.role_arn == "arn:aws:iam::111122223333:role/a/b"


@pytest.mark.parametrize("token", ["", "another maker's"])
def test_no_token_of_ours_changes_nothing(token: str) -> None:
    caller = with_session(CALLER, token, known, "json")
    assert (caller, caller.arn, caller.role_arn) == (CALLER, "arn:aws:iam::000000000000:root", "")


@pytest.mark.parametrize(
    ("protocol", "token", "code", "status"),
    [
        ("rest-json", "over", "ExpiredTokenException", 403),
        ("rest-json", "forged", "UnrecognizedClientException", 403),
        ("json", "forged", "UnrecognizedClientException", 403),
        ("query", "over", "ExpiredToken", 403),
        ("query", "forged", "InvalidClientTokenId", 403),
        ("rest-xml", "over", "ExpiredToken", 400),
        ("rest-xml", "forged", "InvalidToken", 400),
    ],
)
def test_each_protocol_has_its_own_word(protocol: str, token: str, code: str, status: int) -> None:
    with pytest.raises(AccessDenied) as caught:
        with_session(CALLER, token, known, protocol)
    assert (caught.value.code, caught.value.status) == (code, status)


@pytest.mark.parametrize(
    ("query", "headers", "token"),
    [
        ("", [], ""),
        ("", [("x-amz-security-token", "h")], "h"),
        ("X-Amz-Security-Token=a%2Bb%3D", [], "a+b="),
        ("X-Amz-Security-Token=q", [("x-amz-security-token", "h")], "h"),
        ("a=X-Amz-Security-Token=", [], ""),
    ],
)
def test_where_a_token_stands(query: str, headers: list[tuple[str, str]], token: str) -> None:
    assert session_token_of(Request(method="GET", path="/", query=query, headers=Headers(headers))) == token


@pytest.mark.parametrize("account", ["000000000000", "123456789012", "999999999999"])
@pytest.mark.parametrize("chance", [0, 1, (1 << 40) - 1, 1 << 50])
def test_a_key_names_its_account(account: str, chance: int) -> None:
    key = access_key(account, chance)
    assert (len(key), account_of(key)) == (20, account)


@pytest.mark.parametrize("key", ["", "test", "AKIA" + "A" * 16, "ASIA" + "7" * 16, "ASIA" + "a" * 16, "ASIAA"])
def test_other_keys_name_none(key: str) -> None:
    assert account_of(key) == ""
