"""What every Segments promises (interfaces.Segments). A new engine is one more entry in ENGINES."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from paddock.backends.files.segments import FileSegments
from paddock.interfaces import Segments
from paddock.model.slice import Slice

Opener = Callable[[Path], Awaitable[Segments]]


async def open_files(directory: Path) -> Segments:
    numbers = itertools.count(len(list(directory.rglob("*"))))  # noqa: ASYNC240 a test may look at its own disk
    return await FileSegments.open(directory, lambda: f"{next(numbers):032x}")


ENGINES: dict[str, Opener] = {"files": open_files}


@pytest.fixture(params=list(ENGINES))
def opener(request: pytest.FixtureRequest) -> Opener:
    return ENGINES[request.param]


async def pieces(*chunks: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if error is not None:
        raise error


async def content_of(segments: Segments, *slices: Slice) -> bytes:
    return b"".join([piece async for piece in await segments.read(slices)])


def unseen(_: bytes) -> None:
    """Nobody observes."""


@pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 12_000])
def test_bytes_come_back_and_are_seen_in_order(opener: Opener, tmp_path: Path, content: bytes) -> None:
    async def story() -> None:
        segments = await opener(tmp_path)
        seen: list[bytes] = []
        chunks = [content[at : at + 65_536] for at in range(0, len(content), 65_536)]
        stored = await segments.write(pieces(*chunks), seen.append)
        assert (stored.start, stored.size, b"".join(seen)) == (0, len(content), content)
        assert await content_of(segments, stored) == content
        assert await content_of(await opener(tmp_path), stored) == content
        assert await segments.names() == [stored.name]

    asyncio.run(story())


def test_slices_end_to_end_copies_and_links(opener: Opener, tmp_path: Path) -> None:
    async def story() -> None:
        segments = await opener(tmp_path)
        one = await segments.write(pieces(b"hello"), unseen)
        two = await segments.write(pieces(b" world"), unseen)
        parts = (Slice(one.name, 1, 4), two, Slice(one.name, 0, 1))
        assert await content_of(segments, *parts) == b"ello worldh"
        assert await content_of(segments) == b""
        copy = await segments.copy(parts)
        (linked,) = await segments.link([one.name])
        await segments.delete([one.name, two.name])
        assert await content_of(segments, copy) == b"ello worldh"
        assert await content_of(segments, Slice(linked, 0, 5)) == b"hello"
        with pytest.raises(FileNotFoundError):
            await segments.read([one])
        with pytest.raises(FileNotFoundError):
            await segments.link([linked, one.name])
        await segments.delete([one.name])
        assert sorted(await segments.names()) == sorted([copy.name, linked])

    asyncio.run(story())


def test_what_is_read_stays_until_it_was_read(opener: Opener, tmp_path: Path) -> None:
    async def story() -> None:
        segments = await opener(tmp_path)
        one = await segments.write(pieces(b"a" * 3_000_000), unseen)
        two = await segments.write(pieces(b"b"), unseen)
        reading = await segments.read([one, two])
        never_begun = await segments.read([one, two])
        await segments.delete([one.name, two.name])
        with pytest.raises(FileNotFoundError):
            await segments.read([one])
        assert b"".join([piece async for piece in reading]) == b"a" * 3_000_000 + b"b"
        await never_begun.aclose()
        await never_begun.aclose()
        while await segments.names():
            await asyncio.sleep(0.001)

    asyncio.run(story())


def test_what_fails_leaves_nothing(opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        segments = await opener(tmp_path)
        with pytest.raises(ConnectionError):
            await segments.write(pieces(b"x" * 2_000_000, error=ConnectionError("gone")), unseen)

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(OSError, match="No space left"):
                await segments.write(pieces(b"x"), unseen)
        assert await segments.names() == []

    asyncio.run(story())


def test_names_never_lead_outside(opener: Opener, tmp_path: Path) -> None:
    async def story() -> None:
        segments = await opener(tmp_path)
        for name in ("../../etc/passwd", "", ".", "a" * 31, "A" * 32):
            with pytest.raises(FileNotFoundError):
                await segments.read([Slice(name, 0, 1)])

    asyncio.run(story())
