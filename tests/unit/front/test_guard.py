"""Which requests a web page could have sent."""

from __future__ import annotations

import pytest

from paddock.front.guard import HOSTS_REMEMBERED_MAX, Guard
from paddock.model.errors import AccessDenied
from paddock.wire.messages import Headers


def check(guard: Guard, **headers: str) -> None:
    guard.check(Headers((name.replace("_", "-"), value) for name, value in headers.items()))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:4566",
        "127.0.0.1",
        "10.0.0.7:80",
        "[::1]:4566",
        "[::1]",
        "localhost:4566",
        "LOCALHOST",
        "localhost.:4566",
        "abc.lambda-url.us-east-1.localhost:4566",
        "lambda.us-east-1.amazonaws.com",
        "lambda.cn-north-1.amazonaws.com.cn",
        "s3.localhost.localstack.cloud:4566",
        "paddock:4566",
        "box.corp.example",
        "",
    ],
)
def test_our_hosts(host: str) -> None:
    guard = Guard(["paddock", "Box.corp.example."])
    for _ in range(2):
        check(guard, host=host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:4566",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "notlocalhost",
        "amazonaws.com.evil.example",
        "evilamazonaws.com",
        "127.0.0.1:evil",
        "[::1",
        "[::1]evil.example",
        "[evil.example]",
        "2130706433",
        "127.1",
        "user@127.0.0.1",
        ":80",
        "paddock",
    ],
)
def test_foreign_hosts(host: str) -> None:
    guard = Guard()
    for _ in range(2):
        with pytest.raises(AccessDenied):
            check(guard, host=host)


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8080", "http://app.localhost", "http://127.8.8.8"],
)
def test_pages_of_this_machine_may_call(origin: str) -> None:
    check(Guard(), host="127.0.0.1", origin=origin)
    # 127.0.0.1 and localhost are two sites to a browser; Origin already says that both are here.
    check(Guard(), host="127.0.0.1", origin=origin, sec_fetch_site="cross-site")


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://10.0.0.7", "http://localhost.evil.example", "http://[::1", "file://", "x"],
)
def test_foreign_pages_may_not(origin: str) -> None:
    with pytest.raises(AccessDenied):
        check(Guard(), host="127.0.0.1", origin=origin)


@pytest.mark.parametrize(("site", "allowed"), [("cross-site", False), ("Cross-Site", False), ("none", True)])
def test_what_the_browser_says_of_the_site(site: str, allowed: bool) -> None:
    if allowed:
        check(Guard(), host="127.0.0.1", sec_fetch_site=site)
        return
    with pytest.raises(AccessDenied):
        check(Guard(), host="127.0.0.1", sec_fetch_site=site)


def test_what_is_remembered_is_bounded() -> None:
    guard = Guard()
    for number in range(HOSTS_REMEMBERED_MAX + 10):
        check(guard, host=f"h{number}.localhost")
    assert len(guard._good) <= HOSTS_REMEMBERED_MAX
