"""Manifests, interpreters that answer strangely, and the copy of packages that functions find."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from paddock.worker.runtimes import discovery, manifests, packages
from paddock.worker.runtimes.discovery import Interpreter, Runtime
from paddock.worker.runtimes.manifests import Family, InvalidManifest

GOOD = """
family = "python"
bootstrap = "x.y"
transport = "frames"
interpreter = "python{version}"
versions = ["3.11"]
packages = ["left", "right.py"]
"""


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[Family, ...]]:
    def load(text: str) -> tuple[Family, ...]:
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one/manifest.toml").write_text(text)
        monkeypatch.setattr(manifests, "FAMILIES", tmp_path)
        return manifests.load()

    return load


def test_our_own_manifests() -> None:
    families = {family.family: family for family in manifests.load()}
    assert families["python"].runtimes[-1].startswith("python3.")
    assert families["provided"].runtimes == ("provided.al2", "provided.al2023")
    assert families["python"].transport == "frames"


def test_a_good_manifest(manifest: Callable[[str], tuple[Family, ...]]) -> None:
    (family,) = manifest(GOOD)
    assert family.versions == ("3.11",)
    assert family.runtimes == ("python3.11",)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("family = ", r"one/manifest\.toml: "),
        ("", "missing 6 required keyword-only arguments"),
        (GOOD.replace('bootstrap = "x.y"', ""), "'bootstrap'"),
        (GOOD + 'colour = "red"', "'colour'"),
        (GOOD.replace('"frames"', '"carrier pigeon"'), "transport must be frames or http"),
        (GOOD.replace('["3.11"]', '"3.11"'), "versions is a str"),
        (GOOD.replace('"python"', "3"), "family is a int"),
        (GOOD.replace('"x.y"', "[]"), "bootstrap is a list"),
    ],
)
def test_bad_manifests_are_named(manifest: Callable[[str], tuple[Family, ...]], text: str, what: str) -> None:
    with pytest.raises(InvalidManifest, match=what):
        manifest(text)


def test_an_interpreter_that_answers() -> None:
    found = discovery.ask(Path(sys.executable))
    assert found is not None
    assert found.version == sys.version_info[:3]
    assert found.prefix == os.path.realpath(sys.base_prefix)
    assert os.access(found.executable, os.X_OK)


@pytest.mark.parametrize(
    "says",
    [
        "",
        "nonsense",
        "5",
        "null",
        "[]",
        '["/usr"]',
        '["/usr", [3]]',
        '["/usr", ["x", "y", "z"]]',
        '["/usr", 3]',
        "[5, [3, 12, 1]]",
        '[["/usr"], [3, 12, 1]]',
        '{"a": 1, "b": 2}',
        '["/nowhere", [3, 12, 1]]',
        "\\377\\376",
    ],
)
def test_executables_that_answer_strangely(tmp_path: Path, says: str) -> None:
    script = tmp_path / "python3.12"
    script.write_text(f"#!/bin/sh\nprintf '{says}'\n")
    script.chmod(0o755)
    assert discovery.ask(script) is None


@pytest.mark.parametrize("content", [None, "#!/nowhere/sh\n", "#!/bin/sh\nexit 1\n", "\x7fELF"])
def test_executables_that_do_not_run(tmp_path: Path, content: str | None) -> None:
    script = tmp_path / "python3.12"
    if content is not None:
        script.write_text(content)
        script.chmod(0o755)
    assert discovery.ask(script) is None


def test_an_executable_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_ANSWER_TIMEOUT_S", 0.01)
    script = tmp_path / "python3.12"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)
    assert discovery.ask(script) is None


def test_where_interpreters_are_inside() -> None:
    system = Interpreter(executable="/usr/bin/python3.11", prefix="/usr", version=(3, 11, 2))
    other = Interpreter(executable="/o/bin/python3.12", prefix="/o", version=(3, 12, 1))
    assert (system.shown_prefix, system.inside) == ("", "/usr/bin/python3.11")
    assert (other.shown_prefix, other.inside) == ("/o", "/var/lang/bin/python3.12")
    assert "/usr/lib/python3.11/site-packages" in system.hidden
    assert "/var/lang/lib/python3.12/site-packages" in other.hidden


HERE = Interpreter(
    executable=sys.executable, prefix=sys.base_prefix, version=(sys.version_info[0], sys.version_info[1], 0)
)


def runtime(interpreter: Interpreter | None = HERE, names: tuple[str, ...] = ("left", "right.py")) -> Runtime:
    family = Family(
        family="python", bootstrap="b", transport="frames", interpreter="p", versions=("3.11",), packages=names
    )
    return Runtime(name="python3.11", family=family, interpreter=interpreter)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake site-packages with a package, a module, and the metadata of both."""
    place = tmp_path / "site"
    (place / "left/inner/__pycache__").mkdir(parents=True)
    (place / "left/__init__.py").write_text("ONE = 1\n")
    (place / "left/inner/data.json").write_text("{}")
    (place / "left/inner/__pycache__/x.pyc").write_text("old")
    (place / "left/fast.so").write_text("binary")
    (place / "right.py").write_text("TWO = 2\n")
    (place / "unrelated.py").write_text("")
    for name in ("left", "right"):
        release(place, name, "1.0")
    monkeypatch.setattr(packages, "_source", lambda runtime: place)
    return place


def release(place: Path, name: str, version: str) -> None:
    directory = place / f"{name}-0.dist-info"
    directory.mkdir(exist_ok=True)
    (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def tree(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_packages_are_copied_compiled_and_open_to_read(source: Path, tmp_path: Path) -> None:
    made = packages.provide(runtime(), tmp_path / "runtimes")
    assert made is not None
    tag = f"cpython-{sys.version_info[0]}{sys.version_info[1]}"
    assert (made / packages.PYTHON_PLATFORM / "paddock/worker/runtimes/python/bootstrap.py").is_file()
    assert {path for path in tree(made) if not path.startswith(packages.PYTHON_PLATFORM)} == {
        "bootstrap.py",
        f"__pycache__/bootstrap.{tag}.pyc",
        "left/__init__.py",
        "left/inner/data.json",
        "left/fast.so",
        "right.py",
        f"left/__pycache__/__init__.{tag}.pyc",
        f"__pycache__/right.{tag}.pyc",
    }
    assert made.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in (tmp_path / "runtimes").iterdir()] == [made.name], "nothing half-made is left"


def test_a_copy_is_made_once_and_anew_when_a_release_changes(source: Path, tmp_path: Path) -> None:
    first = packages.provide(runtime(), tmp_path / "runtimes")
    assert first is not None
    (first / "mark").write_text("")
    assert packages.provide(runtime(), tmp_path / "runtimes") == first
    assert (first / "mark").exists()
    release(source, "right", "1.1")
    assert packages.provide(runtime(), tmp_path / "runtimes") != first


def test_the_identity_names_everything_that_went_in(source: Path, tmp_path: Path) -> None:
    same = packages._identity(runtime(), source)
    assert packages._identity(runtime(), source) == same
    newer = replace(HERE, version=(HERE.version[0], HERE.version[1], 1))
    assert packages._identity(runtime(newer), source) != same
    assert packages._identity(runtime(names=("left",)), source) != same
    release(source, "left", "2.0")
    assert packages._identity(runtime(), source) != same


def test_another_versions_extension_modules_are_left_out(source: Path, tmp_path: Path) -> None:
    other = replace(HERE, version=(3, 99, 0))
    made = packages.provide(runtime(other), tmp_path / "runtimes")
    assert made is not None
    assert not (made / "left/fast.so").exists()


def test_a_copy_that_fails_leaves_nothing(source: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        packages.provide(runtime(names=("left", "missing.py")), tmp_path / "runtimes")
    with pytest.raises(OSError, match="nowhere"):
        packages.provide(runtime(replace(HERE, executable="/nowhere/python")), tmp_path / "runtimes")
    assert list((tmp_path / "runtimes").iterdir()) == []


def test_runtimes_without_packages_or_interpreter(tmp_path: Path) -> None:
    assert packages.provide(runtime(names=()), tmp_path) is None
    assert packages.provide(runtime(None), tmp_path) is None
    assert packages.available(runtime(names=())) == ""
    assert packages.available(runtime(None)) == "python3.11: no interpreter"


def test_an_old_interpreter_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "older_packages", lambda interpreter: tmp_path / "none")
    old = runtime(replace(HERE, version=(3, 9, 1)))
    assert "run `paddock runtimes prepare` once" in packages.available(old)
    (tmp_path / "none").mkdir()
    assert packages.available(old) == ""
