"""`paddock dev`: a directory as a function's code, loaded anew at each save, its log in the same terminal.

Where the server may mount the directory (`dev_directories`), it does: a save costs a word to the server, whatever the
directory weighs, and the next event runs what lies there then. Elsewhere each save is packed and uploaded. Either way
the function is an ordinary one, which keeps what was last saved when the command ends.
(docs/decisions/0024-developers-loop.md)

With a debugger, the function's first environment starts at once and waits for the debugger, at a port on loopback.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paddock.cli import health, invoke, logs, project
from paddock.cli.client import Client, Refused
from paddock.cli.deploy import Function, Wish
from paddock.cli.project import Project, Unclear
from paddock.cli.server import OwnServer, find_package, site_packages
from paddock.cli.templates import Unset
from paddock.cli.terminal import BOLD, CYAN, DIM, RED, YELLOW, Terminal
from paddock.cli.watching import CannotWatch, Vanished, Watcher
from paddock.interfaces import Clock, Ids

TICK_S = 0.2
RENEW_S = 4.0
DEBUG_PORTS: Mapping[str, int] = {"python": 5678, "nodejs": 9229}
FAILED = 1

Pause = Callable[[float], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is typed."""

    directory: Path
    name: str = ""
    runtime: str = ""
    handler: str = ""
    environment: Mapping[str, str] | None = None
    timeout_s: int | None = None
    memory_mb: int | None = None
    event: str | None = None
    sets: tuple[str, ...] = ()
    debug_port: int | None = None
    """None: no debugger. -1: the usual port of the runtime's."""


@dataclass(slots=True)
class Session:
    """One run of the command. end is set when it is to end."""

    asked: Asked
    client: Client
    terminal: Terminal
    clock: Clock
    ids: Ids
    environ: Mapping[str, str]
    end: threading.Event = field(default_factory=threading.Event)
    _function: Any = None
    _project: Any = None
    _mounted: bool = False
    _layered: bool = False
    _generation: int = 0
    _port: int | None = None
    _renewed_s: float = 0.0
    _unsaved: bool = False
    _has_begun: bool = False

    def run(self) -> int:
        """The exit status. Raises Refused, Unclear, Unset, CannotWatch."""
        directory = self.asked.directory
        if not directory.is_dir():
            raise Unclear(f"{directory} is not a directory.")
        own = self._own_server()
        try:
            return self._serve(directory)
        finally:
            if own is not None:
                self.terminal.say("stopping the server", DIM)
                own.stop()

    def _own_server(self) -> OwnServer | None:
        try:
            health.ask(self.client.endpoint)
        except health.Unhealthy:
            self.terminal.say(
                f"No server answers at {self.client.endpoint}; starting one for as long as this runs.", DIM
            )
            own = OwnServer(self.client.endpoint, self.asked.directory, self.environ)
            try:
                own.start(self.end.wait)
            except BaseException:
                own.stop()
                raise
            return own
        return None

    def _serve(self, directory: Path) -> int:
        watcher = Watcher(directory)
        try:
            try:
                self._begin(directory)
                return self._loop(watcher, directory)
            finally:
                self._leave(directory)
        finally:
            watcher.close()

    # -- the beginning

    def _begin(self, directory: Path) -> None:
        about = health.document(self.client.endpoint)
        if "runtimes" not in about or "isolation" not in about:
            raise Refused(f"What answers at {self.client.endpoint} is no Paddock.")
        asked, say = self.asked, self.terminal.say
        self._project = found = project.guess(directory, about["runtimes"], asked.runtime, asked.handler)
        name = asked.name or _name_of(directory)
        say(f"{name}: {found.runtime}, handler {found.handler} ({found.reason})", BOLD)
        self._hint_at_requirements(directory)
        wish = Wish(
            name=name, runtime=found.runtime, handler=found.handler, environment=asked.environment,
            timeout_s=asked.timeout_s, memory_mb=asked.memory_mb,
        )  # fmt: skip
        self._function = Function(self.client, wish, self.end.wait)
        self._function.put(project.package(directory))
        self._generation = int(self.clock.now().timestamp() * 1000)
        if asked.debug_port is not None:
            self._prepare_debugger(directory, found)
        self._mount(directory, about)
        self._develop()
        say(f"watching {directory}; {self._how()}. Ctrl-C ends.", DIM)
        say(f"  paddock invoke {name} --event hello", DIM)
        if self._port is not None:
            self._tell_port(directory, found)

    def _how(self) -> str:
        return "mounted as its code" if self._mounted else "uploaded at each save"

    def _hint_at_requirements(self, directory: Path) -> None:
        wanted = directory / "requirements.txt"
        if wanted.is_file() and wanted.stat().st_size and not any(directory.glob("*.dist-info")):
            self.terminal.say(
                f"requirements.txt is not installed there: pip install -r {wanted} --target {directory}", YELLOW
            )
        description = directory / "package.json"
        has_wishes = description.is_file() and '"dependencies"' in description.read_text(errors="replace")
        if has_wishes and not (directory / "node_modules").is_dir():
            self.terminal.say(
                f"what package.json depends on is not installed: npm install --prefix {directory}", YELLOW
            )

    def _mount(self, directory: Path, about: Mapping[str, Any]) -> None:
        """Find out whether the server may, and whether functions could read it."""
        barred = project.unreadable(directory) if about["isolation"]["mode"] == "root" else None
        try:
            self._function.develop(Directory=str(directory), Generation=self._generation)
        except Refused as error:
            if error.code not in ("InvalidParameterValueException", "Refused"):
                raise
            return
        if barred is not None:
            self.terminal.say(
                f"{barred} is not readable for others, so it cannot be mounted: chmod -R o+rX {directory}", YELLOW
            )
            self._function.develop(End=True)
            return
        self._mounted = True

    def _prepare_debugger(self, directory: Path, found: Project) -> None:
        family = "python" if found.runtime.startswith("python") else "nodejs"
        wanted = self.asked.debug_port
        self._port = DEBUG_PORTS[family] if wanted is None or wanted < 0 else wanted
        if family != "python" or find_package("debugpy", [str(directory)]):
            return
        package = find_package("debugpy", site_packages(self.environ, directory))
        if package is None:
            raise Unclear("debugpy is not installed here. Install it beside your code: pip install debugpy")
        self._function.add_debugger(package)
        self._layered = True

    def _tell_port(self, directory: Path, found: Project) -> None:
        kind = "debugpy" if found.runtime.startswith("python") else "node"
        place = f'"host": "127.0.0.1", "port": {self._port}'
        place = f'"connect": {{{place}}}' if kind == "debugpy" else f'"address": "127.0.0.1", "port": {self._port}'
        roots = f'"localRoot": "{directory}", "remoteRoot": "/var/task"'
        roots = f'"pathMappings": [{{{roots}}}]' if kind == "debugpy" else roots
        self.terminal.say(f"a debugger may attach at 127.0.0.1:{self._port}; until then the function waits", CYAN)
        self.terminal.say(f'  VS Code: {{"type": "{kind}", "request": "attach", {place}, {roots}}}', DIM)

    def _develop(self) -> None:
        """Say to the server what is wanted; again and again, or it forgets."""
        self._renewed_s = self.clock.monotonic()
        if not self._mounted and self._port is None:
            return
        wanted: dict[str, Any] = {"Generation": self._generation}
        if self._mounted:
            wanted["Directory"] = str(self.asked.directory)
        if self._port is not None:
            wanted["DebugPort"] = self._port
        told = self._function.develop(**wanted)
        self._port = told.get("DebugPort")

    # -- until the end

    def _loop(self, watcher: Watcher, directory: Path) -> int:
        question = logs.Question(
            group=logs.group_of(self._function.arn), since_ms=int(self.clock.now().timestamp() * 1000)
        )
        self._has_begun = True
        reader, everything = logs.Reader(self.client, question), logs.OfRequest("")
        self._send_event()
        trouble = ""
        while not self.end.is_set():
            try:
                changed = watcher.changed(TICK_S)
                if changed:
                    self._reload(directory, changed)
                elif self.clock.monotonic() - self._renewed_s > RENEW_S:
                    self._develop()
                logs.show(reader.new(), everything, question, self.terminal)
                trouble = ""
            except Refused as error:
                trouble = self._suffer(error, trouble)
            except Vanished as error:
                self.terminal.say(f"paddock: {error}", RED)
                return FAILED
        return 0

    def _suffer(self, error: Refused, trouble: str) -> str:
        """A server that is away may come back, and a next save may mend the rest. What has been told, once."""
        if error.code == "ResourceNotFoundException" and "log group" in str(error):
            return trouble  # it has no log yet
        self._renewed_s = 0.0  # a server that comes back knows nothing of us
        if str(error) != trouble:
            self.terminal.say(f"paddock: {error}", RED)
        return str(error)

    def _reload(self, directory: Path, changed: set[Path]) -> None:
        began_s = self.clock.monotonic()
        shown = sorted(str(path.relative_to(directory)) for path in changed)
        self._tell_faults(changed)
        self._generation += 1
        if self._mounted:
            self._unsaved = True
        else:
            try:
                self._function.upload(project.package(directory))
            except (Unclear, OSError) as error:  # a file that has gone while it was packed: the next change tells
                self.terminal.say(f"paddock: {error}", RED)
                return
        self._develop()
        took_ms = (self.clock.monotonic() - began_s) * 1000
        more = f" and {len(shown) - 1} more" if len(shown) > 1 else ""
        self.terminal.say(f"reloaded: {shown[0]}{more} ({took_ms:.0f} ms)", CYAN)
        self._send_event()

    def _tell_faults(self, changed: set[Path]) -> None:
        """A syntax error is told at once, where this Python is the function's."""
        if self._project.runtime != f"python{sys.version_info.major}.{sys.version_info.minor}":
            return
        for path in sorted(changed):
            if path.suffix == ".py" and path.is_file():
                try:
                    ast.parse(path.read_bytes(), str(path))
                except (SyntaxError, ValueError) as error:
                    where = f"{path}:{getattr(error, 'lineno', 0)}"
                    line = (getattr(error, "text", "") or "").rstrip()
                    self.terminal.say(f"{where}: {type(error).__name__}: {getattr(error, 'msg', error)}\n  {line}", RED)
                except OSError:
                    pass  # gone again

    def _send_event(self) -> None:
        """In a thread: while a debugger holds the event, the loop goes on."""
        if self.asked.event is not None:
            threading.Thread(target=self._invoke, daemon=True).start()

    def _invoke(self) -> None:
        wanted = invoke.Wanted(
            function=self._function.arn, event=self.asked.event, sets=self.asked.sets, is_one_of_many=True
        )
        try:
            payload = invoke.payload_of(wanted, invoke.surroundings(self.client, self.clock, self.ids))
            invoke.invoke(self.client, wanted, payload, self.terminal)
        except (Refused, Unset) as error:
            self.terminal.say(f"paddock: {error}", RED)

    # -- the end

    def _leave(self, directory: Path) -> None:
        """The function is an ordinary one again, with what was saved last."""
        try:
            if self._function is None or not self._function.arn:
                return
            if self._mounted or self._port is not None:
                self._function.develop(End=True)
            if self._unsaved and directory.is_dir():
                self._function.upload(project.package(directory))
            if self._layered:
                self._function.remove_debugger()
            if self._has_begun:
                self.terminal.say(f"{self._function.arn} keeps what was saved last.", DIM)
        except (Refused, Unclear, OSError) as error:
            self.terminal.say(f"paddock: the function may not be what was saved last: {error}", RED)


def _name_of(directory: Path) -> str:
    """A function's name holds letters, digits, - and _."""
    name = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in directory.name
    )
    return name[:64] or "dev"


def variables(pairs: list[str], file: Path | None) -> dict[str, str] | None:
    """Of --env and --env-file; None without either. Raises Unset."""
    if not pairs and file is None:
        return None
    found: dict[str, str] = {}
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise Unset(f"{file}: {error.strerror}") from error
        pairs = [line.removeprefix("export ") for line in lines if line.strip() and not line.startswith("#")] + pairs
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise Unset(f"--env {pair}: write it as NAME=VALUE.")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[name.strip()] = value
    return found


__all__ = ["Asked", "CannotWatch", "Session", "Unclear", "variables"]
