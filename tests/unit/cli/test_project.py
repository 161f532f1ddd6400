"""What a directory is taken for, and what of it is packed."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

import pytest

from paddock.cli import project
from paddock.cli.project import Unclear, guess

OFFERED = ("java17", "nodejs20.x", "nodejs22.x", "provided.al2", "provided.al2023", "python3.9", "python3.12")


def made(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        path = directory / name.replace("__", ".").replace("_SLASH_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


@pytest.mark.parametrize(
    ("files", "runtime", "handler"),
    [
        ({"app__py": "def handler(event, context): ..."}, "python3.12", "app.handler"),
        ({"lambda_function__py": "def lambda_handler(e, c): ..."}, "python3.12", "lambda_function.lambda_handler"),
        ({"app__py": "handler = Mangum(app)"}, "python3.12", "app.handler"),
        ({"app__py": "x = 1", "main__py": "def handler(e, c): ..."}, "python3.12", "main.handler"),
        ({"app__py": "x = 1", "other__py": "y = 1"}, "python3.12", "app.handler"),
        ({"mine__py": "def go(event, context): ...", "also__py": "x = 1"}, "python3.12", "mine.go"),
        ({"app__py": "def handler(event context):"}, "python3.12", "app.handler"),
        ({"app__py": "def handler(event", "__python-version": "3.9.18"}, "python3.9", "app.handler"),
        ({"index__mjs": "export const handler = async () => 1"}, "nodejs22.x", "index.handler"),
        ({"app__js": "exports.lambdaHandler = () => 1", "__nvmrc": "v20"}, "nodejs20.x", "app.lambdaHandler"),
        ({"package__json": '{"main": "./src/main.js"}', "src_SLASH_main__js": ""}, "nodejs22.x", "src/main.handler"),
        ({"package__json": "{", "index__js": ""}, "nodejs22.x", "index.handler"),
    ],
)  # fmt: skip
def test_what_it_is(files: dict[str, str], runtime: str, handler: str, tmp_path: Path) -> None:
    found = guess(made(tmp_path, **files), OFFERED)
    assert (found.runtime, found.handler) == (runtime, handler)


def test_a_bootstrap_goes_before_all_else(tmp_path: Path) -> None:
    made(tmp_path, bootstrap="#!/bin/sh", app__py="def handler(event, context): ...")
    with pytest.raises(Unclear, match="chmod"):
        guess(tmp_path, OFFERED)
    (tmp_path / "bootstrap").chmod(0o755)
    assert guess(tmp_path, OFFERED).runtime == "provided.al2023"


def test_what_is_unclear_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unclear, match="No handler was found"):
        guess(tmp_path, OFFERED)
    made(tmp_path, app__py="def handler(event, context): ...", index__mjs="")
    with pytest.raises(Unclear, match=r"python \(app.py\) and nodejs \(index.mjs\)"):
        guess(tmp_path, OFFERED)
    assert guess(tmp_path, OFFERED, "nodejs20.x").handler == "index.handler"
    assert guess(tmp_path, OFFERED, "", "index.go").runtime == "nodejs22.x"
    assert guess(tmp_path, OFFERED, "python3.9", "x.y").handler == "x.y"
    assert guess(tmp_path, OFFERED, "provided.al2").handler == "bootstrap"
    (tmp_path / "index.mjs").unlink()
    with pytest.raises(Unclear, match="offers no python; it offers java17"):
        guess(tmp_path, ("java17",))


def test_what_is_packed(tmp_path: Path) -> None:
    made(tmp_path, app__py="x", lib_SLASH_a__py="y", __git_SLASH_config="no", lib_SLASH___pycache___SLASH_a="no")
    for name in (".app.py.swp", "app.py~", "lib/a.pyc"):
        (tmp_path / name).write_text("no")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.py").write_text("no")
    (tmp_path / "run").write_text("z")
    (tmp_path / "run").chmod(0o700)
    (tmp_path / "app.py").chmod(0o600)
    with zipfile.ZipFile(io.BytesIO(project.package(tmp_path))) as archive:
        modes = {one.filename: stat.S_IMODE(one.external_attr >> 16) for one in archive.infolist()}
    assert {name: modes[name] for name in ("app.py", "lib/a.py", "run")} == {
        "app.py": 0o644, "lib/a.py": 0o644, "run": 0o755
    }  # fmt: skip
    assert not any("git" in name or name.endswith(("swp", "~", "pyc")) or "pycache__/a.py" in name for name in modes)
    assert project.package(tmp_path) == project.package(tmp_path), "the same files make the same package"


def test_what_others_may_not_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    made(tmp_path, app__py="x", lib_SLASH_a__py="y")
    assert project.unreadable(tmp_path) is None
    (tmp_path / "lib").chmod(0o700)
    assert project.unreadable(tmp_path) == tmp_path / "lib"
    (tmp_path / "app.py").chmod(0o600)
    assert project.unreadable(tmp_path) == tmp_path / "app.py"
    tmp_path.chmod(0o700)
    assert project.unreadable(tmp_path) == tmp_path


def test_what_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, app__py="x" * 2000)
    large = project.package(tmp_path)
    assert len(large) > 2000, "what fits is not compressed"
    monkeypatch.setattr(project, "PACKAGE_BYTES_MAX", 1000)
    assert len(project.package(tmp_path)) < 1000
    monkeypatch.setattr(project, "PACKAGE_BYTES_MAX", 10)
    with pytest.raises(Unclear, match="packs to more than"):
        project.package(tmp_path)
