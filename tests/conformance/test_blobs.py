"""What every Blobs promises (interfaces.Blobs). A new engine is one more entry in ENGINES."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from paddock.backends.files.blobs import FileBlobs
from paddock.interfaces import Blobs

Opener = Callable[[Path], Awaitable[Blobs]]
ENGINES: dict[str, Opener] = {"files": FileBlobs.open}


@pytest.fixture(params=list(ENGINES))
def opener(request: pytest.FixtureRequest) -> Opener:
    return ENGINES[request.param]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def pieces(*chunks: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if error is not None:
        raise error


def files_under(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize("content", [b"", b"x", b"y" * 3_000_000])
def test_bytes_come_back_under_their_digest(opener: Opener, tmp_path: Path, content: bytes) -> None:
    async def story() -> None:
        blobs = await opener(tmp_path)
        assert await blobs.put(content) == sha(content)
        assert (await blobs.path(sha(content))).read_bytes() == content
        again = await opener(tmp_path)
        assert await again.digests() == [sha(content)]

    asyncio.run(story())


def test_a_stream_and_its_bytes_are_one_content(opener: Opener, tmp_path: Path) -> None:
    async def story() -> None:
        blobs = await opener(tmp_path)
        digest = await blobs.put(pieces(b"ab", b"", b"cd"))
        assert digest == await blobs.put(b"abcd") == sha(b"abcd")
        assert await blobs.digests() == [digest]
        assert len(files_under(tmp_path)) == 1

    asyncio.run(story())


def test_many_puts_at_once(opener: Opener, tmp_path: Path) -> None:
    async def story() -> None:
        blobs = await opener(tmp_path)
        contents = [str(n % 5).encode() for n in range(40)]
        assert await asyncio.gather(*(blobs.put(c) for c in contents)) == [sha(c) for c in contents]
        assert sorted(await blobs.digests()) == sorted({sha(c) for c in contents})

    asyncio.run(story())


def test_delete_forgets_and_absent_is_no_error(opener: Opener, tmp_path: Path) -> None:
    async def story() -> None:
        blobs = await opener(tmp_path)
        digest = await blobs.put(b"gone")
        await blobs.delete(digest)
        await blobs.delete(digest)
        with pytest.raises(FileNotFoundError):
            await blobs.path(digest)
        assert await blobs.digests() == []

    asyncio.run(story())


@pytest.mark.parametrize(
    "digest", ["", "..", "../x", "/etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", "../" + "a" * 61]
)
def test_nothing_but_a_digest_becomes_a_path(opener: Opener, tmp_path: Path, digest: str) -> None:
    async def story() -> None:
        blobs = await opener(tmp_path)
        with pytest.raises(FileNotFoundError):
            await blobs.path(digest)
        with pytest.raises(FileNotFoundError):
            await blobs.delete(digest)

    asyncio.run(story())


def test_a_stream_that_breaks_leaves_nothing(opener: Opener, tmp_path: Path) -> None:
    async def story() -> None:
        blobs = await opener(tmp_path)
        with pytest.raises(ConnectionError):
            await blobs.put(pieces(b"half", error=ConnectionError("gone")))
        assert await blobs.digests() == []
        assert files_under(tmp_path) == []

    asyncio.run(story())


@pytest.mark.parametrize("streamed", [False, True])
def test_a_full_disk_leaves_nothing(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def story() -> None:
        blobs = await opener(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", no_space)
            with pytest.raises(OSError, match="No space left") as caught:
                await blobs.put(pieces(b"a", b"b") if streamed else b"ab")
        assert caught.value.errno == errno.ENOSPC
        assert files_under(tmp_path) == []
        assert await blobs.digests() == []
        await blobs.put(b"ab")  # and it goes on once there is room

    asyncio.run(story())


def test_what_a_killed_process_left_half_written_is_swept(tmp_path: Path) -> None:
    async def story() -> None:
        blobs = await FileBlobs.open(tmp_path)
        digest = await blobs.put(b"whole")
        (tmp_path / "incoming" / "7.part").write_bytes(b"hal")
        again = await FileBlobs.open(tmp_path)
        assert [path.name for path in files_under(tmp_path)] == [digest]
        assert await again.digests() == [digest]

    asyncio.run(story())
