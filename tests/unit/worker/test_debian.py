"""Building a userland: the plan, what stops one before it begins, and what is read and trimmed. No network."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from paddock.worker.runtimes import debian
from paddock.worker.runtimes.debian import CannotBuild

Usage = namedtuple("Usage", "total used free")


def test_the_plan() -> None:
    plan = debian.plan("trixie", "http://mirror.test/debian/")
    assert (plan.mirror, plan.security) == ("http://mirror.test/debian", "http://mirror.test/debian-security")
    assert plan.purpose == "all"
    assert {"python3", "ca-certificates", "tzdata", "libssl3t64"} <= set(plan.packages)
    old = debian.plan("bookworm", "http://mirror.test/debian")
    assert "libssl3" in old.packages
    assert "libssl3t64" not in old.packages
    own = debian.plan("forky", "http://mirror.test/debian", "python3.14", ["python3.14"])
    assert own.purpose == "python3.14"
    assert {"python3.14", "ca-certificates"} <= set(own.packages)
    assert not {"python3", "libssl3t64"} & set(own.packages)  # it serves no interpreter of the host
    assert debian.plan("sid", "http://mirror.test/debian").security == ""
    assert debian.plan("trixie", "http://mirror.test/deb").security == ""


@pytest.mark.parametrize(
    ("release", "mirror", "said"),
    [
        ("--help", "http://m.test/debian", "no name of a Debian release"),
        ("../trixie", "http://m.test/debian", "no name of a Debian release"),
        ("trixie", "m.test/debian", "no address of a Debian mirror"),
        ("trixie", "--foreign", "no address of a Debian mirror"),
    ],
)
def test_a_plan_that_is_none(release: str, mirror: str, said: str) -> None:
    with pytest.raises(CannotBuild, match=said):
        debian.plan(release, mirror)


def test_who_may_not_and_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotBuild, match="Run it with sudo"):
        debian.check(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(CannotBuild, match="apt install debootstrap"):
        debian.check(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 30, 1 << 30, 1 << 20))
    with pytest.raises(CannotBuild, match="no space for it"):
        debian.check(tmp_path / "not" / "yet" / "there")


def test_the_name_is_made_of_what_is_in_it() -> None:
    plan = debian.plan("trixie", "http://m.test/debian")
    one = debian._name(plan, {"bash": "5", "dash": "1"})
    assert one.startswith("trixie-")
    assert one == debian._name(plan, {"dash": "1", "bash": "5"})
    assert one != debian._name(plan, {"bash": "5", "dash": "2"})


def test_packages_are_read_as_dpkg_writes_them(tmp_path: Path) -> None:
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text(
        "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nDescription: a shell\n more: text\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
    )
    assert debian._packages(tmp_path) == {"bash": "5.2-1"}


def test_trimming(tmp_path: Path) -> None:
    for name in (
        "usr/share/doc/bash/copyright",
        "var/lib/dpkg/status",
        "var/cache/apt/a.deb",
        "usr/bin/su",
        "etc/shadow",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "usr/bin/su").chmod(0o4755)
    (tmp_path / "usr/bin/link").symlink_to("/etc/shadow")
    (tmp_path / "home").symlink_to("usr/bin")  # a link goes, what it leads to is another's
    debian._trim(tmp_path)
    assert (tmp_path / "usr/bin/su").stat().st_mode & 0o7777 == 0o755
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir())
    assert left == ["usr/bin/link", "usr/bin/su"]
    assert all((tmp_path / name).is_dir() for name in ("mnt", "tmp", "usr/local", "etc/ssl/certs/java"))
