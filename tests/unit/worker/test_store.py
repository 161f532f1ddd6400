"""What was brought for functions: whole or not there, one maker at a time, kept while in use."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from paddock.worker.runtimes import store

FACTS = {"release": "trixie", "version": "13.1", "programs": {"python3.13": "3.13.5"}, "packages": {"bash": "5"}}


def made(directory: Path, name: str, purpose: str = store.ALL) -> store.Userland:
    with store.making(directory, "userlands") as working:
        (working / "root/usr").mkdir(parents=True)
        return store.keep_userland(working, name, purpose, FACTS)


def test_what_was_made_serves(tmp_path: Path) -> None:
    one = made(tmp_path, "trixie-1")
    assert store.read(tmp_path) == {"all": one}
    assert (one.label, one.root) == ("debian13.1", str(tmp_path / "userlands/trixie-1/root"))
    two = made(tmp_path, "trixie-2")
    assert store.read(tmp_path) == {"all": two}
    other = made(tmp_path, "forky-1", "python3.14")
    assert store.read(tmp_path) == {"all": two, "python3.14": other}
    assert [(name, serves) for name, serves, _ in store.every(tmp_path)] == [
        ("forky-1", ["python3.14"]), ("trixie-1", []), ("trixie-2", ["all"]),
    ]  # fmt: skip


def test_the_same_made_again_changes_nothing(tmp_path: Path) -> None:
    one = made(tmp_path, "trixie-1")
    before = os.stat(one.root).st_ino
    assert made(tmp_path, "trixie-1") == one
    assert os.stat(one.root).st_ino == before
    assert sorted(os.listdir(tmp_path / "userlands")) == ["trixie-1"]


def test_what_a_killed_maker_left_is_no_userland_and_is_swept(tmp_path: Path) -> None:
    half = tmp_path / "userlands" / "making-x" / "root" / "usr"
    half.mkdir(parents=True)
    (half.parents[1] / "userland.json").write_text(json.dumps(FACTS))
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "all").symlink_to("../userlands/making-x")
    assert store.read(tmp_path) == {}
    assert store.every(tmp_path) == []
    made(tmp_path, "trixie-1")
    assert sorted(os.listdir(tmp_path / "userlands")) == ["trixie-1"]


@pytest.mark.parametrize("target", ["/etc", "../../elsewhere/trixie-1", "../userlands/gone"])
def test_a_link_that_leads_elsewhere_serves_nothing(target: str, tmp_path: Path) -> None:
    made(tmp_path / "elsewhere", "trixie-1")
    made(tmp_path / "here", "trixie-1")
    link = tmp_path / "here/serving/all"
    link.unlink()
    link.symlink_to(target)
    assert store.read(tmp_path / "here") == {}


def test_a_failed_making_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with store.making(tmp_path, "userlands") as working:
            (working / "root").mkdir()
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert list((tmp_path / "userlands").iterdir()) == []


def test_one_at_a_time(tmp_path: Path) -> None:
    with store.making(tmp_path, "userlands"), pytest.raises(store.Busy), store.making(tmp_path, "node"):
        pass
    made(tmp_path, "trixie-1")


def test_pruning_keeps_what_serves_and_what_is_in_use(tmp_path: Path) -> None:
    one, two = made(tmp_path, "trixie-1"), made(tmp_path, "trixie-2")
    holding = store.hold(one)
    assert store.prune(tmp_path) == []
    os.close(holding)
    assert store.prune(tmp_path) == ["trixie-1"]
    assert store.read(tmp_path) == {"all": two}


def test_trials_are_remembered(tmp_path: Path) -> None:
    one = made(tmp_path, "trixie-1")
    assert store.trials(one) == {}
    store.remember_trials(one, {"/o/bin/python3.12": "no libssl"})
    assert store.trials(one) == {"/o/bin/python3.12": "no libssl"}
    (tmp_path / "userlands/trixie-1/trials.json").write_text("[")
    assert store.trials(one) == {}


def test_where_to_look(tmp_path: Path) -> None:
    assert store.places(tmp_path) == (tmp_path, store.SYSTEM)
    assert store.places(store.SYSTEM) == (store.SYSTEM,)
