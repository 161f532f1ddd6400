"""Which interpreter in which userland: every runtime identifier with how it would start on this machine.

    look      the facts: interpreters, userlands, what runs where. Runs programs, so it takes a moment
    choose    the decision, a pure function of the facts

A userland that was built for one runtime serves that runtime; the one built for all serves every other whose
interpreter is part of it or runs in it. What does not, lives on the host's own /usr, and says why.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paddock.worker.runtimes import discovery, manifests, store
from paddock.worker.runtimes.discovery import Engine, Interpreter, Runtime
from paddock.worker.sandbox import within

TRIAL_TIMEOUT_S = 20
HOST = "host"
_MODULES = "_ssl _hashlib _sqlite3 _ctypes zlib _bz2 _lzma _decimal _uuid pyexpat readline _curses".split()
_IMPORT_ALL = f"import importlib.util\nfor name in {_MODULES}:\n    if importlib.util.find_spec(name): __import__(name)"
_ENGINE_TRIALS = {"node": ("-e", "0"), "java": ("-version",), "ruby": ("-e", "0")}
_WHERE = "/var/lang/bin"

# interpreter or engine, userland -> "" when it runs there, else why not
Runs = Callable[[Interpreter | Engine, store.Userland], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """pythons: of the host, by minor version. system: its /usr/bin/python3. engines: of each family, by major version.

    userlands: by purpose.
    """

    pythons: Mapping[str, Interpreter]
    system: Interpreter | None
    engines: Mapping[str, Mapping[str, Engine]]
    userlands: Mapping[str, store.Userland]


def runtimes(directory: Path | None = None, userland: str = "auto") -> tuple[Runtime, ...]:
    """Every runtime of every family, those that cannot start here too.

    directory: the operator's store; None for none. userland: auto, or host for the host's /usr in any case.
    Raises store.Untrusted.
    """
    facts = look(() if directory is None else store.places(directory), userland)
    trials = _Trials()
    try:
        return tuple(
            choose(name, version, family, facts, trials.runs)
            for family in manifests.load()
            for name, version in zip(family.runtimes, family.versions, strict=True)
        )
    finally:
        trials.remember()


def homes(found: Iterable[Runtime]) -> dict[str, list[str]]:
    """Where runtimes live -> their names: for who wants to know what functions see."""
    result: dict[str, list[str]] = {}
    for runtime in found:
        home = f"{runtime.userland.label} ({runtime.userland.name})" if runtime.userland is not None else HOST
        result.setdefault(home, []).append(runtime.name)
    return result


def look(directories: Sequence[Path], userland: str) -> Facts:
    """Raises store.Untrusted."""
    userlands: dict[str, store.Userland] = {}
    for directory in reversed(directories if userland != HOST else ()):
        userlands |= store.read(directory)
    kept = [path for directory in directories for path in sorted(directory.glob("node/[0-9]*/bin/node"))]
    return Facts(
        pythons=discovery.interpreters(),
        system=discovery.ask(Path("/usr/bin/python3")),
        engines={
            "nodejs": discovery.nodes(kept),
            "java": discovery.javas(),
            "ruby": discovery.rubies(),
        },
        userlands=userlands,
    )


def choose(name: str, version: str, family: manifests.Family, facts: Facts, runs: Runs) -> Runtime:
    """How the runtime would start; a pure function, save for what `runs` tries."""
    own = facts.userlands.get(name)
    general = facts.userlands.get(store.ALL)
    note = ""
    for userland in (own, general):
        if userland is None:
            continue
        found = _within(name, version, family, facts, userland, runs)
        if isinstance(found, Runtime):
            return found
        note = found or note
    return _on_host(name, version, family, facts, note)


def _within(
    name: str, version: str, family: manifests.Family, facts: Facts, userland: store.Userland, runs: Runs
) -> Runtime | str:
    """The runtime in the userland, or why it cannot live there ("" when it would be missing on the host too)."""
    zygote = _python(userland)
    if family.family == "python":
        inside, outside = _python(userland, version), facts.pythons.get(version)
        if outside is not None and outside.prefix != "/usr" and (inside is None or outside.version > inside.version):
            why = runs(outside, userland)
            if not why:
                return Runtime(name=name, family=family, interpreter=outside, userland=userland)
            if inside is None:
                return why
        if inside is None:
            return "" if outside is None else f"{outside.executable} is part of the host's /usr"
        return Runtime(name=name, family=family, interpreter=inside, userland=userland)
    if family.family not in _ENGINES:
        return Runtime(name=name, family=family, interpreter=zygote, userland=userland)
    engine = _engine(userland, family, version) or facts.engines.get(family.family, {}).get(version)
    if engine is None:
        return ""
    why = "" if engine.root else runs(engine, userland)
    return why or Runtime(name=name, family=family, interpreter=zygote, engine=engine, userland=userland)


def _on_host(name: str, version: str, family: manifests.Family, facts: Facts, note: str) -> Runtime:
    usual = sorted(facts.pythons.values(), key=lambda p: (p.prefix == "/usr", p.version))
    # pid 1 of a custom runtime's environment is a Python as well
    newest = usual[-1] if usual else None
    if family.family == "python":
        return Runtime(name=name, family=family, interpreter=facts.pythons.get(version), note=note)
    if family.family not in _ENGINES:
        return Runtime(name=name, family=family, interpreter=newest, note=note)
    engine = facts.engines.get(family.family, {}).get(version)
    # /var/lang is one place: an engine that stands there needs a zygote from /usr
    system = facts.system
    zygote = system if system is not None and system.prefix == "/usr" else newest
    fits = engine is not None and zygote is not None and not (engine.shown_prefix and zygote.shown_prefix)
    return Runtime(name=name, family=family, interpreter=zygote if fits else None, engine=engine, note=note)


_ENGINES = {"nodejs": "node", "java": "java", "ruby": "ruby"}


def _numbers(version: str) -> tuple[int, int, int]:
    first, second, third = (int(part) for part in version.split("."))
    return first, second, third


def _python(userland: store.Userland, minor: str = "") -> Interpreter | None:
    """A Python that is part of the userland: of that version, or the newest."""
    found = [
        Interpreter(
            executable=f"{userland.root}/usr/bin/{name}", prefix="/usr", version=_numbers(version), root=userland.root
        )
        for name, version in userland.programs.items()
        if name.startswith("python") and minor in ("", name.removeprefix("python"))
    ]
    return max(found, key=lambda python: python.version, default=None)


def _engine(userland: store.Userland, family: manifests.Family, version: str) -> Engine | None:
    """An engine that is part of the userland, as a Ruby is."""
    name = f"{_ENGINES[family.family]}{version}"
    exact = userland.programs.get(name)
    return None if exact is None else Engine(name=name, prefix="/usr", version=_numbers(exact), root=userland.root)


class _Trials:
    """Which of the host's interpreters run in a userland: tried once, and remembered beside it."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = {}
        self._changed: dict[str, store.Userland] = {}

    def runs(self, what: Interpreter | Engine, userland: store.Userland) -> str:
        known = self._known.setdefault(userland.name, store.trials(userland))
        try:
            identity = f"{what.executable} {what.version} {os.stat(what.executable).st_mtime_ns}"
        except OSError as error:
            return str(error)
        if identity not in known:
            known[identity] = attempt(what, userland)
            self._changed[userland.name] = userland
        return known[identity]

    def remember(self) -> None:
        for userland in self._changed.values():
            store.remember_trials(userland, self._known[userland.name])


def attempt(what: Interpreter | Engine, userland: store.Userland) -> str:
    """ "" when it runs in there with all of its own libraries, else why not, in its own words."""
    prefix = what.shown_prefix or what.executable
    if isinstance(what, Interpreter):
        command = [f"{_WHERE}/python{what.minor}", "-I", "-S", "-c", _IMPORT_ALL]
    else:
        command = [f"{_WHERE}/{what.name}", *_ENGINE_TRIALS[what.name]]
    try:
        done = within.run(command, base=userland.root, prefix=prefix, timeout_s=TRIAL_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{what.executable} was not to be tried in {userland.name}: {error}"
    if done.returncode == 0:
        return ""
    said = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[-1]
    return f"{what.executable} does not run in {userland.name}: {said}"
