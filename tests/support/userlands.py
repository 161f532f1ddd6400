"""A userland for tests: built once with `paddock userland build`, kept below ~/.cache/paddock."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from paddock.worker.runtimes import debian, store
from tests.support.server import ROOT

BUILD_TIMEOUT_S = 1_800


def directory() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "paddock" / f"runtimes-{debian.RELEASE}-{debian.RECIPE}"


def paddock(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "paddock", *arguments]
    given = {**os.environ, **environment}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=given, timeout=BUILD_TIMEOUT_S
    )


def built() -> tuple[Path, store.Userland]:
    """(the store, the userland that serves in it); skips the test where there can be none."""
    return _there(store.ALL, "userland", "build")


def added(runtime: str) -> tuple[Path, store.Userland]:
    """As built, with the userland of one runtime that Debian has."""
    return _there(runtime, "runtimes", "add", runtime)


def _there(purpose: str, *command: str) -> tuple[Path, store.Userland]:
    if os.geteuid() != 0:
        pytest.skip("a userland is built by root")
    if shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is not installed")
    place = directory()
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:  # workers of one test run build one
        os.lockf(lock.fileno(), os.F_LOCK, 0)
        if purpose not in store.read(place):
            done = paddock(*command, "--runtimes-dir", str(place))
            if "debootstrap failed" in done.stderr and "Failed getting release file" in done.stderr:
                pytest.skip(f"no mirror of Debian is reached from here: {done.stderr}")
            assert done.returncode == 0, done.stderr
    return place, store.read(place)[purpose]
