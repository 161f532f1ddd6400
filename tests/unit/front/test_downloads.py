"""Download URLs of code: for ten minutes, for whoever holds one, and for nobody who makes one up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from paddock.front.downloads import LIFETIME_S, PATH, Downloads
from paddock.wire.messages import Response

START = datetime(2026, 1, 15, 12, 0, 0, 400_000, tzinfo=UTC)
DIGEST = "0123456789abcdef" * 4


class Clock:
    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


class Blobs:
    """Blobs that note what they are asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked: list[str] = []

    async def put(self, content: bytes | AsyncIterator[bytes]) -> str:
        raise AssertionError("downloads store nothing")

    async def path(self, digest: str) -> Path:
        self.asked.append(digest)
        place = self.directory / digest
        if not place.exists():
            raise FileNotFoundError(digest)
        return place

    async def delete(self, digest: str) -> None:
        raise AssertionError("downloads delete nothing")

    async def digests(self) -> Sequence[str]:
        return []


class Desk:
    def __init__(self, directory: Path, key: bytes = b"k" * 32) -> None:
        self.clock, self.blobs = Clock(), Blobs(directory)
        base = "http://127.0.0.1:8321"
        self.downloads = Downloads(base_url=base, key=key, blobs=self.blobs, clock=self.clock)
        self.url = self.downloads.url(DIGEST)

    def get(self, path: str, query: str) -> tuple[Response, bytes]:
        async def main() -> tuple[Response, bytes]:
            response = await self.downloads.answer(path, query)
            if isinstance(response.body, bytes):
                return response, response.body
            return response, b"".join([chunk async for chunk in response.body])

        return asyncio.run(main())

    def follow(self, url: str) -> tuple[Response, bytes]:
        parts = urlsplit(url)
        return self.get(parts.path, parts.query)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / DIGEST).write_bytes(b"PK" + bytes(600_000))
    return Desk(tmp_path)


def test_the_url_leads_to_the_zip(desk: Desk) -> None:
    assert re.fullmatch(
        rf"http://127\.0\.0\.1:8321/_paddock/code/{DIGEST}\?expires=\d+&signature=[0-9a-f]{{64}}", desk.url
    )
    response, body = desk.follow(desk.url)
    assert response.status == 200
    assert dict(response.headers) == {"Content-Type": "application/zip", "Content-Length": "600002"}
    assert body == b"PK" + bytes(600_000)


def test_it_works_for_ten_minutes(desk: Desk) -> None:
    desk.clock.at = START.replace(microsecond=0) + timedelta(seconds=LIFETIME_S)
    assert desk.follow(desk.url)[0].status == 200
    desk.clock.at += timedelta(milliseconds=1)
    response, body = desk.follow(desk.url)
    assert (response.status, b"expired" in body) == (403, True)


def test_code_that_is_gone(desk: Desk) -> None:
    (desk.blobs.directory / DIGEST).unlink()
    assert desk.follow(desk.url)[0].status == 404


@pytest.mark.parametrize(
    "forge",
    [
        lambda url: url.replace("signature=", "signature=0"),
        lambda url: re.sub("signature=.", "signature=x", url),
        lambda url: re.sub("&signature=.*", "", url),
        lambda url: re.sub("signature=.*", "signature=", url),
        lambda url: re.sub("signature=.*", "signature=%C3%A9%FF", url),
        lambda url: re.sub(r"expires=\d+", "expires=99999999999", url),
        lambda url: re.sub(r"expires=\d+", "expires=" + "9" * 10_000, url),
        lambda url: re.sub(r"expires=\d+", "expires=%D9%A1", url),
        lambda url: re.sub(r"expires=\d+", "expires=-1", url),
        lambda url: re.sub(r"expires=\d+&", "", url),
        lambda url: url.replace(DIGEST, "f" * 64),
        lambda url: url.replace(DIGEST, DIGEST.upper()),
        lambda url: url.replace(DIGEST, DIGEST + "/"),
        lambda url: url.replace(DIGEST, "../" + DIGEST),
        lambda url: url.replace(DIGEST, "..%2F..%2Fetc%2Fpasswd"),
        lambda url: url.replace(DIGEST, DIGEST + "%0A"),
        lambda url: url.replace(DIGEST, ""),
        lambda url: url.replace("signature=", "signature=" + "0" * 64 + "&signature="),
    ],
)
def test_forged_urls_reach_no_file(desk: Desk, forge: object) -> None:
    forged = forge(desk.url)  # type: ignore[operator]
    assert forged != desk.url
    assert desk.follow(forged)[0].status == 403
    assert desk.blobs.asked == []


def test_a_line_feed_after_the_digest(desk: Desk) -> None:
    query = urlsplit(desk.url).query
    assert desk.get(f"{PATH}{DIGEST}\n", query)[0].status == 403


def test_urls_end_with_the_server_that_made_them(desk: Desk, tmp_path: Path) -> None:
    restarted = Desk(tmp_path, key=b"j" * 32)
    assert restarted.follow(desk.url)[0].status == 403
