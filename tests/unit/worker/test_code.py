"""Unpacking: once, whole or not at all, and only inside."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import stat
import threading
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

import paddock.worker.code as code_module
from paddock.model.errors import InvalidParameterValue
from paddock.model.quotas import Quotas
from paddock.worker.code import CodeStore

QUOTAS = Quotas()
LINK = stat.S_IFLNK | 0o777


class FakeBlobs:
    """Blobs in a directory, counting how often each is asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked: list[str] = []

    def add(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        (self.directory / f"{digest}.zip").write_bytes(content)
        return digest

    async def put(self, content: object) -> str:
        raise AssertionError("the worker stores nothing")

    async def path(self, digest: str) -> Path:
        self.asked.append(digest)
        place = self.directory / f"{digest}.zip"
        if not place.is_file():
            raise FileNotFoundError(digest)
        return place

    async def delete(self, digest: str) -> None:
        raise AssertionError("the worker deletes nothing")

    async def digests(self) -> Sequence[str]:
        return []


def zipped(*entries: tuple[str, bytes, int]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16 | 0x20
            archive.writestr(info, content)
    return buffer.getvalue()


def play(tmp_path: Path, story: Callable[[CodeStore, FakeBlobs], Awaitable[None]]) -> None:
    async def run() -> None:
        blobs = blobs_at(tmp_path)
        await story(await open_store(tmp_path, blobs), blobs)

    asyncio.run(run())


def blobs_at(tmp_path: Path) -> FakeBlobs:
    (tmp_path / "blobs").mkdir(exist_ok=True)
    return FakeBlobs(tmp_path / "blobs")


async def open_store(tmp_path: Path, blobs: FakeBlobs, boot: str = "boot-1") -> CodeStore:
    boot_id = tmp_path / "boot_id"
    boot_id.write_text(boot + "\n")
    return await CodeStore.open(tmp_path / "code", blobs, QUOTAS, boot_id=boot_id)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_files_directories_links_and_modes(tmp_path: Path) -> None:
    async def story(store: CodeStore, blobs: FakeBlobs) -> None:
        digest = blobs.add(
            zipped(
                ("f.py", b"print()", 0),
                ("bin/tool", b"#!", stat.S_IFREG | 0o6755),
                ("closed/", b"", stat.S_IFDIR | 0o1500),
                ("closed/inside", b"x", stat.S_IFREG | 0o400),
                ("deep/er/", b"", 0),
                ("link", b"bin/tool", LINK),
                ("deep/up", b"..", LINK),
            )
        )
        place = await store.ensure(digest)
        assert place == tmp_path / "code" / digest
        assert (place / "f.py").read_bytes() == b"print()"
        assert os.readlink(place / "link") == "bin/tool"
        assert os.readlink(place / "deep" / "up") == ".."
        modes = {"": 0o755, "f.py": 0o644, "bin": 0o755, "bin/tool": 0o755, "closed": 0o500, "closed/inside": 0o400}
        assert {path: mode_of(place / path) for path in modes} == modes
        assert mode_of(place / "deep" / "er") == 0o755

    play(tmp_path, story)


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    async def story(store: CodeStore, blobs: FakeBlobs) -> None:
        place = await store.ensure(blobs.add(zipped(("d/f", b"", 0o100666))))
        assert [mode_of(p) for p in (place, place / "d", place / "d" / "f")] == [0o755, 0o755, 0o666]

    before = os.umask(0o077)
    try:
        play(tmp_path, story)
    finally:
        os.umask(before)


def test_callers_at_the_same_time_share_one_unpacking(tmp_path: Path) -> None:
    async def story(store: CodeStore, blobs: FakeBlobs) -> None:
        digest = blobs.add(zipped(("f", b"x" * 100_000, 0)))
        places = await asyncio.gather(*(store.ensure(digest) for _ in range(20)))
        assert len(set(places)) == 1
        assert await store.ensure(digest) == places[0]
        assert blobs.asked == [digest]

    play(tmp_path, story)


def test_a_caller_that_gives_up_does_not_stop_the_others(tmp_path: Path) -> None:
    async def story(store: CodeStore, blobs: FakeBlobs) -> None:
        digest = blobs.add(zipped(("f", b"x", 0)))
        impatient = asyncio.ensure_future(store.ensure(digest))
        patient = asyncio.ensure_future(store.ensure(digest))
        await asyncio.sleep(0)
        impatient.cancel()
        assert (await patient / "f").read_bytes() == b"x"

    play(tmp_path, story)


@pytest.mark.parametrize("bad", [("../f", b"x", 0), ("f", b"/etc", LINK), ("f", b"..", LINK)])
def test_what_may_not_be_unpacked_leaves_nothing(tmp_path: Path, bad: tuple[str, bytes, int]) -> None:
    async def story(store: CodeStore, blobs: FakeBlobs) -> None:
        digest = blobs.add(zipped(("g", b"x", 0), bad))
        for _ in range(2):  # a failure is not remembered as a success
            with pytest.raises(InvalidParameterValue):
                await store.ensure(digest)
        assert sorted(os.listdir(tmp_path / "code")) == ["boot", "unpacking"]
        assert os.listdir(tmp_path / "code" / "unpacking") == []

    play(tmp_path, story)


def test_a_missing_blob(tmp_path: Path) -> None:
    async def story(store: CodeStore, blobs: FakeBlobs) -> None:
        with pytest.raises(FileNotFoundError):
            await store.ensure("0" * 64)

    play(tmp_path, story)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def story(store: CodeStore, blobs: FakeBlobs) -> None:
        digest = blobs.add(zipped(("d/", b"", stat.S_IFDIR | 0o500), ("d/f", b"x", 0), ("g", b"x", 0)))
        with monkeypatch.context() as patch:
            patch.setattr(code_module.os, "fchmod", full)
            with pytest.raises(OSError, match="No space left"):
                await store.ensure(digest)
        assert os.listdir(tmp_path / "code" / "unpacking") == []
        assert (await store.ensure(digest) / "d" / "f").exists()

    play(tmp_path, story)


def test_forget_removes_even_what_forbids_it(tmp_path: Path) -> None:
    async def story(store: CodeStore, blobs: FakeBlobs) -> None:
        digest = blobs.add(zipped(("d/", b"", stat.S_IFDIR | 0o000), ("d/e/f", b"x", 0o100000)))
        place = await store.ensure(digest)
        await store.forget(digest)
        await store.forget(digest)
        assert not place.exists()
        assert os.listdir(tmp_path / "code" / "unpacking") == []

    play(tmp_path, story)


def test_what_is_held_is_forgotten_only_once_released(tmp_path: Path) -> None:
    async def story(store: CodeStore, blobs: FakeBlobs) -> None:
        digest = blobs.add(zipped(("f", b"x", 0)))
        place = await store.ensure(digest)
        store.hold(digest)
        store.hold(digest)
        await store.forget(digest)
        await store.release(digest)
        assert place.is_dir()
        await store.release(digest)
        assert not place.exists()
        await store.ensure(digest)
        store.hold(digest)
        await store.release(digest)
        assert place.is_dir()

    play(tmp_path, story)


def test_forgetting_waits_for_an_unpacking_under_way(tmp_path: Path) -> None:
    async def story(store: CodeStore, blobs: FakeBlobs) -> None:
        digest = blobs.add(zipped(("f", b"x", 0)))
        unpacking = asyncio.ensure_future(store.ensure(digest))
        await asyncio.sleep(0)
        await store.forget(digest)
        assert not (await unpacking).exists()

    play(tmp_path, story)


def test_start_sweeps_leftovers_and_keeps_what_is_whole(tmp_path: Path) -> None:
    async def story(store: CodeStore, blobs: FakeBlobs) -> None:
        kept, dropped = (blobs.add(zipped(("f", content, 0))) for content in (b"1", b"2"))
        await store.ensure(kept)
        await store.ensure(dropped)
        (tmp_path / "code" / "unpacking" / "0" / "half").mkdir(parents=True)
        again = await open_store(tmp_path, blobs)
        assert os.listdir(tmp_path / "code" / "unpacking") == []
        await again.keep_only([kept])
        assert sorted(os.listdir(tmp_path / "code")) == sorted([kept, "boot", "unpacking"])

    play(tmp_path, story)


def test_a_reboot_unpacks_everything_afresh(tmp_path: Path) -> None:
    async def story(store: CodeStore, blobs: FakeBlobs) -> None:
        digest = blobs.add(zipped(("f", b"whole", 0)))
        place = await store.ensure(digest)
        (place / "f").write_bytes(b"")  # as a power cut leaves what was never fsynced
        again = await open_store(tmp_path, blobs, boot="boot-2")
        assert not place.exists()
        assert (await again.ensure(digest) / "f").read_bytes() == b"whole"

    play(tmp_path, story)


def test_what_is_being_removed_is_not_taken_for_present(tmp_path: Path) -> None:
    async def story(store: CodeStore, blobs: FakeBlobs) -> None:
        digest = blobs.add(zipped(("f.py", b"print()", 0)))
        await store.ensure(digest)
        go, remove = threading.Event(), store._remove

        def slowly(place: Path) -> None:
            assert go.wait(20)
            remove(place)

        store._remove = slowly  # type: ignore[method-assign]
        forgetting = asyncio.ensure_future(store.forget(digest))
        await asyncio.sleep(0)
        ensuring = asyncio.ensure_future(store.ensure(digest))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not ensuring.done()
        go.set()
        await forgetting
        assert (await ensuring / "f.py").is_file()

    play(tmp_path, story)
