"""Where images come from: archives, layouts, registries; and the one GET that all of it is made of."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from paddock.backends.files.blobs import FileBlobs
from paddock.backends.http.fetch import Fetcher
from paddock.backends.oci.local import Archives, Layouts
from paddock.backends.oci.registry import Registries, RegistrySettings
from paddock.backends.oci.source import checked, whole
from paddock.backends.oci.store import PullLimits, StoredImages
from paddock.model.image import DOCKER_ARCHIVE, OCI, BadImage, Blob, ContainerImage
from tests.support.images import ARCHITECTURE, File, Image, digest, layer, tar, write_layout
from tests.support.registry import Registry

MACHINE = {"amd64": "x86_64", "arm64": "arm64"}[ARCHITECTURE]


class QuickClock:
    """Nobody waits."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> Any:
        raise AssertionError("not asked")

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def image(text: str = "x", **more: Any) -> Image:
    return Image([layer({"x": File(text.encode())})], **{"entry_point": ["/x"], **more})


async def store(tmp_path: Path, settings: RegistrySettings | None = None, timeout_s: float = 20.0) -> StoredImages:
    directories = [str(tmp_path)]
    registries = Registries(Fetcher(), settings or RegistrySettings(), QuickClock(), Path.read_bytes)
    sources: dict[str, Any] = {
        OCI: Layouts(directories), DOCKER_ARCHIVE: Archives(directories), "": registries
    }  # fmt: skip
    blobs = await FileBlobs.open(tmp_path / "kept/blobs")
    limits = PullLimits(bytes_max=1 << 20, timeout_s=timeout_s, resolve_timeout_s=timeout_s)
    return StoredImages(tmp_path / "kept", blobs, lambda reference: sources[reference.kind], limits)


def tell(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(story())  # type: ignore[arg-type]


async def fetched(images: StoredImages, uri: str) -> ContainerImage:
    found = await images.resolve(uri, MACHINE)
    await images.fetch(found)
    for one in found.layers:
        assert digest((await images.layer(one.digest)).read_bytes()) == f"sha256:{one.digest}"
    return found


def test_an_archive_and_a_layout_are_the_same_image(tmp_path: Path) -> None:
    async def story() -> None:
        images = await store(tmp_path)
        made = Image([layer({"a": File(b"a")}, ""), layer({"b": File(b"b")}, "")], entry_point=["/a"])
        first = await fetched(images, made.layout(tmp_path / "layout"))
        second = await fetched(images, made.archive(tmp_path / "a.tar", "x:1"))
        assert first.config == second.config == made.config_digest
        assert first.layers == second.layers
        again = await images.resolve(f"docker-archive:{tmp_path}/a.tar:x:1", MACHINE)
        assert again.digest == second.digest
        pinned = await images.resolve(second.resolved_uri, MACHINE)
        assert pinned.config == second.config
        with pytest.raises(BadImage, match="does not exist"):
            await images.resolve(f"docker-archive:{tmp_path}/a.tar:x:2", MACHINE)

    tell(story)


def test_an_archive_whose_layers_are_compressed_or_linked(tmp_path: Path) -> None:
    async def story() -> None:
        images = await store(tmp_path)
        made = image()
        entries = {
            "config.json": File(made.configuration),
            "0.tar.gz": File(made.layers[0].blob),
            "manifest.json": File(json.dumps([{"Config": "config.json", "Layers": ["0.tar.gz"]}]).encode()),
        }
        (tmp_path / "zipped.tar").write_bytes(tar(entries))
        found = await fetched(images, f"docker-archive:{tmp_path}/zipped.tar")
        assert found.layers[0].compression == "gzip"

    tell(story)


@pytest.mark.parametrize(
    "content",
    [b"", b"x", tar({}), tar({"manifest.json": File(b"[]")}), tar({"manifest.json": File(b"{}")}),
     tar({"manifest.json": File(b'[{"Config": "../../etc/passwd", "Layers": []}]')}),
     tar({"manifest.json": File(b'[{"Config": "c", "Layers": ["l"]}]'), "c": File(b"{}")}),
     tar({"manifest.json": File(b'[{"Config": "c", "Layers": []}]'), "c": File(b"[1]")}),
     tar({"manifest.json": File(b'[{"Config": "c", "Layers": []}, {"Config": "c", "Layers": []}]'), "c": File(b"{}")}),
     tar({"manifest.json": File(b'[{"Config": "c", "Layers": []}]'), "c": File(b"{}")})[:600]],
)  # fmt: skip
def test_archives_that_are_refused(tmp_path: Path, content: bytes) -> None:
    async def story() -> None:
        (tmp_path / "bad.tar").write_bytes(content)
        with pytest.raises(BadImage):
            await (await store(tmp_path)).resolve(f"docker-archive:{tmp_path}/bad.tar", MACHINE)

    tell(story)


def test_only_below_the_directories_that_are_allowed(tmp_path: Path) -> None:
    async def story() -> None:
        home = tmp_path / "home"
        home.mkdir()
        write_layout(tmp_path / "outside", {"1": image()})
        (home / "link").symlink_to(tmp_path / "outside")
        images = await store(home)
        for uri in (f"oci:{tmp_path}/outside:1", f"oci:{home}/link:1", f"oci:{home}/../outside:1"):
            with pytest.raises(BadImage):
                await images.resolve(uri, MACHINE)

    tell(story)


def test_a_layer_is_pulled_once_for_all_images(tmp_path: Path) -> None:
    async def story() -> None:
        with Registry() as registry:
            base = layer({"base": File(b"base")})
            for name in ("one", "two"):
                registry.put(name, "1", Image([base, layer({name: File(b"")})], entry_point=["/x"]))
            images = await store(tmp_path)
            await asyncio.gather(*(fetched(images, f"{registry.host}/{name}:1") for name in ("one", "two")))
            assert registry.asked_for(digest(base.blob)) == 1

    tell(story)


def test_prune_keeps_what_is_used_and_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        images = await store(tmp_path)
        kept = await fetched(images, image("kept").layout(tmp_path / "kept-layout"))
        gone = await fetched(images, image("gone").layout(tmp_path / "gone-layout"))
        assert {one.uri for one in await images.known()} == {kept.uri, gone.uri}
        used = {kept.config, *(one.digest for one in kept.layers)}
        removed, freed_bytes = await images.prune(lambda digest: digest in used)
        assert [one.uri for one in removed] == [gone.uri]
        assert freed_bytes == gone.size_bytes
        assert [one.uri for one in await images.known()] == [kept.uri]
        assert (await images.layer(kept.layers[0].digest)).exists()
        with pytest.raises(FileNotFoundError):
            await images.layer(gone.layers[0].digest)
        assert await images.prune(lambda digest: digest in used) == ([], 0)
        await fetched(images, gone.uri)

    tell(story)


def test_what_arrives_is_checked() -> None:
    async def story() -> None:
        async def pieces(*contents: bytes) -> Any:
            for content in contents:
                yield content

        good = Blob(digest(b"abc").removeprefix("sha256:"), 3)
        assert await whole(pieces(b"a", b"bc"), good) == b"abc"
        for contents in ([b"ab"], [b"abc", b"d"], [b"abd"], []):
            with pytest.raises(BadImage):
                async for _ in checked(pieces(*contents), good):
                    pass
        with pytest.raises(BadImage, match="larger than"):
            await whole(pieces(b"abc"), Blob(good.digest, 1 << 30))

    tell(story)


# -- registries


def test_credentials_and_the_registries_that_are_allowed(tmp_path: Path) -> None:
    async def story() -> None:
        with Registry(me="pass") as registry:
            registry.put("app", "1", image())
            uri = f"{registry.host}/app:1"
            with pytest.raises(BadImage, match="does not have permission"):
                await (await store(tmp_path)).resolve(uri, MACHINE)
            file = tmp_path / "config.json"
            for entry in (
                {"username": "me", "password": "pass"},
                {"auth": base64.b64encode(b"me:pass").decode()},
            ):
                file.write_text(json.dumps({"auths": {f"http://{registry.host}": entry}}))
                await fetched(await store(tmp_path, RegistrySettings(credentials=file)), uri)
            for text in ("", "{}", '{"auths": 7}', json.dumps({"auths": {registry.host: {}}})):
                file.write_text(text)
                with pytest.raises(BadImage, match="credentials") as caught:
                    await (await store(tmp_path, RegistrySettings(credentials=file))).resolve(uri, MACHINE)
                assert "pass" not in caught.value.message
            absent = RegistrySettings(credentials=tmp_path / "absent")
            with pytest.raises(BadImage, match="cannot be read: No such file"):
                await (await store(tmp_path, absent)).resolve(uri, MACHINE)
            with pytest.raises(BadImage, match="image_registries"):
                await (await store(tmp_path, RegistrySettings(allowed=["other.example"]))).resolve(uri, MACHINE)

    tell(story)


def test_what_may_do_later_is_tried_again_and_what_will_not_is_not(tmp_path: Path) -> None:
    async def story() -> None:
        with Registry() as registry:
            registry.put("app", "1", image())
            for status, tries in ((500, 3), (503, 3), (429, 3), (404, 1), (403, 1), (400, 1)):
                registry.faults, registry.asked = {"manifests/1": status}, []
                with pytest.raises(BadImage):
                    await (await store(tmp_path)).resolve(f"{registry.host}/app:1", MACHINE)
                assert len(registry.asked) == tries, status

    tell(story)


async def answering(*answers: bytes) -> tuple[asyncio.Server, str, list[bytes]]:
    """A server that gives one answer a connection, as it is, and what it was asked."""
    left, asked = list(answers), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return server, f"127.0.0.1:{port}", asked


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 307 x\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 307 x\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 307 x\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 307 x\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer realm="http://169.254.169.254/"\r\nContent-Length: 0\r\n\r\n',
        b'HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer realm="gopher://x"\r\nContent-Length: 0\r\n\r\n',
        b"HTTP/1.1 401 x\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 x\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 x\r\nContent-Length: 9000000\r\n\r\n" + b" " * 9_000_000,
        b"HTTP/1.1 200 x\r\n" + b"X: y\r\n" * 20_000,
        b"SSH-2.0-x\r\n",
        b"",
    ],
    ids=lambda answer: answer[:60].decode(),
)
def test_answers_of_a_registry_that_is_none(tmp_path: Path, answer: bytes) -> None:
    async def story() -> None:
        server, host, asked = await answering(answer)
        async with server:
            with pytest.raises(BadImage):
                await (await store(tmp_path)).resolve(f"{host}/app:1", MACHINE)
        assert len(asked) <= 18  # three times, with five redirects

    tell(story)


def test_an_answer_until_the_connection_ends_and_in_chunks(tmp_path: Path) -> None:
    async def story() -> None:
        for answer, body in (
            (b"HTTP/1.1 200 x\r\n\r\nabc", b"abc"),
            (b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
            (b"HTTP/1.1 204 x\r\n\r\n", b""),
        ):
            server, host, _ = await answering(answer)
            async with server, Fetcher()(f"http://{host}/x?q=1", {"A": "b"}) as found:
                assert await found.read(10) == body

    tell(story)


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "http://[fe80::1]/", "http://[::ffff:169.254.1.1]/", "ftp://x/", "http://"]
)
def test_addresses_that_are_not_asked(url: str) -> None:
    async def story() -> None:
        with pytest.raises(OSError, match=r"link-local|only http"):
            async with Fetcher()(url, {}):
                pass

    tell(story)


def test_no_header_is_smuggled() -> None:
    async def story() -> None:
        server, host, asked = await answering(b"HTTP/1.1 204 x\r\n\r\n")
        async with server:
            with pytest.raises(OSError, match="does not fit a header"):
                async with Fetcher()(f"http://{host}/", {"Authorization": "a\r\nX: y"}):
                    pass
            async with Fetcher()(f"http://{host}/a b\r\nX: y?c d", {}):
                pass
        assert asked[-1].startswith(b"GET /a%20bX:%20y?c%20d HTTP/1.1\r\n")

    tell(story)
