"""Which of the host's directories a zygote mounts as code: the operator's and what is below, without links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paddock.worker.sandbox import dev_directories, linux, userland
from paddock.worker.sandbox.dev_directories import PREFIX, tree


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(userland, "HOST", str(tmp_path))
    monkeypatch.setattr(linux, "open_tree_clone", lambda fd, _: Path(os.readlink(f"/proc/self/fd/{fd}")))
    for name in ("home/me/hello/deep", "home/me/hellox", "etc"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "home/me/hello/out").symlink_to(tmp_path / "etc")
    (tmp_path / "home/me/link").symlink_to("hello")
    (tmp_path / "home/me/hello/file").write_text("x")
    return tmp_path


@pytest.mark.parametrize("path", ["/home/me/hello", "/home/me/hello/deep"])
def test_what_is_allowed(path: str, host: Path) -> None:
    assert tree(["/srv", "/home/me/hello"], PREFIX + path) == Path(f"{host}{path}")
    for top in ("/", "/home/me/hello/", "/home/"):
        assert tree([top], PREFIX + path) == Path(f"{host}{path}")


def test_the_operators_own_path_may_hold_links(host: Path) -> None:
    assert tree(["/home/me/link"], PREFIX + "/home/me/link/deep") == host / "home/me/hello/deep"


@pytest.mark.parametrize(
    "path",
    [
        "/etc",
        "/home/me",
        "/home/me/hellox",
        "/home/me/hello/../hellox",
        "/home/me/hello/",
        "home/me/hello",
        "",
        "//etc",
    ],
)
def test_what_is_not(path: str, host: Path) -> None:
    with pytest.raises(ValueError, match="no such directory is allowed"):
        tree(["/home/me/hello"], PREFIX + path)
    with pytest.raises(ValueError, match="no such directory is allowed"):
        tree([], PREFIX + path)


@pytest.mark.parametrize(
    "path", ["/home/me/hello/out", "/home/me/hello/out/x", "/home/me/hello/file", "/home/me/hello/no"]
)
def test_links_and_what_is_no_directory(path: str, host: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r"\[Errno"):
        dev_directories.tree(["/home/me/hello"], PREFIX + path)
    assert len(os.listdir("/proc/self/fd")) == before, "a descriptor was left open"
