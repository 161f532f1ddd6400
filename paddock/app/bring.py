"""The commands that bring what functions run in: `paddock userland` and `paddock runtimes`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from paddock.cli.columns import columns
from paddock.config import Config
from paddock.worker.runtimes import bring, choose, debian, discovery, jars, nodes, packages, store

_REFUSED = (bring.CannotAdd, debian.CannotBuild, nodes.CannotFetch, jars.CannotFetch, store.Busy, store.Untrusted)


def userland(given: argparse.Namespace, config: Config, now: datetime) -> int:
    """`paddock userland list|build|prune`; the exit status."""
    if given.action == "build":
        mirror = given.mirror or debian.configured_mirror()
        return _told(lambda: _built(debian.plan(given.release, mirror), config.runtimes_dir, now))
    if given.action == "prune":
        return _told(
            lambda: "\n".join(store.prune(config.runtimes_dir)) or "nothing to remove: each serves or is in use"
        )
    return _told(lambda: "\n".join(_userlands(config)))


def runtimes(given: argparse.Namespace, config: Config, now: datetime) -> int:
    """`paddock runtimes list|add|prepare`; the exit status."""
    if given.action != "add" and given.names:
        return _told(lambda: _refuse(f"paddock runtimes {given.action} takes no names"))
    if given.action == "prepare":
        return _prepare(config, given.maven)
    if given.action == "add":
        if not given.names:
            return _told(lambda: _refuse("say which: paddock runtimes add nodejs22.x"))
        sources = bring.Sources(mirror=given.mirror or debian.configured_mirror(), registry=given.registry)
        directory = config.runtimes_dir
        return max(_told(partial(bring.add, name, directory, sources, now, debian.progress)) for name in given.names)
    return _told(lambda: "\n".join(_listed(config)))


def ready(config: Config) -> list[discovery.Runtime]:
    """The runtimes that can start here. Raises store.Untrusted."""
    found = choose.runtimes(config.runtimes_dir, config.userland)
    return [runtime for runtime in found if runtime.interpreter and not packages.available(runtime)]


def _refuse(text: str) -> str:
    raise bring.CannotAdd(text)


def _told(work: Callable[[], str]) -> int:
    try:
        print(work())
    except BrokenPipeError:
        raise
    except (*_REFUSED, OSError) as error:
        print(f"paddock: {error}", file=sys.stderr)
        return 1
    return 0


def _built(plan: debian.Plan, directory: Path, now: datetime) -> str:
    made = debian.build(plan, directory, now, debian.progress)
    programs = ", ".join(f"{name} {version}" for name, version in made.programs.items())
    return (
        f"{made.name}: Debian {made.version} with {programs}; security updates: {made.updates}\n"
        "`paddock up` uses it from its next start on; `paddock runtimes` shows which runtimes live in it."
    )


def _userlands(config: Config) -> list[str]:
    rows = [("USERLAND", "DEBIAN", "SERVES", "BUILT", "UPDATES", "PACKAGES", "PROGRAMS")]
    for directory in store.places(config.runtimes_dir):
        for name, purposes, facts in store.every(directory):
            programs = " ".join(f"{program}={version}" for program, version in facts["programs"].items())
            serves = ",".join(purposes) or "nothing"
            updates = facts["updates"].partition(":")[0]  # the mirror's name for them, or none and why
            packed = str(len(facts["packages"]))
            rows.append((name, facts["version"], serves, facts["built"], updates, packed, programs))
    if len(rows) == 1:
        return ["none: functions see the host's /usr, read-only. `paddock userland build` makes one, as root."]
    return columns(rows)


def _prepare(config: Config, maven: str) -> int:
    """Everything that can be prepared is, whatever cannot."""
    status = 0
    for runtime in choose.runtimes(config.runtimes_dir, config.userland):
        try:
            print(packages.prepare(runtime, maven))
        except (jars.CannotFetch, OSError, subprocess.CalledProcessError) as error:
            print(f"{runtime.name}: {error}", file=sys.stderr)
            status = 1
    return status


def _listed(config: Config) -> list[str]:
    """One line a runtime: its exact version, where it lives, whether it is ready or what to do."""
    rows = [("RUNTIME", "VERSION", "USERLAND", "STATE")]
    for runtime in choose.runtimes(config.runtimes_dir, config.userland):
        if runtime.interpreter is None:
            rows.append((runtime.name, "", "", f"missing: {_lack(runtime)}"))
            continue
        home = runtime.userland.name if runtime.userland is not None else choose.HOST
        lacks = packages.available(runtime)
        state = f"missing: {lacks}" if lacks else f"ready: {runtime.executable}"
        note = f" (on the host's /usr: {runtime.note})" if runtime.note else ""
        shown = home if runtime.family.code != "root" else ""  # functions see their image and nothing else
        rows.append((runtime.name, runtime.version, shown, state + note))
    return columns(rows)


def _lack(runtime: discovery.Runtime) -> str:
    version = runtime.name.removeprefix(runtime.family.family)
    advice = runtime.family.advice.format(version=version.removesuffix(".x"))
    can_add = runtime.family.family == "nodejs" or version in runtime.family.debian
    return f"paddock runtimes add {runtime.name}, or {advice}" if can_add else advice
