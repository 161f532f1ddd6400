"""Which interpreter in which userland: the decision, and what it stands on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paddock.worker.runtimes import choose, manifests, store
from paddock.worker.runtimes.choose import Facts
from paddock.worker.runtimes.discovery import Engine, Interpreter, Runtime, host_label

FAMILIES = {family.family: family for family in manifests.load()}
SYSTEM = Interpreter(executable="/usr/bin/python3.11", prefix="/usr", version=(3, 11, 2))
BROUGHT = Interpreter(executable="/o/bin/python3.12", prefix="/o", version=(3, 12, 1))
NODE = Engine(name="node", prefix="/usr", version=(20, 1, 0))
JAVA = Engine(name="java", prefix="/usr/lib/jvm/j", version=(17, 0, 1))


def userland(purpose: str = store.ALL, **programs: str) -> store.Userland:
    named = {name.replace("_", "."): version for name, version in programs.items()}
    root = f"/store/{purpose}/tree"
    return store.Userland(
        name=f"trixie-{purpose}", root=root, release="trixie", version="13.1", purpose=purpose, programs=named,
        packages={},
    )  # fmt: skip


OURS = userland(python3_13="3.13.5")


def facts(*userlands: store.Userland, pythons: tuple[Interpreter, ...] = (SYSTEM, BROUGHT)) -> Facts:
    return Facts(
        pythons={python.minor: python for python in pythons},
        system=SYSTEM,
        engines={"nodejs": {"20.x": NODE}, "java": {"17": JAVA}},
        userlands={each.purpose: each for each in userlands},
    )


def chosen(name: str, given: Facts, why_not: str = "") -> Runtime:
    family = next(family for family in FAMILIES.values() if name in family.runtimes)
    version = family.versions[family.runtimes.index(name)]
    return choose.choose(name, version, family, given, lambda what, where: why_not)


def test_without_a_userland_all_live_on_the_host() -> None:
    given = facts()
    assert chosen("python3.12", given).interpreter == BROUGHT
    assert chosen("python3.10", given).interpreter is None
    assert (chosen("nodejs20.x", given).interpreter, chosen("nodejs20.x", given).engine) == (SYSTEM, NODE)
    assert chosen("provided.al2023", given).interpreter == SYSTEM
    assert chosen("java17", given).shown_prefix == "/usr/lib/jvm/j"
    assert all(chosen(name, given).base == "" for name in ("python3.12", "nodejs20.x", "java17"))


def test_interpreters_of_the_host_move_into_the_userland() -> None:
    moved = chosen("python3.12", facts(OURS))
    assert (moved.interpreter, moved.userland, moved.shown_prefix, moved.note) == (BROUGHT, OURS, "/o", "")
    assert moved.base == "/store/all/tree"


def test_one_that_does_not_run_there_stays_and_says_why() -> None:
    stays = chosen("python3.12", facts(OURS), why_not="no libssl")
    assert (stays.interpreter, stays.userland, stays.note) == (BROUGHT, None, "no libssl")
    assert chosen("nodejs20.x", facts(OURS), why_not="no libuv").note == "no libuv"
    assert chosen("java17", facts(OURS), why_not="no libz").base == ""


def test_one_that_is_part_of_the_hosts_usr_cannot_move() -> None:
    stays = chosen("python3.11", facts(OURS))
    assert (stays.userland, stays.note) == (None, "/usr/bin/python3.11 is part of the host's /usr")


def test_the_userlands_own_interpreter_serves_where_it_is_as_new() -> None:
    own = chosen("python3.13", facts(OURS))
    assert own.interpreter is not None
    assert (own.interpreter.inside, own.interpreter.root) == ("/usr/bin/python3.13", "/store/all/tree")
    assert (own.interpreter.executable, own.shown_prefix) == ("/store/all/tree/usr/bin/python3.13", "")
    older = Interpreter(executable="/p/bin/python3.13", prefix="/p", version=(3, 13, 0))
    assert chosen("python3.13", facts(OURS, pythons=(older,))).version == "3.13.5"
    newer = Interpreter(executable="/p/bin/python3.13", prefix="/p", version=(3, 13, 9))
    assert chosen("python3.13", facts(OURS, pythons=(newer,))).version == "3.13.9"
    assert chosen("python3.13", facts(OURS, pythons=(newer,)), why_not="broken").version == "3.13.5"


def test_engines_get_a_zygote_of_the_userland_and_one_file_of_the_host() -> None:
    node = chosen("nodejs20.x", facts(OURS))
    assert node.interpreter is not None
    assert node.interpreter.inside == "/usr/bin/python3.13"
    assert node.shown_prefix == "/usr/bin/node"  # not the host's whole /usr
    assert chosen("java17", facts(OURS)).shown_prefix == "/usr/lib/jvm/j"
    assert chosen("java21", facts(OURS)).interpreter is None


def test_one_built_for_a_runtime_serves_that_runtime_only() -> None:
    own = userland("python3.14", python3_14="3.14.2")
    given = facts(OURS, own)
    assert chosen("python3.14", given).userland == own
    assert chosen("python3.12", given).userland == OURS
    assert chosen("python3.14", facts(OURS)).interpreter is None


def test_what_init_start_names() -> None:
    assert chosen("python3.13", facts(OURS)).version_label == "python:3.13.5"
    assert chosen("provided.al2023", facts(OURS)).version_label == "provided:debian13.1"
    assert chosen("nodejs20.x", facts(OURS)).version_label == "nodejs:20.1.0"


@pytest.mark.parametrize(
    ("text", "label"), [('ID=ubuntu\nVERSION_ID="24.04"\n', "ubuntu24.04"), ("ID=arch\n", "arch"), ("", "host")]
)
def test_what_the_host_is(text: str, label: str, tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text(text)
    assert host_label(tmp_path / "os-release") == label
    assert host_label(tmp_path / "nothing") == "host"


def test_who_lives_where() -> None:
    given = facts(OURS)
    found = [chosen("python3.12", given), chosen("python3.11", given), chosen("provided.al2", given)]
    assert choose.homes(found) == {
        "debian13.1 (trixie-all)": ["python3.12", "provided.al2"],
        "host": ["python3.11"],
    }


def test_a_store_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "serving").mkdir()
    (tmp_path / "userlands").mkdir()
    (tmp_path / "serving" / "all").symlink_to("../userlands/x")
    assert store.read(tmp_path) == {}
    (tmp_path / "userlands").chmod(0o777)
    with pytest.raises(store.Untrusted, match="chmod go-w"):
        store.read(tmp_path)


def test_of_somebody_else_too(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a directory away needs root")
    (tmp_path / "serving").mkdir()
    (tmp_path / "userlands").mkdir()
    os.chown(tmp_path / "serving", 4242, 4242)
    with pytest.raises(store.Untrusted, match="chown it to root"):
        store.read(tmp_path)
