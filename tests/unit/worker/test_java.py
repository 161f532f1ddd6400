"""Java on this machine: which JVMs are found, how one is started, and where its client comes from."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from paddock.worker.runtimes import jars, packages
from paddock.worker.runtimes.discovery import Engine, read_java
from paddock.worker.runtimes.jars import CannotFetch, Jar
from paddock.worker.runtimes.java import bootstrap


def jvm(home: Path, release: str) -> Path:
    (home / "bin").mkdir(parents=True)
    (home / "bin/java").write_text("#!/bin/sh\n")
    (home / "bin/java").chmod(0o755)
    (home / "release").write_text(release)
    return home


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('IMPLEMENTOR="X"\nJAVA_VERSION="17.0.15"\n', (17, 0, 15)),
        ('JAVA_VERSION="25"\n', (25, 0, 0)),
        ('JAVA_VERSION="1.8.0_402"\n', (8, 0, 0)),
        ('JAVA_VERSION="21.0.2.1"\n', (21, 0, 2)),
    ],
)
def test_a_jvm_by_its_release_file(tmp_path: Path, text: str, version: tuple[int, int, int]) -> None:
    home = jvm(tmp_path / "jvm", text)
    assert read_java(home) == Engine(name="java", prefix=str(home.resolve()), version=version)


def test_what_is_no_jvm(tmp_path: Path) -> None:
    assert read_java(tmp_path) is None
    assert read_java(jvm(tmp_path / "a", 'JAVA_VERSION="nonsense"\n')) is None
    home = jvm(tmp_path / "b", 'JAVA_VERSION="17.0.1"\n')
    (home / "bin/java").unlink()
    assert read_java(home) is None
    (home / "release").write_bytes(b"\xff\xfe")
    assert read_java(home) is None


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b.jar").touch()
    (tmp_path / "a.jar").touch()
    (tmp_path / "release").write_text('JAVA_VERSION="25.0.1"\n')
    monkeypatch.setattr(bootstrap, "LIBRARY", str(tmp_path))
    monkeypatch.setattr(bootstrap, "RELEASE", str(tmp_path / "release"))
    monkeypatch.setattr(bootstrap, "ARCHIVE", str(tmp_path / "client.jsa"))
    line = bootstrap.command(1000, "pkg.Class::method")
    assert line[0] == "/var/lang/bin/java"
    assert line[-1] == "pkg.Class::method"
    assert line[line.index("-cp") + 1] == f"{tmp_path}/a.jar:{tmp_path}/b.jar"
    assert f"-XX:MaxHeapSize={850 * 1024}k" in line
    assert "--enable-native-access=ALL-UNNAMED" in line
    assert not [part for part in line if "SharedArchiveFile" in part]
    (tmp_path / "client.jsa").touch()
    (tmp_path / "release").write_text('JAVA_VERSION="17.0.1"\n')
    line = bootstrap.command(1000, "pkg.Class::method")
    assert f"-XX:SharedArchiveFile={tmp_path}/client.jsa" in line
    assert "--enable-native-access=ALL-UNNAMED" not in line


CONTENT = b"a jar"
JAR = Jar("org.example", "thing", "1.2", hashlib.sha256(CONTENT).hexdigest())


def repository(home: Path, content: bytes) -> str:
    path = home / "org/example/thing/1.2/thing-1.2.jar"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return home.as_uri()


def test_jars_are_fetched_once_and_checked(tmp_path: Path) -> None:
    home = tmp_path / "jars"
    address = repository(tmp_path / "repository", CONTENT)
    assert jars.fetch((JAR,), home, address) == ["thing-1.2.jar"]
    assert (home / "thing-1.2.jar").read_bytes() == CONTENT
    assert jars.fetch((JAR,), home, "https://nowhere.invalid") == []


def test_another_jar_than_the_pinned_one_is_not_taken(tmp_path: Path) -> None:
    home = tmp_path / "jars"
    with pytest.raises(CannotFetch, match=r"thing-1\.2\.jar is not the one"):
        jars.fetch((JAR,), home, repository(tmp_path / "repository", b"another"))
    with pytest.raises(CannotFetch, match="missing"):
        jars.fetch((replace(JAR, artifact="missing"),), home, repository(tmp_path / "repository", CONTENT))
    with pytest.raises(CannotFetch, match="no address"):
        jars.fetch((JAR,), home, "ftp://nowhere.invalid")
    assert list(home.iterdir()) == []


def test_the_lock_names_jars_and_no_address() -> None:
    listed = jars.read(packages.LOCKS / packages.JAVA_LOCK)
    assert {jar.artifact for jar in listed} >= {"aws-lambda-java-core", "aws-lambda-java-runtime-interface-client"}
    assert all(len(jar.sha256) == 64 for jar in listed)
